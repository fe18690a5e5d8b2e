"""The written truth: its columns, its two kinds of file, and when a row is due."""

import csv
import subprocess
import sys
from dataclasses import dataclass, replace

import pytest
from pyarrow import parquet

from firmware_sim.cells.spec import PackSpec
from firmware_sim.simulated_pack import SimulatedPack
from firmware_sim.truth.table import columns
from firmware_sim.truth.writing import TruthWriter
from packseal.program import InputOutputError, UsageError

S = 1_000_000


def pack_with(path, period_s=1.0, leap_period_s=3_600.0, cells=12):
    pack = SimulatedPack(PackSpec(cells=cells), 3)
    writer = TruthWriter(path, cells, 4, period_s, leap_period_s)
    pack.watch, pack.watch_us = writer.witness, writer.witness(pack)
    return pack, writer


def lived(path, seconds=10, **settings):
    pack, writer = pack_with(path, **settings)
    pack.advance_to(seconds * S)
    writer.close(pack)
    return pack


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_both_kinds_of_file_hold_the_same_columns_and_the_same_numbers(tmp_path):
    lived(tmp_path / "t.csv")
    lived(tmp_path / "t.parquet")
    table = parquet.read_table(tmp_path / "t.parquet")
    written = rows(tmp_path / "t.csv")
    assert list(written[0]) == table.column_names
    assert len(written) == table.num_rows == 11
    for one, other in zip(written, table.to_pylist(), strict=True):
        for name, value in other.items():
            assert one[name] == str(int(value) if isinstance(value, bool) else value), name


def test_a_row_says_what_the_cells_are_rounded_and_nothing_else(tmp_path):
    pack = lived(tmp_path / "t.csv")
    last, physics = rows(tmp_path / "t.csv")[-1], pack.physics
    assert float(last["time_s"]) == 10.0
    assert float(last["current_a"]) == pytest.approx(physics.current_a, abs=1e-4)
    assert float(last["pack_volts"]) == pytest.approx(physics.pack_volts(), abs=1e-4)
    assert float(last["soc_mean"]) == pytest.approx(float(physics.soc.mean()), abs=1e-6)
    assert float(last["soc_min"]) == pytest.approx(float(physics.soc.min()), abs=1e-6)
    assert float(last["capacity_mean_ah"]) == pytest.approx(float(physics.capacity_as.mean()) / 3_600, abs=1e-4)
    assert [float(last[f"cell_{n}"]) for n in range(1, 13)] == pytest.approx(physics.cell_volts(), abs=1e-5)
    assert [float(last[f"module_{n}_c"]) for n in range(1, 5)] == pytest.approx(physics.module_c, abs=1e-3)
    assert float(last["energy_out_kwh"]) * 3.6e6 == pytest.approx(physics.energy.delivered_out, abs=4.0)
    assert last["mode"] == "drive"
    assert last["awake"] == "1"


@pytest.mark.parametrize(("period_s", "times"), [(0.01, 1_001), (0.1, 101), (0.25, 41), (4.0, 4)])
def test_rows_fall_on_multiples_of_the_period_and_the_end_is_always_there(tmp_path, period_s, times):
    lived(tmp_path / "t.csv", period_s=period_s)
    at = [float(row["time_s"]) for row in rows(tmp_path / "t.csv")]
    assert len(at) == times
    assert at[-1] == 10.0
    assert all(abs(time / period_s - round(time / period_s)) < 1e-6 for time in at[:-1])


@dataclass
class Sleeper:
    """A pack whose time passes in strides of a minute."""

    real: SimulatedPack
    time_us: int = 0
    leaping: bool = True

    def truth(self):
        return replace(self.real.truth(), time_us=self.time_us)


def test_where_time_leaps_rows_keep_the_longer_period_and_are_late_rather_than_doubled(tmp_path):
    sleeper = Sleeper(SimulatedPack(PackSpec(cells=2, modules=2), 1))
    writer = TruthWriter(tmp_path / "t.csv", 2, 2, 1.0, 3_600.0)
    due = writer.witness(sleeper)
    for sleeper.time_us in range(0, 4 * 3_600 * S, 700 * S):
        if sleeper.time_us >= due:
            due = writer.witness(sleeper)
    writer.close(sleeper)
    at = [float(row["time_s"]) for row in rows(tmp_path / "t.csv")]
    assert at == [0.0, 4_200.0, 7_700.0, 11_200.0, 14_000.0]


