"""Which of the firmware's alerts and limits are which flag of a Pylontech-speaking pack. Pure."""

from __future__ import annotations

from firmware_sim.bms.alerts import CHARGE_BEYOND, CHARGE_OVER, DISCHARGE_BEYOND, DISCHARGE_OVER
from firmware_sim.bms.report import BmsReport

OVER_VOLTAGE = frozenset({17, 23})
UNDER_VOLTAGE = frozenset({18, 146})
OVER_TEMPERATURE = frozenset({19})
UNDER_TEMPERATURE: frozenset[int] = frozenset()  # this firmware slows down in the cold, it does not switch off
OVER_CHARGE_CURRENT = frozenset({CHARGE_OVER})
OVER_DISCHARGE_CURRENT = frozenset({DISCHARGE_OVER})
SYSTEM = frozenset({36, 83, 123, 151, 163, 166})  # out of order for a reason that has no flag of its own
HIGH_VOLTAGE = frozenset({138})
LOW_VOLTAGE = frozenset({137})
HIGH_TEMPERATURE = frozenset({136})
LOW_TEMPERATURE = frozenset({7})
HIGH_CHARGE_CURRENT = frozenset({CHARGE_BEYOND})
HIGH_DISCHARGE_CURRENT = frozenset({DISCHARGE_BEYOND})
INTERNAL = frozenset({35, 41, 43, 62, 64})

FORCE_SOON = 0.10
FORCE_NOW = 0.05


def mean_c(r: BmsReport) -> float:
    """Mean of all thermistors, degC."""
    return sum(r.temperatures_c) / len(r.temperatures_c)


def raised(r: BmsReport, numbers: frozenset[int]) -> bool:
    """One of the alerts is active."""
    return not r.alerts.isdisjoint(numbers)


def may_charge(r: BmsReport) -> bool:
    """An inverter may charge."""
    return not r.faulted and not r.charge_complete and r.limits.charge_a > 0.0


def may_discharge(r: BmsReport) -> bool:
    """An inverter may discharge."""
    return not r.faulted and r.limits.discharge_a > 0.0
