"""Which bricks are bled so that all come to the same charge: chosen near the top only, with pauses to measure in. Pure.

Every brick is judged by itself: one that is near its top and above the lowest is bled. What was chosen there is bled
for a while after the top is left too, asleep as well, for a resistor takes hours over a percent.
"""

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
AWAY_SHARE = 0.001  # of the capacity is bled after the top was left, at most
ASLEEP_AT_LEAST_S = 3_600.0  # of that left, or it does not bleed while it sleeps


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
    _away_left_s: float = 0.0

    def step(self, volts: Readings, current_a: float, parked: bool, dt_s: float) -> None:
        """Go on by `dt_s`, over which `current_a` flowed in the mean, to the bricks' measured voltages."""
        if not parked:
            self._parked_s = 0.0
        elif self._chosen is not None:
            self._parked_s += dt_s
        self.wants = self._chosen is not None and self._parked_s <= PARKED_AT_MOST_S
        self._in_turn_s += dt_s
        if self._in_turn_s < (ON_S if self.bleed is not None else MEASURE_S):
            return
        turn_s, self._in_turn_s = self._in_turn_s, 0.0
        if self.bleed is not None and dt_s < MEASURE_S:
            self.bleed, self.count = None, 0
            self._away_left_s -= turn_s
            return
        calm = -0.01 * self.rated_ah < current_a < CALM_C * self.rated_ah
        if calm and float(np.maximum.reduce(volts)) >= FROM_V[self.chemistry_name]:
            self._choose(volts)
        elif self._away_left_s <= 0.0:
            self._chosen = None
        else:
            self._away_left_s -= turn_s if self.bleed is not None else 0.0
        self._switch_on()

    def sleep(self, volts: Readings, dt_s: float) -> Readings | None:
        """Sleep for `dt_s`: what was chosen is bled if there is much to bleed; what left each brick, as `bled_as`."""
        bled_as = self.bled_as(volts, dt_s)
        self._away_left_s -= dt_s if self.bleed is not None else 0.0
        if self._away_left_s < ASLEEP_AT_LEAST_S:
            self.stop()
        elif self.bleed is None:
            self._switch_on()
        self._in_turn_s = ON_S
        return bled_as

    def bled_as(self, volts: Readings, dt_s: float) -> Readings | None:
        """What left each brick through its resistor over `dt_s`, in ampere seconds, by the resistor's nominal value."""
        if self.bleed is None:
            return None
        bled: Readings = volts * self.bleed * (dt_s / BLEED_OHM)
        return bled

    def stop(self) -> None:
        """All resistors off."""
        self.bleed, self.count, self.wants, self._chosen, self._in_turn_s = None, 0, False, None, 0.0

    def _switch_on(self) -> None:
        self.bleed = self._chosen
        self.count = 0 if self._chosen is None else int(self._chosen.sum())
        self.wants = self._chosen is not None and self._parked_s <= PARKED_AT_MOST_S

    def _choose(self, volts: Readings) -> None:
        # One brick that loses more than the others has all others bled: there is no other way to wait for it.
        above = volts - np.minimum.reduce(volts)
        from_v = FROM_V[self.chemistry_name]
        chosen = (above > START_V) & (volts >= from_v)
        if self._chosen is not None:
            chosen = chosen | (self._chosen & (above > STOP_V))
        self._chosen = chosen if chosen.any() else None
        self._away_left_s = AWAY_SHARE * self.rated_ah * 3_600.0 * BLEED_OHM / from_v
