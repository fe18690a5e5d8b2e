"""Scenario files: what they can say, what is refused in one line, and the sample that names every key."""

import datetime
import re
import tomllib
from pathlib import Path

import pytest
from msgspec import structs

from firmware_sim.car.demand import Mode
from firmware_sim.faults.catalogue import KINDS
from firmware_sim.faults.timeline import Timeline
from firmware_sim.scenario import schema
from firmware_sim.scenario.ambient import Ambient
from firmware_sim.scenario.duration import seconds, shown
from firmware_sim.scenario.plan import leaps, longest_s, unrolled
from firmware_sim.scenario.reading import find, load, shipped
from firmware_sim.scenario.schema import Scenario
from firmware_sim.scenario.staging import appointments_us, planned_faults, stage
from packseal.program import ConfigurationError, Failure, InputOutputError
from packseal.tables import Table

SAMPLE = "commuting-day"
PARK = '[[phase]]\n[[phase.step]]\ndo = "park"\nfor = "10 s"\n'
GOOD = f'title = "x"\n{PARK}'


def read(tmp_path, text):
    path = tmp_path / "s.toml"
    path.write_text(text)
    return load(path)


def step(text):
    return f'title = "x"\n[[phase]]\n[[phase.step]]\n{text}\n'


def doing(planned):
    return planned.__struct_config__.tag


def fault(text):
    return f"{GOOD}[[fault]]\n{text}\n"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("90 s", 90.0),
        ("15 min", 900.0),
        ("8 h", 28_800.0),
        ("30d", 2_592_000.0),
        ("0.5 h", 1_800.0),
        (7, 7.0),
        (0.25, 0.2),
    ],
)
def test_durations_are_read_as_people_write_them_on_a_grain_of_a_tenth_of_a_second(written, meant):
    assert seconds(written) == pytest.approx(meant)


@pytest.mark.parametrize(
    "written", ["", "8", "8 hours", "-3 s", "1e3 s", "h", True, None, -1, 1e12, float("nan"), "٣ s"]
)
def test_what_is_no_duration_is_refused(written):
    with pytest.raises(ValueError, match="duration"):
        seconds(written)


