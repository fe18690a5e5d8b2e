"""What really flows between pack and car: the driver's power within the firmware's limits, through real contacts.

Pure. Current is positive into the battery. Loads and chargers respect the limits that the firmware gives them; that is
the car's decency, not the firmware's power.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from firmware_sim.bms.contactors import Contactors, Stage
from firmware_sim.bms.limits import Limits
from firmware_sim.car.circuit import Circuit
from firmware_sim.car.demand import Demand, Mode

CHARGER_RAMP_A_PER_S = 20.0  # a direct-current station's, upwards; down it goes at once
EMPTY_CELL_V = 0.5  # below this a power is no longer kept up by more current
STEPS_PER_BLOCK = 10


class Allowed(NamedTuple):
    """What the firmware lets the car do for a while, watts and amperes into the battery, and what its coolant takes."""

    out_w: float
    in_w: float
    in_a: float
    conditioning_w: float


_NOTHING = Allowed(0.0, 0.0, 0.0, 0.0)


@dataclass(slots=True)
class Powertrain:
    """Turns demands into current. Demands are multiplied by `scale` before they reach a pack of `cells` in series."""

    cells: int
    scale: float = 1.0
    circuit: Circuit = field(default_factory=Circuit)
    _mode: Mode = Mode.PARKED
    _asked_w: float = 0.0
    _rise_w: float = 0.0
    _charger_a: float = 0.0
    _allowed: Allowed = _NOTHING

    def ask(self, before: Demand, demand: Demand, stride: bool) -> None:
        """Take the next demand: for the steps of a block that joins it to the one before, or for one whole stride."""
        if stride:
            first_w, self._rise_w = demand.power_w, 0.0
        else:
            # The power goes straight from the last block's end to this one's; a step takes the value of its middle.
            first_w = before.power_w if demand.mode is before.mode else demand.power_w
            self._rise_w = (demand.power_w - first_w) / STEPS_PER_BLOCK
        self._mode = demand.mode
        self._asked_w = (first_w - self._rise_w / 2) * self.scale
        self._rise_w *= self.scale

    def follow(self, power_w: float) -> None:
        """Take the power of the next part of a stride."""
        self._asked_w = power_w * self.scale

    def permit(self, limits: Limits, conditioning_w: float) -> None:
        """Take the firmware's present limits, and what cooling or heating the pack draws from it."""
        driving = self._mode is Mode.DRIVE
        self._allowed = Allowed(
            out_w=-limits.discharge_kw * 1_000.0,
            in_w=limits.regen_kw * 1_000.0 if driving else math.inf,
            in_a=math.inf if driving else limits.charge_a,
            conditioning_w=conditioning_w,
        )

    def flow(self, contactors: Contactors, volts: float, dt_s: float) -> float:
        """The current into the battery during the next `dt_s`, at the pack's voltage `volts`."""
        self._asked_w += self._rise_w
        circuit = self.circuit
        if contactors.stage is not Stage.CLOSED:
            # The link is charged, held or bled.
            self._charger_a = 0.0
            circuit.switch(contactors.closed_positive, contactors.closed_negative)
            return circuit.rest(volts, dt_s, contactors.precharging)
        if not (circuit.positive_closed and circuit.negative_closed):
            circuit.switch(True, True)
        circuit.link_volts = volts
        allowed = self._allowed
        wanted_w = self._asked_w - allowed.conditioning_w
        wanted_w = min(allowed.in_w, max(allowed.out_w, wanted_w))
        current = wanted_w / max(volts, EMPTY_CELL_V * self.cells)
        if current > 0.0:
            current = min(current, allowed.in_a)
            if self._mode is Mode.CHARGE_DC:
                current = min(current, self._charger_a + CHARGER_RAMP_A_PER_S * dt_s)
        self._charger_a = current
        return current
