import datetime
import hashlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_sim.bus.simulation import Simulation
from firmware_sim.bus.tesla_model3 import messages
from firmware_sim.car.demand import Demand, Mode
from firmware_sim.car.errand import Parked
from firmware_sim.car.scenario_driver import Outing, ScenarioDriver
from firmware_sim.cells.spec import PackSpec
from firmware_sim.cli import main, parser
from firmware_sim.commands.arguments import AFTER_UNIX_S
from firmware_sim.pack_feed import PackFeed
from firmware_sim.play.recording import Recording
from firmware_sim.progress import Progress
from firmware_sim.simulated_pack import SimulatedPack
from packseal.shipped import config_dir


def simulate(tmp_path, *options, name="a.log"):
    assert main(["run", "--out", str(tmp_path / name), *options]) == 0
    return tmp_path / name


def test_the_same_seed_writes_the_same_log_and_another_seed_another(tmp_path, capsys):
    digests = [
        hashlib.sha256(simulate(tmp_path, "--duration", "5", "--seed", seed).read_bytes()).digest()
        for seed in ("3", "3", "4")
    ]
    assert digests[0] == digests[1] != digests[2]


def test_ten_seconds_are_2150_frames_and_the_summary_says_so(tmp_path, capsys):
    log = simulate(tmp_path, "--duration", "10", "--json", "--start", "1700000000", "--channel", "vcan7")
    counts = json.loads(capsys.readouterr().out)
    frames = list(Recording(log))
    assert counts["written"] == len(frames) == pytest.approx(2_150, abs=12)
    assert 1_700_000_000_000_000 < frames[0].time_us < 1_700_000_000_100_000
    assert {frame.bus for frame in frames} == {7}


def test_a_log_played_into_a_log_is_the_same_log(tmp_path, capsys):
    first = simulate(tmp_path, "--duration", "3")
    assert main(["play", str(first), "--out", str(tmp_path / "b.log")]) == 0
    one, two = list(Recording(first)), list(Recording(tmp_path / "b.log"))
    assert [f.frame for f in one] == [f.frame for f in two]
    assert {a.time_us - b.time_us for a, b in zip(one, two, strict=True)} == {one[0].time_us}


def test_the_sent_log_has_a_line_for_every_frame(tmp_path, capsys):
    log = simulate(tmp_path, "--duration", "2", "--sent-log", str(tmp_path / "sent"))
    lines = [line.split(",") for line in (tmp_path / "sent").read_text().splitlines()]
    assert [(int(i, 16), int(f), bytes.fromhex(p)) for _, i, f, p in lines] == [
        (r.frame.identifier, r.frame.flags, r.frame.payload) for r in Recording(log)
    ]
    times = [int(time) for time, *_ in lines]
    assert times == sorted(times)


