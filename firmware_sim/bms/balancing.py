"""Which bricks are bled so that all come to the same charge: near the top only, with pauses to measure in. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_sim.bms.sensors import Readings

Mask = NDArray[np.bool_]

# Where a brick's voltage tells its charge well enough: elsewhere a brick of more resistance would be bled for nothing.
FROM_V = {"NMC": 4.0, "LFP": 3.38}
START_V = 0.005
STOP_V = 0.002
CALM_C = 1 / 5  # highest current, as a multiple of the capacity
BLEED_OHM = 40.0
ON_S = 10.0
MEASURE_S = 2.0
PARKED_AT_MOST_S = 1_200.0  # awake for balancing alone, each time the car is parked


@dataclass(slots=True)
class Balancing:
    """The bleed resistors of one pack; `step` with every slow task.

    `bleed` is the mask of those that are on, None for none; `wants` stays True through the pauses.
    """

    chemistry_name: str
    rated_ah: float
    bleed: Mask | None = None
    count: int = 0
    wants: bool = False
    _chosen: Mask | None = None
    _in_turn_s: float = 0.0
    _parked_s: float = 0.0

    def step(self, volts: Readings, current_a: float, parked: bool, dt_s: float) -> None:
        """Go on by `dt_s`, over which `current_a` flowed in the mean, to the bricks' measured voltages."""
        if not parked:
            self._parked_s = 0.0
        elif self.wants:
            self._parked_s += dt_s
        calm = -0.01 * self.rated_ah < current_a < CALM_C * self.rated_ah
        lowest_v = float(np.minimum.reduce(volts)) if calm else 0.0
        if lowest_v < FROM_V[self.chemistry_name] or self._parked_s > PARKED_AT_MOST_S:
            self.stop()
            return
        self._in_turn_s += dt_s
        if self._in_turn_s < (ON_S if self.bleed is not None else MEASURE_S):
            return
        self._in_turn_s = 0.0
        if self.bleed is not None and dt_s < MEASURE_S:
            self.bleed, self.count = None, 0
            return
        self._choose(volts, lowest_v)

    def bled_as(self, volts: Readings, dt_s: float) -> Readings | None:
        """What left each brick through its resistor over `dt_s`, in ampere seconds, by the resistor's nominal value."""
        if self.bleed is None:
            return None
        bled: Readings = volts * self.bleed * (dt_s / BLEED_OHM)
        return bled

    def stop(self) -> None:
        """All resistors off."""
        self.bleed, self.count, self.wants, self._chosen, self._in_turn_s = None, 0, False, None, 0.0

    def _choose(self, volts: Readings, lowest_v: float) -> None:
        above = volts - lowest_v
        chosen = above > START_V
        if self._chosen is not None:
            chosen = chosen | (self._chosen & (above > STOP_V))
        self.count = int(chosen.sum())
        self.wants = self.count > 0
        self._chosen = self.bleed = chosen if self.wants else None
