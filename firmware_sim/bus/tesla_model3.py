"""What a Tesla Model 3 pack says on the vehicle bus: ids, periods and bit positions, from the published facts.

Identifiers, positions and scales are those of the community's DBC (joshwardell/model3dbc); this table is our own and
shares nothing with the agent. Choices where the facts leave one:

* Current: inside the simulator it is positive into the battery; on the bus +10 A into the battery is raw +100, which
  that DBC (scale -0.1) decodes to -10 A.
* Cells 33 and 34 are in natural order; the published DBC swaps their names.
* 0x401 sends one page of three cells every 25 ms, so that all 96 cells (0.8 s) and all 108 (0.9 s) are seen within a
  second. Only pages that hold a cell are sent; places beyond the last cell hold 0xFFFF.
* 0x332 alternates its two pages every 100 ms, 0x20A is sent every 100 ms, each of 0x320's three pages once a second,
  0x312, 0x252 and 0x2D2 every 100 ms.
"""

from __future__ import annotations

from functools import cache, partial

from firmware_sim.bms.contactors import Stage
from firmware_sim.bms.report import BmsReport
from firmware_sim.bus import tesla_states as states
from firmware_sim.bus.message import Field, Message
from firmware_sim.car.demand import Mode

F = Field
X = partial(Field, needed=False)  # what no shipped profile maps
M = Message

CELLS_PER_PAGE = 3
CELL_SCALE = 0.0001
NO_CELL_V = 6.5535
CELLS_VALID = 0x2A
ALERTS_PER_PAGE = 60
ALERT_PAGES = 3
BRICK_OHM = 0.78e-3

PERCENT = 100.0
SELECTORS = frozenset({"BattCellMultiplexer332", "BMS_matrixIndex", "MultiplexSelector"})

VOLTAGE_CURRENT = M(
    0x132,
    "ID132HVBattAmpVolt",
    8,
    10_000,
    (
        (
            F("BattVoltage132", 0, 16, lambda r: r.pack_volts, 0.01),
            F("SmoothBattCurrent132", 16, 16, lambda r: -r.current_a, -0.1, signed=True),
            F("RawBattCurrent132", 32, 16, lambda r: -r.raw_current_a, -0.05, 500.0, signed=True),
            X("ChargeHoursRemaining132", 48, 12, states.charge_minutes),
        ),
    ),
)

STATE_OF_CHARGE = M(
    0x292,
    "ID292BMS_SOC",
    8,
    100_000,
    (
        (
            F("SOCmin292", 0, 10, lambda r: r.soc.low * PERCENT, 0.1),
            F("SOCUI292", 10, 10, lambda r: r.soc.shown * PERCENT, 0.1),
            F("SOCmax292", 20, 10, lambda r: r.soc.high * PERCENT, 0.1),
            F("SOCave292", 30, 10, lambda r: r.soc.mean * PERCENT, 0.1),
            F("BattBeginningOfLifeEnergy292", 40, 10, lambda r: r.energy.begin_of_life_kwh, 0.1),
            X("BMS_battTempPct", 50, 8, lambda r: 50.0 + max(r.temperatures_c) / 2, 0.4),
        ),
    ),
)

ENERGY = M(
    0x352,
    "ID352BMS_energyStatus",
    8,
    1_000_000,
    (
        (
            F("BMS_nominalFullPackEnergy", 0, 11, lambda r: r.energy.full_kwh, 0.1),
            F("BMS_nominalEnergyRemaining", 11, 11, lambda r: r.energy.remaining_kwh, 0.1),
            X("BMS_expectedEnergyRemaining", 22, 11, lambda r: r.energy.remaining_kwh * 0.98, 0.1),
            X("BMS_idealEnergyRemaining", 33, 11, lambda r: r.energy.remaining_kwh, 0.1),
            X("BMS_energyToChargeComplete", 44, 11, lambda r: r.energy.to_charged_kwh, 0.1),
            X("BMS_energyBuffer", 55, 8, lambda r: r.energy.buffer_kwh, 0.1),
            X("BMS_fullChargeComplete", 63, 1, lambda r: r.soc.mean >= 0.995),
        ),
    ),
)

LIFETIME = M(
    0x3D2,
    "ID3D2TotalChargeDischarge",
    8,
    1_000_000,
    (
        (
            F("TotalDischargeKWh3D2", 0, 32, lambda r: r.discharged_kwh, 0.001),
            F("TotalChargeKWh3D2", 32, 32, lambda r: r.charged_kwh, 0.001),
        ),
    ),
)

