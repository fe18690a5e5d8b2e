"""Modules as masses that conduct heat to their neighbours and lose it to the surroundings. Pure.

With constant power the temperatures follow a linear equation, so an advance is exact however long it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from firmware_sim.cells.chemistry import Cells

KEPT_STEPS = 16


@dataclass(slots=True)
class Conduction:
    """Modules in a row. Arrays have the modules in their last axis; all temperatures are above the surroundings."""

    heat_j_per_k: Cells
    loss_w_per_k: Cells
    link_w_per_k: float
    _rates: Cells = field(init=False)
    _modes: Cells = field(init=False)
    _root: Cells = field(init=False)
    _kept: dict[float, tuple[Cells, Cells]] = field(init=False)

    def __post_init__(self) -> None:
        modules = len(self.heat_j_per_k)
        conduction = np.diag(self.loss_w_per_k)
        for left in range(modules - 1):
            pair = slice(left, left + 2)
            conduction[pair, pair] += self.link_w_per_k * np.array([[1.0, -1.0], [-1.0, 1.0]])
        # Scaled by the root of the heat capacities the matrix is symmetric, so its modes are orthogonal.
        self._root = np.sqrt(self.heat_j_per_k)
        self._rates, self._modes = np.linalg.eigh(conduction / np.outer(self._root, self._root))
        self._kept = {}

    def advance(self, above_k: Cells, power_w: Cells, dt_s: float) -> Cells:
        """Temperatures above the surroundings after `dt_s` of constant `power_w` into the modules."""
        kept = self._kept.get(dt_s) or self._prepare(dt_s)
        after: Cells = above_k @ kept[0] + power_w @ kept[1]
        return after

    def _prepare(self, dt_s: float) -> tuple[Cells, Cells]:
        if len(self._kept) >= KEPT_STEPS:
            self._kept.clear()
        rates = np.maximum(self._rates, 0.0)
        lost = rates * dt_s > 1e-12
        gain = np.where(lost, -np.expm1(-rates * dt_s) / np.where(lost, rates, 1.0), dt_s)
        root, modes = self._root, self._modes
        remains = root[:, None] * ((modes * np.exp(-rates * dt_s)) @ modes.T) / root
        warms = ((modes * gain) @ modes.T) / root[:, None] / root
        self._kept[dt_s] = remains, warms
        return remains, warms
