"""What a cell's voltage follows from: the open-circuit curves of NMC and LFP, with exact integral and inverse.

Pure. The curves are typical ones at 25 degC, rested, drawn through published points by a monotone cubic and then kept as
straight pieces of a quarter of a percent, for which integral and inverse are exact. LFP's hysteresis between charge and
discharge (some 10 mV) and the reversible heat of entropy are not modelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.float64]

PIECES_PER_UNIT = 400
LOWEST, HIGHEST = -0.5, 1.5
GRID: Cells = np.linspace(LOWEST, HIGHEST, round((HIGHEST - LOWEST) * PIECES_PER_UNIT) + 1)
_FIRST = round(LOWEST * PIECES_PER_UNIT)

# A nearly empty cell resists more, a nearly full one a little; in between it is flat.
_RESISTANCE_SOC = (0.0, 0.05, 0.1, 0.2, 0.9, 1.0)
_RESISTANCE_FACTOR = (1.9, 1.45, 1.2, 1.0, 1.0, 1.1)


@dataclass(frozen=True, slots=True, eq=False)
class Chemistry:
    """A kind of cell. `points` are (state of charge, rested volts), both rising; they reach beyond 0 and 1.

    `full_v` and `empty_v` are the operating limits of a cell in volts; `activation_k` is the Arrhenius slope of its
    resistance in kelvins.
    """

    name: str
    full_v: float
    empty_v: float
    activation_k: float
    points: tuple[tuple[float, float], ...]
    grid_volts: Cells = field(init=False, repr=False)
    _pieces: Cells = field(init=False, repr=False)

    def __post_init__(self) -> None:
        volts = _monotone_cubic(np.array(self.points), GRID)
        slope = np.diff(volts) * PIECES_PER_UNIT
        # Of every piece: volts = offset + slope * soc, area = constant + offset * soc + slope * soc**2 / 2.
        offset = volts[:-1] - slope * GRID[:-1]
        area = np.concatenate(([0.0], np.cumsum((volts[1:] + volts[:-1]) / 2 / PIECES_PER_UNIT)[:-1]))
        area -= area[-_FIRST]
        constant = area - GRID[:-1] * (offset + slope / 2 * GRID[:-1])
        object.__setattr__(self, "grid_volts", volts)
        object.__setattr__(self, "_pieces", np.array([offset, slope, constant]))

    def curve(self, soc: Cells) -> tuple[Cells, Cells, Cells]:
        """Rested volts, their slope (volts per unit of charge) and their integral from 0, at states of charge.

        Beyond the curve's ends it goes on straight.
        """
        piece = (soc * PIECES_PER_UNIT - _FIRST).astype(np.intp)
        offset, slope, constant = self._pieces.take(piece, axis=1, mode="clip")
        rise = slope * soc
        return offset + rise, slope, constant + soc * (offset + rise / 2)

    def open_circuit_volts(self, soc: Cells) -> Cells:
        """Rested voltage of cells at the given states of charge (fraction of each cell's own capacity)."""
        return self.curve(soc)[0]

    def stored_volt_fraction(self, soc: Cells) -> Cells:
        """Integral of the open-circuit voltage from 0 to `soc`, exact for this curve.

        Times the capacity in coulombs it is the stored energy in joules.
        """
        return self.curve(soc)[2]

    def soc_at(self, volts: Cells) -> Cells:
        """State of charge of rested cells with these voltages; what is beyond the curve's ends is at them."""
        soc: Cells = np.interp(volts, self.grid_volts, GRID)
        return soc

    def resistance_factor(self, soc: Cells) -> Cells:
        """How much more a cell resists at this charge than in the middle of its range."""
        factor: Cells = np.interp(soc, _RESISTANCE_SOC, _RESISTANCE_FACTOR)
        return factor


def _monotone_cubic(points: Cells, at: Cells) -> Cells:
    """Cubic pieces through `points` that never turn between two of them (Fritsch and Butland, doi:10.1137/0905021)."""
    x, y = points.T
    width = np.diff(x)
    secant = np.diff(y) / width
    left, right = 2 * width[1:] + width[:-1], width[1:] + 2 * width[:-1]
    inner = (left + right) / (left / secant[:-1] + right / secant[1:])
    tangent = np.concatenate((secant[:1], inner, secant[-1:]))
    piece = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    h, t = width[piece], (at - x[piece]) / width[piece]
    value: Cells = (
        y[piece] * (1 + 2 * t) * (1 - t) ** 2
        + y[piece + 1] * t**2 * (3 - 2 * t)
        + h * t * (1 - t) * (tangent[piece] * (1 - t) - tangent[piece + 1] * t)
    )
    return value


# The ends beyond 0 and 1 let a cell be driven out of its range, as a weak one in a long string is: a reversed cell stays
# about -1 V, an overcharged one about 5 V, whatever else then happens to it.
NMC = Chemistry(
    name="NMC",
    full_v=4.2,
    empty_v=2.7,
    activation_k=2_000.0,  # about twice as much at 0 degC as at 25
    points=(
        (-0.5, -1.0), (-0.15, -0.9), (-0.1, 0.5), (-0.05, 2.4), (0.0, 3.0), (0.02, 3.2), (0.05, 3.35), (0.1, 3.46),
        (0.15, 3.53), (0.2, 3.575), (0.3, 3.63), (0.4, 3.68), (0.5, 3.74), (0.6, 3.83), (0.7, 3.92), (0.8, 4.02),
        (0.9, 4.095), (0.95, 4.135), (1.0, 4.2), (1.05, 4.35), (1.1, 4.6), (1.2, 4.95), (1.5, 5.1),
    ),
)  # fmt: skip

# Two plateaus, of graphite's stages, with the step between them at 60 to 70 %.
LFP = Chemistry(
    name="LFP",
    full_v=3.65,
    empty_v=2.5,
    activation_k=2_600.0,
    points=(
        (-0.5, -1.0), (-0.15, -0.9), (-0.1, 0.4), (-0.05, 1.8), (0.0, 2.5), (0.02, 2.86), (0.05, 3.09), (0.1, 3.196),
        (0.15, 3.222), (0.2, 3.246), (0.3, 3.278), (0.4, 3.2885), (0.5, 3.2915), (0.6, 3.297), (0.65, 3.311),
        (0.7, 3.3265), (0.8, 3.3305), (0.9, 3.3325), (0.95, 3.338), (0.98, 3.367), (1.0, 3.55), (1.02, 3.75),
        (1.1, 4.4), (1.2, 4.9), (1.5, 5.1),
    ),
)  # fmt: skip

CHEMISTRIES: Mapping[str, Chemistry] = {chemistry.name: chemistry for chemistry in (NMC, LFP)}
