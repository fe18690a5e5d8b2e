"""The benchmarks of the bus run, on sizes too small to say anything, and do what they say."""

import json
import subprocess
import sys

import pytest

from tests.shared import ROOT


def bench(name, *words):
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / name), *words, "--json"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.soak
def test_the_speed_of_a_run_into_a_file_is_measured_against_a_script_that_writes_as_many_frames():
    figures = bench("sim_speed.py", "--seconds", "4", "--peer-seconds", "2", "--repeats", "1")
    assert figures["frames"] == pytest.approx(4 * 215, abs=12)
    assert figures["peer_frames"] == pytest.approx(2 * 215, abs=12)
    assert figures["factor"] > 0
    assert {"us_per_frame", "peer_us_per_frame", "bus_alone_against_peer"} <= figures.keys()


@pytest.mark.soak
def test_the_paced_bus_is_read_by_another_process_which_misses_no_frame():
    figures = bench("paced_bus.py", "--seconds", "2", "--load", "0.3")
    assert figures["frames"] > 500
    assert figures["missing"] == figures["dropped"] == 0
