"""The voltage curve that the firmware believes in: a laboratory's of other cells, some millivolts off. Pure and seeded.

Cells also rest a little higher after a charge than after a discharge. The simulated ones do not; the firmware reads them
as if they did, which errs as much the other way.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import numpy as np

from firmware_sim.bms.sensors import Readings
from firmware_sim.cells.chemistry import GRID, PIECES_PER_UNIT, Chemistry

# Volts at most: of the whole curve, of its slow wave over the charge, of the last direction. Hysteresis is iron phosphate's.
_ERRORS = {"NMC": (0.006, 0.002, 0.002), "LFP": (0.001_5, 0.001, 0.006)}
AT_LEAST = 0.5  # of each error, whatever the seed
LONGEST_WAVE, SHORTEST_WAVE = 1.6, 0.9  # in units of the whole charge


@dataclass(slots=True)
class BelievedCurve:
    """State of charge by rested voltage as one firmware has it in its tables."""

    chemistry: Chemistry
    seed: int
    error_v: Readings = field(init=False)
    lag_v: float = field(init=False)
    _volts: Readings = field(init=False)
    _slopes: Readings = field(init=False)

    def __post_init__(self) -> None:
        source = random.Random(f"curve {self.seed}")  # noqa: S311 - a simulation, not a secret
        whole_v, wave_v, lag_v = (most * source.uniform(AT_LEAST, 1.0) for most in _ERRORS[self.chemistry.name])
        turns = 2 * math.pi / source.uniform(SHORTEST_WAVE, LONGEST_WAVE)
        wave = wave_v * np.sin(turns * GRID + source.uniform(0.0, 2 * math.pi))
        self.error_v = source.choice((-1.0, 1.0)) * whole_v + wave
        self.lag_v = lag_v
        self._volts = np.maximum.accumulate(self.chemistry.grid_volts + self.error_v)
        self._slopes = np.gradient(self._volts, 1.0 / PIECES_PER_UNIT)

    def soc_at(self, volts: Readings, direction: int = 0) -> Readings:
        """Charge of bricks rested at `volts`, after a charge (1), a discharge (-1) or nobody knows what (0)."""
        soc: Readings = np.interp(volts + direction * self.lag_v, self._volts, GRID)
        return soc

    def slope_at(self, soc: Readings) -> Readings:
        """Volts for the whole charge, by which a voltage tells much or little."""
        slope: Readings = np.interp(soc, GRID, self._slopes)
        return slope
