"""What the BMS makes of its sensors: current through an imperfect shunt, state of charge, lifetime energy.

Pure. It sees measurements only; that its state of charge drifts from the truth is the point.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np

from firmware_sim.cells.physics import OCV_SOC, OCV_VOLTS, Cells, stored_volt_fraction

SHUNT_STEP_A = 0.05
SMOOTHING_S = 0.08
REST_S = 90.0
REST_A = 1.0


@dataclass(slots=True)
class Shunt:
    """A current sensor with gain and offset errors drawn once, and noise and quantisation on every reading."""

    source: random.Random
    offset_a: float = field(init=False)
    gain: float = field(init=False)
    raw_a: float = 0.0
    smooth_a: float = 0.0

    def __post_init__(self) -> None:
        self.offset_a = self.source.gauss(0.0, 0.12)
        self.gain = self.source.gauss(1.0, 0.002)

    def read(self, current_a: float, dt_s: float) -> None:
        """Take one reading of the true current: sets `raw_a` and the low-pass `smooth_a`."""
        reading = current_a * self.gain + self.offset_a + self.source.gauss(0.0, 0.15)
        self.raw_a = round(reading / SHUNT_STEP_A) * SHUNT_STEP_A
        self.smooth_a += (self.raw_a - self.smooth_a) * min(1.0, dt_s / SMOOTHING_S)


@dataclass(slots=True)
class ChargeEstimate:
    """State of charge of every brick by counting coulombs, drawn to the rested voltage when the pack rests."""

    capacity_ah: float
    rested_volts: Cells
    soc: Cells = field(init=False)
    _rested_s: float = 0.0

    def __post_init__(self) -> None:
        self.soc = self._from_voltage(self.rested_volts)

    def step(self, charge_as: float, volts: Cells, dt_s: float) -> None:
        """Count `charge_as` coulombs into the battery over `dt_s`; `volts` are the bricks' measured voltages."""
        self.soc = self.soc + charge_as / (self.capacity_ah * 3_600.0)
        self._rested_s = self._rested_s + dt_s if abs(charge_as) < REST_A * dt_s else 0.0
        if self._rested_s > REST_S:
            self.soc = self.soc + (self._from_voltage(volts) - self.soc) * min(1.0, dt_s / 30.0)

    @staticmethod
    def _from_voltage(volts: Cells) -> Cells:
        soc: Cells = np.interp(volts, OCV_VOLTS, OCV_SOC)
        return soc


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy as the BMS reports it, kWh."""

    begin_of_life_kwh: float
    full_kwh: float
    remaining_kwh: float
    buffer_kwh: float
    to_charged_kwh: float


def energy_of(capacity_ah: float, rated_ah: float, cells: int, soc: float) -> Energy:
    """Energy of `cells` bricks of `capacity_ah` at a mean state of charge, by the rested voltage curve."""
    whole = float(stored_volt_fraction(np.ones(1))[0]) * cells / 1_000.0
    left = float(stored_volt_fraction(np.array([soc]))[0]) * cells / 1_000.0
    full, remaining = whole * capacity_ah, max(0.0, left * capacity_ah)
    return Energy(whole * rated_ah, full, remaining, full * 0.045, max(0.0, full - remaining))


@dataclass(slots=True)
class LifetimeEnergy:
    """The odometers of energy, from measured voltage and current; they never go back."""

    charged_kwh: float
    discharged_kwh: float

    def add(self, power_w: float, dt_s: float) -> None:
        """Add power into the battery over `dt_s`."""
        kwh = power_w * dt_s / 3.6e6
        if kwh >= 0:
            self.charged_kwh += kwh
        else:
            self.discharged_kwh -= kwh
