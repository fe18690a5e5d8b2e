"""The shipped scenarios, run by the real program: every frame decodes, and what it says is what the truth file says.

The judge is cantools on the shipped profile (and on the published DBC, where it is there); what a reading may be wrong by
is the quantisation of its signal and the error of its sensor. Scenarios run for their first minutes in every test run,
and to their ends as soak.
"""

import csv
import itertools
import json
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import cantools
import pytest

from firmware_sim.bms.sensors import ERRORS
from firmware_sim.faults.catalogue import KINDS
from tests.programs import failed, run
from tests.shared import ROOT, shared

PROFILE = ROOT / "config" / "profiles" / "tesla-model3.dbc"
STORE = ROOT / "config" / "profiles" / "pylontech.dbc"
RESERVE = 0.045
ESTIMATE = 0.04  # how far a firmware's state of charge may be from the truth
ROW_US = 100_000
STEP_US = 10_000
# While these act, what is on the bus is not what the firmware said, or not when it said it.
FALSE_ON_THE_BUS = {
    "wrong-ids",
    "corrupted-payload",
    "frame-burst",
    "frame-flood",
    "clock-jump",
    "replayed-log",
    "sensor-stuck",
}
SHORT_SEEN_S = 3_600  # what a shorted cell lost in itself is seen only after an hour's rest
FALSE_CHARGE = {"soc-frozen", "bms-reset", "board-swapped"}


class Run:
    """One run of the program: its frames, the truth by tenths of seconds, its summary."""

    def __init__(self, folder, name, *words, start_us=0, truth_period=0.1):
        log, truth = folder / "x.log", folder / "t.csv"
        words = ("--scenario", name, "--out", log, "--truth", truth, "--truth-period", truth_period, *words)
        done = run("packseal-sim", "run", *words, "--start", start_us / 1e6, "--json", timeout_s=3_000)
        assert done.returncode == 0, done.stderr
        self.log, self.truth_file, self.summary = log, truth, json.loads(done.stdout)
        with truth.open(newline="") as file:
            self.rows = {round(float(row["time_s"]) * 1e6): Row(row) for row in csv.DictReader(file)}
        self.end_us = max(self.rows)

    def frames(self):
        with self.log.open() as file:
            for line in file:
                stamp, _, content = line.split()
                identifier, _, payload = content.partition("#")
                seconds, _, micros = stamp.strip("()").partition(".")
                yield int(seconds) * 1_000_000 + int(micros), int(identifier, 16), bytes.fromhex(payload)

    def row(self, time_us, grain_us=ROW_US):
        """What was true when the firmware last looked at what a frame of this time says; None between two rows."""
        return self.rows.get(time_us - time_us % grain_us)

    def around(self, row, back_us):
        times = range(row.time_us - back_us, row.time_us + ROW_US, ROW_US)
        return [self.rows[time] for time in times if time in self.rows]


class Row(dict):
    """A row of the truth, its numbers as numbers."""

    def __init__(self, texts):
        super().__init__({key: text if key in ("mode", "faults") else float(text) for key, text in texts.items()})
        self.time_us = round(self["time_s"] * 1e6)
        self.cells = [value for key, value in self.items() if key.startswith("cell_")]
        self.modules = [value for key, value in self.items() if key.startswith("module_")]
        self.faults = set(self["faults"].split(";")) - {""}


def near(name, said, true, bound):
    assert abs(said - true) <= bound * 1.000_001, f"{name} says {said:g}, the truth is {true:g}, allowed {bound:g}"


