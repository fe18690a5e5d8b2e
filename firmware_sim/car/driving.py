"""An endless day without a scenario: a drive of accelerations, cruises, braking and stops, then parking and charging.

Pure and seeded. Powers are for a pack of 96 bricks and are scaled by the caller. It is never parked for so long that
the firmware falls asleep: whoever listens always hears something.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from firmware_sim.car.demand import Demand, Mode
from firmware_sim.car.vehicle import Road, Vehicle

AC_W = 11_000.0
DC_W = 120_000.0
STANDBY_S = 1.0
PARKED_S = 110.0
COMFORTABLE_C = 21.0


@dataclass(frozen=True, slots=True)
class Leg:
    """A stretch of driving with constant acceleration."""

    duration_s: float
    acceleration: float


@dataclass(slots=True)
class DrivePattern:
    """Endless days: standby, drive, park, charge, park. `advance` is called once for every block of time."""

    seed: int
    drive_s: float = 1_200.0
    vehicle: Vehicle = field(default_factory=Vehicle)
    _random: random.Random = field(init=False)
    _road: Road = field(init=False)
    _mode: Mode = Mode.PARKED
    _left_s: float = STANDBY_S
    _last_active: Mode = Mode.CHARGE_AC
    _legs: list[Leg] = field(default_factory=list)
    _leg_left_s: float = 0.0
    _speed: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(f"driving {self.seed}")  # noqa: S311 - a simulation, not a secret
        self._road = Road(str(self.seed))

    def advance(self, dt_s: float, soc: float) -> Demand:
        """The demand for the next `dt_s`; `soc` (fraction, as the car shows it) decides when to charge and stop."""
        self._left_s -= dt_s
        if self._left_s <= 0 or self._full_or_empty(soc):
            self._change_mode(soc)
        if self._mode is Mode.DRIVE:
            return Demand(Mode.DRIVE, self._drive_power(dt_s), self._speed)
        power = {Mode.CHARGE_AC: AC_W, Mode.CHARGE_DC: DC_W}.get(self._mode)
        return Demand(self._mode, 0.0 if power is None else power - self.vehicle.auxiliary_w)

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
        on_board_w = self.vehicle.on_board_w(COMFORTABLE_C)
        if self._speed < 0.1:
            return -on_board_w
        return self.vehicle.power_w(self._speed, acceleration, self._road.pass_by(self._speed * dt_s)) - on_board_w

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
