"""One pack's cells, and what can be done to them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from firmware_sim.cells.strings import CellStrings
from packseal.program import ConfigurationError

LEAST_SHORT_OHM = 1e-3


@dataclass(slots=True, eq=False, repr=False)
class PackPhysics(CellStrings):
    """The true state of one pack. Cells and modules are counted from 0, as they stand in the arrays.

    `isolation_kohm` is the true resistance between the pack and the car's body.
    """

    isolation_kohm: float = field(init=False)

    def __post_init__(self) -> None:
        # Without arguments super() does not find the class that slots=True made anew.
        CellStrings.__post_init__(self)
        self.isolation_kohm = self.spec.isolation_kohm

    def short(self, cell: int, ohm: float | None) -> None:
        """Put a resistance across a cell's terminals, or take it away; its heat is in the cell."""
        self._check("cell", cell, self.spec.cells)
        if ohm is not None and not ohm >= LEAST_SHORT_OHM:
            raise ConfigurationError(f"a short of {ohm:g} ohm: give at least {LEAST_SHORT_OHM:g}")
        self.settle()
        self._leaks.short_siemens[cell] = 0.0 if ohm is None else 1 / ohm
        self._leaks.shorted = bool(self._leaks.short_siemens.any())
        self._load()

    def weaken(self, cell: int, capacity_factor: float, resistance_factor: float) -> None:
        """Make a cell's capacity and resistance so many times what they would be; 1 and 1 make it healthy again.

        The cell keeps its state of charge; the energy of lost capacity is booked as aged.
        """
        self._check("cell", cell, self.spec.cells)
        for factor in (capacity_factor, resistance_factor):
            if not 0.01 <= factor <= 100.0:
                raise ConfigurationError(f"a cell {factor:g} times as it was: give 0.01 to 100")
        self.settle()
        life = self._life
        life.weak_capacity[cell], life.weak_resistance[cell] = capacity_factor, resistance_factor
        life.renew()
        self._resize()
        self._tune()
        self._load()

    def heat_module(self, module: int, watts: float) -> None:
        """Let heat come up in a module that no current explains, until told otherwise; 0 ends it."""
        self._check("module", module, self.spec.modules)
        if not abs(watts) < 1e9:
            raise ConfigurationError(f"{watts:g} W in a module: give less")
        self.settle()
        self._injected_w[module] = watts
        self._injecting = bool(self._injected_w.any())

    @staticmethod
    def _check(what: str, number: int, count: int) -> None:
        if not 0 <= number < count:
            raise ConfigurationError(f"there is no {what} {number}: the pack has 0 to {count - 1}")
