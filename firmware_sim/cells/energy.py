"""Where a pack's energy went: the books that must balance. Pure."""

from __future__ import annotations

from dataclasses import dataclass

PerPack = float
"""A quantity of a whole pack. One pack computes with floats, many at once with arrays of one value each: the formulae
are the same, and mypy is told of the one."""


@dataclass(slots=True)
class EnergyLedger:
    """Where the energy went since the start, in joules, up to the last settling.

    Balance: delivered_in - delivered_out = change of stored (cells and branches) + heat + aged. `injected` is heat that
    came from no stored charge, and stands outside of it.
    """

    delivered_in: PerPack = 0.0
    delivered_out: PerPack = 0.0
    ohmic: PerPack = 0.0
    branch: PerPack = 0.0
    self_discharge: PerPack = 0.0
    bleed: PerPack = 0.0
    short: PerPack = 0.0
    aged: PerPack = 0.0  # of the charge in capacity that is no more; it warms nothing
    injected: PerPack = 0.0

    @property
    def delivered(self) -> PerPack:
        """Net energy through the pack's terminals, positive into the battery."""
        return self.delivered_in - self.delivered_out

    @property
    def heat(self) -> PerPack:
        """All heat from the cells' own energy."""
        return self.ohmic + self.branch + self.self_discharge + self.bleed + self.short
