"""The lifetime counters: energy and charge in and out, cycles, time under supply, resets. Pure.

They never go back but by `clear`, which is what a reset of the board's memory does.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

AS_PER_AH = 3_600.0
J_PER_KWH = 3.6e6
CYCLES_PER_YEAR = 33.0  # of a car: 15,000 km
YEARS_PER_LOSS = 60.0  # of a car whose whole capacity would be gone, by the rate of its first years
FACTORY_CYCLES = 1.5
S_PER_YEAR = 365.25 * 86_400.0


@dataclass(slots=True)
class LifetimeCounters:
    """What the firmware has counted since its memory was last cleared."""

    charged_kwh: float = 0.0
    discharged_kwh: float = 0.0
    charged_ah: float = 0.0
    discharged_ah: float = 0.0
    uptime_s: float = 0.0
    resets: int = 0

    def count(self, charge_as: float, energy_j: float) -> None:
        """Add charge (ampere seconds) and energy (joules) that went into the battery, or negative out of it."""
        if charge_as >= 0:
            self.charged_ah += charge_as / AS_PER_AH
        else:
            self.discharged_ah -= charge_as / AS_PER_AH
        if energy_j >= 0:
            self.charged_kwh += energy_j / J_PER_KWH
        else:
            self.discharged_kwh -= energy_j / J_PER_KWH

    def cycles(self, rated_ah: float) -> float:
        """Full equivalent cycles: half of all ampere hours, in and out, by the rated capacity."""
        return (self.charged_ah + self.discharged_ah) / (2.0 * rated_ah)

    def clear(self) -> None:
        """Begin again from nothing."""
        self.charged_kwh = self.discharged_kwh = self.charged_ah = self.discharged_ah = self.uptime_s = 0.0
        self.resets = 0


def counters_of_age(source: random.Random, years: float, rated_ah: float, rested_volts: float) -> LifetimeCounters:
    """Counters such as a pack has that was so many years in a car: none two alike, new ones nearly zero."""
    cycles = FACTORY_CYCLES * source.uniform(0.7, 1.4) + years * CYCLES_PER_YEAR * source.uniform(0.7, 1.4)
    charged_ah = cycles * rated_ah
    charged_kwh = charged_ah * rested_volts * 1.02 / 1_000.0
    return LifetimeCounters(
        charged_kwh=charged_kwh,
        discharged_kwh=charged_kwh * source.uniform(0.93, 0.96),
        charged_ah=charged_ah,
        discharged_ah=charged_ah * source.uniform(0.985, 0.995),
        uptime_s=float(round(years * S_PER_YEAR)),
        resets=source.randrange(3) if years >= 1.0 else 0,
    )


def years_of_health(soh: float) -> float:
    """The years in a car after which a pack may be in this state of health, where nothing else is known of it."""
    return max(0.0, 1.0 - soh) * YEARS_PER_LOSS
