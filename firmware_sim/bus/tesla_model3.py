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

from functools import cache

from firmware_sim.bms.contactors import Stage
from firmware_sim.bms.firmware import BmsReport
from firmware_sim.bus import tesla_states as states
from firmware_sim.bus.message import Field, Message
from firmware_sim.car.driving import Mode

F = Field
M = Message

CELLS_PER_PAGE = 3
CELL_SCALE = 0.0001
NO_CELL_V = 6.5535
CELLS_VALID = 0x2A
ALERTS_PER_PAGE = 60
ALERT_PAGES = 3
BRICK_OHM = 0.78e-3

PERCENT = 100.0

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
            F("ChargeHoursRemaining132", 48, 12, states.charge_minutes),
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
            F("BMS_battTempPct", 50, 8, lambda r: 50.0 + max(r.temperatures_c) / 2, 0.4),
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
            F("BMS_expectedEnergyRemaining", 22, 11, lambda r: r.energy.remaining_kwh * 0.98, 0.1),
            F("BMS_idealEnergyRemaining", 33, 11, lambda r: r.energy.remaining_kwh, 0.1),
            F("BMS_energyToChargeComplete", 44, 11, lambda r: r.energy.to_charged_kwh, 0.1),
            F("BMS_energyBuffer", 55, 8, lambda r: r.energy.buffer_kwh, 0.1),
            F("BMS_fullChargeComplete", 63, 1, lambda r: r.soc.mean >= 0.995),
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
            F("BattCellMultiplexer332", 0, 2, lambda _: 0),
            F("BattCellTempMaxNum332", 2, 4, lambda r: states.place_of(r.temperatures_c, max(r.temperatures_c))),
            F("BattCellTempMinNum332", 8, 4, lambda r: states.place_of(r.temperatures_c, min(r.temperatures_c))),
            F("BattCellTempMax332", 16, 8, lambda r: max(r.temperatures_c), 0.5, -40.0),
            F("BattCellTempMin332", 24, 8, lambda r: min(r.temperatures_c), 0.5, -40.0),
            F("BattCellModelTMax332", 32, 8, lambda r: max(r.temperatures_c), 0.5, -40.0),
            F("BattCellModelTMin332", 40, 8, lambda r: min(r.temperatures_c), 0.5, -40.0),
        ),
        (
            F("BattCellMultiplexer332", 0, 2, lambda _: 1),
            F("BattCellBrickVoltageMax332", 2, 12, lambda r: max(r.cell_volts), 0.002),
            F("BattCellBrickVoltageMin332", 16, 12, lambda r: min(r.cell_volts), 0.002),
            F(
                "BattCellBrickVoltageMaxNum332",
                32,
                7,
                lambda r: states.place_of(r.cell_volts, max(r.cell_volts)),
                1.0,
                1.0,
            ),
            F(
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
            F("BMSdissipation312", 0, 10, lambda r: r.current_a**2 * BRICK_OHM * len(r.cell_volts) / 1e3, 0.02),
            F("BMSflowRequest312", 10, 7, lambda r: 30.0 * r.cooling, 0.3),
            F("BMSinletActiveCoolTarget312", 17, 9, lambda _: 30.0, 0.25, -25.0),
            F("BMSinletPassiveTarget312", 26, 9, lambda _: 20.0, 0.25, -25.0),
            F("BMSinletActiveHeatTarget312", 35, 9, lambda _: 5.0, 0.25, -25.0),
            F("BMSminPackTemperature", 44, 9, lambda r: min(r.temperatures_c), 0.25, -25.0),
            F("BMSmaxPackTemperature", 53, 9, lambda r: max(r.temperatures_c), 0.25, -25.0),
            F("BMSnoFlowRequest312", 63, 1, lambda r: r.cooling == 0.0),
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
            F("HVP_fcContPositiveAuxOpen", 6, 1, lambda r: not states.fast_closed(r)),
            F("HVP_fcContNegativeAuxOpen", 7, 1, lambda r: not states.fast_closed(r)),
            F("HVP_packContactorSetState", 8, 4, lambda r: states.CONTACTOR_SET[r.contactors.stage]),
            F("HVP_fcContNegativeState", 12, 3, states.fast_coil),
            F("HVP_fcContPositiveState", 16, 3, states.fast_coil),
            F("HVP_fcContactorSetState", 19, 4, lambda r: 5 if states.fast_closed(r) else 1),
            F("HVP_fcCtrsClosingAllowed", 29, 1, lambda r: r.mode is Mode.CHARGE_DC and not r.faulted),
            F("HVP_packCtrsRequestStatus", 30, 2, lambda r: states.REQUEST[r.contactors.stage]),
            F("HVP_packCtrsOpenRequested", 34, 1, lambda r: r.contactors.stage is Stage.OPENING),
            F("HVP_packCtrsClosingAllowed", 35, 1, lambda r: not r.faulted),
            F("HVP_dcLinkAllowedToEnergize", 36, 1, lambda r: not r.faulted and r.mode is not Mode.PARKED),
            F("HVP_hvilStatus", 40, 4, lambda _: 1),
            F("HVP_fcLinkAllowedToEnergize", 44, 2, lambda r: 2 if r.mode is Mode.CHARGE_DC else 0),
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
            F("BMS_uiChargeStatus", 11, 3, states.charge_status),
            F("BMS_hvState", 16, 3, states.hv_state),
            # 1023 is "not available", so the highest reading is 1022.
            F("BMS_isolationResistance", 19, 10, lambda r: min(10_220.0, r.isolation_kohm), 10.0),
            F("BMS_chargeRequest", 29, 1, states.charging),
            F("BMS_state", 32, 4, states.bms_state),
            F("BMS_chgPowerAvailable", 40, 11, lambda r: min(255.75 - 0.125, states.charge_kw(r)), 0.125),
            F("BMS_smStateRequest", 56, 4, lambda r: states.BMS_MODE[r.mode]),
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
            F("BMS_maxStationaryHeatPower", 32, 10, lambda r: min(7.0, r.limits.discharge_kw), 0.01),
            F("BMS_powerLimitsState", 48, 1, lambda r: states.closed(r) and r.mode is Mode.DRIVE),
            F("BMS_hvacPowerBudget", 50, 10, lambda r: min(12.0, r.limits.discharge_kw), 0.02),
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


def alert_bit(number: int) -> tuple[int, int]:
    """Page and bit of alert a001 to a180 in 0x320: sixty on a page, after the page's four-bit index."""
    page, place = divmod(number - 1, ALERTS_PER_PAGE)
    return page, place + 4


def _alert_page(page: int) -> tuple[F, ...]:
    def alerts(report: BmsReport) -> int:
        places = (alert_bit(number) for number in report.alerts)
        return sum(1 << (bit - 4) for at, bit in places if at == page)

    return (F("BMS_matrixIndex", 0, 4, lambda _: page), F("alerts", 4, ALERTS_PER_PAGE, alerts))


ALERTS = M(0x320, "ID320BMS_alertMatrix", 8, 333_333, tuple(_alert_page(page) for page in range(ALERT_PAGES)))


def _cell(number: int, place: int) -> F:
    def volts(report: BmsReport) -> float:
        return report.cell_volts[number] if number < len(report.cell_volts) else NO_CELL_V

    return F(f"Cell{number}", 16 + 16 * place, 16, volts, CELL_SCALE)


def _cell_page(page: int) -> tuple[F, ...]:
    cells = (_cell(page * CELLS_PER_PAGE + place, place) for place in range(CELLS_PER_PAGE))
    return (
        F("MultiplexSelector", 0, 8, lambda _: page),
        F("StatusFlags", 8, 8, lambda _: CELLS_VALID),
        *cells,
    )


@cache
def messages(cells: int) -> tuple[M, ...]:
    """Everything that a pack of `cells` bricks sends."""
    pages = -(-cells // CELLS_PER_PAGE)
    bricks = M(0x401, "ID401CellVoltages", 8, 25_000, tuple(_cell_page(page) for page in range(pages)))
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
