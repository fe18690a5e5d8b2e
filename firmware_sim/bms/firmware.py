"""The battery management system: it senses, estimates, limits, warns, and works the contactors.

Pure. A fast task (10 ms) reads the shunt and the pack voltage and steps the contactors; a slow one (100 ms) scans the
bricks and thermistors and judges. It sees the truth only through its sensors; how a report is put on a bus is the
encoder's business.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from firmware_sim.bms.alerts import AlertMonitor, Vitals
from firmware_sim.bms.contactors import ContactorReport, Contactors, Stage
from firmware_sim.bms.estimate import ChargeEstimate, Energy, LifetimeEnergy, Shunt, energy_of
from firmware_sim.bms.limits import Condition, Limits, limits_for
from firmware_sim.car.driving import Mode
from firmware_sim.cells.physics import Cells

SLOW_S = 0.1
SENSORS = 8
RATED_AH = 230.0
RESERVE = 0.045  # of the charge is below the driver's zero


@dataclass(frozen=True, slots=True)
class Truth:
    """What the sensors touch: amperes positive into the battery, volts, degC. `cell_volts` is asked when scanned."""

    current_a: float
    pack_volts: float
    cell_volts: Callable[[], Cells]
    link_volts: float
    temperature_c: float


@dataclass(frozen=True, slots=True)
class Charge:
    """State of charge as a fraction: of the emptiest, the mean and the fullest brick, and as the driver sees it."""

    low: float
    mean: float
    high: float
    shown: float


@dataclass(frozen=True, slots=True)
class BmsReport:
    """Everything the BMS knows at one moment, in engineering units; what the bus carries is this, rounded."""

    pack_volts: float
    current_a: float
    raw_current_a: float
    cell_volts: tuple[float, ...]
    temperatures_c: tuple[float, ...]
    soc: Charge
    energy: Energy
    charged_kwh: float
    discharged_kwh: float
    contactors: ContactorReport
    mode: Mode
    faulted: bool
    isolation_kohm: float
    limits: Limits
    cooling: float
    alerts: frozenset[int]


@dataclass(slots=True)
class Bms:
    """The firmware of one pack, booted on a rested pack: give it its first `Truth` and its seed."""

    first: Truth
    seed: int
    soh: float = 0.98
    contactors: Contactors = field(default_factory=Contactors)
    alerts: AlertMonitor = field(default_factory=AlertMonitor)
    cooling: float = 0.0
    limits: Limits = field(init=False)
    _noise: np.random.Generator = field(init=False)
    _shunt: Shunt = field(init=False)
    _count: ChargeEstimate = field(init=False)
    charge: Charge = field(init=False)
    _lifetime: LifetimeEnergy = field(init=False)
    _gradient: Cells = field(init=False)
    _bricks: Cells = field(init=False)
    _brick_volts: tuple[float, ...] = field(init=False)
    _temperatures: tuple[float, ...] = field(init=False)
    _pack_volts: float = field(init=False)
    _isolation_kohm: float = field(init=False)
    _energy: Energy = field(init=False)
    _mode: Mode = Mode.PARKED
    _counted_as: float = 0.0
    _since_slow_s: float = 0.0

    def __post_init__(self) -> None:
        self._noise = np.random.default_rng([self.seed, 2])
        source = random.Random(f"sensors {self.seed}")  # noqa: S311 - a simulation, not a secret
        self._shunt = Shunt(source)
        self._gradient = self._noise.normal(0.0, 0.5, SENSORS)
        self._isolation_kohm = source.uniform(3_000.0, 6_000.0)
        charged = source.uniform(4_000.0, 15_000.0)
        self._lifetime = LifetimeEnergy(charged, charged * source.uniform(0.93, 0.96))
        self._pack_volts = self.first.pack_volts
        self._scan(self.first)
        self._count = ChargeEstimate(RATED_AH * self.soh, self._bricks)
        self._judge(SLOW_S)

    def step(self, truth: Truth, mode: Mode, dt_s: float) -> None:
        """Run the fast task once and, when its time has come, the slow one."""
        self._mode = mode
        self._shunt.read(truth.current_a, dt_s)
        self._pack_volts = truth.pack_volts + self._noise.normal(0.0, 0.03)
        self._lifetime.add(self._pack_volts * self._shunt.raw_a, dt_s if self._flows() else 0.0)
        self._counted_as += self._shunt.raw_a * dt_s if self._flows() else 0.0
        self.contactors.step(
            dt_s,
            wanted=mode is not Mode.PARKED,
            forbidden=self.alerts.opening,
            link_fraction=truth.link_volts / max(self._pack_volts, 1.0),
            current_a=self._shunt.raw_a,
        )
        self._since_slow_s += dt_s
        if self._since_slow_s > SLOW_S - dt_s / 2:
            self._scan(truth)
            self._count.step(self._counted_as, self._bricks, self._since_slow_s)
            self._judge(self._since_slow_s)
            self._counted_as = self._since_slow_s = 0.0

    def report(self) -> BmsReport:
        """A snapshot of everything the BMS knows."""
        return BmsReport(
            pack_volts=self._pack_volts,
            current_a=self._shunt.smooth_a,
            raw_current_a=self._shunt.raw_a,
            cell_volts=self._brick_volts,
            temperatures_c=self._temperatures,
            soc=self.charge,
            energy=self._energy,
            charged_kwh=self._lifetime.charged_kwh,
            discharged_kwh=self._lifetime.discharged_kwh,
            contactors=self.contactors.report(),
            mode=self._mode,
            faulted=self.alerts.opening,
            isolation_kohm=self._isolation_kohm,
            limits=self.limits,
            cooling=self.cooling,
            alerts=self.alerts.active,
        )

    def _flows(self) -> bool:
        # With the contactors open the firmware knows that the current is zero, whatever the shunt's offset says.
        return self.contactors.stage is not Stage.OPEN

    def _scan(self, truth: Truth) -> None:
        volts = truth.cell_volts()
        self._bricks = np.round(volts + self._noise.normal(0.0, 0.3e-3, len(volts)), 4)
        self._brick_volts = tuple(self._bricks.tolist())
        warmer = self._gradient * (1.0 + min(2.0, abs(truth.current_a) / 200.0))
        sensed = truth.temperature_c + warmer + self._noise.normal(0.0, 0.05, SENSORS)
        self._temperatures = tuple(sensed.tolist())

    def _judge(self, dt_s: float) -> None:
        bricks, temperatures, socs = self._brick_volts, self._temperatures, self._count.soc
        low_v, high_v, low_c, high_c = min(bricks), max(bricks), min(temperatures), max(temperatures)
        soc = float(socs.mean())
        shown = min(1.0, max(0.0, (soc - RESERVE) / (1.0 - RESERVE)))
        self.charge = Charge(float(socs.min()), soc, float(socs.max()), shown)
        self._isolation_kohm += self._noise.normal(0.0, 4.0)
        self._isolation_kohm = min(8_000.0, max(2_500.0, self._isolation_kohm))
        self.limits = limits_for(Condition(len(bricks), soc, low_v, high_v, low_c, high_c, self._shunt.raw_a))
        self.cooling = min(1.0, max(0.0, (high_c - 32.0) / 10.0))
        self._energy = energy_of(RATED_AH * self.soh, RATED_AH, len(bricks), soc)
        limit = self.limits.charge_a if self._shunt.raw_a > 0 else self.limits.discharge_a
        self.alerts.step(
            Vitals(
                brick_min_v=low_v,
                brick_max_v=high_v,
                brick_mean_v=self._pack_volts / len(bricks),
                current_a=self._shunt.raw_a,
                current_limit_a=limit,
                temperature_min_c=low_c,
                temperature_max_c=high_c,
                isolation_kohm=self._isolation_kohm,
                soc=soc,
                soc_spread=self.charge.high - self.charge.low,
                charging=self._mode in (Mode.CHARGE_AC, Mode.CHARGE_DC),
                precharge_failed=self.contactors.stage is Stage.BLOCKED,
                forced_open=self.alerts.opening,
            ),
            dt_s,
        )