class Judge:
    """Compares decoded signals with the truth, one message at a time."""

    def __init__(self, performed):
        self.run, self.first, self.compared = performed, {}, Counter()
        self.charge_is_false = any(FALSE_CHARGE & row.faults for row in performed.rows.values())

    def judge(self, time_us, name, said):
        row = self.run.row(time_us)
        if row is None:
            return
        # A fault that begins at the instant of a row may or may not be in it.
        beside = (*self.run.around(row, 2_000_000), self.run.rows.get(row.time_us + ROW_US, row))
        recent = {fault for each in beside for fault in each.faults}
        if recent & FALSE_ON_THE_BUS:
            return
        getattr(self, name[2:5].lower().join(("_", "")), self._nothing)(time_us, row, said, recent)

    def _nothing(self, time_us, row, said, recent):
        pass

    def _132(self, time_us, row, said, recent):
        row = self.run.row(time_us, STEP_US)
        if row is None:
            return
        self.compared["0x132"] += 1
        true = row["current_a"]
        bound = ERRORS.current_bound(true, max(row.modules)) + 1.0 * (row["mode"] != "parked")
        near("BattVoltage132", said["BattVoltage132"], row["pack_volts"], ERRORS.pack_bound(row["pack_volts"]) + 0.005)
        near("RawBattCurrent132", -said["RawBattCurrent132"], true, bound - 1.0 * (row["mode"] != "parked") + 0.025)
        moved = max(abs(each["current_a"] - true) for each in self.run.around(row, 800_000))
        near("SmoothBattCurrent132", -said["SmoothBattCurrent132"], true, bound + moved + 0.05)

    def _292(self, _time_us, row, said, _recent):
        if self.charge_is_false or self._reset():
            return
        self.compared["0x292"] += 1
        near("SOCave292", said["SOCave292"] / 100, row["soc_mean"], ESTIMATE)
        near("SOCmax292", said["SOCmax292"] / 100, row["soc_max"], ESTIMATE)
        near("BattBeginningOfLifeEnergy292", said["BattBeginningOfLifeEnergy292"], 84.0, 5.0)
        if "cell-short" in self.run.summary["faults"] and row["time_s"] < SHORT_SEEN_S:
            return
        near("SOCmin292", said["SOCmin292"] / 100, row["soc_min"], ESTIMATE)
        # The string is empty with its emptiest brick and full with its fullest.
        usable = row["soc_min"] / (1 + row["soc_min"] - row["soc_max"])
        shown = max(0.0, (usable - RESERVE) / (1 - RESERVE))
        near("SOCUI292", said["SOCUI292"] / 100, shown, ESTIMATE)

    def _352(self, time_us, row, said, recent):
        if "soh-zero" in row.faults and time_us - row.time_us < ROW_US:
            self.compared["no health"] += said["BMS_nominalFullPackEnergy"] == 0.0
        if self._reset() or "soh-zero" in recent:
            return
        self.compared["0x352"] += 1
        worn = row["capacity_mean_ah"] / self.run.rows[0]["capacity_mean_ah"] * self.run.rows[0]["health"]
        near("BMS_nominalFullPackEnergy", said["BMS_nominalFullPackEnergy"], 84.0 * worn, 5.0)
        gained = row["energy_in_kwh"] - row["energy_out_kwh"] - row["heat_kwh"] - row["aged_kwh"]
        if not self.charge_is_false:
            begin = self.first.setdefault("remaining", said["BMS_nominalEnergyRemaining"] - gained)
            near("BMS_nominalEnergyRemaining", said["BMS_nominalEnergyRemaining"] - begin, gained, 84.0 * ESTIMATE)

    def _3d2(self, _time_us, row, said, _recent):
        if self._reset():
            return
        self.compared["0x3D2"] += 1
        hours = row["time_s"] / 3_600
        for name, key in (("TotalChargeKWh3D2", "energy_in_kwh"), ("TotalDischargeKWh3D2", "energy_out_kwh")):
            begin = self.first.setdefault(name, said[name] - row[key])
            near(name, said[name] - begin, row[key], 0.01 + 0.01 * row[key] + 0.2 * hours)

    def _401(self, _time_us, row, said, _recent):
        self.compared["0x401"] += 1
        for name, volts in said.items():
            if name.startswith("Cell") and int(name[4:]) < len(row.cells):
                near(name, volts, row.cells[int(name[4:])], ERRORS.cell_bound() + 0.000_05)

    def _332(self, _time_us, row, said, _recent):
        self.compared["0x332"] += 1
        for name, true in (
            ("BattCellBrickVoltageMax332", max(row.cells)),
            ("BattCellBrickVoltageMin332", min(row.cells)),
        ):
            if name in said:
                near(name, said[name], true, ERRORS.cell_bound() + 0.001)
        self._temperatures(said, row, "BattCellTempMax332", "BattCellTempMin332", 0.25)

    def _312(self, _time_us, row, said, _recent):
        self.compared["0x312"] += 1
        self._temperatures(said, row, "BMSmaxPackTemperature", "BMSminPackTemperature", 0.125)

    def _temperatures(self, said, row, hottest, coldest, half_step):
        if hottest in said:
            near(hottest, said[hottest], max(row.modules), ERRORS.temperature_bound() + half_step)
            near(coldest, said[coldest], min(row.modules), ERRORS.temperature_bound() + half_step)

    def _212(self, _time_us, row, said, _recent):
        settled = self.run.around(row, 60_000_000) if row["time_s"] % 5 == 0 else ()
        kohm = {each["isolation_kohm"] for each in settled}
        closed = all(each["positive_closed"] for each in settled)
        if len(settled) > 590 and closed and len(kohm) == 1 and said["BMS_isolationResistance"] < 10_230:
            self.compared["0x212"] += 1
            near("BMS_isolationResistance", said["BMS_isolationResistance"], *kohm, 10.0 + 0.25 * min(kohm))
        self._contacts(row, said["BMS_contactorState"] == 4)

    def _20a(self, _time_us, row, said, _recent):
        self._contacts(row, said["HVP_packContactorSetState"] == 5)

    def _contacts(self, row, closed):
        around = (*self.run.around(row, 300_000), self.run.rows.get(row.time_us + ROW_US, row))
        contacts = {(each["positive_closed"], each["negative_closed"]) for each in around}
        if contacts in ({(0.0, 0.0)}, {(1.0, 1.0)}) and "contactor-welded" not in row.faults:
            self.compared["contacts"] += 1
            assert closed == bool(row["positive_closed"])

    def _252(self, _time_us, row, said, _recent):
        self.compared["0x252"] += 1
        assert 0.0 <= said["BMS_maxRegenPower"] <= 120.0
        assert 0.0 <= said["BMS_maxDischargePower"] <= 400.0

    def _2d2(self, _time_us, row, said, _recent):
        self.compared["0x2D2"] += 1
        around = self.run.around(row, 1_000_000)
        if row["mode"].startswith("charge") and len({each["mode"] for each in around}) == 1:
            assert row["current_a"] <= said["MaxChargeCurrent2D2"] + 0.05 * abs(row["current_a"]) + 5.0
        assert said["MinVoltage2D2"] < row["pack_volts"] < said["MaxVoltage2D2"] + 2.0

    def _reset(self):
        """Whether the firmware lost its memory in this run: what it then believes has its own tests."""
        begun = self.run.summary["faults"]
        return "bms-reset" in begun or "board-swapped" in begun


