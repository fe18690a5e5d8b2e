"""The truth about the pack: cells in series with voltage curve, resistance and one RC branch, and one heat mass.

Pure and deterministic: the same specification, seed and currents give the same state to the last bit. Current is
positive into the battery. It must never know what the firmware believes, nor how anything is encoded on a bus.
Arrays have the cells in their last axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from packseal.program import ConfigurationError

Cells = NDArray[np.float64]

MAX_CELLS = 108
ABSOLUTE_ZERO_C = -273.15
REFERENCE_C = 25.0
ACTIVATION_K = 2_000.0  # Arrhenius slope of a lithium-ion cell's resistance: about twice as much at 0 degC as at 25

# A typical nickel-manganese-cobalt cell against graphite, rested, 25 degC. The ends beyond 0 and 1 let a cell be
# driven out of its range, as a weak one in a long string is.
OCV_SOC = np.array([-0.05, 0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1, 1.05])
OCV_VOLTS = np.array(
    [2.4, 3.0, 3.2, 3.35, 3.46, 3.53, 3.575, 3.63, 3.68, 3.74, 3.83, 3.92, 4.02, 4.095, 4.135, 4.2, 4.35]
)
_OCV_AREA = np.concatenate(([0.0], np.cumsum(np.diff(OCV_SOC) * (OCV_VOLTS[1:] + OCV_VOLTS[:-1]) / 2)))


def open_circuit_volts(soc: Cells) -> Cells:
    """Rested voltage of cells at the given states of charge (fraction of each cell's own capacity)."""
    volts: Cells = np.interp(soc, OCV_SOC, OCV_VOLTS)
    return volts


def stored_volt_fraction(soc: Cells) -> Cells:
    """Integral of the open-circuit voltage from 0 to `soc`, exact for the piecewise linear curve.

    Times the capacity in coulombs it is the stored energy in joules.
    """
    inside = np.clip(soc, OCV_SOC[0], OCV_SOC[-1])
    left = np.clip(np.searchsorted(OCV_SOC, inside, side="right") - 1, 0, len(OCV_SOC) - 2)
    mean = (OCV_VOLTS[left] + np.interp(inside, OCV_SOC, OCV_VOLTS)) / 2
    beyond = (soc - inside) * np.interp(soc, OCV_SOC, OCV_VOLTS)
    area: Cells = _OCV_AREA[left] + (inside - OCV_SOC[left]) * mean + beyond - _OCV_AREA[1]
    return area


@dataclass(frozen=True, slots=True)
class PackSpec:
    """What a pack is made of; defaults are a long-range car of 96 bricks, some years old, about 81 kWh.

    Raises ConfigurationError for a pack that cannot exist.
    """

    cells: int = 96
    capacity_ah: float = 226.5
    ohmic_ohm: float = 0.50e-3
    branch_ohm: float = 0.28e-3
    branch_s: float = 25.0
    capacity_spread: float = 0.006
    resistance_spread: float = 0.03
    soc_spread: float = 0.003
    heat_j_per_k: float = 4_200.0
    loss_w_per_k: float = 0.25
    cooling_w: float = 50.0
    soc: float = 0.62
    ambient_c: float = 20.0

    def __post_init__(self) -> None:
        if not 1 <= self.cells <= MAX_CELLS:
            raise ConfigurationError(f"{self.cells} cells in series: a pack has 1 to {MAX_CELLS}")
        if not 0.0 <= self.soc <= 1.0:
            raise ConfigurationError(f"state of charge {self.soc:g}: give a fraction from 0 to 1")
        if not -40.0 <= self.ambient_c <= 60.0:
            raise ConfigurationError(f"ambient {self.ambient_c:g} degC: give -40 to 60")


@dataclass(slots=True)
class EnergyLedger:
    """Where the energy went since the start, in joules.

    Balance: delivered_in - delivered_out = change of stored (cells and branches) + ohmic + branch.
    """

    delivered_in: float = 0.0
    delivered_out: float = 0.0
    ohmic: float = 0.0
    branch: float = 0.0


@dataclass(slots=True)
class DcLink:
    """The capacitors behind the contactors: charged through the precharge resistor, bled when left alone."""

    volts: float = 0.0
    farad: float = 0.6e-3
    precharge_ohm: float = 100.0
    bleed_s: float = 2.0

    def precharge(self, pack_volts: float, dt_s: float) -> float:
        """Charge for one step; returns the mean current into the battery (amperes, so negative)."""
        before = self.volts
        self.volts += (pack_volts - before) * -math.expm1(-dt_s / (self.precharge_ohm * self.farad))
        return -(self.volts - before) * self.farad / dt_s

    def follow(self, pack_volts: float) -> None:
        """Contactors closed: the link has the pack's voltage."""
        self.volts = pack_volts

    def bleed(self, dt_s: float) -> None:
        """Contactors open: the bleed resistor empties the link."""
        self.volts *= math.exp(-dt_s / self.bleed_s)


@dataclass(slots=True)
class PackPhysics:
    """The cells' true state; `step` moves it on with a current that is constant over the step."""

    spec: PackSpec
    seed: int
    current_a: float = 0.0
    temperature_c: float = 0.0
    energy: EnergyLedger = field(default_factory=EnergyLedger)
    soc: Cells = field(init=False)
    branch_volts: Cells = field(init=False)
    capacity_as: Cells = field(init=False)
    _ohmic_ref: Cells = field(init=False)
    _branch_ref: Cells = field(init=False)
    _coefficients: tuple[float, float] = (math.nan, math.nan)
    ohmic_ohm: Cells = field(init=False)
    branch_ohm: Cells = field(init=False)
    _branch_s: float = field(init=False)
    _decay: float = field(init=False)
    _ocv: Cells = field(init=False)
    _farad: Cells = field(init=False)
    _per_as: Cells = field(init=False)
    _ohmic_sum: float = field(init=False)
    _branch_sum: float = field(init=False)
    _inner_volts: float = field(init=False)
    _branch_j: float = 0.0

    def __post_init__(self) -> None:
        spec, n = self.spec, self.spec.cells
        rng = np.random.default_rng([self.seed, 1])

        def spread(width: float) -> Cells:
            return np.clip(rng.normal(1.0, width, n), 1 - 3 * width, 1 + 3 * width)

        self.capacity_as = spec.capacity_ah * 3_600.0 * spread(spec.capacity_spread)
        self._ohmic_ref = spec.ohmic_ohm * spread(spec.resistance_spread)
        self._branch_ref = spec.branch_ohm * spread(spec.resistance_spread)
        self.soc = np.clip(spec.soc * spread(spec.soc_spread), 0.0, 1.0)
        self.branch_volts = np.zeros(n)
        self.temperature_c = spec.ambient_c
        self._ocv = open_circuit_volts(self.soc)
        self._inner_volts = float(self._ocv.sum())
        self._farad, self._per_as = spec.branch_s / self._branch_ref, 1 / self.capacity_as
        self._retune(0.01)

    def step(self, current_a: float, dt_s: float, cooling: float = 0.0) -> None:
        """Advance by `dt_s` with `current_a` into the battery and the coolant at a fraction of its power."""
        self._retune(dt_s)
        before, stored = self._inner_volts, self._branch_j
        settled = current_a * self.branch_ohm
        excess = self.branch_volts - settled
        # Exact over the step: the branch voltage decays from its old value to its settled one. What went into the
        # branches and is not in their capacitors is heat.
        branch_vs = current_a * self._branch_sum * dt_s + float(excess.sum()) * self._branch_s * (1 - self._decay)
        self.branch_volts = settled + excess * self._decay
        self._branch_j = float(np.dot(self.branch_volts**2, self._farad)) / 2
        branch = current_a * branch_vs - (self._branch_j - stored)
        self.soc = self.soc + (current_a * dt_s) * self._per_as
        self._ocv = open_circuit_volts(self.soc)
        self._inner_volts = float(self._ocv.sum() + self.branch_volts.sum())
        terminal = ((before + self._inner_volts) / 2 + current_a * self._ohmic_sum) * current_a * dt_s
        ohmic = current_a * current_a * self._ohmic_sum * dt_s
        self._book(terminal, ohmic, branch)
        self._warm(ohmic + branch, dt_s, cooling)
        self.current_a = current_a

    def pack_volts(self) -> float:
        """Terminal voltage of the string under the present current."""
        return self._inner_volts + self.current_a * self._ohmic_sum

    def cell_volts(self) -> Cells:
        """Terminal voltage of every cell under the present current."""
        return self._ocv + self.branch_volts + self.current_a * self.ohmic_ohm

    def stored_j(self) -> float:
        """Energy in the cells' chemistry and in the RC branches, in joules, counted from empty."""
        return float(np.dot(self.capacity_as, stored_volt_fraction(self.soc))) + self._branch_j

    def _retune(self, dt_s: float) -> None:
        # Resistance follows temperature in steps of 0.1 K; the branch's capacitance stays, its time constant moves.
        key = (round(self.temperature_c, 1), dt_s)
        if key == self._coefficients:
            return
        kelvin = key[0] - ABSOLUTE_ZERO_C
        factor = math.exp(ACTIVATION_K * (1 / kelvin - 1 / (REFERENCE_C - ABSOLUTE_ZERO_C)))
        self.ohmic_ohm = self._ohmic_ref * factor
        self.branch_ohm = self._branch_ref * factor
        self._ohmic_sum, self._branch_sum = float(self.ohmic_ohm.sum()), float(self.branch_ohm.sum())
        self._branch_s = self.spec.branch_s * factor
        self._decay = math.exp(-dt_s / self._branch_s)
        self._coefficients = key

    def _book(self, terminal: float, ohmic: float, branch: float) -> None:
        if terminal >= 0:
            self.energy.delivered_in += terminal
        else:
            self.energy.delivered_out -= terminal
        self.energy.ohmic += ohmic
        self.energy.branch += branch

    def _warm(self, heat_j: float, dt_s: float, cooling: float) -> None:
        spec = self.spec
        out_w = spec.loss_w_per_k * (self.temperature_c - spec.ambient_c) + spec.cooling_w * cooling
        self.temperature_c += (heat_j / spec.cells - out_w * dt_s) / spec.heat_j_per_k
