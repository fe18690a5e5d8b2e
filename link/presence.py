"""The `state` topic's payload, and which of two of them is the newer.

A broker publishes a will when it notices a dead connection, which can be long after the same client is back: a `lost`
may arrive after the `online` that followed it. Births are compared, never arrival times. One birth, one will.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from link.errors import PresenceError

Condition = Literal["online", "offline", "lost"]
JSON_TYPE = "application/json"
_MAX_BYTES = 16384
_MAX_BIRTH = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Presence:
    """What a client said of itself (`online`, `offline`) or the broker of it (`lost`), under which birth."""

    condition: Condition
    birth: int

    def payload(self, **more: str | int) -> bytes:
        """One line of JSON; `more` adds readable facts, which no rule depends on."""
        return json.dumps({"state": self.condition, "birth": self.birth, **more}, separators=(",", ":")).encode()

    def supersedes(self, known: Presence | None) -> bool:
        """Whether this is at least as new as what is known: a later birth, or of one birth the end after the start."""
        if known is None:
            return True
        return (self.birth, self.condition != "online") >= (known.birth, known.condition != "online")


def parse(payload: bytes) -> Presence:
    """Read a `state` payload (at most 16 KiB); further keys are ignored, anything else is a PresenceError."""
    if len(payload) > _MAX_BYTES:
        raise PresenceError(f"a state of {len(payload)} bytes")
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        raise PresenceError("a state that is not JSON") from None
    if not isinstance(found, dict):
        raise PresenceError("a state that is not a JSON object")
    birth = found.get("birth")
    if type(birth) is not int or not 0 <= birth <= _MAX_BIRTH:
        raise PresenceError("a state without a birth counter")
    match found.get("state"):
        case "online" | "offline" | "lost" as condition:
            return Presence(condition, birth)
        case other:
            raise PresenceError(f"an unknown state {str(other)[:40]!r}")
