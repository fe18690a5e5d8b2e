"""Faults of the pack and of its firmware, put into effect through the doors that cells, circuit and BMS have for them.

Pure. The end of a fault undoes it; what other faults of its kind still ask for is asked for again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast

from firmware_sim.car.circuit import Pole
from firmware_sim.faults.catalogue import KINDS, Fault
from firmware_sim.simulated_pack import SimulatedPack


@dataclass(slots=True)
class PackFaults:
    """What is broken in one pack now."""

    pack: SimulatedPack
    _active: list[Fault] = field(default_factory=list)
    _sound_kohm: float = 0.0
    _sound_answer: bytes = b""

    def begin(self, fault: Fault) -> None:
        """Put `fault` into effect."""
        if not any(each.kind == fault.kind for each in self._active):
            self._remember(fault.kind)
        if not KINDS[fault.kind].momentary:
            self._active.append(fault)
        self._break(fault)

    def end(self, fault: Fault) -> None:
        """Undo `fault`."""
        self._active.remove(fault)
        self._mend(fault)
        for other in self._active:
            if other.kind == fault.kind:
                self._break(other)

    def _remember(self, kind: str) -> None:
        if kind == "isolation-loss":
            self._sound_kohm = self.pack.physics.isolation_kohm
        elif kind == "vin-mislabelled":
            self._sound_answer = self.pack.bms.identity.vin_answer

    def _break(self, fault: Fault) -> None:
        physics, bms = self.pack.physics, self.pack.bms
        match fault.kind:
            case "cell-short":
                physics.short(_from_0(fault, "cell"), fault.number("ohm"))
            case "weak-cell":
                factors = fault.number("capacity_factor"), fault.number("resistance_factor")
                physics.weaken(_from_0(fault, "cell"), *factors)
            case "thermal-event":
                physics.heat_module(_from_0(fault, "module"), self._watts(_from_0(fault, "module")))
            case "isolation-loss":
                physics.isolation_kohm = fault.number("kohm")
            case "contactor-welded":
                self.pack.circuit.weld(cast("Pole", fault.text("pole")))
            case "sensor-stuck":
                bms.sensors.stick(fault.text("sensor"), _place(fault))
            case "soc-frozen":
                bms.soc_frozen = True
            case "soh-zero":
                bms.soh_zero = True
            case "bms-reset":
                bms.reset(clear_counters=bool(fault.parameters["clear_counters"]))
            case "board-swapped":
                bms.swap_board(fault.text("board_serial"))
            case "vin-mislabelled":
                bms.identity = replace(bms.identity, vin_answer=fault.text("answer").encode("ascii"))

    def _mend(self, fault: Fault) -> None:
        physics, bms = self.pack.physics, self.pack.bms
        match fault.kind:
            case "cell-short":
                physics.short(_from_0(fault, "cell"), None)
            case "weak-cell":
                physics.weaken(_from_0(fault, "cell"), 1.0, 1.0)
            case "thermal-event":
                physics.heat_module(_from_0(fault, "module"), 0.0)
            case "isolation-loss":
                physics.isolation_kohm = self._sound_kohm
            case "contactor-welded":
                self.pack.circuit.free()
            case "sensor-stuck":
                bms.sensors.free(fault.text("sensor"), _place(fault))
            case "soc-frozen":
                bms.soc_frozen = False
            case "soh-zero":
                bms.soh_zero = False
            case "vin-mislabelled":
                bms.identity = replace(bms.identity, vin_answer=self._sound_answer)

    def _watts(self, module: int) -> float:
        events = [each for each in self._active if each.kind == "thermal-event"]
        return sum(each.number("watts") for each in events if _from_0(each, "module") == module)


def _from_0(fault: Fault, name: str) -> int:
    return round(fault.number(name)) - 1


def _place(fault: Fault) -> int | None:
    return _from_0(fault, "number") if fault.text("sensor") in ("cell", "temperature") else None