def test_durations_are_shown_in_the_largest_unit_that_fits():
    assert [shown(each) for each in (5.0, 90.0, 5_400.0, 129_600.0)] == ["5 s", "1.5 min", "1.5 h", "1.5 d"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "title: missing"),
        ('title = "x"', "phase: missing"),
        ('title = "x"\nphase = []', "phase: there must be at least one"),
        ('title = "x"\n[phase]\ntimes = 1', "write [[phase]]"),
        (GOOD.replace("title", "titel"), "titel: unknown key"),
        (GOOD + "[pack]\ncolour = 1", "pack.colour: unknown key"),
        (step('do = "park"\nfor = "10 s"\nwhere = 1'), "phase.1.step.1.where: unknown key"),
        (GOOD + "[pack]\ncells = 95", "pack.cells: 95 in series; tesla-model3 with NMC has 96 to 108"),
        (GOOD + "[pack]\ncells = 109", "96 to 108"),
        (GOOD + "[pack]\ncells = 96.5", "pack.cells"),
        (GOOD + '[pack]\ncells = 96\n[bms]\nfirmware = "pylontech"', "pylontech with NMC has 12 to 14"),
        (
            GOOD + '[pack]\ncells = 12\nchemistry = "LFP"\n[bms]\nfirmware = "pylontech"',
            "pylontech with LFP has 13 to 16",
        ),
        (GOOD + '[pack]\nchemistry = "LCO"', "pack.chemistry"),
        (GOOD + "[pack]\nsoc = 1.5", "pack.soc"),
        (GOOD + "[pack]\nsoc = nan", "pack.soc"),
        (GOOD + '[bms]\nfirmware = "kona"', "bms.firmware"),
        (GOOD + '[bms]\nvin_answer = "é"', "bms.vin_answer"),
        (GOOD + "[ambient]\nmean_c = 55\nday_swing_k = 20", "ambient: goes from 45 to 65 degC"),
        (GOOD + "[bus]\nload = 2", "bus.load"),
        (GOOD + "[uds]\nrequest = 0x800", "uds.request"),
        (GOOD + "[uds]\nrequest = 0x612", "three different identifiers"),
        (
            GOOD + '[pack]\ncells = 15\nchemistry = "LFP"\n[bms]\nfirmware = "pylontech"\n[uds]\nenabled = true',
            "uds.enabled: a pylontech store knows no diagnostic requests; leave it out",
        ),
        (
            GOOD + '[[routine]]\nname = "a"\n[[routine.step]]\ndo = "routine"\nname = "a"\n',
            "routine.1.step.1.do: write 'charge-ac', 'charge-dc', 'drive', 'load' or 'park', not 'routine'",
        ),
        (
            GOOD + '[[routine]]\nname = "a"\n[[routine.step]]\ndo = "fly"\n',
            "routine.1.step.1.do: write 'charge-ac', 'charge-dc', 'drive', 'load' or 'park', not 'fly'",
        ),
        (GOOD.replace('"x"', '"x"\nstart = 2026-01-01T00:00:00'), "start: give the time zone"),
        (GOOD.replace('"x"', '"x"\nstart = 1970-01-01T00:00:00+23:00'), "start: give a year from 1970 to 2200"),
        (GOOD.replace('"x"', '"x"\nstart = 2200-12-31T23:00:00-02:00'), "start: give a year from 1970 to 2200"),
        (GOOD.replace('"x"', '"x"\nstart = 0001-01-01T00:00:00+23:00'), "start: give a year from 1970 to 2200"),
        (GOOD.replace('"x"', '"x"\nstart = 9999-12-31T23:59:59-23:00'), "start: give a year from 1970 to 2200"),
        (GOOD.replace('"x"', '"x"\nseed = -1'), "seed"),
        (step('for = "10 s"'), "phase.1.step.1.do: missing; write 'charge-ac', 'charge-dc', 'drive', "),
        (
            step('do = "fly"'),
            "phase.1.step.1.do: write 'charge-ac', 'charge-dc', 'drive', 'load', 'park' or 'routine', not 'fly'",
        ),
        (step('do = "park"'), "phase.1.step.1.for: missing"),
        (step('do = "park"\nfor = "0 s"'), "phase.1.step.1.for"),
        (step('do = "park"\nfor = "-10 s"'), "phase.1.step.1.for: write a duration"),
        (step('do = "drive"\ncycle = "nedc"'), "phase.1.step.1.cycle"),
        (step('do = "drive"\ncycle = "city"\nrepeat = 2\nfor = "10 s"'), "give repeat or for, not both"),
        (step('do = "charge-ac"\nuntil_soc = 2.0'), "phase.1.step.1.until_soc"),
        (step('do = "routine"\nname = "day"'), "phase.1.step.1.name: no routine day; there are: none"),
        (step('do = "park"\nfor = "1 s"\npace = "slow"'), "phase.1.step.1.pace"),
        (
            GOOD + 2 * '[[routine]]\nname = "a"\n[[routine.step]]\ndo = "park"\nfor = 1\n',
            "routine.2.name: a is there twice",
        ),
        (fault('at = "5 s"'), "fault.1: kind: is missing"),
        (fault('at = "5 s"\nkind = "rust"'), "fault.1: kind: 'rust' is not a fault"),
        (fault('kind = "soc-frozen"'), "fault.1.at: missing"),
        (
            fault('at = "11 s"\nkind = "soc-frozen"'),
            "fault.1.at: 11 s is after the end; the scenario lasts 10 s at most",
        ),
        (fault('at = "-1 s"\nkind = "soc-frozen"'), "fault.1.at: write a duration"),
        (fault('at = "1 s"\nkind = "cell-short"\ncell = 97'), "the pack has 96"),
        (fault('at = "1 s"\nkind = "thermal-event"\nmodule = 5'), "the pack has 4"),
        (fault('at = "1 s"\nkind = "soc-frozen"\nohm = 5'), "ohm: soc-frozen has no such key"),
        (fault('at = "1 s"\nfor = "1 s"\nkind = "bms-reset"'), "leave `for` out"),
        (GOOD + 257 * '[[fault]]\nat = 1\nkind = "soh-zero"\n', "fault: there are 257; 256 at most are planned"),
        (GOOD + f"[pack]\ncapacity_ah = 0x{'F' * 5_000}", "pack.capacity_ah: a whole number of more than 64 bits"),
        (step(f'do = "park"\nfor = 1{"0" * 400}'), "phase.1.step.1.for: a whole number of more than 64 bits"),
        (
            fault(f'at = 1\nkind = "frames-dropped"\nids = [0x{"F" * 5_000}]'),
            "fault.1.ids.1: a whole number of more than 64 bits",
        ),
        ("a." * 2_000 + f"a = 0o1{'0' * 21}", "more than 32 tables or lists in each other"),
        ("[", "not TOML"),
        ("x = " + "[" * 100_000, "not TOML"),
    ],
)
def test_what_is_wrong_is_one_line_with_file_and_key_and_exit_code_78(tmp_path, text, said):
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, text)
    line = str(refused.value)
    assert line.startswith(str(tmp_path / "s.toml"))
    assert said in line
    assert refused.value.exit_code == 78


