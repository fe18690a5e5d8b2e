"""The BMS's alerts: thresholds with hysteresis in value and debounce in time, as one table for each chemistry.

Pure. Numbers are those of the car's alert matrix (a001 to a180); only rules that this firmware can judge are here,
the other bits stay zero. What only a store warns of has numbers beyond the matrix.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from firmware_sim.bms.isolation import FAULT_OHM_PER_V, WARN_OHM_PER_V


class Vitals(NamedTuple):
    """What alerts are judged by: volts, degC, ohms for every volt of the pack.

    `over_limit_c` is the current beyond its limit, as a multiple of the capacity; `inward` says which way it flows.
    """

    brick_min_v: float
    brick_max_v: float
    brick_mean_v: float
    over_limit_c: float
    inward: bool
    temperature_min_c: float
    temperature_max_c: float
    isolation_ohm_per_v: float
    soc: float
    soc_spread: float
    charging: bool
    closed: bool
    precharge_failed: bool
    forced_open: bool
    interlock_open: bool
    mismatch: bool
    welded: bool
    memory_lost: bool
    watchdog_bit: bool


class Opens(enum.Enum):
    """When an active alert opens the contactors and keeps them open."""

    NEVER = "never"
    CHARGING = "while charging"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """Raise when `level` has been at or above `raise_at` for `raise_s`; clear below `clear_at` for `clear_s`.

    A level of None cannot be judged now: the alert stays as it is. One that `stays` is not cleared but by `clear`.
    """

    number: int
    meaning: str
    level: Callable[[Vitals], float | None]
    raise_at: float
    clear_at: float
    raise_s: float
    clear_s: float
    opens: Opens = Opens.NEVER
    stays: bool = False


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The voltages of a chemistry at which alerts are raised and cleared: of a brick, in volts."""

    over: tuple[float, float]
    over_warning: tuple[float, float]
    over_mean: tuple[float, float]
    under: tuple[float, float]
    under_warning: tuple[float, float]
    over_discharged: tuple[float, float]
    imbalance: tuple[float, float]


THRESHOLDS: Mapping[str, Thresholds] = {
    "NMC": Thresholds(
        over=(4.25, 4.20),
        over_warning=(4.215, 4.19),
        over_mean=(4.23, 4.20),
        under=(2.50, 2.80),
        under_warning=(2.90, 3.05),
        over_discharged=(2.00, 2.50),
        imbalance=(0.15, 0.10),
    ),
    # Near its ends the curve of iron phosphate is so steep that healthy bricks are far apart.
    "LFP": Thresholds(
        over=(3.75, 3.60),
        over_warning=(3.69, 3.60),
        over_mean=(3.70, 3.60),
        under=(2.30, 2.60),
        under_warning=(2.60, 2.85),
        over_discharged=(2.00, 2.30),
        imbalance=(0.30, 0.20),
    ),
}


def _rules(limits: Thresholds) -> tuple[AlertRule, ...]:
    rule, always = AlertRule, Opens.ALWAYS
    over, warm, mean = limits.over, limits.over_warning, limits.over_mean
    under, low, dead = limits.under, limits.under_warning, limits.over_discharged
    apart = limits.imbalance
    warn, fault = -WARN_OHM_PER_V, -FAULT_OHM_PER_V
    return (
        rule(7, "charging slowed, cold", lambda v: -v.temperature_min_c if v.charging else -99, -5, -7, 5, 10),
        rule(17, "brick over-voltage", lambda v: v.brick_max_v, *over, 0.5, 5, always),
        rule(18, "brick under-voltage", lambda v: -v.brick_min_v, -under[0], -under[1], 0.5, 5, always),
        rule(19, "module over-temperature", lambda v: v.temperature_max_c, 60, 55, 2, 10, always),
        rule(22, "over-current", lambda v: v.over_limit_c, 0.26, 0.05, 0.5, 5, always),
        rule(23, "stack over-voltage", lambda v: v.brick_mean_v, *mean, 0.5, 5, always),
        rule(35, "isolation low", lambda v: -v.isolation_ohm_per_v, warn, 1.2 * warn, 3, 10),
        rule(36, "high-voltage interlock open", lambda v: v.interlock_open, 0.5, 0.5, 0.1, 1, always),
        rule(41, "destructive reset: memory lost", lambda v: v.memory_lost, 0.5, 0.5, 0, 0),
        rule(43, "watchdog reset", lambda v: v.watchdog_bit, 0.5, 0.5, 0, 0),
        rule(62, "brick voltage imbalance", lambda v: v.brick_max_v - v.brick_min_v, *apart, 5, 10),
        rule(64, "state of charge imbalance", lambda v: v.soc_spread, 0.10, 0.08, 5, 10),
        rule(69, "low power", lambda v: -v.soc, -0.05, -0.07, 2, 10),
        rule(82, "contactors forced open", lambda v: v.forced_open, 0.5, 0.5, 0, 1),
        rule(83, "contactors failed to close", lambda v: v.precharge_failed, 0.5, 0.5, 0, 1),
        # With the contactors open only the pack itself can leak; with them closed it may be anything in the car.
        rule(123, "internal isolation lost", _isolation_when(closed=False), fault, 2 * fault, 3, 10, always),
        rule(136, "module over-temperature warning", lambda v: v.temperature_max_c, 52, 48, 2, 10),
        rule(137, "brick under-voltage warning", lambda v: -v.brick_min_v, -low[0], -low[1], 1, 5),
        rule(138, "brick over-voltage warning", lambda v: v.brick_max_v, *warm, 1, 5),
        rule(146, "brick over-discharged", lambda v: -v.brick_min_v, -dead[0], -dead[1], 0.5, 60, always),
        rule(151, "external isolation lost", _isolation_when(closed=True), fault, 2 * fault, 3, 10, Opens.CHARGING),
        rule(163, "contactor and its auxiliary contact disagree", _one_pole, 0.5, 0.5, 2.5, 1, always, True),
        rule(166, "contactors welded", lambda v: v.welded, 0.5, 0.5, 0, 1, always, True),
    )


