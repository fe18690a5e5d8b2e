"""The simulator's own reader of DBC files against cantools, and packs that speak variants of a profile."""

import contextlib
import random
import re

import cantools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.bus.layout import FIRMWARES, arranged, compile_messages
from firmware_sim.bus.profile import read_dbc
from firmware_sim.cells.spec import PackSpec
from firmware_sim.simulated_pack import SimulatedPack
from packseal.program import ConfigurationError, InputOutputError
from packseal.shipped import config_dir
from tests.shared import shared

PROFILES = config_dir() / "profiles"
TESLA = (PROFILES / "tesla-model3.dbc").read_text()


@pytest.fixture(scope="module")
def report():
    pack = SimulatedPack(PackSpec(cells=96, soc=0.7), 3)
    pack.advance_to(9_000_000)
    return pack.report()._replace(current_a=-123.4, isolation_kohm=4_500.0, alerts=frozenset({18, 62, 166}))


def variant(tmp_path, *changes):
    """The shipped DBC with lines replaced."""
    text = TESLA
    for old, new in changes:
        assert re.search(old, text), old
        text = re.sub(old, new, text)
    path = tmp_path / "variant.dbc"
    path.write_text(text)
    return path


def decoded(path, messages, report):
    """Everything that the messages say, by signal name, as cantools reads it with the DBC at `path`."""
    dbc = cantools.database.load_file(path, strict=False)
    values = {}
    for message in messages:
        layout = dbc.get_message_by_frame_id(message.identifier)
        for turn in range(len(message.pages)):
            values |= layout.decode(message.encode(turn, report).payload, decode_choices=False)
    return values


@pytest.mark.parametrize(
    "path", ["dbc/tesla-model3.dbc", "dbc/kona-pcan.dbc", "tesla-model3.dbc", "kona-ev.dbc", "pylontech.dbc"]
)
def test_every_signal_of_real_dbcs_is_where_cantools_has_it(path):
    path = shared(path) if "/" in path else PROFILES / path
    layouts = read_dbc(path.read_text(encoding="utf-8", errors="replace"), str(path))
    theirs = cantools.database.load_file(path, strict=False, encoding="utf-8")
    assert {name[:32] for name in layouts} == {message.name[:32] for message in theirs.messages}
    by_number = {layout.identifier & 0x1FFF_FFFF: layout for layout in layouts.values()}
    for message in theirs.messages:
        layout = by_number[message.frame_id]
        assert layout.length == message.length
        places = {(s.start, s.length, s.page): s for s in layout.signals.values()}
        assert len(layout.signals) == len(message.signals)
        for signal in message.signals:
            page = signal.multiplexer_ids[0] if signal.multiplexer_ids else None
            ours = places[signal.start, signal.length, page]
            assert ours.name[:32] == signal.name[:32]
            assert (ours.scale, ours.offset, ours.signed) == (signal.scale, signal.offset, signal.is_signed)
            assert ours.big_endian == (signal.byte_order == "big_endian")
            assert ours.selector == signal.is_multiplexer


@pytest.mark.parametrize("cells", [96, 97, 108])
@pytest.mark.parametrize("firmware", FIRMWARES)
def test_with_the_shipped_dbc_the_layout_is_the_firmwares_own_table(firmware, cells, report):
    def places(page):
        return {(f.name, f.start, f.length, f.scale, f.offset, f.signed, f.big_endian, f.needed) for f in page}

    report = report._replace(cell_volts=tuple(3.5 + n / 1000 for n in range(cells)))
    own, laid_out = compile_messages(firmware, None, cells), compile_messages(firmware, firmware, cells)
    for mine, theirs in zip(own, laid_out, strict=True):
        assert (mine.identifier, mine.name, mine.length) == (theirs.identifier, theirs.name, theirs.length)
        assert [places(page) for page in mine.pages] == [places(page) for page in theirs.pages]
        for turn in range(2 * len(mine.pages)):
            assert mine.encode(turn, report) == theirs.encode(turn, report)


@pytest.mark.parametrize("firmware", FIRMWARES)
def test_a_field_is_needed_if_and_only_if_the_shipped_dbc_names_it(firmware):
    layouts = read_dbc((PROFILES / f"{firmware}.dbc").read_text(), firmware)
    named = {signal.name for layout in layouts.values() for signal in layout.signals.values()}
    pages = [page for message in compile_messages(firmware, None, 108) for page in message.pages]
    assert {field.name for page in pages for field in page if field.needed} == named