def held_to_the_truth(performed, dbc, one_second_in=1):
    """Decode all frames and compare; returns what was compared how often, and all alerts that were ever active.

    Of a run of hours one second in so many is enough, chosen so that it meets every phase of every cycle.
    """
    judge, alerts = Judge(performed), set()
    known = {message.frame_id: message for message in dbc.messages}
    scrambling = {"wrong-ids", "corrupted-payload"} & set(performed.summary["faults"])
    for time_us, identifier, payload in performed.frames():
        if time_us // 1_000_000 % one_second_in:
            continue
        message = known.get(identifier)
        if message is None:
            assert "frame-flood" in performed.summary["faults"], f"{identifier:X} is in no DBC"
            continue
        row = performed.row(time_us)
        if scrambling and (row is None or row.faults & scrambling):
            continue
        said = message.decode(payload, decode_choices=False)
        judge.judge(time_us, message.name, said)
        if identifier == 0x320:
            alerts |= {int(name[5:8]) for name, value in said.items() if name.startswith("BMS_a") and value}
    return judge.compared, alerts


@pytest.fixture(scope="module")
def profile():
    return cantools.database.load_file(PROFILE)


# (name, how many seconds of it in every test run, alerts that must and may be seen)
EVERYDAY = [
    ("dc-charge", 60, set(), set()),
    ("fault-weak-cell", 90, set(), {62, 137, 138, 64}),
    ("fault-bms-reset", 150, {41}, {41}),
    ("fault-frames-dropped", 80, set(), set()),
    ("fault-soh-zero", 75, set(), set()),
]
SOAK_ALERTS = {
    "fault-cell-short": ({62, 64}, {62, 64}),
    "fault-weak-cell": (set(), {62, 64, 137, 138}),
    "fault-thermal-event": ({19, 82, 136}, {19, 82, 136}),
    "fault-isolation-loss": ({35}, {35, 82, 83, 123, 151}),
    "fault-contactor-welded": ({166}, {82, 83, 163, 166}),
    "fault-bms-reset": ({41, 43}, {41, 43}),
    "fault-board-swapped": ({41}, {41}),
    "fault-sensor-stuck": (set(), {22, 82}),
}
SOAK = [
    *(f"fault-{kind}" for kind in KINDS),
    "commuting-day",
    "dc-charge",
]


