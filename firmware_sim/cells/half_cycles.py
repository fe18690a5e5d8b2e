"""Where charging turns to discharging and back: the half cycles that cycle ageing is counted in. Pure.

A turn is one that exceeds the hysteresis, so that braking on a drive does not cut the drive into pieces; the charge of
smaller swings counts towards the half cycle that they are in. Cycles within cycles are not sorted out (rainflow).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from firmware_sim.cells.chemistry import Cells
from firmware_sim.cells.energy import PerPack

HYSTERESIS = 0.02


class HalfCycle(NamedTuple):
    """A finished swing: its depth and middle (fractions of charge), all charge moved in it, its mean current.

    For many packs at once a pack whose swing has not finished has moved nothing.
    """

    depth: Cells
    middle: Cells
    throughput_as: Cells
    mean_a: Cells


@dataclass(slots=True)
class HalfCycles:
    """Follows the mean charge of a pack, or of many, from `start`."""

    start: Cells
    _extreme: Cells = field(init=False)
    _upward: Cells = field(init=False)
    _throughput: Cells = field(init=False)
    _squares: Cells = field(init=False)

    def __post_init__(self) -> None:
        self._extreme, self._upward = self.start, np.ones_like(self.start)
        self._throughput = self._squares = np.zeros_like(self.start)

    def follow(self, soc: Cells, throughput_as: PerPack, squares_a2s: PerPack) -> HalfCycle | None:
        """Note the charge now and what moved since the last time; says what has finished, if anything has."""
        self._throughput = self._throughput + throughput_as
        self._squares = self._squares + squares_a2s
        back = (self._extreme - soc) * self._upward
        self._extreme = np.where(back < 0, soc, self._extreme)
        turned = back > HYSTERESIS
        if not np.any(turned):
            return None
        depth, middle = np.abs(self._extreme - self.start), (self._extreme + self.start) / 2
        moved = np.where(turned, self._throughput, 0.0)
        mean_a = self._squares / np.maximum(self._throughput, 1e-9)
        self.start = np.where(turned, self._extreme, self.start)
        self._extreme = np.where(turned, soc, self._extreme)
        self._upward = np.where(turned, -self._upward, self._upward)
        self._throughput, self._squares = self._throughput - moved, np.where(turned, 0.0, self._squares)
        return HalfCycle(depth, middle, moved, mean_a)
