"""What can be read by identifier (service 0x22): one table of numbers, contents and scales.

F1xx are those of ISO 14229-1, C.1; 02xx is live, 03xx are lifetime counters that the firmware fetches from flash, 04xx
is kept behind security. All numbers are big-endian; current is positive into the battery; a value that does not fit its
field is the field's largest (or smallest), and so is one that is not there (FF, FFFF).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from firmware_sim.bms.report import BmsReport
from firmware_sim.uds.codes import Session

ACTIVE_SESSION: Final = 0xF186
VIN: Final = 0xF190
SUPPLIER: Final = b"PACKSEAL SIMULATOR"
PART_NUMBER: Final = b"PS-BMS-0001"
HARDWARE: Final = b"HW 2"
SYSTEM_NAME: Final = b"HVBMS"
UNKNOWN: Final = 0xFF
STAGES: Final = {"open": 0, "precharge": 1, "closed": 2, "opening": 3, "blocked": 4, "welded": 5}
MODES: Final = {"parked": 0, "drive": 1, "charge-ac": 2, "charge-dc": 3, "load": 4}
_BITS: Final = {
    "B": (0, 0xFF),
    "H": (0, 0xFFFF),
    "h": (-0x8000, 0x7FFF),
    "I": (0, 2**32 - 1),
    "i": (-(2**31), 2**31 - 1),
}
_ANY: Final = frozenset(Session)


@dataclass(frozen=True, slots=True)
class Identifier:
    """One identifier: what it holds, in which fields and scale, and how its bytes follow from a report.

    `slow` ones come from flash and are announced with "response pending"; `guarded` ones need a security access that
    this firmware grants nobody; outside its `sessions` an identifier does not exist.
    """

    number: int
    meaning: str
    form: str
    encode: Callable[[BmsReport], bytes]
    sessions: frozenset[Session] = _ANY
    slow: bool = False
    guarded: bool = False


def packed(fields: str, *values: float | None) -> bytes:
    """Big-endian `fields` of struct (B, H, h, I, i), each value rounded half away from zero and held within its field."""
    return struct.pack(f">{fields}", *(_fitted(field, value) for field, value in zip(fields, values, strict=True)))


def _fitted(field: str, value: float | None) -> int:
    low, high = _BITS[field]
    if value is None or math.isnan(value):
        return high
    if math.isinf(value):
        return high if value > 0 else low
    return max(low, min(high, math.floor(abs(value) + 0.5) * (1 if value >= 0 else -1)))


def _counted(field: str, values: Iterable[float]) -> bytes:
    """A count of one byte, and so many fields."""
    listed = list(values)[:255]
    return packed("B" + field * len(listed), len(listed), *listed)


def _extremes(report: BmsReport) -> bytes:
    volts = report.cell_volts
    low, high = min(range(len(volts)), key=volts.__getitem__), max(range(len(volts)), key=volts.__getitem__)
    return packed("HBHB", volts[low] * 1e4, low + 1, volts[high] * 1e4, high + 1)


def _bricks(report: BmsReport) -> bytes:
    return _counted("H", (volts * 1e4 for volts in report.cell_volts))


def _temperatures(report: BmsReport) -> bytes:
    return _counted("h", (degrees * 10 for degrees in report.temperatures_c))


def _charge(report: BmsReport) -> bytes:
    soc = report.soc
    return packed("HHHH", *(fraction * 1e4 for fraction in (soc.low, soc.mean, soc.high, soc.shown)))


def _energy(report: BmsReport) -> bytes:
    energy = report.energy
    return packed("III", *(kwh * 1e3 for kwh in (energy.full_kwh, energy.remaining_kwh, energy.begin_of_life_kwh)))


def _limits(report: BmsReport) -> bytes:
    limits = report.limits
    values = (limits.discharge_kw, limits.regen_kw, limits.discharge_a, limits.charge_a)
    return packed("HHHH", *(value * 10 for value in values))


def _contactors(report: BmsReport) -> bytes:
    pair = report.contactors
    return packed("BBB", STAGES.get(pair.stage.value, UNKNOWN), int(pair.positive), int(pair.negative))


def _work(report: BmsReport) -> bytes:
    return packed("BBBB", MODES.get(report.mode.value, UNKNOWN), report.faulted, report.balancing, report.cooling * 100)


def _lifetime(report: BmsReport) -> bytes:
    energy = (report.charged_kwh * 1e3, report.discharged_kwh * 1e3)
    charge = (report.charged_ah * 1e3, report.discharged_ah * 1e3)
    return packed("IIIIIIH", *energy, *charge, report.cycles * 100, report.uptime_s, report.resets)


def _text(ask: Callable[[BmsReport], str]) -> Callable[[BmsReport], bytes]:
    return lambda report: ask(report).encode("ascii", "replace")


_EXTENDED: Final = frozenset({Session.EXTENDED})
TABLE: Final[tuple[Identifier, ...]] = (
    Identifier(0xF187, "spare part number", "ASCII", lambda _: PART_NUMBER),
    Identifier(0xF18A, "system supplier", "ASCII", lambda _: SUPPLIER),
    Identifier(0xF18C, "serial number of the BMS board, not of the pack", "ASCII", _text(lambda r: r.identity.board_serial)),
    Identifier(VIN, "what this BMS has in its VIN field, a VIN or not", "bytes as stored", lambda r: r.identity.vin_answer),
    Identifier(0xF191, "hardware number", "ASCII", lambda _: HARDWARE),
    Identifier(0xF195, "software version", "ASCII", _text(lambda r: r.identity.software)),
    Identifier(0xF197, "system name", "ASCII", lambda _: SYSTEM_NAME),
    Identifier(0x0200, "pack voltage", "u16 0.01 V", lambda r: packed("H", r.pack_volts * 100)),
    Identifier(0x0201, "current, smoothed", "i32 1 mA", lambda r: packed("i", r.current_a * 1e3)),
    Identifier(0x0202, "current, as read", "i32 1 mA", lambda r: packed("i", r.raw_current_a * 1e3)),
    Identifier(0x0203, "DC link voltage", "u16 0.01 V", lambda r: packed("H", r.link_volts * 100)),
    Identifier(0x0204, "state of charge: lowest, mean, highest brick, shown", "4 x u16 0.01 %", _charge),
    Identifier(0x0205, "state of health", "u16 0.01 %", lambda r: packed("H", r.soh * 1e4)),
    Identifier(0x0206, "capacity, estimated", "u32 1 mAh", lambda r: packed("I", r.capacity_ah * 1e3)),
    Identifier(0x0207, "energy: full, remaining, full when new", "3 x u32 1 Wh", _energy),
    Identifier(0x0208, "limits: discharge, regeneration, discharge, charge", "2 x u16 0.1 kW, 2 x u16 0.1 A", _limits),
    Identifier(0x0210, "lowest and highest brick, each with its number from 1", "2 x (u16 0.1 mV, u8)", _extremes),
    Identifier(0x0211, "all brick voltages", "u8 count, u16 0.1 mV each", _bricks),
    Identifier(0x0212, "all temperatures", "u8 count, i16 0.1 degC each", _temperatures),
    Identifier(0x0213, "isolation resistance", "u16 1 kOhm, FFFF not measured", lambda r: packed("H", r.isolation_kohm)),
    Identifier(0x0214, "contactors: stage, positive, negative", "3 x u8 enumeration", _contactors),
    Identifier(0x0215, "mode, fault, bricks being balanced, cooling", "2 x u8 enumeration, u8, u8 1 %", _work),
    Identifier(0x0216, "active alerts", "u8 count, u16 number each", lambda r: _counted("H", sorted(r.alerts))),
    Identifier(0x0300, "energy charged", "u32 1 Wh", lambda r: packed("I", r.charged_kwh * 1e3), slow=True),
    Identifier(0x0301, "energy discharged", "u32 1 Wh", lambda r: packed("I", r.discharged_kwh * 1e3), slow=True),
    Identifier(0x0302, "charge charged", "u32 1 mAh", lambda r: packed("I", r.charged_ah * 1e3), slow=True),
    Identifier(0x0303, "charge discharged", "u32 1 mAh", lambda r: packed("I", r.discharged_ah * 1e3), slow=True),
    Identifier(0x0304, "equivalent full cycles", "u32 0.01", lambda r: packed("I", r.cycles * 100), slow=True),
    Identifier(0x0305, "resets", "u16", lambda r: packed("H", r.resets), slow=True),
    Identifier(0x0306, "time in operation", "u32 1 s", lambda r: packed("I", r.uptime_s), slow=True),
    Identifier(0x030F, "all of 0300 to 0304, 0306 and 0305, in this order", "6 x u32, u16", _lifetime, slow=True),
    Identifier(0x0310, "serial number of the pack", "ASCII", _text(lambda r: r.identity.pack_serial), sessions=_EXTENDED),
    Identifier(0x0400, "shunt calibration", "-", lambda _: b"", guarded=True),
    Identifier(0x0401, "end-of-line record", "-", lambda _: b"", guarded=True),
)  # fmt: skip

BY_NUMBER: Final = {each.number: each for each in TABLE}
