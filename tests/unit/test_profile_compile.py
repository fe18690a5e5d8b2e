from fractions import Fraction

import pytest

from agent.errors import ConfigError
from agent.profile_compile import compile_profile
from agent.profile_units import exact_conversion
from tests.profiles import made_profile, signal, write_profile

STATUS = """
BO_ 291 Status: 8 BMS
 SG_ Volts : 0|16@1+ (0.1,0) [0|0] "V" BMS
 SG_ Fine : 16|16@1+ (0.0001,0) [0|0] "V" BMS
 SG_ Odd : 32|8@1+ (0.0000001,0) [0|0] "V" BMS
 SG_ Third : 40|8@1- (-0.05,500) [0|0] "A" BMS
 SG_ On : 48|1@1+ (1,0) [0|0] "" BMS
 SG_ Angle : 56|8@1+ (1,0) [0|0] "rad" BMS
"""
CELLS = """
BO_ 1025 Cells: 8 BMS
 SG_ Page M : 0|8@1+ (1,0) [0|0] "" BMS
 SG_ Cell0 m0 : 16|16@1+ (0.0001,0) [0|0] "V" BMS
 SG_ Cell1 m0 : 32|16@1+ (0.0001,0) [0|0] "V" BMS
 SG_ Cell2 m1 : 16|16@1+ (0.0001,0) [0|0] "V" BMS
"""
LARGE = """
BO_ 2566834709 Large: 16 BMS
 SG_ Unsigned : 0|64@1+ (1,0) [0|0] "" BMS
 SG_ Signed : 64|62@1- (1,0) [0|0] "" BMS
 SG_ Wide : 64|64@1- (1,0) [0|0] "" BMS
"""
FLOATING = """
BO_ 100 Floating: 8 BMS
 SG_ Real : 0|32@1- (1,0) [0|0] "" BMS

SIG_VALTYPE_ 100 Real : 1;
"""
NESTED = """
BO_ 100 Nested: 8 BMS
 SG_ Outer M : 0|8@1+ (1,0) [0|0] "" BMS
 SG_ Inner m0M : 8|8@1+ (1,0) [0|0] "" BMS
 SG_ Deep m1 : 16|8@1+ (1,0) [0|0] "" BMS

SG_MUL_VAL_ 100 Inner Outer 0-0;
SG_MUL_VAL_ 100 Deep Inner 1-1;
"""


def field_of(profile, name):
    index = profile.index(name)
    return next(item for message in profile.messages for item in message.fields if item.signal == index)


def test_values_are_exact_whole_numbers_of_their_unit():
    profile = made_profile(STATUS, signal("Voltage", "Status", "Volts", "mV") + signal("Fine", "Status", "Fine", "uV"))
    assert (field_of(profile, "Voltage").multiplier, field_of(profile, "Voltage").addend) == (100, 0)
    assert (field_of(profile, "Fine").multiplier, field_of(profile, "Fine").addend) == (100, 0)


def test_an_inverted_signal_turns_scale_and_offset():
    plain = field_of(made_profile(STATUS, signal("I", "Status", "Third", "mA")), "I")
    inverted = field_of(made_profile(STATUS, signal("I", "Status", "Third", "mA", invert=True)), "I")
    assert (plain.multiplier, plain.addend) == (-50, 500_000)
    assert (inverted.multiplier, inverted.addend) == (50, -500_000)


def test_arrays_take_their_elements_from_a_pattern_or_a_list():
    pattern = made_profile(CELLS, signal("Cells", "Cells", "Cell{0..2}", "uV", kind="array"))
    listed = made_profile(
        CELLS,
        '\n[[signal]]\nname = "Cells"\nmessage = "Cells"\nunit = "uV"\nkind = "array"\nsignals = ["Cell0", "Cell1", "Cell2"]\n',
    )
    assert pattern == listed
    assert pattern.signals[0].elements == 3
    assert [(item.element, item.mux) for item in pattern.messages[0].fields] == [(0, 0), (1, 0), (2, 1)]


def test_extended_identifiers_and_long_messages_are_compiled():
    profile = made_profile(LARGE, signal("Big", "Large", "Signed"))
    message = profile.messages[0]
    assert (message.id, message.extended, message.length) == (2566834709 - 2**31, True, 16)


def test_compiling_twice_gives_the_same_bytes():
    entries = signal("Voltage", "Status", "Volts", "mV")
    assert made_profile(STATUS, entries).digest == made_profile(STATUS, entries).digest


