"""Signs of life of the agent's threads, as values: when each last got on, and with what. It watches nobody.

A part beats as it progresses, never because something outside is there: a broker that is away and an adapter that is not
plugged in are no reason to be thought dead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Beat:
    """The newest sign of life: on the monotonic clock in seconds, later by the rest that the part has announced."""

    due_s: float
    doing: str


class Pulse:
    """The beats of one part. Only the part's own thread beats; anyone may look."""

    def __init__(self, part: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.part = part
        self._monotonic = monotonic
        self._last: Beat | None = None

    @property
    def last(self) -> Beat | None:
        """The newest beat; None before the first and after the end, when nothing is expected."""
        return self._last

    def beat(self, doing: str, *, rest_s: float = 0.0) -> None:
        """The part has got on and is now `doing` something; it has said that it will rest for `rest_s` meanwhile."""
        self._last = Beat(self._monotonic() + rest_s, doing)

    def end(self) -> None:
        """The part has ended in order."""
        self._last = None
