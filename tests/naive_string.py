"""A string of cells integrated the plain way: every cell, every millisecond, straight from the differential equations.

It shares nothing with the simulator but the published points of the voltage curve, which are given to it.
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class NaiveString:
    """Cells in series. Resistances are constant; every cell is its own heat mass against the surroundings."""

    curve: tuple[np.ndarray, np.ndarray]
    soc: np.ndarray
    capacity_as: np.ndarray
    ohmic: np.ndarray
    fast: np.ndarray
    slow: np.ndarray
    fast_s: float
    slow_s: float
    fast_v: np.ndarray = field(init=False)
    slow_v: np.ndarray = field(init=False)
    current_a: float = 0.0
    terminal_j: float = 0.0
    ohmic_j: float = 0.0
    branch_j: float = 0.0

    def __post_init__(self):
        self.fast_v, self.slow_v = np.zeros_like(self.soc), np.zeros_like(self.soc)

    def volts(self):
        """Terminal volts of every cell, now."""
        rested = np.interp(self.soc, *self.curve)
        return rested + self.current_a * self.ohmic + self.fast_v + self.slow_v

    def carry(self, current_a, seconds, dt_s=1e-3):
        """Euler's method, with the energies by the midpoints of every step."""
        self.current_a = current_a
        for _ in range(round(seconds / dt_s)):
            before = float(self.volts().sum())
            fast, slow = self.fast_v, self.slow_v
            self.fast_v = fast + dt_s * (current_a * self.fast - fast) / self.fast_s
            self.slow_v = slow + dt_s * (current_a * self.slow - slow) / self.slow_s
            self.soc = self.soc + dt_s * current_a / self.capacity_as
            self.terminal_j += (before + float(self.volts().sum())) / 2 * current_a * dt_s
            self.ohmic_j += float(np.sum(self.ohmic)) * current_a**2 * dt_s
            squares = ((fast + self.fast_v) / 2) ** 2 / self.fast + ((slow + self.slow_v) / 2) ** 2 / self.slow
            self.branch_j += float(np.sum(squares)) * dt_s