@pytest.mark.parametrize(
    ("messages", "entries", "said"),
    [
        (STATUS, signal("V", "Gone", "Volts", "mV"), "signal 1 (V): message 'Gone' is not in"),
        (STATUS, signal("V", "Status", "Gone", "mV"), "signal 1 (V): signal 'Gone' is not in message Status of"),
        (STATUS, signal("V", "Status", "Fine", "mV"), "mV cannot hold Fine exactly; take unit uV"),
        (STATUS, signal("V", "Status", "Odd", "uV"), "no unit holds Odd exactly"),
        (STATUS, signal("V", "Status", "Volts", "volt"), "unit 'volt' is not known; take one of mV, uV"),
        (
            STATUS,
            signal("V", "Status", "Volts", "mA"),
            "Volts is a voltage in the DBC, not a current; take unit mV or uV",
        ),
        (STATUS, signal("V", "Status", "Angle", "mV"), "in 'rad', a unit that is not known"),
        (STATUS, signal("V", "Status", "Volts", "mV", unti="x"), "signal.1.unti: unknown key; remove it or correct"),
        (
            STATUS,
            signal("V", "Status", "Volts", "mV", kind="vector"),
            "signal.1.kind: write 'array', 'counter', 'scalar' or 'state', not 'vector'",
        ),
        (STATUS, signal("V", "Status", "Volts", "mV", invert=1), "signal.1.invert: write true or false, not 1"),
        (STATUS, signal("V", "Status", "Volts", "mV", absent=65536), "absent 65536 is no raw value of Volts"),
        (STATUS, signal("V", "Status", "Volts", "mV") * 2, "signal 2 (V): its name is there twice"),
        (STATUS, signal("V", "Status", "Volts", "mV", signals="Fine"), "and only one of them"),
        (STATUS, "", "signal: missing; add it"),
        (STATUS, "signal = [", "not TOML"),
        (CELLS, signal("C", "Cells", "Cell0", "uV", kind="array"), "neither a list nor a pattern"),
        (CELLS, signal("C", "Cells", "Cell{2..1}", "uV", kind="array"), "signals must be 1 to"),
        (CELLS, signal("C", "Cells", "Cell{0..3}", "uV", kind="array"), "signal 'Cell3' is not in message Cells"),
        (LARGE, signal("B", "Large", "Unsigned"), "Unsigned is unsigned with 64 bits"),
        (LARGE, signal("B", "Large", "Wide"), "does not fit 62 bits and a sign"),
        (FLOATING, signal("F", "Floating", "Real"), "floating-point"),
        (NESTED, signal("D", "Nested", "Deep"), "nested"),
        ("BO_ what is this", signal("V", "Status", "Volts", "mV"), "not a DBC that can be read"),
    ],
)
def test_every_mistake_is_one_line_that_names_file_key_and_cure(messages, entries, said):
    with pytest.raises(ConfigError) as caught:
        made_profile(messages, entries)
    assert said in str(caught.value)
    assert "made." in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 78


def test_a_missing_dbc_says_where_it_was_expected(tmp_path):
    write_profile(tmp_path, STATUS, signal("V", "Status", "Volts", "mV"))
    (tmp_path / "made.dbc").unlink()
    with pytest.raises(
        ConfigError, match=r"made\.dbc: cannot be read: No such file.*correct profile\.dbc in .*made\.toml"
    ):
        compile_profile("made", tmp_path)


def test_a_missing_mapping_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"made\.toml: cannot be read: No such file"):
        compile_profile("made", tmp_path)


def test_a_dbc_outside_the_profile_folder_is_refused(tmp_path):
    path = write_profile(tmp_path, STATUS, signal("V", "Status", "Volts", "mV"))
    path.write_text(path.read_text().replace('"made.dbc"', '"../made.dbc"'))
    with pytest.raises(ConfigError, match="without a folder"):
        compile_profile("made", tmp_path)


def test_a_profile_must_be_named_as_its_file(tmp_path):
    path = write_profile(tmp_path, STATUS, signal("V", "Status", "Volts", "mV"))
    path.rename(tmp_path / "other.toml")
    with pytest.raises(ConfigError, match=r"profile\.name 'made' must be the file's name"):
        compile_profile("other", tmp_path)


@pytest.mark.parametrize(
    ("scale", "offset", "written", "unit", "conversion"),
    [
        ("0.5", "-40", "C", "mdegC", (500, -40_000)),
        ("0.1", "0", "kWh", "Wh", (100, 0)),
        ("10", "0", "kOhm", "ohm", (10_000, 0)),
        ("0.1", "0", "%", "permille", (1, 0)),
        ("1", "0", "min", "s", (60, 0)),
        ("2", "1", "", "state", (2, 1)),
    ],
)
def test_units_are_converted_exactly(scale, offset, written, unit, conversion):
    assert exact_conversion("here", "X", Fraction(scale), Fraction(offset), written, unit) == conversion
