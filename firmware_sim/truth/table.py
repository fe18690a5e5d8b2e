"""The columns of the written truth: name, unit, meaning, how many decimals, and where the value comes from. Pure.

A row is what really was at one instant; the firmware's opinion is on the bus. Both file formats hold the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["number", "whole", "flag", "text"]
Value = float | int | bool | str

JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class TruthRow:
    """What really was at `time_us` after the start; amperes are positive into the battery, joules since the start."""

    time_us: int
    unix_ms: int
    mode: str
    awake: bool
    current_a: float
    pack_volts: float
    link_volts: float
    soc: Sequence[float]
    capacity_ah: Sequence[float]
    health: float
    resistance_growth: float
    modules_c: Sequence[float]
    ambient_c: float
    isolation_kohm: float
    positive_closed: bool
    negative_closed: bool
    balancing: int
    speed_m_s: float
    odometer_m: float
    delivered_in_j: float
    delivered_out_j: float
    heat_j: float
    stored_j: float
    aged_j: float
    faults: tuple[str, ...]
    cell_volts: Sequence[float]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the file; a number is rounded to `decimals`, the same in every format."""

    name: str
    unit: str
    meaning: str
    take: Callable[[TruthRow], Any]
    kind: Kind = "number"
    decimals: int = 6

    def value(self, row: TruthRow) -> Value:
        """What is written for a row."""
        taken = self.take(row)
        if self.kind == "number":
            return round(float(taken), self.decimals)
        return {"whole": int, "flag": bool, "text": str}[self.kind](taken)  # type: ignore[no-any-return]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


_BEFORE = (
    Column("time_s", "s", "since the start", lambda row: row.time_us / 1e6, decimals=3),
    Column("unix_ms", "ms", "Unix time", lambda row: row.unix_ms, "whole"),
    Column("mode", "", "what the car does", lambda row: row.mode, "text"),
    Column("awake", "", "whether the BMS is on the bus", lambda row: row.awake, "flag"),
    Column("current_a", "A", "into the battery", lambda row: row.current_a, decimals=4),
    Column("pack_volts", "V", "at the pack's terminals", lambda row: row.pack_volts, decimals=4),
    Column("link_volts", "V", "behind the contactors", lambda row: row.link_volts, decimals=3),
    Column("soc_min", "", "fraction of true capacity, emptiest cell", lambda row: min(row.soc)),
    Column("soc_mean", "", "fraction of true capacity, mean of the cells", lambda row: _mean(row.soc)),
    Column("soc_max", "", "fraction of true capacity, fullest cell", lambda row: max(row.soc)),
    Column("capacity_min_ah", "Ah", "of the weakest cell, now", lambda row: min(row.capacity_ah), decimals=4),
    Column("capacity_mean_ah", "Ah", "mean of the cells, now", lambda row: _mean(row.capacity_ah), decimals=4),
    Column("health", "", "capacity now by capacity when new", lambda row: row.health),
    Column("resistance_growth", "", "resistance now by resistance when new", lambda row: row.resistance_growth),
    Column("ambient_c", "degC", "around the car", lambda row: row.ambient_c, decimals=3),
    Column("isolation_kohm", "kohm", "from the pack to the body", lambda row: row.isolation_kohm, decimals=2),
    Column("positive_closed", "", "the positive contact, as it is", lambda row: row.positive_closed, "flag"),
    Column("negative_closed", "", "the negative contact, as it is", lambda row: row.negative_closed, "flag"),
    Column("balancing", "", "cells that are being bled", lambda row: row.balancing, "whole"),
    Column("speed_m_s", "m/s", "of the car", lambda row: row.speed_m_s, decimals=3),
    Column("odometer_km", "km", "driven since the start", lambda row: row.odometer_m / 1_000.0, decimals=5),
    Column("energy_in_kwh", "kWh", "through the terminals, in", lambda row: row.delivered_in_j / JOULES_PER_KWH),
    Column("energy_out_kwh", "kWh", "through the terminals, out", lambda row: row.delivered_out_j / JOULES_PER_KWH),
    Column(
        "heat_kwh", "kWh", "all heat from the cells' own energy, leaks too", lambda row: row.heat_j / JOULES_PER_KWH
    ),
    # in - out = heat + aged + what stored has grown by; heat that a fault puts into a module is in none of them.
    Column("aged_kwh", "kWh", "energy in capacity that was lost", lambda row: row.aged_j / JOULES_PER_KWH),
    Column("stored_kwh", "kWh", "in the cells, counted from empty", lambda row: row.stored_j / JOULES_PER_KWH),
    Column("faults", "", "active ones, joined by ;", lambda row: ";".join(row.faults), "text"),
)


def columns(cells: int, modules: int) -> tuple[Column, ...]:
    """All columns for a pack of so many cells and modules, in the order of the file."""
    return (*_BEFORE, *(_module(number) for number in range(modules)), *(_cell(number) for number in range(cells)))


def _module(index: int) -> Column:
    return Column(
        f"module_{index + 1}_c", "degC", "mean of the module", lambda row: float(row.modules_c[index]), decimals=3
    )


def _cell(index: int) -> Column:
    return Column(f"cell_{index + 1}", "V", "at the terminals", lambda row: float(row.cell_volts[index]), decimals=5)