def test_a_file_that_is_not_there_too_large_or_no_text_is_refused(tmp_path):
    with pytest.raises(InputOutputError, match="No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(ConfigurationError, match="more than 1 MiB"):
        load(tmp_path / "large.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not TOML"):
        load(tmp_path / "bytes.toml")


def test_a_shipped_scenario_is_found_by_its_name_and_others_by_their_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find(SAMPLE).stem == SAMPLE
    assert find("./mine.toml") == Path("mine.toml")
    with pytest.raises(ConfigurationError, match="no scenario such-a-day: `packseal-sim scenarios`"):
        find("such-a-day")


def test_phases_routines_and_repetitions_are_written_out_in_order(tmp_path):
    text = """
title = "x"
[[routine]]
name = "day"
[[routine.step]]
do = "park"
for = 1
[[routine.step]]
do = "load"
for = 2
pace = "real"
[[phase]]
times = 2
pace = "leap"
[[phase.step]]
do = "routine"
name = "day"
times = 2
[[phase.step]]
do = "park"
for = 3
[[phase]]
[[phase.step]]
do = "drive"
cycle = "city"
repeat = 2
"""
    scenario = read(tmp_path, text)
    done = [(doing(each.step), each.pace) for each in unrolled(scenario)]
    once = [("park", "leap"), ("load", "real")] * 2 + [("park", "leap")]
    assert done == [*once, *once, ("drive", "real")]
    assert longest_s(scenario) == pytest.approx(2 * (2 * 3 + 3) + 2 * 993)
    assert leaps(scenario)
    assert not leaps(read(tmp_path, GOOD))


def test_ten_thousand_times_ten_thousand_days_are_planned_without_being_written_out(tmp_path):
    text = (
        'title = "x"\n[[routine]]\nname = "a"\n[[routine.step]]\ndo = "park"\nfor = "1 d"\n'
        '[[phase]]\ntimes = 10000\n[[phase.step]]\ndo = "routine"\nname = "a"\ntimes = 10000\n'
    )
    scenario = read(tmp_path, text)
    assert longest_s(scenario) == pytest.approx(1e8 * 86_400)
    assert doing(next(unrolled(scenario)).step) == "park"


def test_the_ambient_temperature_swings_about_its_mean_coldest_in_the_morning_and_in_january():
    climate = Ambient(10.0, 8.0, 20.0)

    def at(month, day, hour):
        return climate.at(datetime.datetime(2026, month, day, hour, tzinfo=datetime.UTC).timestamp())

    assert at(1, 26, 5) == pytest.approx(-4.0, abs=0.1)
    assert at(1, 26, 17) == pytest.approx(4.0, abs=0.1)
    assert at(7, 27, 17) == pytest.approx(24.0, abs=0.1)
    assert Ambient(15.0).at(0.0) == 15.0


def test_a_staged_scenario_is_the_pack_that_the_file_describes(tmp_path):
    text = GOOD + (
        '[pack]\nchemistry = "LFP"\ncells = 15\ncapacity_ah = 100\nsoc = 0.4\nage_years = 3\n'
        '[bms]\nfirmware = "pylontech"\nvin_answer = "NO VIN"\nboard_serial = "B7"\n[ambient]\nmean_c = 5\n'
    )
    pack = stage(read(tmp_path, text), 9, 1_700_000_000_000_000)
    assert pack.spec.chemistry.name == "LFP"
    assert len(pack.physics.cell_volts()) == 15
    assert float(pack.physics.soc.mean()) == pytest.approx(0.4, abs=0.01)
    assert pack.physics.health() < 0.98
    assert pack.report().identity.vin_answer == b"NO VIN"
    assert pack.report().identity.board_serial == "B7"
    assert pack.report().soh == pytest.approx(pack.physics.health(), abs=0.03)
    assert pack.physics.ambient_c == 5.0
    assert pack.truth().unix_ms == 1_700_000_000_000
    pack.advance_to(200_000_000)
    assert pack.over
    assert pack.time_us == 10_000_000
    assert pack.demand.mode is Mode.PARKED


def test_planned_faults_have_their_times_in_microseconds(tmp_path):
    text = fault('at = "1.5 s"\nfor = "2 s"\nkind = "weak-cell"\ncell = 7') + '[[fault]]\nat = 4\nkind = "soh-zero"\n'
    planned = planned_faults(read(tmp_path, text))
    assert [(each.fault.kind, each.start_us, each.end_us) for each in planned] == [
        ("weak-cell", 1_500_000, 3_500_000),
        ("soh-zero", 4_000_000, None),
    ]
    assert appointments_us(planned) == (1_500_000, 3_500_000, 4_000_000)


def test_as_many_faults_as_can_be_planned_can_be_staged(tmp_path):
    timeline = Timeline()
    for each in planned_faults(read(tmp_path, GOOD + 256 * '[[fault]]\nat = 1\nkind = "soh-zero"\n')):
        timeline.add(each.fault, each.start_us, each.end_us)
    assert timeline.next_us() == 1_000_000


def test_a_start_is_judged_by_the_moment_and_not_by_how_its_zone_writes_it(tmp_path):
    start = read(tmp_path, GOOD.replace('"x"', '"x"\nstart = 1969-12-31T23:00:00-02:00')).start
    assert start == datetime.datetime(1970, 1, 1, 1, tzinfo=datetime.UTC)


def test_a_log_that_is_replayed_is_looked_for_beside_the_scenario(tmp_path):
    text = fault('at = 1\nkind = "replayed-log"\nlog = "healthy.log"')
    with pytest.raises(ConfigurationError, match=r"fault\.1\.log: .*healthy\.log: there is no such file"):
        read(tmp_path, text)
    (tmp_path / "healthy.log").write_text("(1.0) can0 132#00\n")
    (planned,) = planned_faults(read(tmp_path, text))
    assert planned.fault.text("log") == str(tmp_path / "healthy.log")


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)
def test_every_shipped_scenario_is_valid_and_says_what_it_is(path):
    scenario = load(path)
    assert len(scenario.title) > 20
    assert path.read_text().startswith("# ")


