"""Durations as people write them: `"90 s"`, `"15 min"`, `"8 h"`, `"30 d"`, or a plain number of seconds. Pure."""

from __future__ import annotations

import re
from typing import Self

UNITS_S = {"s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
GRAIN_S = 0.1
LONGEST_S = 50 * 366 * 86_400.0

_WRITTEN = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?(s|min|h|d)", re.ASCII)


def seconds(value: object) -> float:
    """Seconds, on the grain of the simulation (0.1 s); ValueError says how a duration is written."""
    if isinstance(value, str) and (match := _WRITTEN.fullmatch(value.strip())):
        number = float(match[1]) * UNITS_S[match[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    else:
        raise ValueError('write a duration as "90 s", "15 min", "8 h", "30 d" or as a number of seconds')
    if not 0.0 <= number <= LONGEST_S:
        raise ValueError("a duration is from 0 to 50 years")
    return round(number / GRAIN_S) * GRAIN_S


def shown(duration_s: float) -> str:
    """A duration for people, in the largest unit that leaves at least one of it: `1.5 h`."""
    unit = next((unit for unit in ("d", "h", "min") if duration_s >= UNITS_S[unit]), "s")
    return f"{duration_s / UNITS_S[unit]:.4g} {unit}"


class Moment(float):
    """Seconds after the start."""

    @classmethod
    def from_toml(cls, value: object) -> Self:
        """As it is written in a file; ValueError."""
        return cls(seconds(value))


class Duration(Moment):
    """Seconds that something lasts."""

    @classmethod
    def from_toml(cls, value: object) -> Self:
        """As it is written in a file; ValueError if it is shorter than the grain."""
        if seconds(value) < GRAIN_S:
            raise ValueError(f"a duration is at least {GRAIN_S} s")
        return super().from_toml(value)
