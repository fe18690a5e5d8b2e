"""The truth about cells in series: charge, voltage, heat, leaks and wear, of one string or of many at once.

Pure and deterministic: the same specification, seed and currents give the same state to the last bit. Current is
positive into the battery. It must never know what the firmware believes, nor how anything is encoded on a bus.

Time is cut into blocks. Within a block `step` carries currents with a handful of numbers per pack; `settle` ends the
block and moves every cell by what passed. Arrays have the cells (or modules) in their last axis and, for many packs,
the packs before it; there are no two sets of formulae.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firmware_sim.cells.chemistry import Cells
from firmware_sim.cells.energy import EnergyLedger, PerPack
from firmware_sim.cells.individuals import Individuals, draw, draw_many
from firmware_sim.cells.leaks import Leaks
from firmware_sim.cells.lifetime import Lifetime
from firmware_sim.cells.modules import Modules
from firmware_sim.cells.resistances import REFERENCE_K, Resistances
from firmware_sim.cells.spec import PackSpec
from firmware_sim.cells.string_current import Passed, StringCurrent

ABSOLUTE_ZERO_C = -273.15
LEAKAGE_ACTIVATION_K = 6_000.0  # self-discharge doubles with every ten kelvins or so
LEAKAGE_HOTTEST_K = 373.0  # beyond it a cell fails in other ways
DEAD_BELOW_EMPTY = 0.05  # of the capacity: where self-discharge has nothing more to take
TUNE_S = 1.0  # resistances follow temperature, charge and wear this often
WEAR_S = 60.0  # self-discharge and ageing are applied this often
SMALL_STEP_S = 10.0
LOADED_BLOCK = 0.01  # of the capacity: so far resistances and temperatures may stay as they are
SHORTED_BLOCK_S = 10.0  # a shorted cell's voltage changes within a minute
ROUNDING_S = 1e-6
MOMENT_S = 1.0
COOLANT_STEP_S = 60.0  # modules give heat to each other meanwhile


@dataclass(slots=True, eq=False, repr=False)
class CellStrings:
    """Strings of one specification: a seed makes one, a list of seeds makes as many, advanced together.

    `soc` and `capacity_as` are of every cell, `module_c` of every module. `ambient_c`, `cooling_w`, `heating_w` and
    `bleed` are the owner's to change at any time; of both powers the coolant takes what its temperature allows.
    """

    spec: PackSpec
    seed: int | Sequence[int]
    ambient_c: PerPack = field(init=False)
    cooling_w: PerPack = 0.0
    heating_w: PerPack = 0.0
    energy: EnergyLedger = field(default_factory=EnergyLedger)
    soc: Cells = field(init=False)
    capacity_as: Cells = field(init=False)
    module_c: Cells = field(init=False)
    resistances: Resistances = field(init=False)
    single: bool = field(init=False)
    made: Individuals = field(init=False)
    _life: Lifetime = field(init=False)
    _leaks: Leaks = field(init=False)
    _line: StringCurrent = field(init=False)
    _modules: Modules = field(init=False)
    _injected_w: Cells = field(init=False)
    _injecting: bool = False
    _per_as: Cells = field(init=False)
    _ocv: Cells = field(init=False)
    _slope: Cells = field(init=False)
    _area: Cells = field(init=False)
    _drop: Cells | None = None
    _rested_sum: PerPack = field(init=False)
    _stored: PerPack = 0.0
    _branch_j: PerPack = 0.0
    _untuned_s: float = 0.0
    _unworn_s: float = 0.0

    def __post_init__(self) -> None:
        spec, cell = self.spec, self.spec.cell
        self.single = isinstance(self.seed, int)
        self.made = draw(spec, self.seed) if isinstance(self.seed, int) else draw_many(spec, self.seed)
        self.ambient_c = spec.ambient_c
        shape = self.made.soc.shape
        self._modules = Modules(spec)
        self.module_c = np.full((*shape[:-1], spec.modules), spec.ambient_c)
        self._injected_w = np.zeros_like(self.module_c)
        self._leaks = Leaks(np.zeros(shape, bool), spec.bleed_ohm)
        self._line = StringCurrent(cell.fast_s, cell.slow_s)
        self._life = Lifetime(spec, self.made)
        self._place(self.made.soc)
        self._resize()
        self.energy.aged = 0.0
        self.resistances = Resistances(spec.chemistry, self.made, self._modules)
        self._follow()
        self._load()

    @property
    def current_a(self) -> PerPack:
        """The present current, positive into the battery."""
        return self._line.current_a

    @property
    def bleed(self) -> NDArray[np.bool_]:
        """Which balancing resistors are on."""
        return self._leaks.bleed

    @bleed.setter
    def bleed(self, on: NDArray[np.bool_]) -> None:
        self._leaks.bleed = on

    def step(self, current_a: PerPack, dt_s: float) -> None:
        """Carry a constant current for `dt_s`. A long step is made, and settled, in as many as it needs."""
        if dt_s <= SMALL_STEP_S:
            self._line.step(current_a, dt_s)
            return
        parts = self._parts(current_a, dt_s)
        if parts == 1:
            self._line.step(current_a, dt_s)
            return
        for _ in range(parts):
            self._line.step(current_a, dt_s / parts)
            self.settle()

    def settle(self) -> None:
        """End the block: move every cell by all that passed since the last time. Then all arrays are true."""
        passed = self._line.take()
        if not passed.seconds:
            return
        heat_j = self._carry(passed)
        if self._leaks.current_a is not None:
            heat_j = heat_j + self._leak(self._leaks.current_a, passed)
        self._unworn_s += passed.seconds
        if self._unworn_s >= WEAR_S - ROUNDING_S:
            heat_j = heat_j + self._wear_on()
        self._warm(heat_j, passed.seconds)
        self._untuned_s += passed.seconds
        if self._untuned_s >= TUNE_S - ROUNDING_S:
            self._tune()
        self._load()

    def pack_volts(self) -> PerPack:
        """Terminal voltage of the string, now; valid between settlings too."""
        return self._line.volts()

    def cell_volts(self) -> Cells:
        """Terminal voltage of every cell at the present current, with its charge as of the last settling."""
        line, ohms = self._line, self.resistances
        volts: Cells = (
            self._ocv
            + self._across(line.current_a) * ohms.ohmic
            + self._across(line.fast_a) * ohms.fast
            + self._across(line.slow_a) * ohms.slow
        )
        return volts if self._drop is None else volts + self._drop

    def coolant_w(self) -> PerPack:
        """The power that the coolant puts into the modules, as they are now; negative when it cools them."""
        net_w = self.heating_w - self.cooling_w
        if self.single and not net_w:
            return 0.0
        return self._plain(self._modules.coolant.flow(self.module_c, net_w, MOMENT_S).sum(-1))

    def stored_j(self) -> PerPack:
        """Energy in chemistry and branches, in joules counted from empty, as of the last settling."""
        return self._stored + self._branch_j

    def health(self) -> PerPack:
        """Mean capacity as a fraction of that when new."""
        return self._plain(self.capacity_as.mean(-1) / self.made.capacity_as.mean(-1))

    def resistance_growth(self) -> PerPack:
        """Mean resistance by wear as a multiple of that when new."""
        return self._plain(self._life.growth.mean(-1))

    def _parts(self, current_a: PerPack, dt_s: float) -> int:
        charge = float(np.max(np.abs(current_a))) * dt_s / (self.spec.capacity_ah * 3_600.0)
        blocks = dt_s / SHORTED_BLOCK_S if self._leaks.shorted else 1.0
        return math.ceil(max(1.0, charge / LOADED_BLOCK, blocks))

    def _carry(self, passed: Passed) -> Cells:
        """Move every cell's charge by the string's; book it; returns the heat of every module."""
        charge, books, before = passed.charge_as, self.energy, self._stored
        straight = charge * (self._rested_sum + self._line.volts_per_as * charge / 2)
        self._place(self.soc + self._across(charge) * self._per_as)
        self._stored = self._chemical_j()
        bent = self._stored - before - straight  # the steps took the voltage as straight in the charge
        books.delivered_in = books.delivered_in + passed.work_in + bent * (charge > 0)
        books.delivered_out = books.delivered_out + passed.work_out - bent * (charge <= 0)
        line = self._line
        books.ohmic = books.ohmic + passed.ohmic * line.ohmic_ohm
        books.branch = books.branch + passed.fast * line.fast_ohm + passed.slow * line.slow_ohm
        self._branch_j = line.branch_j()
        self._life.note(passed.throughput_as, passed.ohmic)
        ohms = self.resistances
        heat_j: Cells = (
            self._across(passed.ohmic) * ohms.ohmic_sums
            + self._across(passed.fast) * ohms.fast_sums
            + self._across(passed.slow) * ohms.slow_sums
        )
        return heat_j

    def _leak(self, leak_a: Cells, passed: Passed) -> Cells:
        """Take what leaked out of the cells; returns the heat of every module."""
        released = self._drain(leak_a * passed.seconds)
        # The leak's own drop at the terminals is energy that the string's current did not get, or need not give.
        ohm = self.resistances.whole()
        bleed, short = self._leaks.split(released + ohm * leak_a * self._across(passed.charge_as))
        self.energy.bleed = self.energy.bleed + self._plain(bleed.sum(-1))
        self.energy.short = self.energy.short + self._plain(short.sum(-1))
        return self._modules.sums(bleed + short)

    def _wear_on(self) -> Cells:
        """Self-discharge and ageing since the last time; returns the heat of every module."""
        seconds, self._unworn_s = self._unworn_s, 0.0
        kelvin = self._modules.at_cells(self.module_c) - ABSOLUTE_ZERO_C
        faster = np.exp(LEAKAGE_ACTIVATION_K * (1 / REFERENCE_K - 1 / np.minimum(kelvin, LEAKAGE_HOTTEST_K)))
        left = np.clip(1 + self.soc / DEAD_BELOW_EMPTY, 0.0, 1.0)
        released = self._drain(-self.made.leakage_per_s * faster * left * seconds * self.capacity_as)
        self.energy.self_discharge = self.energy.self_discharge + self._plain(released.sum(-1))
        if self.spec.ageing_acceleration > 0:
            self._life.age(seconds, kelvin, self.soc, self._ocv)
            self._resize()
        return self._modules.sums(released)

    def _warm(self, heat_j: Cells, seconds: float) -> None:
        power_w = heat_j / seconds
        if self._injecting:
            power_w = power_w + self._injected_w
            self.energy.injected = self.energy.injected + self._plain(self._injected_w.sum(-1)) * seconds
        net_w, ambient_c = self.heating_w - self.cooling_w, self._across(self.ambient_c)
        if self.single and not net_w:
            self.module_c = self._modules.warm(self.module_c, ambient_c, power_w, seconds)
            return
        parts = math.ceil(seconds / COOLANT_STEP_S)
        for _ in range(parts):
            flow_w = self._modules.coolant.flow(self.module_c, net_w, seconds / parts)
            self.module_c = self._modules.warm(self.module_c, ambient_c, power_w + flow_w, seconds / parts)

    def _tune(self) -> None:
        """Let the resistances follow; what the branches' energy changes by is heat of the branches."""
        line, fast, slow = self._line, self.resistances.fast_sums, self.resistances.slow_sums
        self._follow()
        gone = (fast - self.resistances.fast_sums) * self._across(line.fast_s * line.fast_a * line.fast_a / 2)
        gone = gone + (slow - self.resistances.slow_sums) * self._across(line.slow_s * line.slow_a * line.slow_a / 2)
        self._branch_j = line.branch_j()
        self.energy.branch = self.energy.branch + self._plain(gone.sum(-1))
        self.module_c = self.module_c + gone / self._modules.heat_j_per_k

    def _follow(self) -> None:
        self._untuned_s = 0.0
        line, ohms = self._line, self.resistances
        ohms.follow(self.module_c - ABSOLUTE_ZERO_C, self.soc, self._life.growth)
        line.ohmic_ohm = self._plain(ohms.ohmic_sums.sum(-1))
        line.fast_ohm = self._plain(ohms.fast_sums.sum(-1))
        line.slow_ohm = self._plain(ohms.slow_sums.sum(-1))

    def _load(self) -> None:
        """Give the fast path the sums that it computes with in the next block."""
        line, leaks = self._line, self._leaks
        self._rested_sum = self._plain(np.add.reduce(self._ocv, axis=-1))
        line.rested_volts = self._rested_sum
        line.volts_per_as = self._plain(np.vecdot(self._slope, self._per_as))
        self._drop, leaks.current_a = None, None
        if leaks.any():
            self._drop = leaks.draw(self.cell_volts(), self.resistances.whole())
            line.rested_volts = line.rested_volts + self._plain(self._drop.sum(-1))

    def _drain(self, charge_as: Cells) -> Cells:
        """Move every cell's charge by its own amount inside of it; returns the energy that each gave off."""
        area = self._area
        self._place(self.soc + charge_as * self._per_as)
        self._stored = self._chemical_j()
        released: Cells = self.capacity_as * (area - self._area)
        return released

    def _place(self, soc: Cells) -> None:
        self.soc = soc
        self._ocv, self._slope, self._area = self.spec.chemistry.curve(soc)

    def _chemical_j(self) -> PerPack:
        return self._plain(np.vecdot(self.capacity_as, self._area))

    def _resize(self) -> None:
        """Let the cells have the capacity that life has left them; the energy of the rest is booked as aged."""
        self.capacity_as = self._life.capacity_as
        self._per_as = 1 / self.capacity_as
        stored, self._stored = self._stored, self._chemical_j()
        self.energy.aged = self.energy.aged + stored - self._stored

    def _plain(self, value: Cells | np.float64) -> PerPack:
        # A float of Python's: numpy's own are many times slower to compute with.
        return float(value) if self.single else value  # type: ignore[return-value]  # see PerPack

    def _across(self, value: PerPack) -> PerPack:
        """A quantity of the pack against its cells or modules."""
        return value if self.single else np.asarray(value)[..., None]  # type: ignore[return-value]  # see PerPack
