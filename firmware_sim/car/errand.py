"""What a car is out to do for a while: drive, be parked, charge, feed a load. One object for each, used once.

Pure and seeded. An errand is asked for its demand every 100 ms of a pack on the bus, and in coarse strides of a pack
whose time is leaped over.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Protocol

from firmware_sim.car.cycles import Trace
from firmware_sim.car.demand import Demand, Mode
from firmware_sim.car.vehicle import Road, Vehicle

BLOCK_S = 0.1
DRIVE_STRIDE_S = 30.0
CALM_STRIDE_S = 60.0
DC_STRIDE_S = 10.0
GRAIN_S = 1.0  # of a trace within a stride
BRAKING = 1.5
PATIENCE_S = 2.0  # with a pack that does not connect, before a driver gives up
INSULATION_TEST_S = 8.0  # a direct-current station's, before any current flows
RECTIFIER = 0.92  # wall to battery, of the charger on board
INVERTER = 0.93
LIVELINESS = 0.6
SETTLING_S = 5.0


class Surroundings(Protocol):
    """What an errand may look at beside the pack's state of charge."""

    @property
    def ambient_c(self) -> float:
        """Temperature around the car, degC."""

    @property
    def powered(self) -> bool:
        """Whether the pack is connected to the car."""

    @property
    def charge_complete(self) -> bool:
        """Whether the pack has said that it takes no more."""


class Errand(Protocol):
    """Something the car does until it is over."""

    def over(self, soc: float) -> bool:
        """Whether it is done, at this state of charge as the car shows it."""

    def advance(self, dt_s: float, soc: float) -> Demand:
        """The demand for the next `dt_s`."""


@dataclass(slots=True)
class Parked:
    """Standing still with the contactors open, for `left_s`."""

    left_s: float

    def over(self, soc: float) -> bool:
        """Whether the time is up."""
        return self.left_s < BLOCK_S / 2

    def advance(self, dt_s: float, soc: float) -> Demand:
        """Nothing is asked for."""
        self.left_s -= dt_s
        return Demand(Mode.PARKED, 0.0, steady_s=max(0.0, self.left_s))


@dataclass(slots=True)
class Drive:
    """Laps of a speed trace on a seeded road, `left_s` long; cut short it brakes to a standstill in its last seconds.

    A car without power rolls to the roadside; when it has power again it waits there for the trace's next stop.
    """

    trace: Trace
    left_s: float
    vehicle: Vehicle
    road: Road
    surroundings: Surroundings
    floor_soc: float = 0.03
    _time_s: float = 0.0
    _speed: float = 0.0
    _powerless_s: float = 0.0
    _stranded: bool = False

    def over(self, soc: float) -> bool:
        """Whether the time is up or the battery is empty."""
        return self.left_s < BLOCK_S / 2 or soc < self.floor_soc

    def advance(self, dt_s: float, soc: float) -> Demand:
        """What the road and the loads on board ask for: at the end of a block of 100 ms, second by second over a stride."""
        grains = max(1, round(dt_s / GRAIN_S))
        on_board_w = self.vehicle.on_board_w(self.surroundings.ambient_c)
        course, metres, speed = [], 0.0, 0.0
        grain_s = dt_s / grains
        # A block's power is that at its end, for it is joined to the next one; a stride's are those of the middles.
        late_s = grain_s / 2 if grains > 1 else 0.0
        for _ in range(grains):
            self._time_s += grain_s
            self.left_s -= grain_s
            speed, acceleration = self._motion(late_s)
            metres += speed * grain_s
            grade = self.road.pass_by(speed * grain_s)
            course.append(self.vehicle.power_w(speed, acceleration, grade) - on_board_w)
        stride = min(DRIVE_STRIDE_S, max(0.0, self.left_s))
        self._powerless_s = 0.0 if self.surroundings.powered else self._powerless_s + dt_s
        self._stranded = self._stranded or self._powerless_s > PATIENCE_S
        if self._stranded:
            self._stranded = self._powerless_s > 0.0 or speed > 0.0
            speed, course = max(0.0, self._speed - BRAKING * dt_s), [-on_board_w]
            metres = (self._speed + speed) / 2 * min(dt_s, self._speed / BRAKING)
        self._speed = speed
        if grains == 1:
            return Demand(Mode.DRIVE, course[0], speed, steady_s=stride)
        power_w = sum(course) / len(course)
        return Demand(Mode.DRIVE, power_w, speed, steady_s=stride, course=tuple(course), course_m=metres)

    def _motion(self, ago_s: float) -> tuple[float, float]:
        speed, acceleration = self.trace.at(math.fmod(self._time_s - ago_s, self.trace.seconds))
        stopping = BRAKING * max(0.0, self.left_s + ago_s)
        return (speed, acceleration) if speed <= stopping else (stopping, -BRAKING if stopping else 0.0)


