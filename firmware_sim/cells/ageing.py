"""How cells age by standing and by cycling, after published laws, in a form that conditions may change under.

Pure. A law says k in `loss = k * t ** p` for constant conditions. With x = loss ** (1 / p) that is x = k ** (1 / p) * t,
so every stretch of time adds its own k ** (1 / p) * dt: the published law where conditions are constant, and the law's
continuation at equivalent time where they are not, whatever the steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from firmware_sim.cells.chemistry import LFP, NMC, Cells, Chemistry

DAY_S = 86_400.0
YEAR_DAYS = 365.25
GAS_CONSTANT = 8.314_462_6  # J/(mol K)
WORST_LOSS = 0.95


class Law(Protocol):
    """Coefficients of a chemistry's ageing, each as (capacity loss, resistance growth), as fractions of new.

    `by_time` is per day, `by_cycle` per full equivalent cycle, each to the power in `time_powers`, `cycle_powers`.
    """

    time_powers: tuple[float, float]
    cycle_powers: tuple[float, float]

    def by_time(self, kelvin: Cells, soc: Cells, volts: Cells) -> tuple[Cells, Cells]:
        """Standing at a temperature, charge and rested voltage."""

    def by_cycle(self, volts: Cells, depth: Cells, c_rate: Cells) -> tuple[Cells, Cells]:
        """Cycling about a mean voltage, by a depth (fraction), at a current in capacities per hour."""


class NmcLaw:
    """Schmalstieg et al., "A holistic aging model for Li(NiMnCo)O2 based 18650 lithium-ion batteries", 2014.

    doi:10.1016/j.jpowsour.2014.02.012. Its charge throughput is of a cell of 2.05 Ah.
    """

    time_powers = (0.75, 0.75)
    cycle_powers = (0.5, 1.0)
    cycle_ah = 2 * 2.05

    def by_time(self, kelvin: Cells, soc: Cells, volts: Cells) -> tuple[Cells, Cells]:
        """Grows with voltage; `soc` has its effect through it."""
        loss = (7.543 * volts - 23.75) * 1e6 * np.exp(-6_976.0 / kelvin)
        growth = (5.270 * volts - 16.32) * 1e5 * np.exp(-5_986.0 / kelvin)
        return np.maximum(loss, 0.0), np.maximum(growth, 0.0)

    def by_cycle(self, volts: Cells, depth: Cells, c_rate: Cells) -> tuple[Cells, Cells]:
        """Least about the middle of the range; it was measured at one current."""
        loss = 7.348e-3 * (volts - 3.667) ** 2 + 7.600e-4 + 4.081e-3 * depth
        growth = 2.153e-4 * (volts - 3.725) ** 2 - 1.521e-5 + 2.798e-4 * depth
        return loss * self.cycle_ah**0.5, np.maximum(growth, 0.0) * self.cycle_ah


class LfpLaw:
    """Naumann et al., "Analysis and modeling of calendar/cycle aging of a commercial LiFePO4/graphite cell".

    doi:10.1016/j.est.2018.01.019 (2018) and doi:10.1016/j.jpowsour.2019.227666 (2020).
    """

    time_powers = (0.5, 1.0)
    cycle_powers = (0.5, 1.0)

    def by_time(self, kelvin: Cells, soc: Cells, volts: Cells) -> tuple[Cells, Cells]:
        """Grows with the charge; the flat voltage says nothing."""
        warmer = (1 / 298.15 - 1 / kelvin) / GAS_CONSTANT
        loss = 1.2571e-5 * DAY_S**0.5 * np.exp(17_126.0 * warmer) * (2.8575 * (soc - 0.5) ** 3 + 0.60225)
        growth = 3.4194e-10 * DAY_S * np.exp(71_827.0 * warmer) * (1.5604 - 3.3903 * (soc - 0.5) ** 3)
        return np.maximum(loss, 0.0), np.maximum(growth, 0.0)

    def by_cycle(self, volts: Cells, depth: Cells, c_rate: Cells) -> tuple[Cells, Cells]:
        """Published in per cent."""
        loss = (0.0630 * c_rate + 0.0971) * (4.0253 * (depth - 0.6) ** 3 + 1.0923) / 100
        growth = (0.0021 - 0.0020 * c_rate) * (6.8477 * (depth - 0.5) ** 3 + 0.91882) / 100
        return np.maximum(loss, 0.0), np.maximum(growth, 0.0)


LAWS: Mapping[str, Law] = {NMC.name: NmcLaw(), LFP.name: LfpLaw()}


@dataclass(frozen=True, slots=True)
class UsualLife:
    """What a pack that starts aged has been through: about 15,000 km a year, charged at home."""

    celsius: float = 20.0
    soc: float = 0.6
    cycles_per_year: float = 32.0
    depth: float = 0.3
    c_rate: float = 0.2


@dataclass(slots=True)
class Wear:
    """What standing and cycling did to cells; `pace` is how fast each ages, 1 as published."""

    chemistry: Chemistry
    pace: Cells
    _by_time: list[Cells] = field(init=False)
    _by_cycle: list[Cells] = field(init=False)

    def __post_init__(self) -> None:
        self._by_time = [np.zeros_like(self.pace) for _ in range(2)]
        self._by_cycle = [np.zeros_like(self.pace) for _ in range(2)]

    def stand(self, days: float, kelvin: Cells, soc: Cells, volts: Cells) -> None:
        """Age by `days` at these temperatures, charges and rested voltages."""
        law = LAWS[self.chemistry.name]
        self._add(self._by_time, law.by_time(kelvin, soc, volts), law.time_powers, np.asarray(days))

    def cycle(self, cycles: Cells, volts: Cells, depth: Cells, c_rate: Cells) -> None:
        """Age by full equivalent cycles (half their charge in, half out) about these voltages, of this depth."""
        law = LAWS[self.chemistry.name]
        self._add(self._by_cycle, law.by_cycle(volts, depth, c_rate), law.cycle_powers, cycles)

    def live(self, years: float, life: UsualLife) -> None:
        """Age by years of a usual life."""
        soc, one = np.full_like(self.pace, life.soc), np.ones_like(self.pace)
        volts = self.chemistry.open_circuit_volts(soc)
        self.stand(years * YEAR_DAYS, (life.celsius + 273.15) * one, soc, volts)
        self.cycle(years * life.cycles_per_year * one, volts, life.depth * one, life.c_rate * one)

    def loss(self) -> Cells:
        """Capacity lost, as a fraction of new."""
        law = LAWS[self.chemistry.name]
        lost: Cells = self._by_time[0] ** law.time_powers[0] + self._by_cycle[0] ** law.cycle_powers[0]
        return np.minimum(lost, WORST_LOSS)

    def growth(self) -> Cells:
        """Resistance as a multiple of new."""
        law = LAWS[self.chemistry.name]
        grown: Cells = 1 + self._by_time[1] ** law.time_powers[1] + self._by_cycle[1] ** law.cycle_powers[1]
        return grown

    def _add(
        self, sums: list[Cells], coefficients: tuple[Cells, Cells], powers: tuple[float, float], amount: Cells
    ) -> None:
        for which, (coefficient, power) in enumerate(zip(coefficients, powers, strict=True)):
            sums[which] = sums[which] + (self.pace * coefficient) ** (1 / power) * amount
