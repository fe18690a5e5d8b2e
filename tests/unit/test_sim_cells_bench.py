import json
import subprocess
import sys

from tests.shared import ROOT


def test_the_benchmark_of_the_cells_runs_and_both_sides_did_the_same_work():
    small = ["--packs", "2", "--seconds", "1", "--repeats", "1", "--calls", "10", "--json"]
    command = [sys.executable, str(ROOT / "bench" / "cells_speed.py"), *small]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    figures = json.loads(done.stdout)
    assert figures["packs"] == 2
    assert all(value > 0 for name, value in figures.items() if name not in ("settle_us", "volts_apart"))
    assert figures["volts_apart"] < 1e-3
