"""The pack on its bus: the schedule says when, the firmware what, the encoder how. Pure; time is a parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from firmware_sim.bms.report import BmsReport
from firmware_sim.bus.frame import TimedFrame
from firmware_sim.bus.message import Sendable
from firmware_sim.bus.schedule import Cycle, Schedule
from firmware_sim.times import NEVER_US

STEP_US = 10_000


class Speaker(Protocol):
    """A pack as its bus sees it: something that moves on in time and, while it is awake, knows what to say."""

    @property
    def seed(self) -> int:
        """What makes its jitter its own."""

    @property
    def time_us(self) -> int:
        """Up to when it has been moved on."""

    @property
    def awake(self) -> bool:
        """Whether it sends anything now."""

    def next_event_us(self) -> int:
        """While it is not awake: the next time at which that can change."""

    def advance_to(self, time_us: int) -> bool:
        """Move on to the last whole step not after `time_us`; whether any step was made."""

    def meet(self, time_us: int) -> bool:
        """The same, even if it has to wake up from a longer stride for it."""

    def report(self) -> BmsReport:
        """What there is to say now."""


@dataclass(slots=True)
class Simulation:
    """Frames of one pack from time 0 to `duration_us` (None: without end).

    While the pack is not awake nothing is sent; when it wakes the timetable begins anew. The frames are the same
    however they are asked for.
    """

    pack: Speaker
    messages: Sequence[Sendable]
    duration_us: int | None = None
    _schedule: Schedule = field(init=False)
    _by_id: dict[int, Sendable] = field(init=False)
    _report: BmsReport = field(init=False)
    _reported_us: int = -1
    _silent: bool = False
    _ended: bool = False

    def __post_init__(self) -> None:
        cycles = [Cycle(message.identifier, message.period_us) for message in self.messages]
        self._schedule = Schedule(cycles, self.pack.seed)
        self._by_id = {message.identifier: message for message in self.messages}
        self._report = self.pack.report()
        self._silent = not self.pack.awake

    def finished(self) -> bool:
        """Whether the last frame has been taken and the duration lived through."""
        return self._ended or self._next_us() >= NEVER_US

    def end_us(self) -> int:
        """When it ended, once it is finished."""
        return NEVER_US if self.duration_us is None else self.duration_us

    def next_us(self) -> int:
        """When the next frame is due, when the pack may wake if it is silent, or when everything ends."""
        return min(self._next_us(), self.end_us())

    def until(self, time_us: int, limit: int) -> list[TimedFrame]:
        """The frames due up to `time_us`, oldest first and not more than `limit`; each is given once."""
        frames: list[TimedFrame] = []
        end_us = min(time_us, self.end_us() - 1)
        pack, schedule, by_id = self.pack, self._schedule, self._by_id
        self._look()
        while len(frames) < limit:
            due_us = schedule.next_us() if not self._silent else self._next_us()
            if due_us > end_us:
                break
            if due_us - pack.time_us >= STEP_US:
                pack.advance_to(due_us)
                self._look()
            if self._silent or schedule.next_us() > due_us:  # it fell asleep, or has just woken
                continue
            start_us, identifier, turn = schedule.pop()
            frames.append(TimedFrame(start_us, by_id[identifier].encode(turn, self._report)))
        if len(frames) < limit:
            if end_us < time_us:
                pack.meet(self.end_us())  # its last moments are lived through, though nothing is sent
                self._ended = True
            else:
                pack.advance_to(time_us)
        return frames

    def _next_us(self) -> int:
        if not self._silent:
            return self._schedule.next_us()
        return max(self.pack.next_event_us(), self.pack.time_us + STEP_US)

    def _look(self) -> None:
        """See what the pack says now; others may have moved it on, too."""
        pack = self.pack
        if pack.time_us != self._reported_us:
            self._report, self._reported_us = pack.report(), pack.time_us
        if pack.awake is self._silent:
            self._listen()

    def _listen(self) -> None:
        """Fall silent with the pack, or begin anew with it."""
        if self.pack.awake and self._silent:
            self._schedule.restart(self.pack.time_us)
        self._silent = not self.pack.awake
