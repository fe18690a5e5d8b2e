"""Says on a terminal how far a long run is, and how much faster than life."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TextIO

from firmware_sim.scenario.duration import shown
from firmware_sim.simulated_pack import SimulatedPack

EVERY_S = 0.5


@dataclass(slots=True)
class Progress:
    """One line that is written over and over, first after half a second; `end` leaves a clean one."""

    pack: SimulatedPack
    length_us: int | None
    terminal: TextIO
    began_s: float = field(default_factory=time.monotonic)
    _said_s: float = 0.0

    def show(self) -> None:
        """Write the line, if it is time."""
        now = time.monotonic()
        if now - max(self._said_s, self.began_s) < EVERY_S:
            return
        self._said_s = now
        done_s = self.pack.time_us / 1e6
        whole = f" of {shown(self.length_us / 1e6)} at most" if self.length_us else ""
        factor = done_s / max(now - self.began_s, 1e-3)
        self.terminal.write(f"\rpackseal-sim: {shown(done_s)}{whole}, {factor:.0f} x real time   ")
        self.terminal.flush()

    def end(self) -> None:
        """Wipe the line."""
        if self._said_s:
            self.terminal.write("\r" + " " * 78 + "\r")
            self.terminal.flush()