def test_after_every_row_that_is_handed_over_a_killed_run_has_left_whole_lines(tmp_path):
    pack, writer = pack_with(tmp_path / "t.csv", period_s=0.1)
    pack.advance_to(30 * S)
    text = (tmp_path / "t.csv").read_text()
    writer.close()
    assert text.endswith("\n")
    assert len({line.count(",") for line in text.splitlines()}) == 1
    assert text.count("\n") > 200


def test_a_parquet_file_takes_its_name_when_it_is_complete(tmp_path):
    pack, writer = pack_with(tmp_path / "t.parquet")
    pack.advance_to(2 * S)
    assert not (tmp_path / "t.parquet").exists()
    writer.close(pack)
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]
    field = parquet.read_schema(tmp_path / "t.parquet").field("current_a")
    assert field.metadata == {b"unit": b"A", b"meaning": b"into the battery"}


def test_columns_are_named_once_and_there_is_one_for_every_module_and_cell():
    names = [column.name for column in columns(108, 4)]
    assert len(set(names)) == len(names)
    assert names[-1] == "cell_108"
    assert "module_4_c" in names


@pytest.mark.parametrize("name", ["t.txt", "t", "csv"])
def test_a_name_of_no_known_kind_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match=r"must end with \.csv or \.parquet"):
        TruthWriter(tmp_path / name, 2, 2)


@pytest.mark.parametrize("periods", [(0.001, 3_600.0), (0.0, 3_600.0), (10.0, 5.0), (float("nan"), 5.0)])
def test_impossible_periods_are_refused(tmp_path, periods):
    with pytest.raises(UsageError, match="--truth-period"):
        TruthWriter(tmp_path / "t.csv", 2, 2, *periods)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_folder_that_is_not_there_is_one_error_of_ours(tmp_path, name):
    with pytest.raises(InputOutputError, match="No such file"):
        TruthWriter(tmp_path / "none" / name, 2, 2)


def test_a_disk_that_is_full_is_one_error_of_ours(tmp_path):
    (tmp_path / "full.csv").symlink_to("/dev/full")
    pack, writer = pack_with(tmp_path / "full.csv")
    with pytest.raises(InputOutputError, match="No space left"):
        writer.close(pack)


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, 8_192))
from firmware_sim.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("duration", ["1", "40"])
def test_a_disk_that_is_full_in_the_middle_or_at_the_end_is_one_line_and_leaves_no_half_of_a_file(duration, tmp_path):
    truth = ["--truth", str(tmp_path / "t.parquet"), "--truth-period", "0.01"]
    words = [sys.executable, "-c", FULL, "run", "--duration", duration, "--out", "/dev/null", *truth]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    _, complaint = done.stderr.splitlines()
    assert (done.returncode, complaint[:14]) == (74, "packseal-sim: ")
    assert "t.parquet: " in complaint
    assert "File too large" in complaint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("duration", ["1", "40"])
def test_a_disk_that_is_full_leaves_whole_lines_of_a_csv(duration, tmp_path):
    truth = ["--truth", str(tmp_path / "t.csv"), "--truth-period", "0.01"]
    words = [sys.executable, "-c", FULL.replace("8_192", "70_000"), "run", "--duration", duration, "--out", "/dev/null"]
    done = subprocess.run([*words, *truth], capture_output=True, text=True, check=False)
    _, complaint = done.stderr.splitlines()
    assert (done.returncode, complaint) == (74, f"packseal-sim: {tmp_path / 't.csv'}: File too large")
    text = (tmp_path / "t.csv").read_text()
    assert text.endswith("\n")
    assert len({line.count(",") for line in text.splitlines()}) == 1
    assert [float(row["time_s"]) for row in rows(tmp_path / "t.csv")] == [
        at / 100 for at in range(text.count("\n") - 1)
    ]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_folder_in_the_files_place_is_seen_before_anything_is_simulated(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(InputOutputError, match=f"{name}: Is a directory"):
        TruthWriter(tmp_path / name, 2, 2)


def test_without_its_library_parquet_is_one_line_that_says_what_to_install(tmp_path, monkeypatch, capsys):
    from firmware_sim.cli import main

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "firmware_sim.truth.parquet_file", raising=False)
    words = ["run", "--duration", "1", "--out", str(tmp_path / "x.log"), "--truth", str(tmp_path / "t.parquet")]
    assert main(words) == 69
    assert "pip install 'packseal[sim]'" in capsys.readouterr().err
