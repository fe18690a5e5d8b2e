"""The high-voltage circuit between the pack and the car: contactors as hardware, the link's capacitors.

Pure. Coils are commands; whether a contact really opens is another matter, for it can be welded. Current is positive
into the battery.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Pole = Literal["positive", "negative", "both"]


@dataclass(slots=True)
class Circuit:
    """Two contacts, a precharge resistor around the positive one, and capacitors with a bleed resistor behind them.

    `positive_closed` and `negative_closed` are the auxiliary contacts: what the contacts really do.
    """

    link_volts: float = 0.0
    farad: float = 0.6e-3
    precharge_ohm: float = 100.0
    bleed_s: float = 2.0
    positive_closed: bool = False
    negative_closed: bool = False
    _positive_welded: bool = False
    _negative_welded: bool = False

    def weld(self, pole: Pole) -> None:
        """The pole's contact will not open again: one that is open now welds when it is next closed."""
        self._positive_welded = self._positive_welded or pole in ("positive", "both")
        self._negative_welded = self._negative_welded or pole in ("negative", "both")

    def free(self) -> None:
        """The contacts open again as they should."""
        self._positive_welded = self._negative_welded = False

    def switch(self, positive_coil: bool, negative_coil: bool) -> None:
        """Let the contacts follow their coils, as far as they can."""
        self.positive_closed = positive_coil or (self._positive_welded and self.positive_closed)
        self.negative_closed = negative_coil or (self._negative_welded and self.negative_closed)

    @property
    def connected(self) -> bool:
        """Whether the pack's voltage is on the link."""
        return self.positive_closed and self.negative_closed

    def rest(self, pack_volts: float, dt_s: float, precharging: bool) -> float:
        """Live through `dt_s` without the car's load; returns the mean current into the battery."""
        if self.connected:
            self.link_volts = pack_volts
        elif precharging and self.negative_closed:
            return self._precharge(pack_volts, dt_s)
        else:
            self.link_volts *= math.exp(-dt_s / self.bleed_s)
        return 0.0

    def _precharge(self, pack_volts: float, dt_s: float) -> float:
        before = self.link_volts
        self.link_volts += (pack_volts - before) * -math.expm1(-dt_s / (self.precharge_ohm * self.farad))
        return -(self.link_volts - before) * self.farad / dt_s