EXTREMES = M(
    0x332,
    "ID332BattCellMinMax",
    6,
    100_000,
    (
        (
            F("BattCellMultiplexer332", 0, 2, 0),
            X("BattCellTempMaxNum332", 2, 4, lambda r: states.place_of(r.temperatures_c, max(r.temperatures_c))),
            X("BattCellTempMinNum332", 8, 4, lambda r: states.place_of(r.temperatures_c, min(r.temperatures_c))),
            F("BattCellTempMax332", 16, 8, lambda r: max(r.temperatures_c), 0.5, -40.0),
            F("BattCellTempMin332", 24, 8, lambda r: min(r.temperatures_c), 0.5, -40.0),
            X("BattCellModelTMax332", 32, 8, lambda r: max(r.temperatures_c), 0.5, -40.0),
            X("BattCellModelTMin332", 40, 8, lambda r: min(r.temperatures_c), 0.5, -40.0),
        ),
        (
            F("BattCellMultiplexer332", 0, 2, 1),
            F("BattCellBrickVoltageMax332", 2, 12, lambda r: max(r.cell_volts), 0.002),
            F("BattCellBrickVoltageMin332", 16, 12, lambda r: min(r.cell_volts), 0.002),
            X(
                "BattCellBrickVoltageMaxNum332",
                32,
                7,
                lambda r: states.place_of(r.cell_volts, max(r.cell_volts)),
                1.0,
                1.0,
            ),
            X(
                "BattCellBrickVoltageMinNum332",
                40,
                7,
                lambda r: states.place_of(r.cell_volts, min(r.cell_volts)),
                1.0,
                1.0,
            ),
        ),
    ),
)

THERMAL = M(
    0x312,
    "ID312BMSthermal",
    8,
    100_000,
    (
        (
            X("BMSdissipation312", 0, 10, lambda r: r.current_a**2 * BRICK_OHM * len(r.cell_volts) / 1e3, 0.02),
            X("BMSflowRequest312", 10, 7, lambda r: 30.0 * r.cooling, 0.3),
            X("BMSinletActiveCoolTarget312", 17, 9, 30.0, 0.25, -25.0),
            X("BMSinletPassiveTarget312", 26, 9, 20.0, 0.25, -25.0),
            X("BMSinletActiveHeatTarget312", 35, 9, 5.0, 0.25, -25.0),
            F("BMSminPackTemperature", 44, 9, lambda r: min(r.temperatures_c), 0.25, -25.0),
            F("BMSmaxPackTemperature", 53, 9, lambda r: max(r.temperatures_c), 0.25, -25.0),
            X("BMSnoFlowRequest312", 63, 1, lambda r: r.cooling == 0.0),
        ),
    ),
)

CONTACTORS = M(
    0x20A,
    "ID20AHVP_contactorState",
    6,
    100_000,
    (
        (
            F("HVP_packContNegativeState", 0, 3, lambda r: r.contactors.negative),
            F("HVP_packContPositiveState", 3, 3, lambda r: r.contactors.positive),
            X("HVP_fcContPositiveAuxOpen", 6, 1, lambda r: not states.fast_closed(r)),
            X("HVP_fcContNegativeAuxOpen", 7, 1, lambda r: not states.fast_closed(r)),
            F("HVP_packContactorSetState", 8, 4, states.contactor_set),
            X("HVP_fcContNegativeState", 12, 3, states.fast_coil),
            X("HVP_fcContPositiveState", 16, 3, states.fast_coil),
            X("HVP_fcContactorSetState", 19, 4, lambda r: 5 if states.fast_closed(r) else 1),
            X("HVP_fcCtrsClosingAllowed", 29, 1, lambda r: r.mode is Mode.CHARGE_DC and not r.faulted),
            X("HVP_packCtrsRequestStatus", 30, 2, lambda r: states.REQUEST[r.contactors.stage]),
            X("HVP_packCtrsOpenRequested", 34, 1, lambda r: r.contactors.stage is Stage.OPENING),
            X("HVP_packCtrsClosingAllowed", 35, 1, lambda r: not r.faulted),
            X("HVP_dcLinkAllowedToEnergize", 36, 1, lambda r: not r.faulted and r.mode is not Mode.PARKED),
            X("HVP_hvilStatus", 40, 4, lambda r: 4 if r.interlock_open else 1),
            X("HVP_fcLinkAllowedToEnergize", 44, 2, lambda r: 2 if r.mode is Mode.CHARGE_DC else 0),
        ),
    ),
)

STATUS = M(
    0x212,
    "ID212BMS_status",
    8,
    100_000,
    (
        (
            F("BMS_contactorState", 8, 3, lambda r: states.BMS_CONTACTOR[r.contactors.stage]),
            X("BMS_uiChargeStatus", 11, 3, states.charge_status),
            X("BMS_hvState", 16, 3, states.hv_state),
            F("BMS_isolationResistance", 19, 10, states.isolation_kohm, 10.0),
            X("BMS_chargeRequest", 29, 1, states.charging),
            F("BMS_state", 32, 4, states.bms_state),
            X("BMS_chgPowerAvailable", 40, 11, lambda r: min(255.75 - 0.125, states.charge_kw(r)), 0.125),
            X("BMS_smStateRequest", 56, 4, lambda r: states.BMS_MODE[r.mode]),
        ),
    ),
)

