"""Frames of several nodes on one bus: one at a time, the lowest identifier first, and who waits too long is overtaken. Pure."""

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
    """The bus while it is crowded. A node has one mailbox for each identifier: a newer frame replaces a waiting one."""

    free_us: int = 0
    _waiting: list[tuple[int, bool]] = field(default_factory=list)
    _mailboxes: dict[tuple[int, bool], CanFrame] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nobody waits for the bus."""
        return not self._waiting

    def in_a_row(self, pending: deque[TimedFrame], known_us: int, limit: int) -> list[TimedFrame]:
        """`pending` one after the other, each when it is due and the bus is free, not after `known_us`."""
        frames: list[TimedFrame] = []
        while pending and len(frames) < limit and max(pending[0].time_us, self.free_us) <= known_us:
            time_us, frame = pending.popleft()
            frames.append(TimedFrame(max(time_us, self.free_us), frame))
            self.free_us = frames[-1].time_us + FRAME_US
        return frames

    def give(
        self, pending: deque[TimedFrame], sources: Sequence[Source], known_us: int, limit: int, end_us: int
    ) -> list[TimedFrame]:
        """The next frames on the bus that start not after `known_us`, up to which all of `pending` are there.

        What `sources` would send after `end_us` is not asked for.
        """
        frames: list[TimedFrame] = []
        while len(frames) < limit:
            due = [due_us for source in sources if (due_us := source.next_us()) <= end_us]
            if pending:
                due.append(pending[0].time_us)
            if not due and not self._waiting:
                break
            start = self.free_us if self._waiting else max(self.free_us, min(due))
            if start > known_us:
                break
            self._collect(pending, sources, min(start, end_us), start)
            key = heapq.heappop(self._waiting)
            frames.append(TimedFrame(start, self._mailboxes.pop(key)))
            self.free_us = start + FRAME_US
        return frames

    def _collect(self, pending: deque[TimedFrame], sources: Sequence[Source], until_us: int, start: int) -> None:
        while pending and pending[0].time_us <= start:
            self._wait(pending.popleft().frame)
        for source in sources:
            while source.next_us() <= until_us:
                self._wait(source.take().frame)

    def _wait(self, frame: CanFrame) -> None:
        key = (frame.identifier, frame.extended)
        if key not in self._mailboxes:
            heapq.heappush(self._waiting, key)
        self._mailboxes[key] = frame
