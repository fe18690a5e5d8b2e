"""What the BMS makes of its sensors: state of charge and capacity of every brick, and the energy that follows from them.

Pure. It sees measurements only; that its state of charge drifts from the truth is the point. Coulombs are counted;
a rested voltage draws the count back where the voltage curve is steep enough to tell (on the plateau of an LFP cell it
is not), and so does that of a brick run empty; and from one such rest to the next the capacity is learned.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from firmware_sim.bms.believed import BelievedCurve
from firmware_sim.bms.report import Charge, Energy
from firmware_sim.bms.sensors import Readings
from firmware_sim.cells.chemistry import Chemistry

AS_PER_AH = 3_600.0
REST_C = 1 / 200  # below this multiple of the capacity per hour the pack rests
REST_FROM_S = 60.0
REST_FULLY_S = 900.0
PULL_S = 120.0
LOOK_S = 1.0
FLAT_V = 0.2  # volts over the whole charge: less tells nothing, more than steep tells all
STEEP_V = 0.4
LEARN_FROM = 0.1  # of the charge, between two rests
LEARN_FULLY = 0.4  # a swing errs by as many points as another: it weighs by its square
LEARN_SHARE = 0.2
CAPACITY_RANGE = (0.2, 1.2)  # of the rated one; beyond it a rest has not been one
ANCHOR_KEPT_S = 5 * 86_400.0  # a shunt's offset makes older ones worthless
EMPTY_FROM_V = 0.3  # above a brick's limit: no brick that is well charged is found below it under a small current
EMPTY_CALM_C = 0.5
EMPTY_OHM_AH = 0.7  # resistance times capacity of a brick that is cold and weak
EMPTY_PULL_S = 30.0
RESERVE = 0.045  # of the charge is below the driver's zero


@dataclass(frozen=True, slots=True)
class Anchor:
    """A rest at which the voltage told the charge: the charge then, and the charge counted until then."""

    soc: Readings
    counted_as: Readings


@dataclass(slots=True)
class ChargeEstimate:
    """State of charge and capacity of every brick, begun from voltages that are taken for rested ones.

    `capacity_ah` is the mean brick's, as it is believed at first and as it is learned.
    """

    curve: BelievedCurve
    rated_ah: float
    capacity_ah: float
    rested_volts: Readings
    soc: Readings = field(init=False)
    capacity_as: Readings = field(init=False)
    rested_s: float = 0.0
    _per_as: Readings = field(init=False)
    _through_as: float = 0.0
    _bled_as: Readings = field(init=False)
    _since_look_s: float = 0.0
    _since_anchor_s: float = 0.0
    _anchor: Anchor | None = None
    _direction: int = 0

    def __post_init__(self) -> None:
        measured = self.curve.soc_at(self.rested_volts)
        # Where a brick's own voltage tells little, the mean of all tells more.
        steepness = self._steepness(measured)
        self.soc = steepness * measured + (1.0 - steepness) * float(measured.mean())
        self.capacity_as = np.full(len(self.soc), self.capacity_ah * AS_PER_AH)
        self._per_as = 1.0 / self.capacity_as
        self._bled_as = np.zeros(len(self.soc))

    def step(self, charge_as: float, bled_as: Readings | None, volts: Readings, dt_s: float) -> None:
        """Count what went into all bricks and what each bled over `dt_s`; `volts` are their voltages at its end."""
        if charge_as:
            self.soc = self.soc + charge_as * self._per_as
            self._through_as += charge_as
        if bled_as is not None:
            self.soc = self.soc - bled_as * self._per_as
            self._bled_as = self._bled_as + bled_as
        self._since_anchor_s += dt_s
        if float(np.minimum.reduce(volts)) < self.curve.chemistry.empty_v + EMPTY_FROM_V:
            self._run_empty(volts, charge_as / dt_s, dt_s)
        if abs(charge_as) > REST_C * self.rated_ah * dt_s:
            self._direction = 1 if charge_as > 0 else -1
            self.rested_s = self._since_look_s = 0.0
            return
        self.rested_s += dt_s
        self._since_look_s += dt_s
        if self.rested_s > REST_FROM_S and self._since_look_s >= LOOK_S:
            self._look(volts, self._since_look_s)
            self._since_look_s = 0.0

    def sleep(self, bled_as: Readings | None, dt_s: float) -> None:
        """Time passes unmeasured, the contactors open; what is bled goes on."""
        if bled_as is not None:
            self.soc = self.soc - bled_as * self._per_as
            self._bled_as = self._bled_as + bled_as
        self.rested_s += dt_s
        self._since_look_s += dt_s
        self._since_anchor_s += dt_s

    def full(self) -> None:
        """The charge has ended by voltage and current: where the curve is flat elsewhere, that is a better witness."""
        if self._steepness(np.array([0.5]))[0] < 0.5:
            self.soc = self.soc + (1.0 - float(self.soc.max()))

    def charge(self) -> Charge:
        """The state of charge as it is reported: fractions, and for the driver what can be used of it."""
        soc = self.soc
        low, high = float(np.minimum.reduce(soc)), float(np.maximum.reduce(soc))
        mean = float(np.add.reduce(soc)) / len(soc)
        # The string is empty with its emptiest brick and full with its fullest.
        usable = low / max(1e-6, 1.0 + low - high)
        shown = (usable - RESERVE) / (1.0 - RESERVE)
        return Charge(_fraction(low), _fraction(mean), _fraction(high), _fraction(shown))

    def _look(self, volts: Readings, dt_s: float) -> None:
        measured = self.curve.soc_at(volts, self._direction)
        steepness = self._steepness(measured)
        certainty = (self.rested_s - REST_FROM_S) / (REST_FULLY_S - REST_FROM_S)
        weight = min(1.0, certainty) * min(1.0, dt_s / PULL_S)
        self.soc = self.soc + (measured - self.soc) * (steepness * weight)
        if certainty >= 1.0 and float(steepness.min()) > 0.9:
            self._learn(measured)

    def _run_empty(self, volts: Readings, current_a: float, dt_s: float) -> None:
        # A brick that loses charge unseen by the shunt gives itself away here at the latest.
        out_a = max(0.0, -current_a)
        if out_a > EMPTY_CALM_C * self.rated_ah:
            return
        at_most = self.curve.soc_at(volts + out_a * EMPTY_OHM_AH / self.rated_ah)
        low = volts < self.curve.chemistry.empty_v + EMPTY_FROM_V
        beyond = np.where(low, np.maximum(0.0, self.soc - at_most), 0.0)
        self.soc = self.soc - beyond * min(1.0, dt_s / EMPTY_PULL_S)

    def _steepness(self, soc: Readings) -> Readings:
        slope = self.curve.slope_at(soc)
        steep: Readings = np.minimum(1.0, np.maximum(0.0, (slope - FLAT_V) / (STEEP_V - FLAT_V)))
        return steep

    def _learn(self, measured: Readings) -> None:
        now, before = Anchor(measured, self._through_as - self._bled_as), self._anchor
        if before is None:
            self._anchor, self._since_anchor_s = now, 0.0
            return
        moved = now.soc - before.soc
        swing = abs(float(moved.mean()))
        if swing >= LEARN_FROM:
            lowest, highest = (share * self.rated_ah * AS_PER_AH for share in CAPACITY_RANGE)
            tells = np.abs(moved) > LEARN_FROM / 2
            found = (now.counted_as - before.counted_as) / np.where(tells, moved, 1.0)
            found = np.where(tells, np.clip(found, lowest, highest), self.capacity_as)
            self.capacity_as = self.capacity_as + (found - self.capacity_as) * (
                LEARN_SHARE * min(1.0, swing / LEARN_FULLY) ** 2
            )
            self._per_as = 1.0 / self.capacity_as
            self.capacity_ah = float(self.capacity_as.mean()) / AS_PER_AH
        if swing >= LEARN_FROM or self._since_anchor_s > ANCHOR_KEPT_S:
            self._anchor, self._since_anchor_s = now, 0.0


@dataclass(slots=True)
class EnergyScale:
    """Energy of a string of `cells` by the rested voltage curve, as a table: asked ten times a second."""

    chemistry: Chemistry
    cells: int
    rated_ah: float
    _kwh_per_ah: list[float] = field(init=False)

    def __post_init__(self) -> None:
        points = np.linspace(0.0, 1.0, 1_001)
        table: Readings = self.chemistry.stored_volt_fraction(points) * self.cells / 1_000.0
        self._kwh_per_ah = (table - table[0]).tolist()

    def energy(self, capacity_ah: float, soc: float) -> Energy:
        """The energies of bricks of `capacity_ah` at a state of charge from 0 to 1."""
        table = self._kwh_per_ah
        left = min(999, int(soc * 1_000.0))
        remaining = capacity_ah * (table[left] + (table[left + 1] - table[left]) * (soc * 1_000.0 - left))
        full = capacity_ah * table[-1]
        return Energy(self.rated_ah * table[-1], full, remaining, full * RESERVE, full - remaining)


def _fraction(value: float) -> float:
    return min(1.0, max(0.0, value))
