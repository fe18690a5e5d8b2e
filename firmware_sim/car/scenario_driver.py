"""A driver who does what is planned, one errand after the other. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from firmware_sim.car.demand import Demand, Mode
from firmware_sim.car.errand import Errand


class Outing(NamedTuple):
    """An errand, and whether its time is leaped over with nobody on the bus."""

    errand: Errand
    leap: bool


@dataclass(slots=True)
class ScenarioDriver:
    """Does the outings in their order; they are taken when their turn has come. After the last one it is `over`."""

    outings: Iterator[Outing]
    over: bool = False
    _now: Outing | None = field(init=False)

    def __post_init__(self) -> None:
        self._now = next(self.outings, None)

    def advance(self, dt_s: float, soc: float) -> Demand:
        """The demand for the next `dt_s`; parked for good when everything is done."""
        while self._now is not None and self._now.errand.over(soc):
            self._now = next(self.outings, None)
        if self._now is None:
            self.over = True
            return Demand(Mode.PARKED, 0.0)
        demand = self._now.errand.advance(dt_s, soc)
        if not self._now.leap:
            return demand
        return replace(demand, leap=True)