@dataclass(slots=True)
class Charge:
    """Plugged in: constant power until a state of charge or until the pack takes no more, for `left_s` at most.

    `power_w` is what reaches the battery, if the pack allows it. For `pause_s` nothing flows at first. A car that
    `stays` is plugged in to the end of its time, parked once it has what it came for.
    """

    mode: Mode
    power_w: float
    until_soc: float
    left_s: float
    surroundings: Surroundings
    pause_s: float = 0.0
    stays: bool = False
    _done: bool = False
    _spent_s: float = 0.0

    def over(self, soc: float) -> bool:
        """Whether the time is up or, for a car that does not stay, the charge done."""
        # A moment is given to the firmware before it is believed that the pack is full: it may have known so for long.
        full = self._spent_s > self.pause_s + SETTLING_S and self.surroundings.charge_complete
        self._done = self._done or soc >= self.until_soc or full
        return self.left_s < BLOCK_S / 2 or (self._done and not self.stays)

    def advance(self, dt_s: float, soc: float) -> Demand:
        """Power into the battery, or nothing once it is done."""
        self.left_s -= dt_s
        self._spent_s += dt_s
        left = max(0.0, self.left_s)
        if self._done:
            return Demand(Mode.PARKED, 0.0, steady_s=left)
        if self._spent_s <= self.pause_s:
            return Demand(self.mode, 0.0)
        return Demand(self.mode, self.power_w, steady_s=min(self._stride_s(), left))

    def _stride_s(self) -> float:
        return CALM_STRIDE_S if self.mode is Mode.CHARGE_AC else DC_STRIDE_S


def ac_charge(wall_w: float, until_soc: float, left_s: float, surroundings: Surroundings, *, stays: bool) -> Charge:
    """At a wall box of `wall_w`; the charger on board loses some, the electronics that are awake take some."""
    inside_w = wall_w * RECTIFIER - Vehicle().auxiliary_w
    return Charge(Mode.CHARGE_AC, max(0.0, inside_w), until_soc, left_s, surroundings, stays=stays)


def dc_charge(station_w: float, until_soc: float, left_s: float, surroundings: Surroundings, *, stays: bool) -> Charge:
    """At a station of `station_w`: its insulation test, and then as much as the pack allows."""
    return Charge(Mode.CHARGE_DC, station_w, until_soc, left_s, surroundings, INSULATION_TEST_S, stays)


@dataclass(slots=True)
class Load:
    """Vehicle-to-load: something outside the car is fed for `left_s`, down to a floor of charge.

    `power_w` is the mean draw of what is fed; appliances come and go by the seed, the inverter's loss comes on top.
    """

    power_w: float
    left_s: float
    floor_soc: float
    seed: str
    efficiency: float = INVERTER
    _random: random.Random = field(init=False)
    _share: float = 1.0
    _share_left_s: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(f"load {self.seed}")  # noqa: S311 - a simulation, not a secret

    def over(self, soc: float) -> bool:
        """Whether the time is up or the floor is reached."""
        return self.left_s < BLOCK_S / 2 or soc <= self.floor_soc

    def advance(self, dt_s: float, soc: float) -> Demand:
        """Power drawn from the battery."""
        if self._share_left_s < BLOCK_S / 2:
            self._share = self._random.uniform(1.0 - LIVELINESS, 1.0 + LIVELINESS)
            self._share_left_s = round(self._random.uniform(60.0, 900.0), 1)
        self._share_left_s -= dt_s
        self.left_s -= dt_s
        steady = min(CALM_STRIDE_S, max(0.0, self.left_s), max(0.0, self._share_left_s))
        return Demand(Mode.LOAD, -self.power_w * self._share / self.efficiency, steady_s=steady)
