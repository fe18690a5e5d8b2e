"""The pack on its bus: the schedule says when, the firmware what, the encoder how. Pure; time is a parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from firmware_sim.bms.firmware import BmsReport
from firmware_sim.bus.frame import TimedFrame
from firmware_sim.bus.message import Message
from firmware_sim.bus.schedule import Cycle, Schedule
from firmware_sim.simulated_pack import SimulatedPack


@dataclass(slots=True)
class Simulation:
    """Frames of one pack from time 0 to `duration_us` (None: without end)."""

    pack: SimulatedPack
    messages: Sequence[Message]
    duration_us: int | None = None
    _schedule: Schedule = field(init=False)
    _by_id: dict[int, Message] = field(init=False)
    _report: BmsReport = field(init=False)

    def __post_init__(self) -> None:
        cycles = [Cycle(message.identifier, message.period_us) for message in self.messages]
        self._schedule = Schedule(cycles, self.pack.seed)
        self._by_id = {message.identifier: message for message in self.messages}
        self._report = self.pack.report()

    def finished(self) -> bool:
        """Whether the last frame has been taken."""
        return self.duration_us is not None and self._schedule.next_us() >= self.duration_us

    def next_us(self) -> int:
        """When the next frame is due."""
        return self._schedule.next_us()

    def until(self, time_us: int, limit: int) -> list[TimedFrame]:
        """The frames due up to `time_us`, oldest first and not more than `limit`; each is given once."""
        frames: list[TimedFrame] = []
        while len(frames) < limit and not self.finished() and self._schedule.next_us() <= time_us:
            slot = self._schedule.pop()
            if self.pack.advance_to(slot.time_us):
                self._report = self.pack.report()
            frame = self._by_id[slot.identifier].encode(slot.turn, self._report)
            frames.append(TimedFrame(slot.time_us, frame))
        return frames
