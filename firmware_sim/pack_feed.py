"""A simulated pack's frames as the stream takes them: to the end of its scenario, in slices, so that one can be stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from firmware_sim.bus.feed import Feed
from firmware_sim.bus.frame import TimedFrame
from firmware_sim.simulated_pack import SimulatedPack

SLICE_US = 60_000_000


@dataclass(slots=True)
class PackFeed:
    """Wraps the pack's feed. Hours without a frame pass in slices; after each `between` is called, and may end it."""

    feed: Feed
    pack: SimulatedPack
    stopped: Callable[[], bool]
    between: Callable[[], None]

    def finished(self) -> bool:
        """Whether the last frame has been taken, or a stop was asked for."""
        return self.pack.over or self.feed.finished() or self.stopped()

    def end_us(self) -> int:
        """When it ended, once it is finished."""
        if self.pack.over or self.feed.finished():
            return min(self.pack.ended_us, self.feed.end_us())
        return self.pack.time_us

    def next_us(self) -> int:
        """When the next frame is due, or the pack has something to do."""
        return self.feed.next_us()

    def until(self, time_us: int, limit: int) -> list[TimedFrame]:
        """The frames due up to `time_us`, oldest first and not more than `limit`; each is given once."""
        frames: list[TimedFrame] = []
        while True:
            end_us = min(time_us, self.feed.next_us() + SLICE_US)
            frames += self.feed.until(end_us, limit - len(frames))
            self.between()
            if end_us == time_us or len(frames) >= limit or self.finished():
                return frames
