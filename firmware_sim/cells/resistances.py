"""Every cell's resistances as temperature, charge and wear have them now. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from firmware_sim.cells.chemistry import Cells, Chemistry
from firmware_sim.cells.individuals import Individuals
from firmware_sim.cells.modules import Modules

REFERENCE_K = 298.15


@dataclass(slots=True)
class Resistances:
    """Ohms of every cell, and their sums over every module."""

    chemistry: Chemistry
    made: Individuals
    modules: Modules
    ohmic: Cells = field(init=False)
    fast: Cells = field(init=False)
    slow: Cells = field(init=False)
    ohmic_sums: Cells = field(init=False)
    fast_sums: Cells = field(init=False)
    slow_sums: Cells = field(init=False)

    def follow(self, kelvin: Cells, soc: Cells, growth: Cells) -> None:
        """Take the modules' temperatures, the cells' charges, and their wear as a multiple of new."""
        colder = np.exp(self.chemistry.activation_k * (1 / kelvin - 1 / REFERENCE_K))
        factor = self.modules.at_cells(colder) * self.chemistry.resistance_factor(soc) * growth
        self.ohmic = self.made.ohmic_ohm * factor
        self.fast = self.made.fast_ohm * factor
        self.slow = self.made.slow_ohm * factor
        self.ohmic_sums = self.modules.sums(self.ohmic)
        self.fast_sums = self.modules.sums(self.fast)
        self.slow_sums = self.modules.sums(self.slow)

    def whole(self) -> Cells:
        """What a cell resists a current that lasts."""
        return self.ohmic + self.fast + self.slow
