"""Faults of the adapter: an output that falls silent, is unplugged and plugged in again, or whose clock steps.

It stands between the stream and any output. Which frames it kept away is in the tally; what it does let through is true
but for the time.
"""

from __future__ import annotations

from collections.abc import Sequence

from firmware_sim.bus.frame import CanFrame, TimedFrame
from firmware_sim.faults.catalogue import Fault
from firmware_sim.faults.tally import FaultTally
from firmware_sim.outputs.output import Output, Pluggable, Tally


class FaultyOutput:
    """Passes everything on to `output`, unless a fault is in the way.

    `tally` is the output's own count; what a fault kept away is `unheard` there.
    """

    def __init__(self, output: Output, tally: FaultTally) -> None:
        self.tally: Tally = output.tally
        self._output, self._faults = output, tally
        self._silent: list[str] = []
        self._unplugged = 0
        self._ahead_us = 0

    @property
    def listening(self) -> bool:
        """Whether somebody is there to hear, or a fault is there to swallow."""
        return bool(self._silent) or self._output.listening

    def begin(self, fault: Fault) -> None:
        """Put a fault of the adapter into effect."""
        if fault.kind == "clock-jump":
            self._ahead_us += round(fault.number("seconds") * 1e6)
            return
        self._silent.append(fault.kind)
        if fault.kind == "adapter-unplugged":
            self._unplugged += 1
            if self._unplugged == 1 and isinstance(self._output, Pluggable):
                self._output.unplug()

    def end(self, fault: Fault) -> None:
        """Undo it: the clock is right again, the bus recovers, another adapter is plugged in."""
        if fault.kind == "clock-jump":
            self._ahead_us -= round(fault.number("seconds") * 1e6)
            return
        self._silent.remove(fault.kind)
        if fault.kind == "adapter-unplugged":
            self._unplugged -= 1
            if not self._unplugged and isinstance(self._output, Pluggable):
                self._output.plug()

    def open(self) -> str:
        """Open the output."""
        return self._output.open()

    def service(self) -> None:
        """Let the output do its work; frames that others send into a fault are lost."""
        self._output.service()
        if self._silent:
            self._output.heard()

    def offer(self, frames: Sequence[TimedFrame]) -> int:
        """Pass frames on with the times of a clock that may be wrong, or swallow them."""
        if self._silent:
            self._faults.frames[self._silent[0]] += len(frames)
            self.tally.unheard += len(frames)
            return len(frames)
        if not self._ahead_us:
            return self._output.offer(frames)
        wrong = [TimedFrame(time_us + self._ahead_us, frame) for time_us, frame in frames]
        taken = self._output.offer(wrong)
        self._faults.frames["clock-jump"] += taken
        return taken

    def heard(self) -> list[CanFrame]:
        """What others have sent, if it can be heard."""
        return [] if self._silent else self._output.heard()

    def close(self) -> None:
        """Close the output."""
        self._output.close()
