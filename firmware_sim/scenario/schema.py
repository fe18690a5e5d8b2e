"""A scenario file's tables and keys. What is not here is refused by name; numbers have bounds, and units in their names.

Only what one table can know of itself is checked here; what binds tables to each other is checked in `reading`.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from firmware_sim.car.cycles import CYCLES
from firmware_sim.scenario.duration import Duration, Moment
from packseal.tables import Broken, Table

EARLIEST = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
TOO_LATE = datetime.datetime(2201, 1, 1, tzinfo=datetime.UTC)

Pace = Literal["real", "leap"]
Firmware = Literal["tesla-model3", "pylontech"]
Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
Times = Annotated[int, Meta(ge=1, le=10_000)]
Identifier = Annotated[int, Meta(ge=0, le=0x7FF)]
Printable = Annotated[str, Meta(pattern=r"\A[ -~]{1,64}\Z", description="1 to 64 printable ASCII signs")]
Title = Annotated[str, Meta(pattern=r"\A[ -~]{1,120}\Z", description="1 to 120 printable ASCII signs")]
Name = Annotated[
    str,
    Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,63}\Z", description="1 to 64 of a-z, 0-9 and '-' with no leading '-'"),
]


class PackTable(Table):
    """[pack]: what the pack is made of, and its state at the start."""

    chemistry: Literal["NMC", "LFP"] = "NMC"
    cells: int = 96
    capacity_ah: Annotated[float, Meta(ge=1.0, le=1_000.0)] = 226.5
    soc: Fraction = 0.62
    age_years: Annotated[float, Meta(ge=0.0, le=30.0)] = 0.0
    ageing_acceleration: Annotated[float, Meta(ge=1.0, le=1_000.0)] = 1.0


class BmsTable(Table):
    """[bms]: the firmware, and who it says it is."""

    firmware: Firmware = "tesla-model3"
    software: Printable = "packseal-sim-1"
    pack_serial: Printable = "SIM-PACK-000001"
    board_serial: Printable = "SIM-BMS-000001"
    vin_answer: Printable = "SIMPACKSEAL000001"


class AmbientTable(Table):
    """[ambient]: the temperature around the car; half a swing up, half a swing down."""

    mean_c: Annotated[float, Meta(ge=-40.0, le=60.0)] = 20.0
    day_swing_k: Annotated[float, Meta(ge=0.0, le=40.0)] = 0.0
    year_swing_k: Annotated[float, Meta(ge=0.0, le=60.0)] = 0.0

    def __post_init__(self) -> None:
        away = (self.day_swing_k + self.year_swing_k) / 2
        if self.mean_c - away < -40.0 or self.mean_c + away > 60.0:
            raise ValueError(f"goes from {self.mean_c - away:g} to {self.mean_c + away:g} degC; keep it in -40 to 60")


class BusTable(Table):
    """[bus]: what else is on the bus."""

    load: Annotated[float, Meta(ge=0.0, le=0.95)] = 0.0


class UdsTable(Table):
    """[uds]: under which identifiers the BMS answers diagnostic requests."""

    enabled: bool | None = None
    request: Identifier = 0x602
    response: Identifier = 0x612
    functional: Identifier = 0x7DF


class StepTable(Table, tag_field="do", kw_only=True):
    """What all steps have."""

    pace: Pace | None = None


class DriveStep(StepTable, tag="drive", kw_only=True):
    """do = "drive": a lap of a cycle, or some, or as much of them as fits into a time."""

    cycle: Literal[tuple(CYCLES)]  # type: ignore[valid-type]  # the names are known when this is imported
    repeat: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    for_s: Duration | None = field(name="for", default=None)

    def __post_init__(self) -> None:
        if self.for_s is not None and self.repeat is not None:
            raise ValueError("give repeat or for, not both")


class ParkStep(StepTable, tag="park", kw_only=True):
    """do = "park"."""

    for_s: Duration = field(name="for")


class AcStep(StepTable, tag="charge-ac", kw_only=True):
    """do = "charge-ac": at a wall box; with `for` it stays plugged in that long."""

    power_kw: Annotated[float, Meta(gt=0.0, le=43.0)] = 11.0
    until_soc: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.8
    for_s: Duration | None = field(name="for", default=None)


class DcStep(StepTable, tag="charge-dc", kw_only=True):
    """do = "charge-dc": at a direct-current station; with `for` it stays plugged in that long."""

    power_kw: Annotated[float, Meta(gt=0.0, le=500.0)] = 150.0
    until_soc: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.8
    for_s: Duration | None = field(name="for", default=None)


class LoadStep(StepTable, tag="load", kw_only=True):
    """do = "load": something outside the car is fed, down to a floor."""

    power_kw: Annotated[float, Meta(gt=0.0, le=22.0)] = 1.0
    floor_soc: Fraction = 0.2
    for_s: Duration = field(name="for")


class RoutineStep(StepTable, tag="routine", kw_only=True):
    """do = "routine": the steps of a named routine, some times."""

    name: Name
    times: Times = 1


PlainStep = DriveStep | ParkStep | AcStep | DcStep | LoadStep
Step = PlainStep | RoutineStep


class RoutineTable(Table):
    """[[routine]]: steps that phases can name, such as a working day."""

    name: Name
    step: Annotated[tuple[PlainStep, ...], Meta(min_length=1)]


class PhaseTable(Table, kw_only=True):
    """[[phase]]: steps that are done some times, on the bus ("real") or leaped over with nobody listening ("leap")."""

    times: Times = 1
    pace: Pace = "real"
    step: Annotated[tuple[Step, ...], Meta(min_length=1)]


class FaultTable(Table, kw_only=True):
    """[[fault]]: what goes wrong, when after the start, and for how long.

    All other keys are the fault's own, kind and parameters, for the catalogue of faults to judge: `reading` puts them into `own`.
    """

    at_s: Moment = field(name="at")
    for_s: Duration | None = field(name="for", default=None)
    own: dict[str, Any]


class Scenario(Table, kw_only=True):
    """The whole file."""

    title: Title
    seed: Annotated[int, Meta(ge=0)] = 1
    start: datetime.datetime = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    pack: PackTable = PackTable()
    bms: BmsTable = BmsTable()
    ambient: AmbientTable = AmbientTable()
    bus: BusTable = BusTable()
    uds: UdsTable = UdsTable()
    routine: tuple[RoutineTable, ...] = ()
    phase: Annotated[tuple[PhaseTable, ...], Meta(min_length=1)]
    fault: tuple[FaultTable, ...] = ()

    @property
    def answers_diagnosis(self) -> bool:
        """Whether diagnostic requests are answered; a Pylontech store knows none."""
        return self.bms.firmware == "tesla-model3" if self.uds.enabled is None else self.uds.enabled

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise Broken("start", "give the time zone, as in 2026-03-10T06:30:00Z")
        if not EARLIEST <= self.start < TOO_LATE:  # moments, whatever their time zones; not years as they are written
            raise Broken("start", "give a year from 1970 to 2200, in UTC")
