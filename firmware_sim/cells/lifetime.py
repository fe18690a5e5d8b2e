"""What its life has made of every cell: its capacity now, and how much more it resists than when new. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from firmware_sim.cells.ageing import DAY_S, UsualLife, Wear
from firmware_sim.cells.chemistry import Cells
from firmware_sim.cells.energy import PerPack
from firmware_sim.cells.half_cycles import HalfCycles
from firmware_sim.cells.individuals import Individuals
from firmware_sim.cells.spec import PackSpec


@dataclass(slots=True)
class Lifetime:
    """Wear by standing and cycling, and weakness that a fault brings, as multiples of what the cell would be."""

    spec: PackSpec
    made: Individuals
    capacity_as: Cells = field(init=False)
    growth: Cells = field(init=False)
    weak_capacity: Cells = field(init=False)
    weak_resistance: Cells = field(init=False)
    _wear: Wear = field(init=False)
    _cycles: HalfCycles = field(init=False)
    _throughput_as: PerPack = 0.0
    _squares_a2s: PerPack = 0.0

    def __post_init__(self) -> None:
        self.weak_capacity, self.weak_resistance = np.ones_like(self.made.soc), np.ones_like(self.made.soc)
        self._wear = Wear(self.spec.chemistry, self.made.pace)
        if self.spec.age_years > 0:
            self._wear.live(self.spec.age_years, UsualLife())
        self._cycles = HalfCycles(self.made.soc.mean(-1))
        self.renew()

    def note(self, throughput_as: PerPack, squares_a2s: PerPack) -> None:
        """Count what the string carried: coulombs either way, and ampere-squared-seconds."""
        self._throughput_as = self._throughput_as + throughput_as
        self._squares_a2s = self._squares_a2s + squares_a2s

    def age(self, seconds: float, kelvin: Cells, soc: Cells, volts: Cells) -> None:
        """Live for `seconds` at these temperatures, charges and rested voltages, with what was noted since."""
        pace = self.spec.ageing_acceleration
        self._wear.stand(seconds * pace / DAY_S, kelvin, soc, volts)
        half = self._cycles.follow(soc.mean(-1), self._throughput_as, self._squares_a2s)
        self._throughput_as = self._squares_a2s = 0.0
        if half is not None:
            rated_as = self.spec.capacity_ah * 3_600.0
            cycles = half.throughput_as / (2 * rated_as) * pace
            middle_volts = self.spec.chemistry.open_circuit_volts(half.middle)
            c_rate = half.mean_a / rated_as * 3_600.0
            self._wear.cycle(*(each[..., None] for each in (cycles, middle_volts, half.depth, c_rate)))
        self.renew()

    def renew(self) -> None:
        """Let capacity and resistance follow wear and weakness."""
        self.capacity_as = self.made.capacity_as * (1 - self._wear.loss()) * self.weak_capacity
        self.growth = self._wear.growth() * self.weak_resistance