def test_standard_output_carries_frames_only(capsys):
    assert main(["run", "--duration", "1", "--out", "-"]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") == pytest.approx(215, abs=12)
    assert all(line.startswith("(0000000000.") for line in captured.out.splitlines())
    assert "frames written" in captured.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 64, "required"),
        (["run"], 64, "required"),
        (["run", "--out", "x", "--slcan-link", "y"], 64, "not allowed with"),
        (["run", "--out", "x"], 64, "give --duration"),
        (["run", "--cells", "ninety", "--out", "-"], 64, "whole number"),
        (["run", "--duration", "-3", "--out", "-"], 64, "from 0 up"),
        (["run", "--dur", "3", "--out", "-"], 64, "unrecognized arguments: --dur"),
        (["run", "--duration", "3", "--speed", "1e-310", "--out", "-"], 64, "neither 0 nor a number from 0.001 up"),
        (["play", "x", "--pace", "1e-310", "--out", "-"], 64, "neither 0 nor a number from 0.001 up"),
        (["play", "x", "--max-rate", "1e-310", "--out", "-"], 64, "neither 0 nor a number from 0.001 up"),
        (["run", "--duration", "3", "--start", "253402300800", "--out", "x.asc"], 64, "is after the year 2200"),
        (["run", "--duration", "3", "--start", "7289654400", "--out", "x.blf"], 64, "is after the year 2200"),
        (["run", "--duration", "3", "--channel", "b\u00fcs", "--out", "x.log"], 64, "printable ASCII"),
        (["run", "--duration", "3", "--channel", "can 0", "--out", "-"], 64, "printable ASCII"),
        (["run", "--slcan-link", "x", "--speed", "2"], 64, "--speed is for --out"),
        (["run", "--interface", "virtual"], 64, "needs --channel"),
        (["run", "--interface", "virtual", "--channel", "x", "--bitrate", "0"], 64, "no rate of a classic CAN bus"),
        (["run", "--duration", "1", "--bus-load", "0.6", "--bitrate", "250000", "--out", "-"], 64, "at 500000 bit/s"),
        (["run", "--duration", "1", "--truth-period", "0.5", "--out", "-"], 64, "--truth FILE"),
        (["run", "--duration", "1", "--truth-leap-period", "60", "--out", "-"], 64, "--truth FILE"),
        (["run", "--duration", "3", "--out", "-", "--nonsense"], 64, "see packseal-sim run --help"),
        (["inject", "--control", "x", "board-swapped", "--for", "10"], 64, "board-swapped happens in a moment"),
        (["inject", "--control", "x", "board-swapped", "--for", "10"], 64, "see packseal-sim inject --help"),
        (["inject", "--control", "x", "soc-frozen", "--ohm", "10"], 64, "see packseal-sim inject --help"),
        (["inject", "--control", "x", "--status", "soc-frozen"], 64, "a fault, --status, --clear or --list"),
        (["inject", "--clear", "all", "soc-frozen"], 64, "a fault, --status, --clear or --list"),
        (["inject", "--list", "soc-frozen"], 64, "a fault, --status, --clear or --list"),
        (["run", "--cells", "109", "--duration", "1", "--out", "-"], 78, "1 to 108"),
        (["run", "--ambient", "nan", "--duration", "1", "--out", "-"], 78, "ambient"),
        (["run", "--interface", "no-such", "--channel", "x"], 69, "no-such"),
        (["run", "--slcan-link", "/no/such/folder/link"], 69, "cannot make the link"),
        (["run", "--duration", "1", "--out", "/no/such/folder/log"], 74, "No such file"),
        (["run", "--duration", "1", "--out", "/dev/full"], 74, "No space left"),
        (["play", "/no/such/log", "--out", "-"], 74, "No such file"),
        (["play", "/dev/null", "--out", "-"], 65, "is empty"),
    ],
)
def test_bad_input_is_one_line_and_the_documented_exit_code(arguments, code, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    captured = capsys.readouterr()
    complaint = captured.err.strip().splitlines()[-1]
    assert complaint.startswith("packseal-sim: ")
    assert said in complaint
    assert "Traceback" not in captured.err


def test_diagnosis_under_an_identifier_that_the_pack_itself_sends_is_refused(capsys, tmp_path):
    scenario = tmp_path / "s.toml"
    text = 'title = "x"\n[[phase]]\n[[phase.step]]\ndo = "park"\nfor = "1 s"\n[uds]\n'
    for key in ("request", "response", "functional"):
        scenario.write_text(f"{text}{key} = 0x132\n")
        assert main(["run", "--scenario", str(scenario), "--out", str(tmp_path / "x.log")]) == 78
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"packseal-sim: {scenario}: uds.{key}: 0x132 is ")
        assert line.endswith("which the pack sends; give a free identifier")
    scenario.write_text(f"{text}enabled = false\nrequest = 0x132\n")
    assert main(["run", "--scenario", str(scenario), "--out", str(tmp_path / "x.log")]) == 0


