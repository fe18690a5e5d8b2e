"""What a frame costs on a serial adapter: our slcan source against python-can's, CPU time of the reading process.

Paced: a full 500 kbit/s bus, 4,000 frames/s of a real pack's lengths, written every 10 ms as an adapter's firmware does.
Saturated: as much as the pseudo-terminal takes. Both read the same lines in turn, in the same minutes; ours gives columns,
python-can its messages, of which nothing is made here. Medians of the repeats, and their spread.

    python bench/slcan_cpu.py --seconds 5 --repeats 5
"""

from __future__ import annotations

import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import termios
import time
import tty
from itertools import cycle, islice

from packseal.program import run

PER_S = 4000
BURST_S = 0.01
LENGTHS = (8, 8, 8, 6, 8, 3, 8, 8, 5, 8)
SATURATED = 200_000  # frames

READERS = {
    "ours": """
import sys, time
from agent.sources.slcan import SlcanSource
source = SlcanSource(sys.argv[1], 500_000)
source.open()
print("open", flush=True)
count, wanted = 0, int(sys.argv[2])
began = time.process_time()
while count < wanted:
    count += len(source.read(1.0).frames)
print(time.process_time() - began, count, flush=True)
""",
    "python_can": """
import sys, time
import can
bus = can.Bus(interface="slcan", channel=sys.argv[1], bitrate=500_000, sleep_after_open=0.1)
print("open", flush=True)
count, wanted = 0, int(sys.argv[2])
began = time.process_time()
while count < wanted:
    count += bus.recv(1.0) is not None
print(time.process_time() - began, count, flush=True)
""",
}


def main() -> int:
    """Entry point."""
    return run("slcan-cpu", _main)


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of a paced bus (default 5)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of all (default 5)")
    parser.add_argument("--json", action="store_true", help="every round as JSON")
    options = parser.parse_args()
    rounds = []
    for number in range(options.repeats):
        found = {}
        for reader, code in READERS.items():
            found[f"{reader}_paced_us"] = _cost(code, round(options.seconds * PER_S), paced=True)
            wanted = SATURATED if reader == "ours" else SATURATED // 10
            found[f"{reader}_saturated_us"] = _cost(code, wanted, paced=False)
        rounds.append(found)
        print(f"round {number + 1} of {options.repeats}", file=sys.stderr)
    if options.json:
        print(json.dumps(rounds))
        return 0
    for kind in ("paced", "saturated"):
        ours, theirs = ([each[f"{reader}_{kind}_us"] for each in rounds] for reader in ("ours", "python_can"))
        ratios = [their / our for our, their in zip(ours, theirs, strict=True)]
        print(
            f"slcan {kind}: ours {statistics.median(ours):.2f} us of CPU a frame, python-can"
            f" {statistics.median(theirs):.1f}; ratio {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
        )
    return 0


def _lines(count: int) -> list[bytes]:
    payloads = cycle(LENGTHS)
    return [
        f"t{0x100 + number % 32:03X}{size}{(number * 0x9E3779B97F4A7C15 % 2 ** (8 * size)):0{2 * size}X}\r".encode()
        for number, size in enumerate(islice(payloads, count))
    ]


def _cost(code: str, wanted: int, *, paced: bool) -> float:
    """CPU µs per frame of a process that reads `wanted` frames from a pseudo-terminal."""
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        words = [sys.executable, "-c", code, os.ttyname(slave), str(wanted)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as reader:
            assert reader.stdout is not None
            _answer(master, reader)
            _write(master, wanted, reader, paced=paced)
            cpu_s, count = reader.stdout.readline().split()
            return 1e6 * float(cpu_s) / int(count)
    finally:
        os.close(master)
        os.close(slave)


def _answer(master: int, reader: subprocess.Popen[str]) -> None:
    """Answer the commands with which a reader opens the channel, until it says that it has."""
    os.set_blocking(master, False)
    assert reader.stdout is not None
    while not select.select([reader.stdout], [], [], 0)[0]:
        try:
            os.write(master, b"\r" * os.read(master, 4096).count(b"\r"))
        except BlockingIOError:
            time.sleep(0.001)
    if reader.stdout.readline() != "open\n":
        raise SystemExit("the reader ended before it read")
    termios.tcflush(master, termios.TCIFLUSH)


def _write(master: int, wanted: int, reader: subprocess.Popen[str], *, paced: bool) -> None:
    lines = _lines(4000)
    # A little more than wanted: what was on its way when the channel opened may have been dropped.
    total = wanted + 200
    begun, sent = time.monotonic(), 0
    while sent < total and reader.poll() is None:
        due = min(total, int((time.monotonic() - begun) * PER_S)) if paced else min(total, sent + 500)
        if due > sent:
            rows = b"".join(lines[number % len(lines)] for number in range(sent, due))
            while rows and reader.poll() is None:
                try:
                    rows = rows[os.write(master, rows) :]
                except BlockingIOError:
                    time.sleep(0.001)
            sent = due
        if paced:
            time.sleep(BURST_S)


if __name__ == "__main__":
    raise SystemExit(main())
