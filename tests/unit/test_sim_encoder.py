"""The encoder against cantools on the published DBC: two implementations that share nothing."""

import math

import cantools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.bms.alerts import RULES
from firmware_sim.bms.contactors import Coil, ContactorReport, Stage
from firmware_sim.bus.message import Field, Message
from firmware_sim.bus.tesla_model3 import ALERT_NAMES, alert_bit, messages
from firmware_sim.car.demand import Mode
from firmware_sim.cells.spec import PackSpec
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
        "HVP_hvilStatus": 1,
        "BMS_contactorState": {"open": 1, "precharge": 3, "closed": 4}[report.contactors.stage.value],
        "BMS_state": {Mode.PARKED: 0, Mode.DRIVE: 1}[report.mode],
        "BMS_isolationResistance": report.isolation_kohm if math.isfinite(report.isolation_kohm) else 10_230,
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


def report_of(cells=96, **changed):
    return SimulatedPack(PackSpec(cells=cells), 1).report()._replace(**changed)


def frames_of(identifier, report, cells=96):
    return [frame for message, frame in encode_all(report, cells) if message.identifier == identifier]


def test_ten_amperes_into_the_battery_are_raw_plus_100_which_the_published_scale_reads_as_minus_10(dbc):
    (frame,) = frames_of(0x132, report_of(current_a=10.0, raw_current_a=10.0))
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


def test_active_alerts_are_on_the_bus_under_their_published_names_and_no_others(dbc):
    active, names = set(), set()
    for frame in frames_of(0x320, report_of(alerts=frozenset(ALERT_NAMES))):
        decoded = dbc.decode_message(0x320, frame.payload)
        names |= {name[:32] for name, value in decoded.items() if name.startswith("BMS_a") and value}  # as the DBC cuts
    assert names == {f"BMS_a{number:03d}_{name}" for number, name in ALERT_NAMES.items()}
    for frame in frames_of(0x320, report_of(alerts=frozenset({18, 62, 137, 146}))):
        decoded = dbc.decode_message(0x320, frame.payload)
        active |= {int(name[5:8]) for name, value in decoded.items() if name.startswith("BMS_a") and value}
    assert active == {18, 62, 137, 146}


def test_every_alert_that_the_firmware_can_raise_has_its_bit():
    assert {rule.number for rule in RULES} == set(ALERT_NAMES)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("stage", Stage)
def test_every_mode_and_stage_is_told_by_a_published_value(dbc, mode, stage):
    contactors = ContactorReport(stage, Coil.OPEN, Coil.OPEN)
    for identifier in (0x20A, 0x212):
        (frame,) = frames_of(identifier, report_of(mode=mode, contactors=contactors))
        message = dbc.get_message_by_frame_id(identifier)
        decoded = message.decode(frame.payload, decode_choices=False)
        for signal in message.signals:
            states = signal.choices or {}
            assert len(states) < 2 or decoded[signal.name] in states, (signal.name, decoded[signal.name])


def test_a_welded_pair_and_one_welded_contactor_are_told_apart(dbc):
    told = {}
    for coils in ((Coil.WELDED, Coil.WELDED), (Coil.WELDED, Coil.OPEN), (Coil.OPEN, Coil.WELDED)):
        stage = Stage.WELDED if coils == (Coil.WELDED, Coil.WELDED) else Stage.OPEN
        (frame,) = frames_of(0x20A, report_of(contactors=ContactorReport(stage, *coils)))
        decoded = dbc.decode_message(0x20A, frame.payload)
        told[coils] = str(decoded["HVP_packContactorSetState"])
    assert told == {
        (Coil.WELDED, Coil.WELDED): "CONTACTOR_SET_STATE_WELDED",
        (Coil.WELDED, Coil.OPEN): "CONTACTOR_SET_STATE_PARTIAL_WELD",
        (Coil.OPEN, Coil.WELDED): "CONTACTOR_SET_STATE_PARTIAL_WELD",
    }


@pytest.mark.parametrize(("kohm", "raw"), [(math.inf, 1023), (math.nan, 1023), (0.0, 0), (4_500.0, 450), (1e6, 1022)])
def test_isolation_that_was_not_measured_is_not_available_and_a_high_one_stays_below_that(kohm, raw):
    (frame,) = frames_of(0x212, report_of(isolation_kohm=kohm))
    assert int.from_bytes(frame.payload, "little") >> 19 & 0x3FF == raw


def test_a_place_without_a_cell_says_so_with_all_ones():
    (frame,) = frames_of(0x401, report_of(cells=1), cells=1)
    assert frame.payload[4:] == b"\xff\xff\xff\xff"


def test_a_value_beyond_its_field_is_sent_as_the_nearest_that_fits():
    report = report_of(cells=1)
    assert Field("x", 4, 8, lambda _: 300.0).bits(report) == 255 << 4
    assert Field("x", 0, 8, lambda _: -300.0, signed=True).bits(report) == 0x80
    assert Field("x", 0, 8, lambda _: -1.0).bits(report) == 0
    assert Field("x", 0, 16, lambda _: -1.0, 0.5, signed=True).bits(report) == 0xFFFE
    assert Field("x", 0, 8, lambda _: math.nan).bits(report) == 255
    assert Field("x", 0, 8, lambda _: math.nan, absent=254).bits(report) == 254
    assert Field("x", 0, 8, lambda _: math.inf, -1.0, signed=True).bits(report) == 0x80


fields = st.tuples(
    st.integers(0, 63), st.integers(1, 64), st.booleans(), st.booleans(), st.sampled_from([1.0, 0.1, -0.05, 0.128])
)


@given(fields, st.sampled_from([0.0, -40.0, 500.0]), st.floats(-1e4, 1e4))
def test_a_field_anywhere_in_either_byte_order_is_read_by_cantools_as_the_value_it_had(shape, offset, value):
    start, length, big_endian, signed, scale = shape
    field = Field("x", start, length, lambda _: value, scale, offset, signed, big_endian)
    try:
        field.mask(8)
    except ValueError:
        with pytest.raises(cantools.database.Error):
            one_signal(field)
        return
    low, high = field.range()
    nearest = min(high, max(low, round((value - offset) / scale))) * scale + offset
    frame = Message(0x100, "One", 8, 1_000, ((field,),)).encode(0, None)
    assert one_signal(field).decode_message("One", frame.payload)["x"] == pytest.approx(nearest, rel=1e-9, abs=1e-9)


def one_signal(field):
    order, sign = "0" if field.big_endian else "1", "-" if field.signed else "+"
    layout = f"{field.start}|{field.length}@{order}{sign} ({field.scale},{field.offset}) [0|0]"
    text = f'VERSION ""\nBU_: N\nBO_ 256 One: 8 N\n SG_ x : {layout} "" N\n'
    return cantools.database.load_string(text, "dbc")
