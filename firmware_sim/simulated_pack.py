"""One simulated pack in its car: cells, firmware, circuit and driver, moved on together. Pure.

Time passes in three ways. On the bus: steps of 10 ms, the driver asked and the cells settled every 100 ms. Asleep: in
strides of up to a minute, to the next moment at which anything can wake the firmware. Leaped over, where a scenario
wants no bus: in strides as long as the demand is steady. Strides end on a fixed grid and at `appointments_us`, never
at the caller's convenience: the pack's history is the same however it is asked for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from firmware_sim.bms.balancing import Mask
from firmware_sim.bms.firmware import RATED_AH, Bms, Truth
from firmware_sim.bms.identity import Identity
from firmware_sim.bms.limits import CAR, Rating
from firmware_sim.bms.report import BmsReport
from firmware_sim.car.circuit import Circuit
from firmware_sim.car.demand import Demand, Driver, Mode
from firmware_sim.car.driving import DrivePattern
from firmware_sim.cells.physics import PackPhysics
from firmware_sim.cells.spec import PackSpec
from firmware_sim.powertrain import Powertrain
from firmware_sim.times import NEVER_US
from firmware_sim.truth.table import TruthRow

STEP_US = 10_000
STEP_S = STEP_US / 1e6
BLOCK_US = 100_000
BLOCK_S = BLOCK_US / 1e6
MINUTE_US = 60_000_000
LEAP_GRID_US = 3_600_000_000
SETTLING_US = 1_500_000  # of the contactors after a change of mode: never leaped over
AMBIENT_US = 10_000_000
REFERENCE_CELLS = 96
COOLING_W = 4_800.0
HEATING_W = 4_000.0
COOLING_COP = 2.5
GUESS = 0.006  # of the capacity, as a standard deviation

Climate = Callable[[int], float]


@dataclass(slots=True)
class SimulatedPack:
    """A pack that lives its life as its time is moved on with `advance_to`.

    Without a `driver` the car drives, parks and charges by the seeded pattern, with powers scaled to the number of
    cells. `climate` gives the ambient temperature by microseconds after the start. `watch` is called at `watch_us`, and
    says when it wants to be called next. `over` is set when the driver has nothing more to do, and `ended_us` is then the
    first time to which the pack could not be moved on. `leaps_us` are the times at which leaping begins and ends, in turn.
    """

    spec: PackSpec
    seed: int
    driver: Driver | None = None
    identity: Identity = field(default_factory=Identity)
    climate: Climate | None = None
    start_unix_us: int = 0
    rated_ah: float = RATED_AH
    rating: Rating = CAR
    sleeps: bool = True
    physics: PackPhysics = field(init=False)
    bms: Bms = field(init=False)
    circuit: Circuit = field(default_factory=Circuit)
    demand: Demand = field(default_factory=lambda: Demand(Mode.PARKED, 0.0))
    time_us: int = 0
    odometer_m: float = 0.0
    over: bool = False
    ended_us: int = NEVER_US
    leaps_us: list[int] = field(default_factory=list)
    ends: Callable[[], bool] = lambda: False
    faults: Callable[[], tuple[str, ...]] = lambda: ()
    appointments_us: Sequence[int] = ()
    watch: Callable[[SimulatedPack], int] | None = None
    watch_us: int = NEVER_US
    _driver: Driver = field(init=False)
    _powertrain: Powertrain = field(init=False)
    _settled_us: int = 0
    _ambient_us: int = 0
    _bled: Mask | None = None
    _meeting_us: int = NEVER_US

    def __post_init__(self) -> None:
        if self.demand.leap:
            self.leaps_us.append(0)
        self.physics = PackPhysics(self.spec, self.seed)
        scale = self.spec.cells / REFERENCE_CELLS if self.driver is None else 1.0
        self._powertrain = Powertrain(self.spec.cells, scale, self.circuit)
        self._driver = self.driver or DrivePattern(self.seed)
        self.bms = Bms(
            self._sensed(),
            self.seed,
            chemistry=self.spec.chemistry,
            rated_ah=self.rated_ah,
            soh=self._first_opinion(),
            age_years=self.spec.age_years,
            identity=self.identity,
            rating=self.rating,
            sleeps=self.sleeps,
        )

    @property
    def awake(self) -> bool:
        """Whether the firmware is on the bus now."""
        return self.bms.awake and not self.demand.leap and not self.over

    @property
    def leaping(self) -> bool:
        """Whether time is leaped over, with nobody on the bus."""
        return self.demand.leap

    def advance_to(self, time_us: int) -> bool:
        """Go on to the last whole step, or stride, that ends not after `time_us`; says whether there was any."""
        begin = self.time_us
        while not self.over:
            if self.time_us % BLOCK_US == 0 and self._may_stride():
                end_us = self._stride_end_us()
                if end_us > time_us:
                    break
                self._stride(end_us)
            elif self.time_us + STEP_US <= time_us:
                self._step()
            else:
                break
            if self.time_us >= self.watch_us and self.watch is not None:
                self.watch_us = self.watch(self)
        return self.time_us != begin

    def meet(self, time_us: int) -> bool:
        """The same for somebody who does something to the pack then: a stride ends at the last 100 ms before `time_us`."""
        self._meeting_us = time_us
        try:
            return self.advance_to(time_us)
        finally:
            self._meeting_us = NEVER_US

    def next_event_us(self) -> int:
        """While the pack is not awake: the next time at which that can change; never, when everything is over."""
        if self.over:
            return NEVER_US
        if self.time_us % BLOCK_US == 0 and self._may_stride():
            return self._stride_end_us()
        return self.time_us + STEP_US

    def report(self) -> BmsReport:
        """What the firmware knows at the last step."""
        return self.bms.report()

    def truth(self) -> TruthRow:
        """What really is, at the last step; cells as they were when they were last settled."""
        physics, circuit = self.physics, self.circuit
        return TruthRow(
            time_us=self.time_us,
            unix_ms=(self.start_unix_us + self.time_us) // 1_000,
            mode=self.demand.mode.value,
            awake=self.bms.awake and not self.demand.leap,
            current_a=physics.current_a,
            pack_volts=physics.pack_volts(),
            link_volts=circuit.link_volts,
            soc=physics.soc.tolist(),
            capacity_ah=(physics.capacity_as / 3_600.0).tolist(),
            health=physics.health(),
            resistance_growth=physics.resistance_growth(),
            modules_c=physics.module_c.tolist(),
            ambient_c=physics.ambient_c,
            isolation_kohm=physics.isolation_kohm,
            positive_closed=circuit.positive_closed,
            negative_closed=circuit.negative_closed,
            balancing=int(physics.bleed.sum()),
            speed_m_s=self.demand.speed_m_s,
            odometer_m=self.odometer_m,
            delivered_in_j=physics.energy.delivered_in,
            delivered_out_j=physics.energy.delivered_out,
            heat_j=physics.energy.heat,
            stored_j=physics.stored_j(),
            aged_j=physics.energy.aged,
            faults=self.faults(),
            cell_volts=physics.cell_volts().tolist(),
        )

    def _first_opinion(self) -> float:
        """What the firmware takes the cells' capacity for, by its rating: near the truth, never exactly it."""
        guess = random.Random(f"opinion {self.seed}").gauss(1.0, GUESS)  # noqa: S311 - a simulation, not a secret
        return guess * float(self.physics.capacity_as.mean()) / 3_600.0 / self.rated_ah

    def _step(self) -> None:
        if self.time_us % BLOCK_US == 0:
            self._ask(BLOCK_S, self.time_us + STEP_US)
            if self.over:
                return
        physics, bms = self.physics, self.bms
        physics.step(self._powertrain.flow(bms.contactors, physics.pack_volts(), STEP_S), STEP_S)
        self.time_us += STEP_US
        if self.time_us % BLOCK_US == 0:  # the firmware's slow task falls on these steps
            physics.settle()
        bms.step(self._sensed(), self.demand.mode, STEP_S)

    def _ask(self, dt_s: float, seen_us: int) -> None:
        """Ask the driver, and let everything follow that is decided for the next `dt_s`; others see it at `seen_us`."""
        before = self.demand
        self.demand = demand = self._driver.advance(dt_s, self.bms.charge.shown)
        if self.ends():
            self.over, self.ended_us = True, seen_us
        if demand.leap is not before.leap:
            self.leaps_us.append(seen_us)
        self.odometer_m += demand.course_m if demand.course else (before.speed_m_s + demand.speed_m_s) / 2 * dt_s
        if demand.mode is not before.mode:
            self._settled_us = self.time_us + SETTLING_US
        self._powertrain.ask(before, demand, stride=dt_s > BLOCK_S)
        self._surround()

    def _surround(self) -> None:
        """Weather, coolant, balancing and limits, as the firmware has commanded them."""
        physics, bms = self.physics, self.bms
        if self.climate is not None and self.time_us >= self._ambient_us:
            physics.ambient_c = self.climate(self.time_us)
            self._ambient_us = self.time_us + AMBIENT_US
        share = self.spec.cells / REFERENCE_CELLS if bms.awake else 0.0
        physics.cooling_w = bms.cooling * COOLING_W * share
        physics.heating_w = bms.heating * HEATING_W * share
        moved_w = physics.coolant_w()
        self._powertrain.permit(bms.limits, moved_w if moved_w > 0.0 else -moved_w / COOLING_COP)
        if bms.bleed is not self._bled:
            self._bled = bms.bleed
            physics.bleed = np.zeros(self.spec.cells, dtype=bool) if self._bled is None else self._bled

    def _may_stride(self) -> bool:
        """Whether time may pass in one stride from here: no bus, no transient, and a driver who need not be asked."""
        if self.demand.steady_s < BLOCK_S or self.time_us < self._settled_us:
            return False
        return self.demand.leap if self.bms.awake else self.demand.mode is Mode.PARKED

    def _stride_end_us(self) -> int:
        now = self.time_us
        resting = self.demand.leap and not self.bms.awake
        grid = LEAP_GRID_US if resting else MINUTE_US
        end = min(now + int(self.demand.steady_s * 1e6 + 0.5), now - now % grid + grid)
        if not self.bms.awake:
            end = min(end, now + int(self.bms.next_wake_s() * 1e6 + 0.5))
        end = min([end, *(each for each in (*self.appointments_us, self._meeting_us) if each > now)])
        return max(now + BLOCK_US, end - end % BLOCK_US)

    def _stride(self, end_us: int) -> None:
        dt_s = (end_us - self.time_us) / 1e6
        self._ask(dt_s, end_us)
        if self.over:
            return
        physics, bms = self.physics, self.bms
        left_us = end_us - self.time_us - self._follow_course(dt_s)
        last_s = dt_s / max(1, len(self.demand.course))
        physics.step(self._powertrain.flow(bms.contactors, physics.pack_volts(), last_s), last_s)
        self.time_us = end_us
        physics.settle()
        if bms.awake:
            bms.step(self._sensed(), self.demand.mode, left_us / 1e6)
        else:
            bms.doze(dt_s, self._sensed())

    def _follow_course(self, dt_s: float) -> int:
        """Go through the parts of a stride up to the last, which is left to do; returns the microseconds of them.

        The firmware sees what flowed out and what flowed in, each in the mean.
        """
        course = self.demand.course
        if not course:
            return 0
        physics, powertrain, contactors = self.physics, self._powertrain, self.bms.contactors
        part_s = dt_s / len(course)
        seconds, charge_as, work_j = [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]
        for power_w in course[:-1]:
            powertrain.follow(power_w)
            current_a = powertrain.flow(contactors, physics.pack_volts(), part_s)
            physics.step(current_a, part_s)
            inward = current_a > 0.0
            seconds[inward] += part_s
            charge_as[inward] += current_a * part_s
            work_j[inward] += current_a * part_s * physics.pack_volts()
        powertrain.follow(course[-1])
        passed_us = 0
        for length_s, charge, work in zip(seconds, charge_as, work_j, strict=True):
            length_us = round(length_s * 1e6)
            if length_us:
                volts = work / charge if charge else physics.pack_volts()
                self.bms.carry(charge / length_s, volts, length_us / 1e6)
                passed_us += length_us
        return passed_us

    def _sensed(self) -> Truth:
        physics, circuit = self.physics, self.circuit
        return Truth(
            physics.current_a,
            physics.pack_volts(),
            physics.cell_volts,
            circuit.link_volts,
            physics.module_c,
            physics.isolation_kohm,
            circuit.positive_closed,
            circuit.negative_closed,
        )
