"""The coolant between the modules and whatever cools or heats it. Pure.

It flows past all modules at one temperature and holds no heat worth speaking of. A chiller cannot make it colder than
its floor, a heater not hotter than its ceiling: what they then do less is not done. While it flows it also carries heat
from hot modules to cold ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from firmware_sim.cells.chemistry import Cells
from firmware_sim.cells.conduction import KEPT_STEPS
from firmware_sim.cells.energy import PerPack

FLOOR_C = 12.0
CEILING_C = 48.0


@dataclass(slots=True)
class Coolant:
    """Coolant along modules of these heat capacities, joined to each by `w_per_k`."""

    heat_j_per_k: Cells
    w_per_k: Cells
    _kept: dict[float, tuple[Cells, float]] = field(default_factory=dict)

    def flow(self, celsius: Cells, net_w: PerPack, seconds: float) -> Cells:
        """The mean power into every module during `seconds` when `net_w` are put into the coolant, or are to be."""
        joined, whole = self._kept.get(seconds) or self._join(seconds)
        mean = celsius @ joined / whole
        # Modules that are beyond the bound by themselves only share their heat.
        wanted = np.maximum(mean + net_w / whole, np.minimum(FLOOR_C, mean))
        coolant_c = np.minimum(wanted, np.maximum(CEILING_C, mean))
        flows = np.asarray(net_w, dtype=bool)
        power_w: Cells = joined * ((coolant_c * flows)[..., None] - celsius * flows[..., None])
        return power_w

    def _join(self, seconds: float) -> tuple[Cells, float]:
        if len(self._kept) >= KEPT_STEPS:
            self._kept.clear()
        # Each module nears the coolant's temperature and does not pass it, however long the time.
        joined = self.heat_j_per_k / seconds * -np.expm1(-self.w_per_k * seconds / self.heat_j_per_k)
        self._kept[seconds] = joined, float(joined.sum())
        return self._kept[seconds]
