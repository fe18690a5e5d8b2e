"""What a 48 V pack in its second life says to an inverter: the messages that Pylontech's low-voltage batteries made common.

Every message is sent once a second in Intel order; there are no checksums, no counters, no single cells and no serial
number. Identifiers, positions and scales are the widely implemented ones (0x351, 0x355, 0x356, 0x359, 0x35C, 0x35E);
this table is our own. Choices where implementations differ:

* 0x356 counts current into the battery (charging) as positive, as the simulator does inside.
* 0x351 has the lowest discharge voltage in its last two bytes; both current limits are positive numbers.
* 0x356 tells the mean temperature of the thermistors, 0x359 the number of modules and the letters `PN`.
"""

from __future__ import annotations

from functools import cache

from firmware_sim.bms.report import BmsReport
from firmware_sim.bus import pylontech_states as states
from firmware_sim.bus.message import Field, Message

F = Field
M = Message

PERIOD_US = 1_000_000
PERCENT = 100.0
MAKER = b"PYLON   "
SIGNATURE = b"PN"


def _letters(text: bytes) -> int:
    return int.from_bytes(text, "little")


LIMITS = M(
    0x351,
    "Pylon_Limits",
    8,
    PERIOD_US,
    (
        (
            F("ChargeVoltageLimit", 0, 16, lambda r: r.limits.max_volts, 0.1),
            F("ChargeCurrentLimit", 16, 16, lambda r: r.limits.charge_a, 0.1, signed=True),
            F("DischargeCurrentLimit", 32, 16, lambda r: r.limits.discharge_a, 0.1, signed=True),
            F("DischargeVoltageLimit", 48, 16, lambda r: r.limits.min_volts, 0.1),
        ),
    ),
)

STATE = M(
    0x355,
    "Pylon_State",
    4,
    PERIOD_US,
    (
        (
            F("StateOfCharge", 0, 16, lambda r: min(100.0, max(0.0, r.soc.mean * PERCENT))),
            F("StateOfHealth", 16, 16, lambda r: min(100.0, r.soh * PERCENT)),
        ),
    ),
)

MEASURED = M(
    0x356,
    "Pylon_Measured",
    6,
    PERIOD_US,
    (
        (
            F("PackVoltage", 0, 16, lambda r: r.pack_volts, 0.01, signed=True),
            F("PackCurrent", 16, 16, lambda r: r.current_a, 0.1, signed=True),
            F("CellTemperature", 32, 16, states.mean_c, 0.1, signed=True),
        ),
    ),
)


def _flag(name: str, bit: int, numbers: frozenset[int]) -> F:
    def active(report: BmsReport) -> bool:
        return states.raised(report, numbers)

    return F(name, bit, 1, active)


FAULTS = M(
    0x359,
    "Pylon_Faults",
    7,
    PERIOD_US,
    (
        (
            _flag("ProtectOverVoltage", 1, states.OVER_VOLTAGE),
            _flag("ProtectUnderVoltage", 2, states.UNDER_VOLTAGE),
            _flag("ProtectOverTemperature", 3, states.OVER_TEMPERATURE),
            _flag("ProtectUnderTemperature", 4, states.UNDER_TEMPERATURE),
            _flag("ProtectDischargeCurrent", 7, states.OVER_DISCHARGE_CURRENT),
            _flag("ProtectChargeCurrent", 8, states.OVER_CHARGE_CURRENT),
            _flag("ProtectSystem", 11, states.SYSTEM),
            _flag("WarnHighVoltage", 17, states.HIGH_VOLTAGE),
            _flag("WarnLowVoltage", 18, states.LOW_VOLTAGE),
            _flag("WarnHighTemperature", 19, states.HIGH_TEMPERATURE),
            _flag("WarnLowTemperature", 20, states.LOW_TEMPERATURE),
            _flag("WarnDischargeCurrent", 23, states.HIGH_DISCHARGE_CURRENT),
            _flag("WarnChargeCurrent", 24, states.HIGH_CHARGE_CURRENT),
            _flag("WarnInternal", 27, states.INTERNAL),
            F("Modules", 32, 8, 1),
            F("Signature", 40, 16, _letters(SIGNATURE), needed=False),
        ),
    ),
)

REQUESTS = M(
    0x35C,
    "Pylon_Requests",
    2,
    PERIOD_US,
    (
        (
            F("RequestFullCharge", 3, 1, 0),
            F("ForceChargeSoon", 4, 1, lambda r: r.soc.mean < states.FORCE_SOON),
            F("ForceChargeNow", 5, 1, lambda r: r.soc.mean < states.FORCE_NOW),
            F("DischargeEnable", 6, 1, states.may_discharge),
            F("ChargeEnable", 7, 1, states.may_charge),
        ),
    ),
)

MAKER_NAME = M(0x35E, "Pylon_Maker", 8, PERIOD_US, ((F("Maker", 0, 64, _letters(MAKER), needed=False),),))


@cache
def messages(_cells: int) -> tuple[M, ...]:
    """Everything that such a pack sends, however many cells it has."""
    return LIMITS, STATE, MEASURED, FAULTS, REQUESTS, MAKER_NAME
