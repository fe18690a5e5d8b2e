"""Puts a scenario on the stage: the pack, its car, its climate and its faults, made from what the file says. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from firmware_sim.bms.contactors import Stage
from firmware_sim.bms.identity import Identity
from firmware_sim.bms.limits import CAR, STORAGE
from firmware_sim.car.demand import Demand, Mode
from firmware_sim.car.scenario_driver import ScenarioDriver
from firmware_sim.cells.chemistry import CHEMISTRIES
from firmware_sim.cells.spec import PackSpec
from firmware_sim.faults import catalogue
from firmware_sim.faults.catalogue import Fault
from firmware_sim.scenario.ambient import Ambient
from firmware_sim.scenario.plan import outings, unrolled
from firmware_sim.scenario.schema import Scenario
from firmware_sim.simulated_pack import SimulatedPack


@dataclass(slots=True)
class _Around:
    """What errands see of the pack; bound once both are there."""

    pack: SimulatedPack | None = None

    @property
    def ambient_c(self) -> float:
        """Temperature around the car, degC."""
        return self.pack.physics.ambient_c if self.pack else 0.0

    @property
    def powered(self) -> bool:
        """Whether the pack is connected to the car."""
        return self.pack is not None and self.pack.bms.contactors.stage is Stage.CLOSED

    @property
    def charge_complete(self) -> bool:
        """Whether the firmware has ended the charge."""
        return self.pack is not None and self.pack.bms.charge_complete


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault with its times after the start, microseconds; without an end it stays."""

    start_us: int
    end_us: int | None
    fault: Fault


def stage(scenario: Scenario, seed: int, start_unix_us: int) -> SimulatedPack:
    """The scenario's pack at its first moment."""
    ambient = scenario.ambient
    climate = Ambient(ambient.mean_c, ambient.day_swing_k, ambient.year_swing_k)
    start_s = scenario.start.timestamp()
    made = scenario.pack
    spec = PackSpec(
        chemistry=CHEMISTRIES[made.chemistry],
        cells=made.cells,
        capacity_ah=made.capacity_ah,
        soc=made.soc,
        ambient_c=climate.at(start_s),
        age_years=made.age_years,
        ageing_acceleration=made.ageing_acceleration,
    )
    stationary = scenario.bms.firmware == "pylontech"
    around = _Around()
    driver = ScenarioDriver(outings(scenario, seed, around))
    pack = SimulatedPack(
        spec,
        seed,
        driver,
        identity=identity(scenario),
        climate=lambda time_us: climate.at(start_s + time_us / 1e6),
        start_unix_us=start_unix_us,
        rated_ah=made.capacity_ah,
        rating=STORAGE if stationary else CAR,
        sleeps=not stationary,
        ends=lambda: driver.over,
        demand=Demand(Mode.PARKED, 0.0, leap=next(unrolled(scenario)).pace == "leap"),
    )
    around.pack = pack
    return pack


def identity(scenario: Scenario) -> Identity:
    """Who the scenario's firmware says it is."""
    bms = scenario.bms
    return Identity(bms.pack_serial, bms.board_serial, bms.software, bms.vin_answer.encode("ascii"))


def planned_faults(scenario: Scenario) -> list[PlannedFault]:
    """The scenario's faults; `load` has checked them."""
    return [
        PlannedFault(
            round(each.at_s * 1e6),
            None if each.for_s is None else round((each.at_s + each.for_s) * 1e6),
            catalogue.read(each.own, f"fault.{number}", cells=scenario.pack.cells),
        )
        for number, each in enumerate(scenario.fault, 1)
    ]


def appointments_us(faults: Iterable[PlannedFault]) -> tuple[int, ...]:
    """The times at which something begins or ends, in order."""
    times = {time for fault in faults for time in (fault.start_us, fault.end_us) if time is not None}
    return tuple(sorted(times))