@pytest.mark.parametrize(("name", "seconds", "must", "may"), EVERYDAY)
def test_every_frame_decodes_and_says_the_truth_within_quantisation_and_sensor_error(
    tmp_path, profile, name, seconds, must, may
):
    performed = Run(tmp_path, name, "--duration", seconds)
    compared, alerts = held_to_the_truth(performed, profile)
    assert must <= alerts <= may
    assert {"0x132", "0x401", "0x332", "0x312", "0x2D2", "0x252", "contacts"} <= set(compared)
    assert sum(compared.values()) > 40 * seconds
    assert (compared["no health"] > 10) == (name == "fault-soh-zero")


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", SOAK)
def test_every_shipped_scenario_says_the_truth_to_its_end(tmp_path, profile, name):
    performed = Run(tmp_path, name)
    compared, alerts = held_to_the_truth(performed, profile, one_second_in=3 if name == "commuting-day" else 1)
    must, may = SOAK_ALERTS.get(name, (set(), set()))
    assert must <= alerts <= may
    assert compared["0x401"] > 1_000
    if name.startswith("fault-"):
        assert performed.summary["faults"][name.removeprefix("fault-")]["begun"] >= 1


def test_the_published_dbc_decodes_every_frame_too(tmp_path):
    dbc = cantools.database.load_file(shared("dbc/tesla-model3.dbc"), strict=False)
    for _, identifier, payload in Run(tmp_path, "dc-charge", "--duration", 5).frames():
        assert dbc.decode_message(identifier, payload, decode_choices=False)


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(tmp_path):
    digests = []
    for number, seed in enumerate((7, 7, 8)):
        (folder := tmp_path / str(number)).mkdir()
        performed = Run(folder, "fault-corrupted-payload", "--duration", 70, "--seed", seed)
        digests.append((performed.log.read_bytes(), performed.truth_file.read_bytes()))
    assert digests[0] == digests[1]
    assert digests[0][0] != digests[2][0]
    assert digests[0][1] != digests[2][1]


@pytest.mark.soak
def test_whether_the_truth_is_written_and_how_often_changes_no_byte_of_the_log(tmp_path):
    logs = []
    for number, period in enumerate((0.01, 1.0)):
        (folder := tmp_path / str(number)).mkdir()
        logs.append(Run(folder, "dc-charge", "--duration", 10, truth_period=period).log.read_bytes())
    done = run(
        "packseal-sim", "run", "--scenario", "dc-charge", "--duration", 10, "--start", 0, "--out", tmp_path / "x"
    )
    assert done.returncode == 0
    assert logs[0] == logs[1] == (tmp_path / "x").read_bytes()


