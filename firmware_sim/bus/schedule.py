"""Which message is on the bus when: periods with seeded jitter, and arbitration of what is due together. Pure."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

FRAME_US = 240  # an 8-byte frame with an 11-bit identifier and its stuffing at 500 kbit/s
JITTER = 0.02
JITTER_MAX_US = 800


@dataclass(frozen=True, slots=True)
class Cycle:
    """A message that is sent every `period_us`."""

    identifier: int
    period_us: int


class Slot(NamedTuple):
    """One frame's place on the bus: when it starts, which message, and its how-manieth occurrence."""

    time_us: int
    identifier: int
    turn: int


@dataclass(slots=True)
class _Running:
    cycle: Cycle
    phase_us: int
    jitter: random.Random
    turn: int = 0

    def due_us(self) -> int:
        width = min(JITTER_MAX_US, self.cycle.period_us * JITTER)
        # The jitter is around the ideal grid and is not carried on: the mean period is exact.
        return max(0, self.phase_us + self.turn * self.cycle.period_us + round(self.jitter.uniform(-width, width)))


@dataclass(slots=True)
class Schedule:
    """The endless timetable of one node. The slots are the same however they are asked for."""

    cycles: Sequence[Cycle]
    seed: int
    _waiting: list[tuple[int, int, _Running]] = field(default_factory=list)
    _ready: list[tuple[int, _Running]] = field(default_factory=list)
    _free_us: int = 0

    def __post_init__(self) -> None:
        for index, cycle in enumerate(self.cycles):
            jitter = random.Random(f"jitter {self.seed} {cycle.identifier}")  # noqa: S311 - not a secret
            phase = 1_000 + (index * 1_370) % cycle.period_us
            running = _Running(cycle, phase, jitter)
            heapq.heappush(self._waiting, (running.due_us(), cycle.identifier, running))

    def next_us(self) -> int:
        """When the next frame starts."""
        return self._free_us if self._ready else max(self._free_us, self._waiting[0][0])

    def pop(self) -> Slot:
        """Take the next frame: of those waiting for the bus, the one with the lowest identifier."""
        start = self.next_us()
        while self._waiting and self._waiting[0][0] <= start:
            _, identifier, running = heapq.heappop(self._waiting)
            heapq.heappush(self._ready, (identifier, running))
        identifier, running = heapq.heappop(self._ready)
        slot = Slot(start, identifier, running.turn)
        self._free_us = start + FRAME_US
        running.turn += 1
        heapq.heappush(self._waiting, (running.due_us(), identifier, running))
        return slot