@pytest.mark.parametrize("command", [[], ["run"], ["play"], ["scenarios"], ["inject"], ["fleet"]])
def test_every_help_ends_with_examples_that_parse(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    examples = capsys.readouterr().out.split("examples:\n")[1].strip().splitlines()
    assert examples
    for example in examples:
        words = example.split("   ")[0].split(" | ")[0].split()
        assert words[0] == "packseal-sim"
        parser().parse_args(words[1:])


@pytest.mark.parametrize("suffix", ["log", "asc", "blf", "ASC", "Blf"])
def test_the_last_second_of_the_last_year_can_be_written_in_every_format(suffix, tmp_path, capsys):
    assert datetime.datetime(2201, 1, 1, tzinfo=datetime.UTC).timestamp() == AFTER_UNIX_S
    log = simulate(tmp_path, "--duration", "3", "--start", str(AFTER_UNIX_S - 1), name=f"x.{suffix}")
    assert log.read_bytes()[:4] == {"log": b"(728", "asc": b"date", "blf": b"LOGG"}[suffix.lower()]


def test_a_duration_shorter_than_any_step_is_an_end_and_not_none(tmp_path, capsys):
    log = simulate(tmp_path, "--duration", "1e-7", "--json")
    assert json.loads(capsys.readouterr().out)["simulated_seconds"] == 0.0
    assert log.read_text() == ""


PARK = 'title = "x"\n[[phase]]\n[[phase.step]]\ndo = "park"\nfor = "1 s"\n'


@pytest.mark.parametrize(
    "words",
    [
        "play rec.log --out rec.log",
        "play rec.log --out ./rec.log",
        "play rec.log --out link.log",
        "play link.log --out rec.log",
        "play rec.log --out hard.log",
        "play rec.log --out - --sent-log rec.log",
        "run --duration 1 --out x.csv --truth x.csv",
        "run --duration 1 --out x.csv --truth sub/../x.csv",
        "run --duration 1 --out x.log --sent-log x.log",
        "run --duration 1 --out - --truth x.csv --sent-log x.csv",
        "run --duration 1 --out own.dbc --profile own.dbc",
        "run --scenario s.toml --out s.toml",
        "run --scenario s.toml --out rec.log",
        "run --scenario s.toml --out - --sent-log hard.log",
    ],
)
def test_no_file_is_written_twice_at_once_or_over_what_is_read(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    Path("rec.log").write_text("(1.000000) can0 132#0102\n")
    Path("link.log").symlink_to("rec.log")
    Path("hard.log").hardlink_to("rec.log")
    Path("own.dbc").write_text((config_dir() / "profiles" / "tesla-model3.dbc").read_text())
    Path("s.toml").write_text(f'{PARK}[[fault]]\nat = 0\nkind = "replayed-log"\nlog = "rec.log"\n')
    before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    assert main(words.split()) == 64
    assert "are the same file" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path().iterdir() if path.is_file()} == before


def test_a_device_may_take_as_much_as_anybody_likes(capsys):
    assert main(["run", "--duration", "1", "--out", "/dev/null", "--sent-log", "/dev/null"]) == 0


def test_a_run_that_is_refused_late_leaves_no_half_of_a_truth_behind(tmp_path, capsys):
    words = ["run", "--duration", "1", "--truth", str(tmp_path / "t.parquet"), "--out", "-", "--channel", "can 0"]
    assert main(words) == 64
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


def test_the_help_says_how_often_there_is_truth_of_a_pack_that_sleeps(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "while the pack sleeps it is one a minute" in " ".join(capsys.readouterr().out.split())


def test_the_truth_can_be_written_beside_any_run_and_the_summary_counts_its_rows(tmp_path, capsys):
    simulate(tmp_path, "--duration", "3", "--truth", str(tmp_path / "t.csv"), "--truth-period", "0.5", "--json")
    counts = json.loads(capsys.readouterr().out)
    assert counts["truth_rows"] == 7
    assert counts["simulated_seconds"] == 3.0
    assert counts["faults"] == {}
    assert (tmp_path / "t.csv").read_text().count("\n") == 8


def test_other_nodes_fill_the_bus_to_the_load_that_is_asked_for(tmp_path, capsys):
    frames = list(Recording(simulate(tmp_path, "--duration", "5", "--bus-load", "0.6")))
    assert len(frames) * 240e-6 / 5 == pytest.approx(0.6, abs=0.02)


def test_playing_a_recording_pays_neither_for_numpy_nor_for_python_can(tmp_path):
    (tmp_path / "one.log").write_text("(1.000000) can0 132#0102\n")
    program = (
        "import sys; from firmware_sim.cli import main; code = main(sys.argv[1:]); "
        "print(sorted({'numpy', 'can', 'msgspec', 'pyarrow', 'isotp'} & sys.modules.keys()), file=sys.stderr); sys.exit(code)"
    )
    words = [sys.executable, "-c", program, "play", str(tmp_path / "one.log"), "--out", "-"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_a_long_run_says_on_a_terminal_how_far_it_is_and_leaves_a_clean_line():
    terminal = io.StringIO()
    progress = Progress(pack := SimulatedPack(PackSpec(cells=2), 1), 3_600_000_000, terminal)
    progress.show()
    assert terminal.getvalue() == "", "a short run says nothing"
    pack.time_us, progress.began_s = 1_800_000_000, progress.began_s - 10.0
    progress.show()
    assert re.search(r"\r.*30 min of 1 h at most, \d+ x real time", terminal.getvalue())
    progress.end()
    assert terminal.getvalue().endswith(" \r")


def leaping_month():
    driver = ScenarioDriver(iter([Outing(Parked(30 * 86_400.0), True)]))
    first = Demand(Mode.PARKED, 0.0, leap=True)
    return SimulatedPack(PackSpec(cells=2), 1, driver, ends=lambda: driver.over, demand=first)


def test_hours_without_a_frame_pass_in_slices_after_each_of_which_the_run_can_be_stopped():
    pack, between = leaping_month(), []
    simulation = Simulation(pack, messages(2))
    feed = PackFeed(simulation, pack, lambda: len(between) == 20, lambda: between.append(pack.time_us))
    assert feed.until(1 << 62, 10) == []
    assert len(between) == 20
    assert 0 < pack.time_us < 3 * 86_400_000_000


def test_a_scenario_without_a_single_frame_ends():
    pack = leaping_month()
    feed = PackFeed(Simulation(pack, messages(2)), pack, lambda: False, lambda: None)
    assert feed.until(1 << 62, 10) == []
    assert feed.finished()
    assert pack.time_us == 30 * 86_400_000_000
