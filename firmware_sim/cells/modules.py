"""Which cell is in which module, and what heat does to the modules. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firmware_sim.cells.chemistry import Cells
from firmware_sim.cells.conduction import Conduction
from firmware_sim.cells.coolant import Coolant
from firmware_sim.cells.spec import PackSpec


@dataclass(slots=True)
class Modules:
    """The modules of a specification: cells stand in them in order, as evenly as their number allows."""

    spec: PackSpec
    heat_j_per_k: Cells = field(init=False)
    coolant: Coolant = field(init=False)
    _of_cell: NDArray[np.intp] = field(init=False)
    _membership: Cells = field(init=False)
    _conduction: Conduction = field(init=False)

    def __post_init__(self) -> None:
        spec, cell = self.spec, self.spec.cell
        self._of_cell = np.arange(spec.cells) * spec.modules // spec.cells
        self._membership = (self._of_cell[:, None] == np.arange(spec.modules)).astype(float)
        counts = self._membership.sum(0)
        self.heat_j_per_k = cell.heat_j_per_k * counts
        self.coolant = Coolant(self.heat_j_per_k, cell.coolant_w_per_k * counts)
        self._conduction = Conduction(self.heat_j_per_k, cell.loss_w_per_k * counts, cell.link_w_per_k)

    def sums(self, of_cells: Cells) -> Cells:
        """A quantity of the cells, summed up over every module."""
        sums: Cells = of_cells @ self._membership
        return sums

    def at_cells(self, of_modules: Cells) -> Cells:
        """A property of the modules, at every cell."""
        return of_modules[..., self._of_cell]

    def warm(self, celsius: Cells, ambient_c: Cells | float, power_w: Cells, dt_s: float) -> Cells:
        """Temperatures after `dt_s` of constant power into every module."""
        return self._conduction.advance(celsius - ambient_c, power_w, dt_s) + ambient_c