def _isolation_when(closed: bool) -> Callable[[Vitals], float | None]:
    return lambda vitals: -vitals.isolation_ohm_per_v if vitals.closed is closed else None


def _beyond(vitals: Vitals, inward: bool) -> float:
    return vitals.over_limit_c if vitals.inward is inward else 0.0


def _one_pole(vitals: Vitals) -> float:
    return vitals.mismatch and not vitals.welded


RULES_OF: Mapping[str, tuple[AlertRule, ...]] = {name: _rules(limits) for name, limits in THRESHOLDS.items()}
CHARGE_BEYOND, DISCHARGE_BEYOND, CHARGE_OVER, DISCHARGE_OVER = 201, 202, 203, 204
STORE_RULES = (
    # A charger that follows the limit is some amperes beyond it while it falls; these wait for one that does not follow.
    AlertRule(CHARGE_BEYOND, "charged beyond the limit", lambda v: _beyond(v, True), 0.08, 0.03, 3, 10),
    AlertRule(DISCHARGE_BEYOND, "discharged beyond the limit", lambda v: _beyond(v, False), 0.08, 0.03, 3, 10),
    # Over-current (22) by its direction, which no current tells any more once the contactors are open.
    AlertRule(CHARGE_OVER, "over-current, charging", lambda v: _beyond(v, True), 0.26, 0.05, 0.5, 5),
    AlertRule(DISCHARGE_OVER, "over-current, discharging", lambda v: _beyond(v, False), 0.26, 0.05, 0.5, 5),
)
RULES = RULES_OF["NMC"]  # for whoever asks for numbers and meanings only: these are the same for all


@dataclass(slots=True)
class AlertMonitor:
    """Holds which alerts are active and how long each rule has asked for a change."""

    rules: tuple[AlertRule, ...] = RULES
    active: frozenset[int] = frozenset()
    opening: bool = False
    _asking_s: dict[int, float] = field(default_factory=dict)

    def step(self, vitals: Vitals, dt_s: float) -> None:
        """Judge all rules once; `dt_s` is the time since the last judgement."""
        active = self.active
        for rule in self.rules:
            number, level = rule.number, rule.level(vitals)
            is_on = number in active
            asks = level is not None and (not rule.stays and level < rule.clear_at if is_on else level >= rule.raise_at)
            if not asks:
                if self._asking_s:
                    self._asking_s.pop(number, None)
                continue
            asked = self._asking_s.get(number, 0.0) + dt_s
            if asked < (rule.clear_s if is_on else rule.raise_s):
                self._asking_s[number] = asked
                continue
            active = active ^ {number}
            self._asking_s.pop(number, None)
        self.active = active
        self.opening = bool(active) and any(self._opens(rule, vitals) for rule in self.rules)

    def clear(self) -> None:
        """Forget all alerts, as a reset does."""
        self.active, self.opening = frozenset(), False
        self._asking_s.clear()

    def _opens(self, rule: AlertRule, vitals: Vitals) -> bool:
        if rule.opens is Opens.NEVER or rule.number not in self.active:
            return False
        return rule.opens is Opens.ALWAYS or vitals.charging