POWER = M(
    0x252,
    "ID252BMS_powerAvailable",
    8,
    100_000,
    (
        (
            F("BMS_maxRegenPower", 0, 16, lambda r: r.limits.regen_kw, 0.01),
            F("BMS_maxDischargePower", 16, 16, lambda r: r.limits.discharge_kw, 0.01),
            X("BMS_maxStationaryHeatPower", 32, 10, lambda r: min(7.0, r.limits.discharge_kw), 0.01),
            X("BMS_powerLimitsState", 48, 1, lambda r: states.closed(r) and r.mode is Mode.DRIVE),
            X("BMS_hvacPowerBudget", 50, 10, lambda r: min(12.0, r.limits.discharge_kw), 0.02),
        ),
    ),
)

LIMITS = M(
    0x2D2,
    "ID2D2BMSVAlimits",
    8,
    100_000,
    (
        (
            F("MinVoltage2D2", 0, 16, lambda r: r.limits.min_volts, 0.01),
            F("MaxVoltage2D2", 16, 16, lambda r: r.limits.max_volts, 0.01),
            F("MaxChargeCurrent2D2", 32, 14, lambda r: r.limits.charge_a, 0.1),
            F("MaxDischargeCurrent2D2", 48, 14, lambda r: r.limits.discharge_a, 0.128),
        ),
    ),
)


ALERT_NAMES = {
    7: "SW_Slowed_Chg_Batt_Cold",
    17: "SW_Brick_OV",
    18: "SW_Brick_UV",
    19: "SW_Module_OT",
    22: "SW_Over_Current",
    23: "SW_Stack_OV",
    35: "SW_Isolation",
    36: "SW_HvpHvilFault",
    41: "SW_Destructive_Reset_So",
    43: "SW_Watch_Dog_Reset",
    62: "SW_BrickV_Imbalance",
    64: "SW_SOC_Imbalance",
    69: "SW_Low_Power",
    82: "SW_Ctr_Force_Open",
    83: "SW_Ctr_Close_Failure",
    123: "SW_Internal_Isolation",
    136: "SW_Module_OT_Warning",
    137: "SW_Brick_UV_Warning",
    138: "SW_Brick_OV_Warning",
    146: "SW_Brick_Overdischarged",
    151: "SW_external_isolation",
    163: "SW_Contactor_Mismatch",
    166: "SW_Pack_Full_Weld",
}
UNMAPPED_ALERTS = {7, 69}


def alert_bit(number: int) -> tuple[int, int]:
    """Page and bit of alert a001 to a180 in 0x320: sixty on a page, after the page's four-bit index."""
    page, place = divmod(number - 1, ALERTS_PER_PAGE)
    return page, place + 4


def _alert(number: int) -> F:
    def active(report: BmsReport) -> bool:
        return number in report.alerts

    name = f"BMS_a{number:03d}_{ALERT_NAMES[number]}"
    return F(name, alert_bit(number)[1], 1, active, needed=number not in UNMAPPED_ALERTS)


def _alert_page(page: int) -> tuple[F, ...]:
    here = (number for number in ALERT_NAMES if alert_bit(number)[0] == page)
    return (F("BMS_matrixIndex", 0, 4, page), *(_alert(number) for number in here))


ALERTS = M(0x320, "ID320BMS_alertMatrix", 8, 333_333, tuple(_alert_page(page) for page in range(ALERT_PAGES)))


def _cell(number: int, place: int, cells: int) -> F:
    def volts(report: BmsReport) -> float:
        return report.cell_volts[number]

    exists = number < cells
    value = volts if exists else NO_CELL_V
    return F(f"Cell{number}", 16 + 16 * place, 16, value, CELL_SCALE, needed=exists)


def _cell_page(page: int, cells: int) -> tuple[F, ...]:
    bricks = (_cell(page * CELLS_PER_PAGE + place, place, cells) for place in range(CELLS_PER_PAGE))
    return (F("MultiplexSelector", 0, 8, page), X("StatusFlags", 8, 8, CELLS_VALID), *bricks)


@cache
def messages(cells: int) -> tuple[M, ...]:
    """Everything that a pack of `cells` bricks sends."""
    pages = -(-cells // CELLS_PER_PAGE)
    layout = tuple(_cell_page(page, cells) for page in range(pages))
    bricks = M(0x401, "ID401CellVoltages", 8, 25_000, layout)
    return (
        VOLTAGE_CURRENT,
        CONTACTORS,
        STATUS,
        POWER,
        STATE_OF_CHARGE,
        LIMITS,
        THERMAL,
        ALERTS,
        EXTREMES,
        ENERGY,
        LIFETIME,
        bricks,
    )
