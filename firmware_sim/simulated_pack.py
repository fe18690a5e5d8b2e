"""One simulated pack in its car: physics, firmware and driver, stepped together. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from firmware_sim.bms.contactors import Stage
from firmware_sim.bms.firmware import Bms, BmsReport, Truth
from firmware_sim.car.driving import Demand, DrivePattern, Driver, Mode
from firmware_sim.cells.physics import DcLink, PackPhysics, PackSpec

STEP_US = 10_000
STEP_S = STEP_US / 1e6
REFERENCE_CELLS = 96


@dataclass(slots=True)
class SimulatedPack:
    """Physics and the firmware that watches it; `advance_to` moves both on in steps of 10 ms.

    Without a `driver` the car drives, parks and charges by the seeded pattern.
    """

    spec: PackSpec
    seed: int
    driver: Driver | None = None
    physics: PackPhysics = field(init=False)
    bms: Bms = field(init=False)
    demand: Demand = field(init=False)
    time_us: int = 0
    _driver: Driver = field(init=False)
    _link: DcLink = field(init=False)

    def __post_init__(self) -> None:
        self.physics = PackPhysics(self.spec, self.seed)
        self._driver = self.driver or DrivePattern(self.seed)
        self._link = DcLink()
        self.demand = Demand(Mode.PARKED, 0.0)
        self.bms = Bms(self._truth(), self.seed)

    def advance_to(self, time_us: int) -> bool:
        """Step up to the last whole step not after `time_us`; says whether any step was made."""
        moved = False
        while self.time_us + STEP_US <= time_us:
            self._step()
            self.time_us += STEP_US
            moved = True
        return moved

    def report(self) -> BmsReport:
        """What the firmware knows at the last step."""
        return self.bms.report()

    def _step(self) -> None:
        self.demand = self._driver.advance(STEP_S, self.bms.charge.shown)
        self.physics.step(self._current(), STEP_S, self.bms.cooling)
        self.bms.step(self._truth(), self.demand.mode, STEP_S)

    def _current(self) -> float:
        volts = self.physics.pack_volts()
        stage = self.bms.contactors.stage
        if stage is Stage.PRECHARGE:
            return self._link.precharge(volts, STEP_S)
        if stage is not Stage.CLOSED:
            self._link.bleed(STEP_S)
            return 0.0
        self._link.follow(volts)
        power = self.demand.power_w * self.spec.cells / REFERENCE_CELLS
        limits = self.bms.limits
        into_w = limits.regen_kw * 1_000.0 if self.demand.mode is Mode.DRIVE else limits.charge_a * volts
        power = min(into_w, max(-limits.discharge_kw * 1_000.0, power))
        return power / max(volts, 0.5 * self.spec.cells)

    def _truth(self) -> Truth:
        physics = self.physics
        return Truth(
            physics.current_a, physics.pack_volts(), physics.cell_volts, self._link.volts, physics.temperature_c
        )
