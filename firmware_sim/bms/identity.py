"""Who a battery management system says it is. Four things that are not the same, and that a reader must keep apart.

The pack has a serial on its label, the board that runs this firmware another one, the firmware a version; and the answer
to a VIN query is whatever somebody once wrote into that field. None of them proves which pack this is.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """What a BMS gives out when it is asked for names; `vin_answer` is sent as it is, VIN or not."""

    pack_serial: str = "SIM-PACK-000001"
    board_serial: str = "SIM-BMS-000001"
    software: str = "packseal-sim-1"
    vin_answer: bytes = b"SIMPACKSEAL000001"