LEAPED = """title = "two days of an old pack, leaped over"
[pack]
age_years = 6
ageing_acceleration = 73
[[phase]]
times = 2
pace = "leap"
[[phase.step]]
do = "drive"
cycle = "city"
[[phase.step]]
do = "charge-ac"
until_soc = 0.9
for = "8 h"
[[phase.step]]
do = "park"
for = "15 h"
"""


@pytest.mark.parametrize("scenario", ["dc-charge", "leaped.toml"])
def test_the_truth_file_accounts_for_all_energy_within_a_thousandth(tmp_path, scenario):
    leaped = tmp_path / "leaped.toml"
    leaped.write_text(LEAPED)
    words = ("dc-charge", "--duration", 120) if scenario == "dc-charge" else (leaped,)
    performed = Run(tmp_path, *words, truth_period=1.0)
    rows = list(performed.rows.values())
    first, last = rows[0], rows[-1]
    for row in rows[1:]:
        gained = row["energy_in_kwh"] - row["energy_out_kwh"] - row["heat_kwh"] - row["aged_kwh"]
        through = row["energy_in_kwh"] + row["energy_out_kwh"]
        assert row["stored_kwh"] - first["stored_kwh"] == pytest.approx(gained, abs=0.001 * through + 5e-6)
    assert last["heat_kwh"] > 0.005
    assert (last["aged_kwh"] > 0.05) == (scenario != "dc-charge")
    assert last["stored_kwh"] < last["capacity_mean_ah"] * max(last.cells) * len(last.cells) / 1_000


