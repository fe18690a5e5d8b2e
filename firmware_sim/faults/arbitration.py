"""Frames of several nodes on one bus: one at a time, the lowest identifier first, and who waits too long is overtaken. Pure.

Every decision is made at one moment of simulated time, from what is known up to it; so the frames are the same however
they are asked for.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from firmware_sim.bus.frame import CanFrame, TimedFrame
from firmware_sim.bus.schedule import FRAME_US
from firmware_sim.faults.disturbances import Source


@dataclass(slots=True)
class Arbitration:
    """The bus while it is crowded. A node has one mailbox for each identifier: a newer frame replaces a waiting one.

    While nobody else sends, frames go one after the other as they come, as from a queue, and none is replaced.
    """

    crowded: bool = False
    free_us: int = 0
    released_us: int = -1  # when frames were let go that come all at once
    _waiting: list[tuple[int, bool]] = field(default_factory=list)
    _mailboxes: dict[tuple[int, bool], CanFrame] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nobody waits for the bus."""
        return not self._waiting

    def begin(self, last_us: int) -> None:
        """The bus is crowded from now on; `last_us` is when the last frame before that began."""
        if not self.crowded:
            self.crowded, self.free_us = True, last_us + FRAME_US

    def give(
        self,
        pending: deque[TimedFrame],
        sources: Sequence[Source],
        known_us: int,
        limit: int,
        end_us: int,
        *,
        stays: bool,
    ) -> list[TimedFrame]:
        """The next frames on the bus that start not after `known_us`, up to which all of `pending` are there.

        What `sources` would send from `end_us` on is not asked for. The bus is `crowded` no longer when a frame comes
        while it is free, and it need not stay so.
        """
        frames: list[TimedFrame] = []
        while len(frames) < limit:
            due = [due_us for source in sources if (due_us := source.next_us()) < end_us]
            if pending:
                due.append(pending[0].time_us)
            if not due and not self._waiting:
                break
            start = self.free_us if self._waiting else max(self.free_us, min(due))
            if start > known_us:
                break
            if sources or self._waiting:
                self._collect(pending, sources, start, end_us)
                frame = self._mailboxes.pop(heapq.heappop(self._waiting))
            elif stays or pending[0].time_us < self.free_us or pending[0].time_us <= self.released_us:
                frame = pending.popleft().frame
            else:
                self.crowded = False
                break
            frames.append(TimedFrame(start, frame))
            self.free_us = start + FRAME_US
        return frames

    def _collect(self, pending: deque[TimedFrame], sources: Sequence[Source], start: int, end_us: int) -> None:
        while pending and pending[0].time_us <= start:
            self._wait(pending.popleft().frame)
        for source in sources:
            while source.next_us() <= min(start, end_us - 1):
                self._wait(source.take().frame)

    def _wait(self, frame: CanFrame) -> None:
        key = (frame.identifier, frame.extended)
        if key not in self._mailboxes:
            heapq.heappush(self._waiting, key)
        self._mailboxes[key] = frame
