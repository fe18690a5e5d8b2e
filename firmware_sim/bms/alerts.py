"""The BMS's alerts: thresholds with hysteresis in value and debounce in time, as one table.

Pure. Numbers are those of the car's alert matrix (a001 to a180); only rules that this firmware can judge are here,
the other bits stay zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Vitals:
    """What alerts are judged by: volts, amperes positive into the battery, degC, kilohms."""

    brick_min_v: float
    brick_max_v: float
    brick_mean_v: float
    current_a: float
    current_limit_a: float
    temperature_min_c: float
    temperature_max_c: float
    isolation_kohm: float
    soc: float
    soc_spread: float
    charging: bool
    precharge_failed: bool
    forced_open: bool


@dataclass(frozen=True, slots=True)
class AlertRule:
    """Raise when `level` has been at or above `raise_at` for `raise_s`; clear below `clear_at` for `clear_s`."""

    number: int
    meaning: str
    level: Callable[[Vitals], float]
    raise_at: float
    clear_at: float
    raise_s: float
    clear_s: float
    opens: bool = False


RULES: tuple[AlertRule, ...] = (
    AlertRule(7, "charging slowed, cold", lambda v: -v.temperature_min_c if v.charging else -99, -5, -7, 5, 10),
    AlertRule(17, "brick over-voltage", lambda v: v.brick_max_v, 4.25, 4.20, 0.5, 5, opens=True),
    AlertRule(18, "brick under-voltage", lambda v: -v.brick_min_v, -2.50, -2.80, 0.5, 5, opens=True),
    AlertRule(19, "module over-temperature", lambda v: v.temperature_max_c, 60, 55, 2, 10, opens=True),
    AlertRule(22, "over-current", lambda v: abs(v.current_a) - v.current_limit_a, 60, 10, 0.5, 5, opens=True),
    AlertRule(23, "stack over-voltage", lambda v: v.brick_mean_v, 4.23, 4.20, 0.5, 5, opens=True),
    AlertRule(35, "isolation low", lambda v: -v.isolation_kohm, -200, -300, 3, 10),
    AlertRule(62, "brick voltage imbalance", lambda v: v.brick_max_v - v.brick_min_v, 0.15, 0.10, 5, 10),
    AlertRule(64, "state of charge imbalance", lambda v: v.soc_spread, 0.10, 0.08, 5, 10),
    AlertRule(69, "low power", lambda v: -v.soc, -0.05, -0.07, 2, 10),
    AlertRule(82, "contactors forced open", lambda v: float(v.forced_open), 0.5, 0.5, 0, 1),
    AlertRule(83, "contactors failed to close", lambda v: float(v.precharge_failed), 0.5, 0.5, 0, 1),
    AlertRule(136, "module over-temperature warning", lambda v: v.temperature_max_c, 52, 48, 2, 10),
    AlertRule(137, "brick under-voltage warning", lambda v: -v.brick_min_v, -2.90, -3.05, 1, 5),
    AlertRule(138, "brick over-voltage warning", lambda v: v.brick_max_v, 4.215, 4.19, 1, 5),
    AlertRule(146, "brick over-discharged", lambda v: -v.brick_min_v, -2.00, -2.50, 0.5, 60, opens=True),
    AlertRule(151, "external isolation low", lambda v: -v.isolation_kohm, -100, -300, 3, 10),
)


@dataclass(slots=True)
class AlertMonitor:
    """Holds which alerts are active and how long each rule has asked for a change."""

    active: frozenset[int] = frozenset()
    opening: bool = False
    _asking_s: dict[int, float] = field(default_factory=dict)

    def step(self, vitals: Vitals, dt_s: float) -> None:
        """Judge all rules once; `dt_s` is the time since the last judgement."""
        active = set(self.active)
        for rule in RULES:
            is_on, level = rule.number in active, rule.level(vitals)
            asks = level < rule.clear_at if is_on else level >= rule.raise_at
            if not asks:
                self._asking_s.pop(rule.number, None)
                continue
            asked = self._asking_s.get(rule.number, 0.0) + dt_s
            if asked < (rule.clear_s if is_on else rule.raise_s):
                self._asking_s[rule.number] = asked
                continue
            active ^= {rule.number}
            self._asking_s.pop(rule.number, None)
        self.active = frozenset(active)
        self.opening = any(rule.opens and rule.number in active for rule in RULES)
