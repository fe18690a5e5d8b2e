"""Whether the BMS runs: awake, asleep in a parked car, or booting after a reset. Pure.

Asleep it says nothing and measures nothing; the owner may leap to the next wake.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

SLEEP_AFTER_S = 120.0
WAKE_EVERY_S = 3_600.0
LOOK_S = 30.0  # awake at an hourly look
BOOT_S = 0.3


class Phase(enum.Enum):
    """What the processor does."""

    BOOTING = "booting"
    AWAKE = "awake"
    ASLEEP = "asleep"


@dataclass(slots=True)
class Power:
    """`step` first in every task; with `sleeps` False it stays awake for ever."""

    sleeps: bool = True
    phase: Phase = Phase.AWAKE
    awake: bool = True
    left_s: float = SLEEP_AFTER_S

    def step(self, dt_s: float, busy: bool) -> bool:
        """Move on by `dt_s`; `busy` keeps or calls it awake. True when it has just come up after a boot."""
        if busy and self.phase is not Phase.BOOTING:
            if not self.awake:
                self._enter(Phase.AWAKE, SLEEP_AFTER_S)
            self.left_s = SLEEP_AFTER_S
            return False
        self.left_s -= dt_s
        if self.left_s > 1e-9:
            return False
        if self.phase is Phase.BOOTING:
            self._enter(Phase.AWAKE, SLEEP_AFTER_S)
            return True
        if self.awake and self.sleeps:
            self._enter(Phase.ASLEEP, WAKE_EVERY_S)
        elif not self.awake:
            self._enter(Phase.AWAKE, LOOK_S)
        return False

    def boot(self) -> None:
        """Begin to boot."""
        self._enter(Phase.BOOTING, BOOT_S)

    def _enter(self, phase: Phase, left_s: float) -> None:
        self.phase, self.awake, self.left_s = phase, phase is Phase.AWAKE, left_s
