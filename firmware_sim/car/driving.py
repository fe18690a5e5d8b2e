"""What the car asks of the pack: a drive of accelerations, cruises, braking and stops, then parking and charging.

Pure and seeded. It knows a car's forces, not a cell; powers are for a pack of 96 bricks and are scaled by the caller.
Recorded cycles and scenario files will be further patterns beside this one.
"""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass, field
from typing import Protocol

MASS_KG = 1_900.0
ROLLING = 0.009
DRAG_M2 = 0.51  # drag coefficient times frontal area
AIR_KG_M3 = 1.2
GRAVITY = 9.81
DRIVETRAIN = 0.91  # battery to road; the same back in regeneration
AUXILIARY_W = 450.0
AC_W = 11_000.0
DC_W = 120_000.0
STANDBY_S = 1.0
PARKED_S = 180.0


class Mode(enum.Enum):
    """What the car wants from the pack."""

    PARKED = "parked"
    DRIVE = "drive"
    CHARGE_AC = "charge-ac"
    CHARGE_DC = "charge-dc"


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked for now: the mode, and the power into the battery in watts (negative when driving)."""

    mode: Mode
    power_w: float
    speed_m_s: float = 0.0


class Driver(Protocol):
    """Whoever asks something of the pack."""

    def advance(self, dt_s: float, soc: float) -> Demand:
        """The demand for the next `dt_s`, knowing the state of charge that the car shows (fraction)."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A stretch of driving with constant acceleration."""

    duration_s: float
    acceleration: float


@dataclass(slots=True)
class DrivePattern:
    """Endless days: standby, drive, park, charge, park. `advance` is called once for every step of time."""

    seed: int
    drive_s: float = 1_200.0
    _random: random.Random = field(init=False)
    _mode: Mode = Mode.PARKED
    _left_s: float = STANDBY_S
    _last_active: Mode = Mode.CHARGE_AC
    _legs: list[Leg] = field(default_factory=list)
    _leg_left_s: float = 0.0
    _speed: float = 0.0
    _gust: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(f"driving {self.seed}")  # noqa: S311 - a simulation, not a secret

    def advance(self, dt_s: float, soc: float) -> Demand:
        """The demand for the next `dt_s`; `soc` (fraction, as the car shows it) decides when to charge and stop."""
        self._left_s -= dt_s
        if self._left_s <= 0 or self._full_or_empty(soc):
            self._change_mode(soc)
        if self._mode is Mode.DRIVE:
            return Demand(Mode.DRIVE, self._drive_power(dt_s), self._speed)
        power = {Mode.CHARGE_AC: AC_W - AUXILIARY_W, Mode.CHARGE_DC: DC_W - AUXILIARY_W}.get(self._mode, 0.0)
        return Demand(self._mode, power)

    def _full_or_empty(self, soc: float) -> bool:
        if self._mode is Mode.DRIVE:
            return soc < 0.05
        return self._mode is not Mode.PARKED and soc > 0.9

    def _change_mode(self, soc: float) -> None:
        if self._mode is not Mode.PARKED:
            self._last_active, self._mode, self._left_s = self._mode, Mode.PARKED, PARKED_S
        elif self._last_active is not Mode.DRIVE:
            self._mode, self._left_s = Mode.DRIVE, self.drive_s
            self._legs, self._leg_left_s, self._speed = [], 0.0, 0.0
        else:
            quick = soc < 0.25
            self._mode = Mode.CHARGE_DC if quick else Mode.CHARGE_AC
            self._left_s = 1_800.0 if quick else self._random.uniform(600.0, 1_200.0)

    def _drive_power(self, dt_s: float) -> float:
        while self._leg_left_s <= 0:
            if self._legs:
                self._legs.pop(0)
            if not self._legs:
                self._legs = self._trip()
            self._leg_left_s += self._legs[0].duration_s
        self._leg_left_s -= dt_s
        acceleration = self._legs[0].acceleration
        self._speed = max(0.0, self._speed + acceleration * dt_s)
        # Wind, slope and the driver's foot, as one slowly wandering force.
        self._gust += dt_s * (-self._gust / 4.0) + dt_s**0.5 * self._random.gauss(0.0, 40.0)
        if self._speed < 0.1:
            return -AUXILIARY_W
        force = MASS_KG * (acceleration + ROLLING * GRAVITY) + AIR_KG_M3 * DRAG_M2 * self._speed**2 / 2 + self._gust
        road_w = force * self._speed
        return -AUXILIARY_W - (road_w / DRIVETRAIN if road_w > 0 else road_w * DRIVETRAIN)

    def _trip(self) -> list[Leg]:
        rnd = self._random
        top = rnd.choice((8.3, 13.9, 13.9, 19.4, 27.8, 33.3)) * rnd.uniform(0.9, 1.05)
        up, down = rnd.uniform(0.9, 2.4), rnd.uniform(0.8, 1.8)
        return [
            Leg((top - self._speed) / up, up),
            Leg(rnd.uniform(8.0, 45.0), 0.0),
            Leg(top / down + 0.05, -down),
            Leg(rnd.uniform(3.0, 12.0), -0.5),
        ]
