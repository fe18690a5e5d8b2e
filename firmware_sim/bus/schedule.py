"""Which message is on the bus when: periods with seeded jitter, and arbitration of what is due together. Pure."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from firmware_sim.times import NEVER_US

FRAME_US = 240  # an 8-byte frame with an 11-bit identifier and its stuffing at 500 kbit/s
JITTER = 0.02
JITTER_MAX_US = 800
FIRST_US = 1_000  # later than any jitter, so that nothing is due before the start
STAGGER_US = 1_370


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
    identifier: int
    period_us: int
    phase_us: int
    width_us: float
    random: Callable[[], float]
    ideal_us: int = 0
    turn: int = 0

    def begin(self, at_us: int) -> int:
        """Start again at the first turn; returns when that is due."""
        self.turn, self.ideal_us = 0, at_us + self.phase_us
        return self.ideal_us + self.jitter_us()

    def advance(self) -> int:
        """Go on to the next turn; returns when that is due."""
        self.turn += 1
        self.ideal_us += self.period_us
        return self.ideal_us + round((2.0 * self.random() - 1.0) * self.width_us)

    def jitter_us(self) -> int:
        """How far from the ideal grid; it is not carried on, so the mean period is exact."""
        return round((2.0 * self.random() - 1.0) * self.width_us)


# Two that are never due: so every heap has a second and a third.
_NEVER = [(NEVER_US, number, _Running(number, 1, 0, 0.0, random.random)) for number in (0x800, 0x801)]


@dataclass(slots=True)
class Schedule:
    """The endless timetable of one node. The slots are the same however they are asked for."""

    cycles: Sequence[Cycle]
    seed: int
    _running: list[_Running] = field(default_factory=list)
    _waiting: list[tuple[int, int, _Running]] = field(default_factory=list)
    _ready: list[tuple[int, _Running]] = field(default_factory=list)
    _free_us: int = 0

    def __post_init__(self) -> None:
        for index, cycle in enumerate(self.cycles):
            jitter = random.Random(f"jitter {self.seed} {cycle.identifier}")  # noqa: S311 - not a secret
            phase = FIRST_US + (index * STAGGER_US) % cycle.period_us
            width = min(JITTER_MAX_US, cycle.period_us * JITTER)
            self._running.append(_Running(cycle.identifier, cycle.period_us, phase, width, jitter.random))
        self.restart(0)

    def restart(self, at_us: int) -> None:
        """Begin the timetable anew at `at_us`, as a node does that wakes up: every message at its first turn."""
        self._ready.clear()
        self._waiting[:] = [(running.begin(at_us), running.identifier, running) for running in self._running]
        self._waiting += _NEVER
        heapq.heapify(self._waiting)

    def next_us(self) -> int:
        """When the next frame starts."""
        if self._ready:
            return self._free_us
        due = self._waiting[0][0]
        return due if due > self._free_us else self._free_us  # noqa: FURB136 - asked for every frame, and twice as fast

    def pop(self) -> Slot:
        """Take the next frame: of those waiting for the bus, the one with the lowest identifier."""
        start, waiting, ready = self.next_us(), self._waiting, self._ready
        self._free_us = start + FRAME_US
        if not ready and waiting[1][0] > start and waiting[2][0] > start:
            # Nobody else wants the bus now, as nearly always: the second and third of a heap are its next.
            _, identifier, running = waiting[0]
            turn = running.turn
            heapq.heapreplace(waiting, (running.advance(), identifier, running))
            return Slot(start, identifier, turn)
        while waiting[0][0] <= start:
            _, identifier, running = heapq.heappop(waiting)
            heapq.heappush(ready, (identifier, running))
        identifier, running = heapq.heappop(ready)
        turn = running.turn
        heapq.heappush(waiting, (running.advance(), identifier, running))
        return Slot(start, identifier, turn)