def test_messages_come_at_their_periods_and_muxes_are_complete_within_every_second(tmp_path):
    times, pages = defaultdict(list), defaultdict(partial(defaultdict, set))
    for time_us, identifier, payload in Run(tmp_path, "dc-charge", "--duration", 30).frames():
        times[identifier].append(time_us)
        pages[identifier][time_us // 1_000_000].add(payload[0])
    counts = {identifier: len(each) for identifier, each in times.items()}
    assert sum(counts.values()) == pytest.approx(215 * 30, abs=15)
    for identifier, each in times.items():
        gaps = [b - a for a, b in itertools.pairwise(each)]
        mean = (each[-1] - each[0]) / len(gaps)
        assert max(gaps) - mean < 0.02 * mean + 12 * 240 + 900, f"{identifier:X}"
    assert all(
        {payload & 0x0F for payload in seen} >= {0, 1, 2} for second, seen in pages[0x320].items() if second < 29
    )
    assert all({payload & 0x03 for payload in seen} == {0, 1} for second, seen in pages[0x332].items() if second < 29)
    cells = [len(seen) for second, seen in pages[0x401].items() if second < 29]
    assert min(cells) >= 31


@pytest.mark.soak
def test_a_parked_pack_falls_silent_and_looks_out_every_hour(tmp_path):
    folder = tmp_path / "s.toml"
    folder.write_text('title = "x"\n[[phase]]\n[[phase.step]]\ndo = "park"\nfor = "2.2 h"\n')
    performed = Run(tmp_path, folder)
    seconds = sorted({time_us // 1_000_000 for time_us, _, _ in performed.frames()})
    bursts = [[seconds[0]]]
    for second in seconds[1:]:
        (bursts[-1].append if second - bursts[-1][-1] == 1 else lambda each: bursts.append([each]))(second)
    assert [len(burst) for burst in bursts] == pytest.approx([120, 30, 30], abs=2)
    assert bursts[1][0] == pytest.approx(3_720, abs=61)
    assert performed.end_us == 7_920 * 1_000_000


@pytest.mark.soak
def test_the_second_life_speaks_pylontech_and_says_the_truth(tmp_path):
    if not STORE.exists():
        pytest.fail("the profile of the store is missing")
    dbc, seen = cantools.database.load_file(STORE), Counter()
    performed = Run(tmp_path, "second-life", "--duration", 900)
    for time_us, identifier, payload in performed.frames():
        said, row = dbc.decode_message(identifier, payload, decode_choices=False), performed.row(time_us)
        seen[identifier] += 1
        if identifier == 0x356 and row is not None:
            volts, amperes, degrees = list(said.values())[:3]
            near("volts", volts, row["pack_volts"], 0.5)
            near("amperes", abs(amperes), abs(row["current_a"]), 3.0)
            near("degC", degrees, sum(row.modules) / len(row.modules), 2.0)
    assert {0x351, 0x355, 0x356, 0x359, 0x35C, 0x35E} <= set(seen)
    assert all(count == pytest.approx(900, abs=3) for count in seen.values())


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_a_healthy_second_life_is_charged_and_emptied_without_a_warning(tmp_path):
    dbc, flags, currents = cantools.database.load_file(STORE), set(), []
    for _, identifier, payload in Run(tmp_path, "second-life", truth_period=60.0).frames():
        said = dbc.decode_message(identifier, payload, decode_choices=False)
        if identifier == 0x359:
            flags |= {name for name, value in said.items() if name.startswith(("Warn", "Protect")) and value}
        elif identifier == 0x356:
            currents.append(said["PackCurrent"])
    assert not flags
    assert min(currents) < -10.0
    assert max(currents) > 30.0


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_five_years_leave_a_believable_pack_and_an_hour_on_the_bus(tmp_path, profile):
    performed = Run(tmp_path, "five-year-life", truth_period=10.0)
    last = performed.rows[performed.end_us]
    assert 0.86 <= last["health"] <= 0.94
    assert 1.02 < last["resistance_growth"] < 1.4
    assert 50_000 < last["odometer_km"] < 110_000
    assert performed.end_us / 86_400e6 == pytest.approx(61 * 30, rel=0.001)
    healths = [row["health"] for row in performed.rows.values()]
    assert healths == sorted(healths, reverse=True)
    seconds = Counter(time_us // 60_000_000 for time_us, _, _ in performed.frames())
    assert sum(seconds.values()) == pytest.approx(61 * 60 * 215, rel=0.01)
    compared, alerts = held_to_the_truth(performed, profile)
    assert not alerts
    assert compared["0x401"] > 50  # the rows of the truth are ten seconds apart here


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--scenario", "no-such-day", "--out", "-"), 78, "no scenario no-such-day"),
        (("--scenario", "/no/such.toml", "--out", "-"), 74, "No such file"),
        (("--scenario", "dc-charge", "--cells", "96", "--out", "-"), 64, "--cells is the scenario's to say"),
        (("--scenario", "five-year-life", "--slcan-link", "x"), 64, "it runs into a file"),
        (("--scenario", "five-year-life", "--speed", "5", "--out", "-"), 64, "it runs into a file"),
        (("--scenario", "dc-charge", "--out", "x.log", "--truth", "t.xlsx"), 64, "must end with .csv or .parquet"),
        (("--scenario", "dc-charge", "--out", "x.log", "--truth", "/no/such/t.csv"), 74, "No such file"),
        (("--scenario", "dc-charge", "--out", "x.log", "--profile", "kona-ev"), 78, "kona-ev"),
        (("--scenario", "dc-charge", "--out", "x.log", "--bus-load", "2"), 78, "bus load"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_the_documented_exit_code(tmp_path, words, code, said):
    assert said in failed(run("packseal-sim", "run", *words, cwd=tmp_path), code)


def test_the_list_of_scenarios_is_what_is_shipped():
    done = run("packseal-sim", "scenarios", "--json")
    listed = {each["name"]: each for each in json.loads(done.stdout)}
    assert set(listed) == {path.stem for path in (ROOT / "config" / "scenarios").glob("*.toml")}
    assert listed["commuting-day"]["seconds_at_most"] == 86_400.0
    assert listed["fault-bms-reset"]["faults"] == ["bms-reset"]
    assert Path(listed["dc-charge"]["path"]).is_file()
    assert len(run("packseal-sim", "scenarios").stdout.splitlines()) == len(listed)
