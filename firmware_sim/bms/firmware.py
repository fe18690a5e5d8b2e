"""The battery management system: it senses, estimates, limits, warns, balances, sleeps, and works the contactors.

Pure. A fast task (10 ms) reads the shunt and the pack voltage and steps the contactors; a slow one, on whole multiples
of 100 ms since the pack's beginning, scans the bricks and thermistors and judges. It sees the truth only through its
sensors; how a report is put on a bus is the encoder's business. Steps may be of any length up to a minute.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from firmware_sim.bms.alerts import AlertMonitor
from firmware_sim.bms.balancing import Balancing, Mask
from firmware_sim.bms.believed import BelievedCurve
from firmware_sim.bms.board import Board, used_board
from firmware_sim.bms.contactors import Contactors, Stage
from firmware_sim.bms.counters import LifetimeCounters, years_of_health
from firmware_sim.bms.estimate import ChargeEstimate, EnergyScale
from firmware_sim.bms.identity import Identity
from firmware_sim.bms.isolation import IsolationMonitor
from firmware_sim.bms.judgement import Judgement
from firmware_sim.bms.limits import CAR, Limits, Rating
from firmware_sim.bms.power import Phase, Power
from firmware_sim.bms.report import FAST_FIELDS, BmsReport, Charge
from firmware_sim.bms.sensors import KINDS, Readings, Sensors
from firmware_sim.car.demand import Mode
from firmware_sim.cells.chemistry import NMC, Chemistry

SLOW_US = 100_000
RATED_AH = 230.0
BOARDS_KEPT = 16  # of those that were taken out of the pack
_LIVE = (Stage.CLOSED, Stage.PRECHARGE, Stage.OPENING)
_FLOWS = (*_LIVE, Stage.WELDED)


class Truth(NamedTuple):
    """What the sensors touch: amperes positive into the battery, volts, degC, kilohms, and the auxiliary contacts.

    `cell_volts` is asked when the bricks are scanned; `modules_c` and it must be true by then.
    """

    current_a: float
    pack_volts: float
    cell_volts: Callable[[], Readings]
    link_volts: float
    modules_c: Readings
    isolation_kohm: float
    positive_closed: bool
    negative_closed: bool


@dataclass(slots=True)
class Bms:
    """The firmware of one pack, put on a rested pack: give it its first `Truth` and its seed.

    `soh` is what it takes the cells for, `age_years` how long it has counted. Faults are asked for through
    `sensors.stick`, `soc_frozen`, `soh_zero`, `interlock_open`, `identity`, `reset` and `swap_board`. With `sleeps` False
    it never sleeps.
    """

    first: Truth
    seed: int
    chemistry: Chemistry = NMC
    rated_ah: float = RATED_AH
    soh: float = 0.98
    age_years: float = 0.0
    identity: Identity = field(default_factory=Identity)
    rating: Rating = CAR
    sleeps: bool = True
    soc_frozen: bool = False
    soh_zero: bool = False
    interlock_open: bool = False
    mode: Mode = Mode.PARKED
    contactors: Contactors = field(default_factory=Contactors)
    sensors: Sensors = field(init=False)
    counters: LifetimeCounters = field(init=False)
    charge: Charge = field(init=False)
    _power: Power = field(init=False)
    _curve: BelievedCurve = field(init=False)
    _estimate: ChargeEstimate = field(init=False)
    _scale: EnergyScale = field(init=False)
    _isolation: IsolationMonitor = field(init=False)
    _judgement: Judgement = field(init=False)
    _balancing: Balancing = field(init=False)
    _boards: dict[str, Board] = field(default_factory=dict)
    _slow_part: tuple[Any, ...] = ()
    _link_volts: float = 0.0
    _clock_us: int = 0
    _since_slow_s: float = 0.0
    _counted_as: float = 0.0
    _counted_j: float = 0.0
    _carried_as: float = 0.0

    def __post_init__(self) -> None:
        cells = len(self.first.cell_volts())
        self._power = Power(self.sleeps)
        self._judgement = Judgement(self.chemistry, self.rated_ah, self.rating)
        self._balancing = Balancing(self.chemistry.name, self.rated_ah)
        self._scale = EnergyScale(self.chemistry, cells, self.rated_ah)
        self._curve = BelievedCurve(self.chemistry, self.seed)
        board = used_board(self.seed, self.age_years, self.rated_ah, cells, self.first.pack_volts)
        self.sensors, self._isolation, self.counters = board
        self.sensors.sense(self.first.current_a, self.first.pack_volts, SLOW_US / 1e6)
        self.sensors.scan(self.first.cell_volts(), self.first.modules_c)
        self._believe(self.soh)
        self._judge(self.first, SLOW_US / 1e6)

    @property
    def awake(self) -> bool:
        """Whether it runs; asleep or booting it says nothing."""
        return self._power.awake

    @property
    def bleed(self) -> Mask | None:
        """Which bricks' balancing resistors are on; None for none."""
        return self._balancing.bleed

    @property
    def limits(self) -> Limits:
        """What may be asked of the pack."""
        return self._judgement.limits

    @property
    def cooling(self) -> float:
        """Cooling asked for, as a fraction of what the coolant can do."""
        return self._judgement.cooling

    @property
    def heating(self) -> float:
        """Heating asked for, likewise."""
        return self._judgement.heating

    @property
    def alerts(self) -> AlertMonitor:
        """The alerts and how they stand."""
        return self._judgement.alerts

    @property
    def charge_complete(self) -> bool:
        """Whether the charge that goes on has ended."""
        return self._judgement.charge_complete

    def step(self, truth: Truth, mode: Mode, dt_s: float) -> bool:
        """Run the fast task once and, when its time has come, the slow one; says whether it had."""
        began_us, self._clock_us = self._clock_us, self._clock_us + round(dt_s * 1e6)
        slow = self._clock_us // SLOW_US > began_us // SLOW_US
        self.mode = mode
        contactors, power = self.contactors, self._power
        busy = mode is not Mode.PARKED or self._balancing.wants or contactors.stage in _LIVE
        if power.step(dt_s, busy):
            self._begin_again(truth)
        self._since_slow_s += dt_s
        if power.awake:
            self._fast(truth, dt_s)
        if slow:
            if power.awake:
                self._slow(truth, self._since_slow_s)
            else:
                self._pass_by(self._since_slow_s)
            self._since_slow_s = 0.0
        return slow

    def carry(self, current_a: float, pack_volts: float, dt_s: float) -> None:
        """Measure and count the mean of a part of a long step in which current flowed one way; `step` then ends it."""
        self._clock_us += round(dt_s * 1e6)
        self._since_slow_s += dt_s
        sensors = self.sensors
        if self._power.awake:
            sensors.sense(current_a, pack_volts, dt_s)
            if self.contactors.stage in _FLOWS:
                through_as = sensors.raw_a * dt_s
                self.counters.count(through_as, through_as * sensors.pack_volts)
                self._carried_as += through_as

    def doze(self, dt_s: float, truth: Truth) -> None:
        """Leap over `dt_s` of sleep in a parked car, not beyond `next_wake_s`; nothing is measured."""
        self.step(truth, Mode.PARKED, dt_s)

    def next_wake_s(self) -> float:
        """Asleep: seconds until it wakes by itself. Booting: until it runs. Awake: 0."""
        return 0.0 if self._power.awake else max(0.0, self._power.left_s)

    def report(self) -> BmsReport:
        """A snapshot of everything the BMS knows."""
        sensors, contactors = self.sensors, self.contactors.report()
        fast = (sensors.pack_volts, sensors.smooth_a, sensors.raw_a, self._link_volts, contactors)
        return BmsReport._make((*fast, self.mode, self._power.awake, *self._slow_part))

    def reset(self, clear_counters: bool) -> None:
        """Start anew: the contactors drop, 0.3 s pass in silence. With `clear_counters` the whole memory is lost."""
        self._boot(clear_counters)
        if clear_counters:
            self.counters.clear()
        self.counters.resets += 1

    def clear_faults(self) -> None:
        """Forget the alerts, as a workshop's tester asks for; what is still wrong is found again."""
        self.alerts.clear()

    def swap_board(self, board_serial: str) -> None:
        """Another board with its own sensors, counters and name takes over; it knows nothing of these cells.

        A board that has been in this pack before comes back with what it had counted, unless that is many boards ago.
        """
        self._boards[self.identity.board_serial] = Board(self.sensors, self._isolation, self.counters)
        self.identity = replace(self.identity, board_serial=board_serial)
        board, old = self._boards.pop(board_serial, None), self.sensors
        if len(self._boards) > BOARDS_KEPT:
            del self._boards[next(iter(self._boards))]
        if board is None:
            source = random.Random(f"board {self.seed} {board_serial}")  # noqa: S311 - a simulation, not a secret
            years = years_of_health(source.uniform(0.85, 1.0))
            board = used_board(source.randrange(2**32), years, self.rated_ah, old.cells, old.pack_volts)
        for name in KINDS:
            board.sensors.free(name)
        board.sensors.cell_volts, board.sensors.temperatures_c = old.cell_volts, old.temperatures_c
        self.sensors, self._isolation, self.counters = board
        self._boot(memory_lost=True)

    def _boot(self, memory_lost: bool) -> None:
        self.contactors.drop()
        self.alerts.clear()
        self._isolation.restart()
        self._balancing.stop()
        self._power.boot()
        self._judgement.memory_lost = memory_lost
        self._counted_as = self._counted_j = self._carried_as = 0.0

    def _begin_again(self, truth: Truth) -> None:
        # A watchdog's reset finds charge and capacity in memory; one that lost it takes the voltages of this moment for
        # rested ones and the cells for new ones.
        self._judgement.begin_again()
        self.sensors.scan(truth.cell_volts(), truth.modules_c)
        if self._judgement.memory_lost:
            self._believe(1.0)

    def _believe(self, soh: float) -> None:
        self._estimate = ChargeEstimate(self._curve, self.rated_ah, self.rated_ah * soh, self.sensors.cell_volts)
        self.charge = self._estimate.charge()

    def _fast(self, truth: Truth, dt_s: float) -> None:
        sensors, contactors = self.sensors, self.contactors
        sensors.sense(truth.current_a, truth.pack_volts, dt_s)
        self._link_volts = truth.link_volts
        # With the contactors open the firmware knows that the current is zero, whatever the shunt's offset says.
        if contactors.stage in _FLOWS:
            through_as = sensors.raw_a * dt_s
            self._counted_as += through_as
            self._counted_j += through_as * sensors.pack_volts
        contactors.step(
            dt_s,
            wanted=self.mode is not Mode.PARKED,
            forbidden=self._judgement.alerts.opening,
            link_fraction=truth.link_volts / max(sensors.pack_volts, 1.0),
            current_a=sensors.raw_a,
            positive_closed=truth.positive_closed,
            negative_closed=truth.negative_closed,
        )

    def _slow(self, truth: Truth, dt_s: float) -> None:
        sensors, counters, balancing = self.sensors, self.counters, self._balancing
        sensors.scan(truth.cell_volts(), truth.modules_c)
        counters.count(self._counted_as, self._counted_j)
        counters.uptime_s += dt_s
        bled_as = balancing.bled_as(sensors.cell_volts, dt_s)
        through_as, self._carried_as = self._counted_as + self._carried_as, 0.0
        self._estimate.step(through_as, bled_as, sensors.cell_volts, dt_s)
        balancing.step(sensors.cell_volts, through_as / dt_s, self.mode is Mode.PARKED, dt_s)
        self._counted_as = self._counted_j = 0.0
        if not self.soc_frozen:
            self.charge = self._estimate.charge()
        self._judge(truth, dt_s)

    def _pass_by(self, dt_s: float) -> None:
        # Asleep (or booting) the clock goes on and the cells rest, unmeasured.
        self.counters.uptime_s += dt_s
        if self._power.phase is Phase.ASLEEP:
            self._estimate.sleep(self._balancing.sleep(self.sensors.cell_volts, dt_s), dt_s)
        self._remember()

    def _judge(self, truth: Truth, dt_s: float) -> None:
        isolation, judgement, pair = self._isolation, self._judgement, self.contactors
        isolation.step(truth.isolation_kohm, pair.stage is Stage.CLOSED, dt_s)
        was_complete = judgement.charge_complete
        judgement.step(self.sensors, self.charge, self.mode, pair, isolation.kohm, self.interlock_open, dt_s)
        if judgement.charge_complete and not was_complete:
            self._estimate.full()
        self._remember()

    def _remember(self) -> None:
        sensors, counters, charge, judgement = self.sensors, self.counters, self.charge, self._judgement
        scan = self._slow_part[0] + 1 if self._slow_part else 0
        capacity_ah = self._estimate.capacity_ah
        energy, soh = self._scale.energy(capacity_ah, charge.mean), min(1.0, capacity_ah / self.rated_ah)
        if self.soh_zero:  # where a bus carries no health, the energy of the full pack is what tells it
            energy, soh = energy._replace(full_kwh=0.0), 0.0
        self._slow_part = BmsReport(
            pack_volts=0.0,
            current_a=0.0,
            raw_current_a=0.0,
            link_volts=0.0,
            contactors=self.contactors.report(),
            mode=self.mode,
            awake=True,
            scan=scan,
            cell_volts=tuple(sensors.cell_volts.tolist()),
            temperatures_c=sensors.temperatures_c,
            soc=charge,
            energy=energy,
            soh=soh,
            capacity_ah=capacity_ah,
            charged_kwh=counters.charged_kwh,
            discharged_kwh=counters.discharged_kwh,
            charged_ah=counters.charged_ah,
            discharged_ah=counters.discharged_ah,
            cycles=counters.cycles(self.rated_ah),
            uptime_s=counters.uptime_s,
            resets=counters.resets,
            faulted=judgement.alerts.opening,
            interlock_open=self.interlock_open,
            isolation_kohm=self._isolation.kohm,
            limits=judgement.limits,
            charge_complete=judgement.charge_complete,
            cooling=judgement.cooling,
            heating=judgement.heating,
            balancing=self._balancing.count,
            alerts=judgement.alerts.active,
            identity=self.identity,
        )[FAST_FIELDS:]
