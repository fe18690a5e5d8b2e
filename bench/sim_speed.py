"""How fast a whole pack runs into a file: `packseal-sim run --out FILE` as a process, against a straightforward script.

The real-time factor is simulated seconds per CPU second of the whole process, its start included; beside it without the
start. The script (bench/peers/cantools_encoder.py) has no pack: it only encodes as many frames with cantools and writes
them with python-can. So it is compared with the simulator's bus alone, whose pack stands still: timetable, encoder, file.
All run in turn, on one core each, in the same minutes; medians; per frame without their starts.

    python bench/sim_speed.py --seconds 600 --repeats 5
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from firmware_sim.bms.report import BmsReport
from firmware_sim.bus.simulation import Simulation
from firmware_sim.bus.tesla_model3 import messages
from firmware_sim.cells.spec import PackSpec
from firmware_sim.outputs.candump_log import CandumpLog
from firmware_sim.outputs.stream import Stream
from firmware_sim.simulated_pack import SimulatedPack
from packseal.program import run

ROOT = Path(__file__).resolve().parent.parent
SIMULATOR = [sys.executable, "-c", "import sys; from firmware_sim.cli import main; sys.exit(main())"]
PEER = [sys.executable, str(ROOT / "bench" / "peers" / "cantools_encoder.py")]


def main() -> int:
    return run("sim-speed", _main)


def _main() -> int:
    options = _parser().parse_args()
    if options.still is not None:
        _run_still(options.still, options.seconds)
        return 0
    seconds, peer_seconds = str(options.seconds), str(options.peer_seconds)
    with tempfile.TemporaryDirectory() as folder:
        log = str(Path(folder) / "x.log")
        whole = [*SIMULATOR, "run", "--out", log, "--duration"]
        still = [sys.executable, __file__, "--still", log, "--seconds"]
        peer = [*PEER, "--out", log, "--seconds"]
        rounds = [
            {
                "start": _cpu_s([*whole, "0.01"]),
                "whole": _cpu_s([*whole, seconds]),
                "frames": _lines(log),
                "still_start": _cpu_s([*still, "0.01"]),
                "still": _cpu_s([*still, peer_seconds]),
                "still_frames": _lines(log),
                "peer_start": _cpu_s([*peer, "0"]),
                "peer": _cpu_s([*peer, peer_seconds]),
                "peer_frames": _lines(log),
            }
            for _ in range(options.repeats)
        ]
    median = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    still_us = 1e6 * (median["still"] - median["still_start"]) / median["still_frames"]
    peer_us = 1e6 * (median["peer"] - median["peer_start"]) / median["peer_frames"]
    figures = {
        "seconds": options.seconds,
        "frames": median["frames"],
        "factor": round(options.seconds / median["whole"], 1),
        "factor_without_start": round(options.seconds / max(1e-9, median["whole"] - median["start"]), 1),
        "start_s": round(median["start"], 2),
        "us_per_frame": round(1e6 * (median["whole"] - median["start"]) / median["frames"], 1),
        "bus_alone_us_per_frame": round(still_us, 1),
        "peer_us_per_frame": round(peer_us, 1),
        "peer_frames": median["peer_frames"],
        "bus_alone_against_peer": round(peer_us / still_us, 2) if still_us > 0 else 0.0,
    }
    print(json.dumps(figures) if options.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))
    return 0


@dataclass(slots=True)
class Still:
    """A pack that says the same for ever."""

    said: BmsReport
    seed: int = 1
    time_us: int = 0
    awake: bool = True

    def meet(self, time_us: int) -> bool:
        return self.advance_to(time_us)

    def next_event_us(self) -> int:
        return self.time_us

    def advance_to(self, time_us: int) -> bool:
        self.time_us = time_us - time_us % 10_000
        return True

    def report(self) -> BmsReport:
        return self.said


def _run_still(path: str, seconds: float) -> None:
    pack = SimulatedPack(PackSpec(), 1)
    pack.advance_to(5_000_000)
    log = CandumpLog(path)
    log.open()
    Stream(Simulation(Still(pack.report()), messages(96), round(seconds * 1e6)), log, lambda: False, speed=0.0).run()
    log.close()


def _cpu_s(command: list[str]) -> float:
    """CPU seconds, user and system, of one process on one core."""
    core = {min(os.sched_getaffinity(0))}
    before = os.times()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, preexec_fn=lambda: os.sched_setaffinity(0, core))
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _lines(path: str) -> int:
    with Path(path).open("rb") as file:
        return sum(1 for _ in file)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Real-time factor of one pack into a file.")
    parser.add_argument("--seconds", type=float, default=600.0, help="simulated (default 600)")
    parser.add_argument("--peer-seconds", type=float, default=120.0, help="of the script's frames (default 120)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--still", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