VARIANTS = {
    "another offset": [(r"\(-0\.05,500\)", "(-0.05,822)")],
    "another scale": [
        (r"(BMS_maxRegenPower : 0\|16@1\+) \(0\.01,0\)", r"\1 (0.02,0)"),
        (r"(BMS_maxDischargePower : 16\|16@1\+) \(0\.01,0\)", r"\1 (0.02,0)"),
    ],
    "another place": [(r"BMS_isolationResistance : 19\|10@1", "BMS_isolationResistance : 44|10@1")],
    "Motorola order": [
        (r"BattVoltage132 : 0\|16@1\+", "BattVoltage132 : 7|16@0+"),
        (r"SmoothBattCurrent132 : 16\|16@1-", "SmoothBattCurrent132 : 23|16@0-"),
    ],
    "another identifier": [("BO_ 978 ", "BO_ 979 ")],
    "energy in pages": [
        (
            r" SG_ BMS_nominalFullPackEnergy : 0\|11@1\+",
            ' SG_ Mux M : 0|2@1+ (1,0) [0|3] "" A\n SG_ BMS_nominalFullPackEnergy m0 : 16|16@1+',
        ),
        (r"BMS_nominalEnergyRemaining : 11\|11@1\+", "BMS_nominalEnergyRemaining m1 : 16|16@1+"),
    ],
    "cells 33 and 34 swapped": [("Cell33 m11", "CellX m11"), ("Cell34 m11", "Cell33 m11"), ("CellX m11", "Cell34 m11")],
    "a cell on another page": [(r"Cell5 m1", "Cell5 m40")],
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_a_variant_of_the_profile_is_spoken_so_that_its_own_dbc_reads_the_same_values(changes, report, tmp_path):
    path = variant(tmp_path, *changes)
    spoken = compile_messages("tesla-model3", path, 96)
    usual = compile_messages("tesla-model3", None, 96)
    told, known = decoded(path, spoken, report), decoded(PROFILES / "tesla-model3.dbc", usual, report)
    cells = {f"Cell{n}" for n in range(96)}
    assert {name for name in known if not name.startswith("Cell")} | cells <= told.keys()
    layouts = read_dbc(path.read_text(), "variant")
    scales = {s.name: abs(s.scale) for layout in layouts.values() for s in layout.signals.values()}
    for name in known.keys() & told.keys() - {"MultiplexSelector", "BMS_matrixIndex", "BattCellMultiplexer332"}:
        assert told[name] == pytest.approx(known[name], abs=scales[name] / 2 + 1e-9), name
    changed = [old != new for old, new in zip(usual, spoken, strict=True)]
    assert any(changed), "the variant is another layout"


def test_the_published_dbc_is_spoken_as_a_variant_with_two_cells_swapped(report):
    path = shared("dbc/tesla-model3.dbc")
    told = decoded(path, compile_messages("tesla-model3", path, 96), report)
    for number in range(96):
        assert told[f"Cell{number}"] == pytest.approx(report.cell_volts[number], abs=0.00005 + 1e-9)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([(r"BO_ 850 ID352BMS_energyStatus", "BO_ 850 Other")], "message ID352BMS_energyStatus is missing"),
        (
            [(r" SG_ SOCave292 .*\n", "")],
            "ID292BMS_SOC: signal SOCave292 is missing; the tesla-model3 firmware sends it",
        ),
        ([(r" SG_ Cell95 .*\n", "")], "signal Cell95 is missing"),
        ([(r"BattVoltage132 : 0\|16", "BattVoltage132 : 60|16")], "BattVoltage132 does not fit into 8 bytes"),
        ([(r"SmoothBattCurrent132 : 16\|16", "SmoothBattCurrent132 : 8|16")], "SmoothBattCurrent132 overlaps another"),
        ([("BO_ 978 ", "BO_ 306 ")], "share one identifier"),
        ([("BO_ 978 ", "BO_ 2566844926 ")], "only classic frames with 11-bit identifiers"),
        ([(r"MultiplexSelector M :", "MultiplexSelector :")], "has pages and no signal (M) that selects them"),
        ([(r"\Z", "SIG_VALTYPE_ 306 BattVoltage132 : 1;\n")], "BattVoltage132: floating-point signals are not spoken"),
        ([(r"SOCmin292 : 0\|10@1\+ \(0\.1,0\)", "SOCmin292 : 0|10@1+ (0,0)")], "SOCmin292: a scale of 0"),
        ([(r"SOCmin292 : 0\|10@1\+ \(0\.1,0\)", "SOCmin292 : 0|10@1+ (1,1e999)")], "SOCmin292: a scale or offset"),
        ([(r"SOCmin292 : 0\|10@1\+ \(0\.1,0\)", "SOCmin292 : 0|10@1+ (1e999,0)")], "SOCmin292: a scale or offset"),
        ([(r"SOCmin292 : 0\|10@1\+ \(0\.1,0\)", "SOCmin292 : 0|10@1+ (1e-320,0)")], "SOCmin292: a scale or offset"),
        ([(r"SOCmin292 : 0\|10@1\+ \(0\.1,0\)", "SOCmin292 : 0|10@1+ (1,-1e-320)")], "SOCmin292: a scale or offset"),
        (
            [(r"(Cell7[567]) m25 :", r"\1 m300 :")],
            "ID401CellVoltages: there is a page m300, but MultiplexSelector can only say 0 to 255",
        ),
        ([(r"SOCmin292 : 0\|10@1\+", "SOCmin292 : 0|10@2+")], "not a signal"),
        ([("BO_ 658 ID292BMS_SOC:", "BO_ 658 ID292BMS_SOC")], "not a message"),
    ],
)
def test_a_profile_that_cannot_be_spoken_is_one_line_with_file_and_name(changes, said, tmp_path):
    path = variant(tmp_path, *changes)
    with pytest.raises(ConfigurationError) as refused:
        compile_messages("tesla-model3", path, 96)
    assert str(refused.value).startswith(str(path))
    assert said in str(refused.value)
    assert refused.value.exit_code == 78


