"""The numbers by which a Tesla Model 3 pack tells its states, from the published value tables. Pure."""

from __future__ import annotations

import math

from firmware_sim.bms.contactors import Coil, Stage
from firmware_sim.bms.report import BmsReport
from firmware_sim.car.demand import Mode

CONTACTOR_SET = {
    Stage.OPEN: 1,
    Stage.PRECHARGE: 2,
    Stage.BLOCKED: 3,
    Stage.OPENING: 4,
    Stage.CLOSED: 5,
    Stage.WELDED: 7,
}
BMS_CONTACTOR = {
    Stage.OPEN: 1,
    Stage.OPENING: 2,
    Stage.PRECHARGE: 3,
    Stage.CLOSED: 4,
    Stage.BLOCKED: 6,
    Stage.WELDED: 5,
}
_HV_CLOSED = {Mode.PARKED: 6, Mode.DRIVE: 3, Mode.CHARGE_AC: 4, Mode.CHARGE_DC: 5, Mode.LOAD: 6}
_HV_OTHER = {Stage.OPEN: 0, Stage.PRECHARGE: 1, Stage.OPENING: 2, Stage.BLOCKED: 0, Stage.WELDED: 6}
BMS_MODE = {Mode.PARKED: 0, Mode.DRIVE: 1, Mode.CHARGE_AC: 3, Mode.CHARGE_DC: 3, Mode.LOAD: 2}
REQUEST = {Stage.OPEN: 0, Stage.PRECHARGE: 1, Stage.CLOSED: 2, Stage.OPENING: 1, Stage.BLOCKED: 0, Stage.WELDED: 0}
PARTIAL_WELD = 6
_FAULT, _WELD = 6, 7
WELDED_ALERT = 166


def contactor_set(r: BmsReport) -> int:
    """`HVP_packContactorSetState`: the pair's stage, or how much of it is welded."""
    welded = (r.contactors.positive, r.contactors.negative).count(Coil.WELDED)
    return PARTIAL_WELD if welded == 1 else CONTACTOR_SET[r.contactors.stage]


def charging(r: BmsReport) -> bool:
    """The car is at a charger."""
    return r.mode in (Mode.CHARGE_AC, Mode.CHARGE_DC)


def closed(r: BmsReport) -> bool:
    """The pack's contactors are closed."""
    return r.contactors.stage is Stage.CLOSED


def fast_closed(r: BmsReport) -> bool:
    """The direct-current charging contactors are closed."""
    return closed(r) and r.mode is Mode.CHARGE_DC


def bms_state(r: BmsReport) -> int:
    """`BMS_state`: standby, drive, charge, fault, or fault by welded contacts."""
    if WELDED_ALERT in r.alerts or Coil.WELDED in (r.contactors.positive, r.contactors.negative):
        return _WELD
    return _FAULT if r.faulted else BMS_MODE[r.mode]


def hv_state(r: BmsReport) -> int:
    """`BMS_hvState`: down, coming up, up for what, going down."""
    return _HV_CLOSED[r.mode] if closed(r) else _HV_OTHER[r.contactors.stage]


def charge_status(r: BmsReport) -> int:
    """`BMS_uiChargeStatus`: disconnected, about to charge, charging, complete."""
    if charging(r) and r.charge_complete:
        return 4
    return (3 if closed(r) else 2) if charging(r) else 0


def charge_minutes(r: BmsReport) -> float:
    """Minutes to a full pack at the present power; 0 when not charging."""
    power_kw = r.pack_volts * r.current_a / 1_000.0
    return 60.0 * r.energy.to_charged_kwh / power_kw if charging(r) and power_kw > 0.1 else 0.0


def charge_kw(r: BmsReport) -> float:
    """Power that a charger may give now."""
    return r.limits.charge_a * r.pack_volts / 1_000.0


def isolation_kohm(r: BmsReport) -> float:
    """Insulation resistance; not a number while it has not been measured. 1023 says that, so 1022 is the highest."""
    return min(10_220.0, r.isolation_kohm) if math.isfinite(r.isolation_kohm) else math.nan


def place_of(values: tuple[float, ...], extreme: float) -> int:
    """One-based place of the extreme among the values."""
    return values.index(extreme) + 1


def fast_coil(r: BmsReport) -> Coil:
    """State of either direct-current charging contactor."""
    return Coil.ECONOMIZED if fast_closed(r) else Coil.OPEN