def test_there_is_a_scenario_for_every_fault_and_each_is_awake_for_two_to_ten_minutes():
    names = {path.stem for path in shipped()}
    assert {f"fault-{kind}" for kind in KINDS} <= names
    assert {"commuting-day", "dc-charge", "five-year-life", "second-life"} <= names
    for kind in KINDS:
        scenario = load(find(f"fault-{kind}"))
        assert kind in {str(each.own["kind"]) for each in scenario.fault}
        asleep_s = 3_800.0 if kind == "cell-short" else 0.0  # it ends with an hour's rest
        assert 120.0 <= longest_s(scenario) - asleep_s <= 600.0


def models():
    found = [each for each in vars(schema).values() if isinstance(each, type) and issubclass(each, Table)]
    return [each for each in found if each.__struct_fields__]


def test_the_sample_names_every_key_and_every_way_of_doing_things():
    text = find(SAMPLE).read_text()
    for model in models():
        for key in model.__struct_encode_fields__:
            assert key == "own" or re.search(rf"(?<![a-z_]){re.escape(key)}(?![a-z_])", text), f"{model.__name__}.{key}"
    for word in ("drive", "park", "charge-ac", "charge-dc", "load", "routine", "real", "leap"):
        assert word in text


def test_the_defaults_that_the_sample_speaks_of_are_the_defaults():
    text = find(SAMPLE).read_text()
    values = tomllib.loads(text)
    for table in ("pack", "bms", "ambient", "bus", "uds"):
        model = next(each.type for each in structs.fields(Scenario) if each.name == table)
        for key in values[table]:
            said = re.search(rf"^{key} = .*\(default ([^):;]+)\)$", text, re.MULTILINE)
            if said is None:
                assert key == "enabled", key
                continue
            default = getattr(model(), key)
            given = (
                f"0x{default:X}"
                if said[1].startswith("0x")
                else f"{default:g}"
                if isinstance(default, float)
                else str(default)
            )
            assert given == said[1], key


def complaints_about(tmp_path, line_number, value):
    lines = find(SAMPLE).read_text().splitlines()
    lines[line_number] = f"{lines[line_number].split('=')[0]}= {value}"
    try:
        read(tmp_path, "\n".join(lines))
    except Failure as refused:
        return [str(refused)]
    return []


@pytest.mark.parametrize(
    "value", ["[]", "{}", "true", '""', "-1", "1e400", "99999999999999999999", "1979-05-27", "[[1]]", "[{a = 1}]"]
)
def test_nothing_in_a_scenario_file_can_end_in_anything_but_one_line(tmp_path, value):
    lines = find(SAMPLE).read_text().splitlines()
    numbers = [number for number, line in enumerate(lines) if "=" in line and not line.startswith("#")]
    said = [line for number in numbers for line in complaints_about(tmp_path, number, value)]
    assert len(said) > len(numbers) / 2
    assert not [line for line in said if "\n" in line]