@pytest.mark.parametrize(("scale", "raw"), [("1e-307", 0x3FF), ("-1e-307", 0), ("1e307", 0)])
def test_a_value_that_a_scale_makes_endless_is_the_nearest_that_fits(scale, raw, report, tmp_path):
    path = variant(tmp_path, (r"SOCmin292 : 0\|10@1\+ \(0\.1,0\)", f"SOCmin292 : 0|10@1+ ({scale},0)"))
    (soc,) = (each for each in compile_messages("tesla-model3", path, 96) if each.identifier == 0x292)
    assert int.from_bytes(soc.encode(0, report).payload, "little") & 0x3FF == raw


def test_what_is_not_there_is_said_with_what_is():
    with pytest.raises(
        ConfigurationError, match=r"profile 'nissan': not shipped; there are kona-ev, pylontech, tesla-m"
    ):
        compile_messages("tesla-model3", "nissan", 96)
    with pytest.raises(ConfigurationError, match="message ID132HVBattAmpVolt is missing"):
        compile_messages("tesla-model3", "kona-ev", 96)
    with pytest.raises(ConfigurationError, match="there are tesla-model3, pylontech"):
        compile_messages("leaf", None, 96)
    with pytest.raises(InputOutputError, match="No such file"):
        compile_messages("tesla-model3", "/no/such.dbc", 96)


def test_a_pack_of_fewer_cells_needs_fewer_signals(tmp_path):
    path = variant(tmp_path, (r" SG_ Cell(9[6-9]|10\d) .*\n", ""))
    assert compile_messages("tesla-model3", path, 96)
    with pytest.raises(ConfigurationError, match="signal Cell96 is missing"):
        compile_messages("tesla-model3", path, 97)


def test_what_the_dbc_does_not_name_keeps_its_place_unless_that_is_taken(tmp_path):
    def extras(profile):
        (soc,) = (m for m in compile_messages("tesla-model3", profile, 96) if m.identifier == 0x292)
        return {field.name for page in soc.pages for field in page if not field.needed}

    assert "BMS_battTempPct" in extras(None) & extras("tesla-model3")
    moved = variant(tmp_path, (r"BattBeginningOfLifeEnergy292 : 40\|10", "BattBeginningOfLifeEnergy292 : 52|10"))
    assert "BMS_battTempPct" not in extras(moved)


@given(st.integers(0, 2**32))
def test_a_damaged_dbc_is_read_or_refused_in_one_way(seed):
    source = random.Random(seed)
    text = list(TESLA)
    for _ in range(source.randrange(1, 20)):
        text[source.randrange(len(text))] = source.choice('|@:+-mM()[]," \n0198xyz')
    with contextlib.suppress(ConfigurationError):
        arranged("tesla-model3", compile_messages("tesla-model3", None, 96), read_dbc("".join(text), "d"), "d")


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text):
    try:
        read_dbc(text, "d")
    except ConfigurationError:
        pass
    else:
        assert "BO_" in text
