"""A scenario file's tables and keys. What is not here is refused by name; numbers have bounds, and units in their names.

Only what one table can know of itself is checked here; what binds tables to each other is checked in `reading`.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from firmware_sim.car.cycles import CYCLES
from firmware_sim.scenario.duration import Duration, Moment

EARLIEST = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
TOO_LATE = datetime.datetime(2201, 1, 1, tzinfo=datetime.UTC)

Pace = Literal["real", "leap"]
Firmware = Literal["tesla-model3", "pylontech"]
Fraction = Annotated[float, Field(ge=0.0, le=1.0, strict=False)]
Printable = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[ -~]+$")]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9-]*$")]
Identifier = Annotated[int, Field(ge=0, le=0x7FF)]


class Table(BaseModel):
    """Unknown keys are refused, and a text is not a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PackTable(Table):
    """[pack]: what the pack is made of, and its state at the start."""

    chemistry: Literal["NMC", "LFP"] = "NMC"
    cells: int = 96
    capacity_ah: float = Field(226.5, ge=1.0, le=1_000.0, strict=False)
    soc: Fraction = 0.62
    age_years: float = Field(0.0, ge=0.0, le=30.0, strict=False)
    ageing_acceleration: float = Field(1.0, ge=1.0, le=1_000.0, strict=False)


class BmsTable(Table):
    """[bms]: the firmware, and who it says it is."""

    firmware: Firmware = "tesla-model3"
    software: Printable = "packseal-sim-1"
    pack_serial: Printable = "SIM-PACK-000001"
    board_serial: Printable = "SIM-BMS-000001"
    vin_answer: Printable = "SIMPACKSEAL000001"


class AmbientTable(Table):
    """[ambient]: the temperature around the car; half a swing up, half a swing down."""

    mean_c: float = Field(20.0, ge=-40.0, le=60.0, strict=False)
    day_swing_k: float = Field(0.0, ge=0.0, le=40.0, strict=False)
    year_swing_k: float = Field(0.0, ge=0.0, le=60.0, strict=False)

    @model_validator(mode="after")
    def _survivable(self) -> AmbientTable:
        away = (self.day_swing_k + self.year_swing_k) / 2
        if self.mean_c - away < -40.0 or self.mean_c + away > 60.0:
            raise ValueError(f"goes from {self.mean_c - away:g} to {self.mean_c + away:g} degC; keep it in -40 to 60")
        return self


class BusTable(Table):
    """[bus]: what else is on the bus."""

    load: float = Field(0.0, ge=0.0, le=0.95, strict=False)


class UdsTable(Table):
    """[uds]: under which identifiers the BMS answers diagnostic requests."""

    enabled: bool | None = None
    request: Identifier = 0x602
    response: Identifier = 0x612
    functional: Identifier = 0x7DF


class DriveStep(Table):
    """do = "drive": laps of a cycle, or as much of them as fits into a time."""

    do: Literal["drive"]
    cycle: Literal[tuple(CYCLES)]  # type: ignore[valid-type]  # the names are known when this is imported
    repeat: int = Field(1, ge=1, le=1_000)
    for_s: Duration | None = Field(None, alias="for")
    pace: Pace | None = None

    @model_validator(mode="after")
    def _one_length(self) -> DriveStep:
        if self.for_s is not None and "repeat" in self.model_fields_set:
            raise ValueError("give repeat or for, not both")
        return self


class ParkStep(Table):
    """do = "park"."""

    do: Literal["park"]
    for_s: Duration = Field(alias="for")
    pace: Pace | None = None


class AcStep(Table):
    """do = "charge-ac": at a wall box; with `for` it stays plugged in that long."""

    do: Literal["charge-ac"]
    power_kw: float = Field(11.0, gt=0.0, le=43.0, strict=False)
    until_soc: float = Field(0.8, gt=0.0, le=1.0, strict=False)
    for_s: Duration | None = Field(None, alias="for")
    pace: Pace | None = None


class DcStep(Table):
    """do = "charge-dc": at a direct-current station; with `for` it stays plugged in that long."""

    do: Literal["charge-dc"]
    power_kw: float = Field(150.0, gt=0.0, le=500.0, strict=False)
    until_soc: float = Field(0.8, gt=0.0, le=1.0, strict=False)
    for_s: Duration | None = Field(None, alias="for")
    pace: Pace | None = None


class LoadStep(Table):
    """do = "load": something outside the car is fed, down to a floor."""

    do: Literal["load"]
    power_kw: float = Field(1.0, gt=0.0, le=22.0, strict=False)
    floor_soc: Fraction = 0.2
    for_s: Duration = Field(alias="for")
    pace: Pace | None = None


class RoutineStep(Table):
    """do = "routine": the steps of a named routine, some times."""

    do: Literal["routine"]
    name: Name
    times: int = Field(1, ge=1, le=10_000)
    pace: Pace | None = None


PlainStep = Annotated[DriveStep | ParkStep | AcStep | DcStep | LoadStep, Field(discriminator="do")]
Step = Annotated[DriveStep | ParkStep | AcStep | DcStep | LoadStep | RoutineStep, Field(discriminator="do")]


class RoutineTable(Table):
    """[[routine]]: steps that phases can name, such as a working day."""

    name: Name
    step: Annotated[tuple[PlainStep, ...], Field(strict=False, min_length=1)]


class PhaseTable(Table):
    """[[phase]]: steps that are done some times, on the bus ("real") or leaped over with nobody listening ("leap")."""

    times: int = Field(1, ge=1, le=10_000)
    pace: Pace = "real"
    step: Annotated[tuple[Step, ...], Field(strict=False, min_length=1)]


class FaultTable(BaseModel):
    """[[fault]]: what goes wrong, when after the start, and for how long; the other keys are the fault's own."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    at_s: Moment = Field(alias="at")
    for_s: Duration | None = Field(None, alias="for")

    def own(self) -> dict[str, Any]:
        """Kind and parameters, for the catalogue of faults to judge."""
        return dict(self.__pydantic_extra__ or {})


class Scenario(Table):
    """The whole file."""

    title: Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[ -~]+$")]
    seed: int = Field(1, ge=0, lt=1 << 63)
    start: datetime.datetime = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    pack: PackTable = PackTable()
    bms: BmsTable = BmsTable()
    ambient: AmbientTable = AmbientTable()
    bus: BusTable = BusTable()
    uds: UdsTable = UdsTable()
    routine: Annotated[tuple[RoutineTable, ...], Field(strict=False)] = ()
    phase: Annotated[tuple[PhaseTable, ...], Field(strict=False, min_length=1)]
    fault: Annotated[tuple[FaultTable, ...], Field(strict=False)] = ()

    @property
    def answers_diagnosis(self) -> bool:
        """Whether diagnostic requests are answered; a Pylontech store knows none."""
        return self.bms.firmware == "tesla-model3" if self.uds.enabled is None else self.uds.enabled

    @field_validator("start")
    @classmethod
    def _in_utc(cls, start: datetime.datetime) -> datetime.datetime:
        if start.tzinfo is None:
            raise ValueError("give the time zone, as in 2026-03-10T06:30:00Z")
        if not EARLIEST <= start < TOO_LATE:  # moments, whatever their time zones; not years as they are written
            raise ValueError("give a year from 1970 to 2200, in UTC")
        return start.astimezone(datetime.UTC)
