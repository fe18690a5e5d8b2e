"""The probe that a subscriber sends to itself: a SUBACK proves nothing, a message that came back does.

It travels on a topic of the prober's own name, where no gateway writes, and says nothing to anybody else.
"""

from __future__ import annotations

import secrets
from typing import Final

_PREFIX: Final = b"packseal-probe "


def new() -> bytes:
    """A probe that no other has sent."""
    return _PREFIX + secrets.token_hex(8).encode()


def is_probe(payload: bytes) -> bool:
    """Whether a payload is anybody's probe; statements and documents never begin like one."""
    return payload.startswith(_PREFIX)
