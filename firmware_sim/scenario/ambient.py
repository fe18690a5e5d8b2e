"""The temperature around the car: coldest before sunrise and in late January. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

DAY_S = 86_400.0
YEAR_S = 365.2425 * DAY_S
COLDEST_HOUR_S = 5 * 3_600.0
COLDEST_DAY_S = 25 * DAY_S


@dataclass(frozen=True, slots=True)
class Ambient:
    """A mean with a swing over the day and one over the year, from lowest to highest, in kelvin."""

    mean_c: float = 20.0
    day_swing_k: float = 0.0
    year_swing_k: float = 0.0

    def at(self, unix_s: float) -> float:
        """degC at a moment of Unix time."""
        if not self.day_swing_k and not self.year_swing_k:
            return self.mean_c
        day = math.cos(math.tau * (unix_s - COLDEST_HOUR_S) / DAY_S)
        year = math.cos(math.tau * (unix_s - COLDEST_DAY_S) / YEAR_S)
        return self.mean_c - (self.day_swing_k * day + self.year_swing_k * year) / 2
