"""Resistors across single cells: balancing resistors that the firmware switches, and shorts. Pure.

A leak loads the cell behind its resistances, whose branches are taken as settled to it: it lasts longer than they do.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firmware_sim.cells.chemistry import Cells


@dataclass(slots=True)
class Leaks:
    """The leaks of every cell. `bleed` may be replaced or changed in place.

    `current_a` goes into the cells, so it is negative; None where there are no leaks.
    """

    bleed: NDArray[np.bool_]
    bleed_ohm: float
    short_siemens: Cells = field(init=False)
    current_a: Cells | None = None
    shorted: bool = False
    _short_share: Cells = field(init=False)

    def __post_init__(self) -> None:
        self.short_siemens, self._short_share = np.zeros(self.bleed.shape), np.zeros(self.bleed.shape)

    def any(self) -> bool:
        """Whether any cell has a leak."""
        return self.shorted or bool(np.count_nonzero(self.bleed))

    def draw(self, volts: Cells, ohm: Cells) -> Cells:
        """Set the currents from the cells' voltages without them and their whole resistances; returns the drops."""
        siemens = self.short_siemens + self.bleed / self.bleed_ohm
        self.current_a = -siemens * volts / (1 + siemens * ohm)
        self._short_share = self.short_siemens / np.where(siemens > 0, siemens, 1.0)
        return self.current_a * ohm

    def split(self, heat_j: Cells) -> tuple[Cells, Cells]:
        """Every cell's heat because of its leaks, as (bleed, short)."""
        short = heat_j * self._short_share
        return heat_j - short, short
