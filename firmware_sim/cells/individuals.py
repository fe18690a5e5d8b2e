"""What makes one cell differ from its neighbour: drawn once from the seed, at the maker's. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from firmware_sim.cells.chemistry import Cells
from firmware_sim.cells.spec import PackSpec


@dataclass(slots=True)
class Individuals:
    """Every cell as it was made and charged: coulombs, ohms at 25 degC, state of charge, pace of ageing, leakage.

    Leakage is the self-discharge at 25 degC as a fraction of the capacity per second.
    """

    capacity_as: Cells
    ohmic_ohm: Cells
    fast_ohm: Cells
    slow_ohm: Cells
    soc: Cells
    pace: Cells
    leakage_per_s: Cells


MONTH_S = 365.25 / 12 * 86_400.0


def draw(spec: PackSpec, seed: int) -> Individuals:
    """The cells of the pack with this seed. Every spread is cut at three standard deviations."""
    rng, cell = np.random.default_rng([seed, 1]), spec.cell

    def spread(width: float) -> Cells:
        return np.clip(rng.normal(1.0, width, spec.cells), 1 - 3 * width, 1 + 3 * width)

    return Individuals(
        capacity_as=spec.capacity_ah * 3_600.0 * spread(spec.capacity_spread),
        ohmic_ohm=cell.ohmic_ohm * spread(spec.resistance_spread),
        fast_ohm=cell.fast_ohm * spread(spec.resistance_spread),
        slow_ohm=cell.slow_ohm * spread(spec.resistance_spread),
        soc=np.clip(spec.soc * spread(spec.soc_spread), 0.0, 1.0),
        pace=spread(spec.ageing_spread),
        leakage_per_s=spec.self_discharge_per_month / MONTH_S * spread(spec.leakage_spread),
    )


def draw_many(spec: PackSpec, seeds: Sequence[int]) -> Individuals:
    """The cells of many packs, a row for every seed."""
    packs = [draw(spec, seed) for seed in seeds]
    return Individuals(*(np.stack([getattr(pack, name) for pack in packs]) for name in Individuals.__slots__))
