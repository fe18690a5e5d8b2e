"""What a pack is made of, and what no pack can be made of. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from firmware_sim.cells.chemistry import NMC, Chemistry
from packseal.program import ConfigurationError

MAX_CELLS = 108
MAX_MODULES = 16


@dataclass(frozen=True, slots=True)
class CellDesign:
    """What one cell (a brick of parallel cells) is: resistances at 25 degC and half charge, heat capacity, cooling.

    A current step shows `ohmic_ohm` at once, `fast_ohm` and `slow_ohm` with their time constants. `loss_w_per_k` goes to
    the surroundings, `coolant_w_per_k` to the coolant while it flows, `link_w_per_k` is a whole module's conduction to the
    next module.
    """

    ohmic_ohm: float
    fast_ohm: float
    slow_ohm: float
    heat_j_per_k: float
    loss_w_per_k: float
    fast_s: float = 2.0
    slow_s: float = 120.0
    link_w_per_k: float = 5.0
    coolant_w_per_k: float = 4.2

    def __post_init__(self) -> None:
        for name in ("ohmic_ohm", "fast_ohm", "slow_ohm", "heat_j_per_k", "fast_s", "slow_s"):
            if not 0.0 < getattr(self, name) < 1e12:
                raise ConfigurationError(f"{name} {getattr(self, name):g}: give a positive number")
        for name in ("loss_w_per_k", "link_w_per_k", "coolant_w_per_k"):
            if not 0.0 <= getattr(self, name) < 1e12:
                raise ConfigurationError(f"{name} {getattr(self, name):g}: give a number that is not negative")

    @classmethod
    def typical(cls, chemistry: Chemistry, capacity_ah: float) -> Self:
        """The usual design for a capacity: twice the cell has half the resistance and twice the mass.

        NMC as of a long-range car's brick of 226.5 Ah: 0.78 milliohm after two minutes, 2 s for charge transfer, two
        minutes for diffusion. LFP as of a prismatic cell.
        """
        nmc = chemistry.name == "NMC"
        ohmic, fast, slow = (0.1133, 0.0227, 0.0408) if nmc else (0.0980, 0.0220, 0.0500)
        return cls(
            ohmic_ohm=ohmic / capacity_ah,
            fast_ohm=fast / capacity_ah,
            slow_ohm=slow / capacity_ah,
            heat_j_per_k=(18.54 if nmc else 20.0) * capacity_ah,
            loss_w_per_k=1.104e-3 * capacity_ah,
            link_w_per_k=0.022 * capacity_ah,
            coolant_w_per_k=0.0185 * capacity_ah,
        )


@dataclass(frozen=True, slots=True)
class PackSpec:
    """What a pack is made of; defaults are a long-range car of 96 bricks, about 81 kWh.

    Spreads are standard deviations of cells among each other, as fractions. `age_years` starts with a pack that has
    lived so long in a car of 15,000 km a year at 20 degC; `ageing_acceleration` makes every further hour age like so
    many. Fewer cells than modules make one module of each cell. Raises ConfigurationError for a pack that cannot exist.
    """

    chemistry: Chemistry = NMC
    cells: int = 96
    capacity_ah: float = 226.5
    design: CellDesign | None = None
    modules: int = 4
    capacity_spread: float = 0.006
    resistance_spread: float = 0.03
    soc_spread: float = 0.003
    ageing_spread: float = 0.05
    leakage_spread: float = 0.2
    self_discharge_per_month: float = 0.01
    bleed_ohm: float = 40.0
    isolation_kohm: float = 4_500.0
    soc: float = 0.62
    ambient_c: float = 20.0
    age_years: float = 0.0
    ageing_acceleration: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.cells <= MAX_CELLS:
            raise ConfigurationError(f"{self.cells} cells in series: a pack has 1 to {MAX_CELLS}")
        if not 1 <= self.modules <= MAX_MODULES:
            raise ConfigurationError(f"{self.modules} modules: a pack has 1 to {MAX_MODULES}")
        for what, value, low, high, unit in (
            ("capacity", self.capacity_ah, 0.5, 2_000.0, " Ah"),
            ("state of charge", self.soc, 0.0, 1.0, ", a fraction"),
            ("ambient", self.ambient_c, -40.0, 60.0, " degC"),
            ("capacity spread", self.capacity_spread, 0.0, 0.2, ", a fraction"),
            ("resistance spread", self.resistance_spread, 0.0, 0.2, ", a fraction"),
            ("charge spread", self.soc_spread, 0.0, 0.2, ", a fraction"),
            ("ageing spread", self.ageing_spread, 0.0, 0.2, ", a fraction"),
            ("self-discharge spread", self.leakage_spread, 0.0, 0.3, ", a fraction"),
            ("self-discharge", self.self_discharge_per_month, 0.0, 0.5, " a month, a fraction"),
            ("bleed resistor", self.bleed_ohm, 1.0, 10_000.0, " ohm"),
            ("isolation", self.isolation_kohm, 0.0, 1e6, " kohm"),
            ("age", self.age_years, 0.0, 30.0, " years"),
            ("ageing acceleration", self.ageing_acceleration, 0.0, 100_000.0, ""),
        ):
            if not low <= value <= high:
                raise ConfigurationError(f"{what} {value:g}: give {low:g} to {high:g}{unit}")
        object.__setattr__(self, "modules", min(self.modules, self.cells))

    @property
    def cell(self) -> CellDesign:
        """The design of its cells: the given one, else the usual one for chemistry and capacity."""
        return self.design or CellDesign.typical(self.chemistry, self.capacity_ah)
