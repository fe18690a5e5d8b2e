"""A pack on a bench, for tests of the firmware alone: cells that are voltage curve and resistor, ideal contactors.

It shares the published voltage curve with the simulator and nothing else: every quantity is a closed formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firmware_sim.bms.contactors import Stage
from firmware_sim.bms.firmware import Bms, Truth
from firmware_sim.bms.report import BmsReport
from firmware_sim.car.demand import Mode
from firmware_sim.cells.chemistry import NMC, Chemistry

BLEED_OHM = 40.0


@dataclass
class BenchPack:
    """Give it to `live` with a firmware: amperes positive into the battery."""

    soc: NDArray[np.float64]
    capacity_ah: float = 230.0
    chemistry: Chemistry = NMC
    ohm: float = 0.6e-3
    modules_c: NDArray[np.float64] = field(default_factory=lambda: np.full(4, 22.0))
    isolation_kohm: float = 4_000.0
    current_a: float = 0.0
    link_volts: float = 0.0
    positive_welded: bool = False
    negative_welded: bool = False
    link_broken: bool = False
    positive_closed: bool = False
    negative_closed: bool = False
    through_as: float = 0.0

    @classmethod
    def of(cls, cells: int = 6, soc: float = 0.6, **other: object) -> BenchPack:
        """A pack of equal cells."""
        return cls(np.full(cells, soc), **other)  # type: ignore[arg-type]

    def cell_volts(self) -> NDArray[np.float64]:
        return self.chemistry.open_circuit_volts(self.soc) + self.current_a * self.ohm

    def truth(self) -> Truth:
        return Truth(
            current_a=self.current_a,
            pack_volts=float(self.cell_volts().sum()),
            cell_volts=self.cell_volts,
            link_volts=self.link_volts,
            modules_c=self.modules_c,
            isolation_kohm=self.isolation_kohm,
            positive_closed=self.positive_closed,
            negative_closed=self.negative_closed,
        )

    def step(self, bms: Bms, mode: Mode, wanted_a: float, dt_s: float) -> None:
        """One step of pack and firmware; `wanted_a` flows only through closed contacts."""
        pair, volts = bms.contactors, float(self.cell_volts().sum())
        self.positive_closed = pair.closed_positive or (self.positive_welded and self.positive_closed)
        self.negative_closed = pair.closed_negative or (self.negative_welded and self.negative_closed)
        connected = self.positive_closed and self.negative_closed
        if connected:
            self.link_volts = volts
        elif pair.precharging and not self.link_broken:
            self.link_volts += (volts - self.link_volts) * -math.expm1(-dt_s / 0.06)
        else:
            self.link_volts *= math.exp(-dt_s / 2.0)
        self.current_a = wanted_a if connected and pair.stage is Stage.CLOSED else 0.0
        bled = bms.bleed * self.cell_volts() / BLEED_OHM if bms.bleed is not None else 0.0
        self.soc = self.soc + (self.current_a - bled) * dt_s / (self.capacity_ah * 3_600.0)
        self.through_as += self.current_a * dt_s
        bms.step(self.truth(), mode, dt_s)

    def live(
        self,
        bms: Bms,
        mode: Mode,
        seconds: float,
        current: float | Callable[[], float] = 0.0,
        dt_s: float = 0.01,
        see: Callable[[BmsReport], object] | None = None,
    ) -> BmsReport:
        """Go on for `seconds`; `see` is shown every report. Returns the last one."""
        for _ in range(round(seconds / dt_s)):
            self.step(bms, mode, current() if callable(current) else current, dt_s)
            if see is not None:
                see(bms.report())
        return bms.report()


def firmware(pack: BenchPack, seed: int = 1, **other: object) -> Bms:
    """A firmware put on that pack."""
    return Bms(pack.truth(), seed, **{"chemistry": pack.chemistry, "rated_ah": 230.0, **other})  # type: ignore[arg-type]
