"""What one current does to a whole string between two settlings: the fast path, in sums over the cells.

Pure. All cells carry one current and share the branches' time constants, so the current in the resistor of a branch is
the same in every cell and its voltage is that current times the cell's own resistance. Hence a step needs numbers of
the pack only, and is exact: current is constant over a step, and the open-circuit voltage is straight in the charge
until the next settling, which sets it right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from firmware_sim.cells.energy import PerPack


class Passed(NamedTuple):
    """What passed since the last settling.

    Charge and throughput in coulombs; ampere-squared-seconds through the ohmic resistance and through those of the
    branches; joules into and out of the terminals, with the open-circuit voltage straight in the charge.
    """

    seconds: float
    charge_as: PerPack
    throughput_as: PerPack
    ohmic: PerPack
    fast: PerPack
    slow: PerPack
    work_in: PerPack
    work_out: PerPack


@dataclass(slots=True)
class StringCurrent:
    """Current, branch currents and the string's terminal voltage; `load` gives it the sums over the cells."""

    fast_s: float
    slow_s: float
    current_a: PerPack = 0.0
    fast_a: PerPack = 0.0
    slow_a: PerPack = 0.0
    rested_volts: PerPack = 0.0
    volts_per_as: PerPack = 0.0
    ohmic_ohm: PerPack = 0.0
    fast_ohm: PerPack = 0.0
    slow_ohm: PerPack = 0.0
    _dt_s: float = math.nan
    _fast_decay: float = 1.0
    _slow_decay: float = 1.0
    _seconds: float = 0.0
    _charge: PerPack = 0.0
    _throughput: PerPack = 0.0
    _ohmic: PerPack = 0.0
    _fast: PerPack = 0.0
    _slow: PerPack = 0.0
    _work: PerPack = 0.0
    _effort: PerPack = 0.0
    _fast_before: PerPack = 0.0
    _slow_before: PerPack = 0.0

    def step(self, current_a: PerPack, dt_s: float) -> None:
        """Carry `current_a` (positive into the battery) for `dt_s`."""
        if dt_s != self._dt_s:
            self._tune(dt_s)
        charge, fast, slow = current_a * dt_s, self.fast_a, self.slow_a
        self.fast_a = fast_next = current_a + (fast - current_a) * self._fast_decay
        self.slow_a = slow_next = current_a + (slow - current_a) * self._slow_decay
        # A branch's capacitor takes what its resistor does not.
        through_fast = charge - self.fast_s * (fast_next - fast)
        through_slow = charge - self.slow_s * (slow_next - slow)
        before = self._charge
        volts = self.rested_volts + self.volts_per_as * (before + charge / 2) + self.ohmic_ohm * current_a
        work = charge * volts + current_a * (self.fast_ohm * through_fast + self.slow_ohm * through_slow)
        self._charge = before + charge
        self._throughput = self._throughput + abs(charge)
        self._ohmic = self._ohmic + current_a * charge
        self._fast = self._fast + current_a * through_fast
        self._slow = self._slow + current_a * through_slow
        self._work = self._work + work
        self._effort = self._effort + abs(work)
        self._seconds += dt_s
        self.current_a = current_a

    def volts(self) -> PerPack:
        """Terminal voltage of the string, now."""
        return (
            self.rested_volts
            + self.volts_per_as * self._charge
            + self.ohmic_ohm * self.current_a
            + self.fast_ohm * self.fast_a
            + self.slow_ohm * self.slow_a
        )

    def branch_j(self) -> PerPack:
        """Energy in the capacitors of both branches, joules."""
        fast = self.fast_s * self.fast_ohm * self.fast_a * self.fast_a
        return (fast + self.slow_s * self.slow_ohm * self.slow_a * self.slow_a) / 2

    def take(self) -> Passed:
        """What passed since this was last asked."""
        # What went into a branch and is not in its capacitor went through its resistor.
        fast = self._fast - self.fast_s / 2 * (self.fast_a * self.fast_a - self._fast_before * self._fast_before)
        slow = self._slow - self.slow_s / 2 * (self.slow_a * self.slow_a - self._slow_before * self._slow_before)
        work_in, work_out = (self._effort + self._work) / 2, (self._effort - self._work) / 2
        passed = Passed(self._seconds, self._charge, self._throughput, self._ohmic, fast, slow, work_in, work_out)
        self._fast_before, self._slow_before = self.fast_a, self.slow_a
        self._seconds = self._charge = self._throughput = 0.0
        self._ohmic = self._fast = self._slow = self._work = self._effort = 0.0
        return passed

    def _tune(self, dt_s: float) -> None:
        if not dt_s > 0:
            raise ValueError(f"a step of {dt_s!r} s")
        self._fast_decay, self._slow_decay = math.exp(-dt_s / self.fast_s), math.exp(-dt_s / self.slow_s)
        self._dt_s = dt_s
