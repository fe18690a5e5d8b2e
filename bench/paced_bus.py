"""Whether a paced bus keeps up: one pack among other nodes on a 500 kbit/s bus at a given load, into an slcan adapter.

`packseal-sim run --bus-load 0.6 --slcan-link` is one process; another one opens the adapter as a host does, with times
switched on, and reads everything. A frame's lateness is when it arrived after the time that the adapter stamped on it, less the
least such difference of the run: what the simulator's pace, the terminal and the reader add. Frames lost are those that
the simulator counts as dropped, and those whose counter in the message is missing at the reader.

    python bench/paced_bus.py --seconds 60
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import termios
import time
import tty
from pathlib import Path

from firmware_sim.bus.tesla_model3 import messages
from firmware_sim.bus.traffic import traffic
from packseal.program import run

ROOT = Path(__file__).resolve().parent.parent
SIMULATOR = [sys.executable, "-c", "import sys; from firmware_sim.cli import main; sys.exit(main())"]
WRAP_MS = 60_000
CELLS, SEED = 96, 1  # of `packseal-sim run` without options
OPENING_S = 20.0


def main() -> int:
    return run("paced-bus", _main)


def _main() -> int:
    options = _parser().parse_args()
    if options.read:
        _read(options.read, options.seconds, options.load)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "pack"
        command = [*SIMULATOR, "run", "--slcan-link", str(link), "--bus-load", str(options.load), "--json"]
        before = os.times()
        simulator = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        _wait_for(link, simulator)
        reader = subprocess.run(
            [sys.executable, __file__, "--read", str(link), "--seconds", str(options.seconds), "--load", str(options.load)],
            cwd=ROOT, check=True, capture_output=True, text=True,
        )  # fmt: skip
        reading_s = (
            os.times().children_user + os.times().children_system - before.children_user - before.children_system
        )
        simulator.send_signal(signal.SIGTERM)
        out, _ = simulator.communicate(timeout=30)
        after = os.times()
    told, heard = json.loads(out), json.loads(reader.stdout)
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system - reading_s
    figures = {
        "seconds": options.seconds,
        "load": options.load,
        **heard,
        "dropped": told["dropped"],
        "stalls": told["stalls"],
        "cpu_percent": round(100 * cpu_s / told["seconds"], 1),
    }
    print(json.dumps(figures) if options.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))
    return 0


def _wait_for(link: Path, simulator: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + OPENING_S
    while not link.is_symlink():
        if simulator.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("the simulator did not start")
        time.sleep(0.01)


def _read(link: str, seconds: float, load: float) -> None:
    """The host: opens the channel, reads for `seconds`, prints what it saw."""
    port = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(port)
    termios.tcflush(port, termios.TCIOFLUSH)
    os.write(port, b"C\rS6\rZ1\rO\r")
    pieces: list[tuple[float, bytes]] = []
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        if select.select([port], [], [], min(0.1, end - now))[0]:
            pieces.append((time.monotonic(), os.read(port, 65_536)))
    os.write(port, b"C\r")
    os.close(port)
    print(json.dumps(_judge(pieces, seconds, load)))


def _judge(pieces: list[tuple[float, bytes]], seconds: float, load: float) -> dict[str, float]:
    counted = {message.identifier for message in traffic(load, messages(CELLS), SEED)}
    differences: list[float] = []
    counters: dict[bytes, int] = {}
    missing, rest, wraps, last_ms = 0, b"", 0, 0
    for arrived_s, piece in pieces:
        *lines, rest = (rest + piece).split(b"\r")
        for line in lines:
            if line[:1] != b"t" or len(line) < 9 or len(line) != 9 + 2 * (line[4] - ord("0")):
                continue  # an answer to a command
            stamp_ms = int(line[-4:], 16)
            wraps += stamp_ms < last_ms - WRAP_MS // 2
            last_ms = stamp_ms
            differences.append(1e3 * arrived_s - stamp_ms - wraps * WRAP_MS)
            missing += _skipped(line, counters, counted)
    least = min(differences)
    late = sorted(each - least for each in differences)
    return {
        "frames": len(late),
        "frames_per_second": round(len(late) / seconds),
        "missing": missing,
        "late_ms_median": round(statistics.median(late), 1),
        "late_ms_p99": round(late[len(late) * 99 // 100], 1),
        "late_ms_max": round(late[-1], 1),
    }


def _skipped(line: bytes, counters: dict[bytes, int], counted: set[int]) -> int:
    """How many frames of this message are missing before this one; the pack's own have no counter."""
    identifier, body = line[1:4], bytes.fromhex(line[5:21].decode())
    if int(identifier, 16) not in counted:
        return 0
    before = counters.get(identifier)
    counters[identifier] = body[6]
    return 0 if before is None else (body[6] - before - 1) % 16


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="A paced bus, read by another process.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--load", type=float, default=0.6, help="share of the bus's time (default 0.6)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
