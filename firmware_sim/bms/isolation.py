"""The isolation monitor: how well the pack is insulated from the car's body, as an instrument finds it out. Pure.

It biases the pack against the body one way and the other and lets each settle, so a reading takes seconds, and after
the contactors have closed the first ones are thrown away. It averages conductance, as its current does: a new leak
shows within two readings, a healed one takes some more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from firmware_sim.bms.sensors import NOISE_LIMIT, STAYING_LIMIT, normal_numbers

# UN Regulation 100, 5.1.3: a working pack on a direct-current bus keeps 100 ohm for every volt, where it is joined to
# an alternating-current bus 500. Below 500 the firmware warns, below 100 it acts.
WARN_OHM_PER_V = 500.0
FAULT_OHM_PER_V = 100.0
READING_S = 2.0
SETTLE_S = 6.0
SHARE = 0.5  # of a new reading in the average
GAIN = 0.03
NOISE = 0.02
FLOOR_KOHM = 1.0  # the instrument's own resistances: it cannot tell less


@dataclass(slots=True)
class IsolationMonitor:
    """`step` with every slow task; `kohm` is infinite until there is a reading."""

    seed: int
    kohm: float = math.inf
    _gain: float = field(init=False)
    _noise: Iterator[float] = field(init=False)
    _waits_s: float = SETTLE_S
    _closed: bool = False

    def __post_init__(self) -> None:
        generator = np.random.default_rng([self.seed, 3])
        self._gain = 1.0 + GAIN * float(np.clip(generator.standard_normal(), -STAYING_LIMIT, STAYING_LIMIT))
        self._noise = normal_numbers(generator)

    def step(self, true_kohm: float, closed: bool, dt_s: float) -> None:
        """Go on by `dt_s`; `closed` says whether the contactors are."""
        if closed and not self._closed:
            self.kohm, self._waits_s = math.inf, SETTLE_S
        self._closed = closed
        self._waits_s -= dt_s
        if self._waits_s > 0:
            return
        readings = 1 + int(-self._waits_s / READING_S)
        self._waits_s += readings * READING_S
        reading = max(FLOOR_KOHM, true_kohm * self._gain * (1.0 + NOISE * next(self._noise)))
        if math.isinf(self.kohm):
            self.kohm = reading
        else:
            left = (1.0 - SHARE) ** readings
            self.kohm = 1.0 / (left / self.kohm + (1.0 - left) / reading)

    def restart(self) -> None:
        """Forget the readings, as after a boot."""
        self.kohm, self._waits_s = math.inf, SETTLE_S


def isolation_bound(true_kohm: float) -> float:
    """The furthest that a settled reading may be from this true resistance, kilohms."""
    return true_kohm * ((1.0 + STAYING_LIMIT * GAIN) * (1.0 + NOISE_LIMIT * NOISE) - 1.0) + FLOOR_KOHM
