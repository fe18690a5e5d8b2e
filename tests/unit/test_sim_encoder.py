"""The encoder against cantools on the published DBC: two implementations that share nothing."""

import cantools
import pytest

from firmware_sim.bms.contactors import Stage
from firmware_sim.bus.message import Field
from firmware_sim.bus.tesla_model3 import alert_bit, messages
from firmware_sim.car.driving import Mode
from firmware_sim.cells.physics import PackSpec
from firmware_sim.simulated_pack import SimulatedPack
from tests.shared import shared

SWAPPED = {33: 34, 34: 33}  # the published DBC has these two names the wrong way round


@pytest.fixture(scope="module")
def dbc():
    return cantools.database.load_file(shared("dbc/tesla-model3.dbc"), strict=False)


def expected(report, cells):
    """What the firmware knows, by published signal name; the current there is positive out of the battery."""
    energy, limits, temperatures = report.energy, report.limits, report.temperatures_c
    return {
        "BattVoltage132": report.pack_volts,
        "SmoothBattCurrent132": -report.current_a,
        "RawBattCurrent132": -report.raw_current_a,
        "SOCmin292": 100 * report.soc.low,
        "SOCave292": 100 * report.soc.mean,
        "SOCmax292": 100 * report.soc.high,
        "SOCUI292": 100 * report.soc.shown,
        "BattBeginningOfLifeEnergy292": energy.begin_of_life_kwh,
        "BMS_nominalFullPackEnergy": energy.full_kwh,
        "BMS_nominalEnergyRemaining": energy.remaining_kwh,
        "TotalDischargeKWh3D2": report.discharged_kwh,
        "TotalChargeKWh3D2": report.charged_kwh,
        "BattCellTempMax332": max(temperatures),
        "BattCellTempMin332": min(temperatures),
        "BattCellBrickVoltageMax332": max(report.cell_volts),
        "BattCellBrickVoltageMin332": min(report.cell_volts),
        "BattCellBrickVoltageMaxNum332": report.cell_volts.index(max(report.cell_volts)) + 1,
        "BattCellBrickVoltageMinNum332": report.cell_volts.index(min(report.cell_volts)) + 1,
        "BMSminPackTemperature": min(temperatures),
        "BMSmaxPackTemperature": max(temperatures),
        "HVP_packContPositiveState": report.contactors.positive,
        "HVP_packContNegativeState": report.contactors.negative,
        "HVP_packContactorSetState": {"open": 1, "precharge": 2, "closed": 5}[report.contactors.stage.value],
        "BMS_contactorState": {"open": 1, "precharge": 3, "closed": 4}[report.contactors.stage.value],
        "BMS_state": {Mode.PARKED: 0, Mode.DRIVE: 1}[report.mode],
        "BMS_isolationResistance": report.isolation_kohm,
        "BMS_maxRegenPower": limits.regen_kw,
        "BMS_maxDischargePower": limits.discharge_kw,
        "MinVoltage2D2": limits.min_volts,
        "MaxVoltage2D2": limits.max_volts,
        "MaxChargeCurrent2D2": limits.charge_a,
        "MaxDischargeCurrent2D2": limits.discharge_a,
    } | {f"Cell{SWAPPED.get(n, n)}": volts for n, volts in enumerate(report.cell_volts[:cells])}


def encode_all(report, cells):
    return [
        (message, message.encode(turn, report)) for message in messages(cells) for turn in range(len(message.pages))
    ]


@pytest.mark.parametrize(("cells", "seed"), [(96, 1), (108, 2), (3, 3)])
def test_every_frame_decodes_under_cantools_to_what_the_firmware_knows_within_half_a_step(dbc, cells, seed):
    pack, stages = SimulatedPack(PackSpec(cells=cells), seed), set()
    for tenth in range(0, 300, 7):
        pack.advance_to(tenth * 100_000 + 30_000)
        report = pack.report()
        stages.add(report.contactors.stage)
        known, seen = expected(report, cells), set()
        for message, frame in encode_all(report, cells):
            layout = dbc.get_message_by_frame_id(frame.identifier)
            assert (layout.name, layout.length) == (message.name, len(frame.payload))
            decoded = layout.decode(frame.payload, decode_choices=False, allow_truncated=False)
            for name, value in decoded.items():
                if name not in known:
                    continue
                seen.add(name)
                step = abs(layout.get_signal_by_name(name).scale)
                assert abs(value - known[name]) <= step / 2 + 1e-9, (name, value, known[name])
        assert seen == set(known)
    assert stages >= {Stage.OPEN, Stage.CLOSED}


def test_all_twelve_messages_of_the_table_are_sent():
    table = {0x132, 0x292, 0x352, 0x3D2, 0x332, 0x401, 0x312, 0x20A, 0x212, 0x252, 0x2D2, 0x320}
    assert {message.identifier for message in messages(96)} == table


def test_ten_amperes_into_the_battery_are_raw_plus_100_which_the_published_scale_reads_as_minus_10(dbc):
    report = SimulatedPack(PackSpec(), 1).report()
    charging = type(report)(
        **{name: getattr(report, name) for name in report.__slots__} | {"current_a": 10.0, "raw_current_a": 10.0}
    )
    frame = messages(96)[0].encode(0, charging)
    assert int.from_bytes(frame.payload[2:4], "little", signed=True) == 100
    decoded = dbc.decode_message(0x132, frame.payload)
    assert decoded["SmoothBattCurrent132"] == pytest.approx(-10.0)
    assert decoded["RawBattCurrent132"] == pytest.approx(-10.0)


def test_each_alert_sets_the_bit_that_the_published_matrix_gives_it(dbc):
    matrix = dbc.get_message_by_frame_id(0x320)
    named = [signal for signal in matrix.signals if signal.name.startswith("BMS_a")]
    assert len(named) >= 100
    for signal in named:
        number = int(signal.name[5:8])
        assert alert_bit(number) == (signal.multiplexer_ids[0], signal.start), signal.name


def test_active_alerts_are_on_the_bus_and_no_others(dbc):
    report = SimulatedPack(PackSpec(), 1).report()
    ill = type(report)(
        **{name: getattr(report, name) for name in report.__slots__} | {"alerts": frozenset({18, 62, 137, 146})}
    )
    active = set()
    for message, frame in encode_all(ill, 96):
        if message.identifier == 0x320:
            decoded = dbc.decode_message(0x320, frame.payload)
            active |= {int(name[5:8]) for name, value in decoded.items() if name.startswith("BMS_a") and value}
    assert active == {18, 62, 137, 146}


def test_a_place_without_a_cell_says_so_with_all_ones():
    report = SimulatedPack(PackSpec(cells=1), 1).report()
    (frame,) = [frame for message, frame in encode_all(report, 1) if message.identifier == 0x401]
    assert frame.payload[4:] == b"\xff\xff\xff\xff"


def test_a_value_beyond_its_field_is_sent_as_the_nearest_that_fits():
    report = SimulatedPack(PackSpec(cells=1), 1).report()
    assert Field("x", 4, 8, lambda _: 300.0).bits(report) == 255 << 4
    assert Field("x", 0, 8, lambda _: -300.0, signed=True).bits(report) == 0x80
    assert Field("x", 0, 8, lambda _: -1.0).bits(report) == 0
    assert Field("x", 0, 16, lambda _: -1.0, 0.5, signed=True).bits(report) == 0xFFFE
