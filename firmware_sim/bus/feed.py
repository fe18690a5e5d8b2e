"""Where frames come from, as faults and outputs see it: a pack, a recording, or either with faults. Pure."""

from __future__ import annotations

from typing import Protocol

from firmware_sim.bus.frame import TimedFrame


class Feed(Protocol):
    """Frames in order of time; they are the same however they are asked for."""

    def until(self, time_us: int, limit: int) -> list[TimedFrame]:
        """The frames due up to `time_us`, not more than `limit`; each is given once."""

    def next_us(self) -> int:
        """When the next frame is due, or something else happens."""

    def finished(self) -> bool:
        """Whether there are no more."""

    def end_us(self) -> int:
        """Once it is finished: when it ended, the first moment at which nothing is sent any more. Never before that.

        It does not depend on how the frames were asked for: a feed that was asked for all of its frames up to a time,
        and is not finished, ends later than that.
        """
