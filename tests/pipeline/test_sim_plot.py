"""The plot in the documents is made by the script beside it."""

import subprocess
import sys

from firmware_sim.cli import main
from tests.shared import ROOT

SCRIPT = ROOT / "docs" / "plots" / "one_day.py"
DRAWING = ROOT / "docs" / "plots" / "one-day.svg"


def test_the_script_draws_a_truth_file_the_same_way_every_time(tmp_path):
    truth = tmp_path / "t.csv"
    assert main(["run", "--duration", "30", "--out", "/dev/null", "--truth", str(truth)]) == 0
    drawings = []
    for name in ("a.svg", "b.svg"):
        words = [sys.executable, str(SCRIPT), "--truth", str(truth), "--out", str(tmp_path / name)]
        subprocess.run(words, check=True, capture_output=True)
        drawings.append((tmp_path / name).read_bytes())
    assert drawings[0] == drawings[1]
    assert b"<svg" in drawings[0]


def test_the_drawing_in_the_documents_is_small_and_bears_no_date():
    text = DRAWING.read_text()
    assert len(text) < 300_000
    assert "dc:date" not in text
    assert "docs/plots/one_day.py" in text
