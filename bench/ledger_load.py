"""How a ledger bears many gateways: broker, ledger and generator on this machine, as three processes of their own.

Prints the fleet's figures: the rate that was asked for and reached, what was proven, and how long proofs took. There is no
peer to compare with; what limits the rate is said by the CPU shares of ledger and generator, which are printed too.

    python bench/ledger_load.py --packs 200 --rate 200 --duration 10
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

from demo.broker import Broker
from demo.stage import REGISTRAR, Stage
from packseal.program import run


def main() -> int:
    return run("ledger-load", _main)


def _main() -> int:
    options = _parser().parse_args()
    folder = Path(tempfile.mkdtemp(prefix="packseal-bench-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        # A broker's defaults hand a ledger 20 messages at a time and drop what waits beyond 1,000.
        settings = ("max_inflight_messages 0", "max_queued_messages 0")
        broker = stack.enter_context(Broker(folder / "broker", settings=settings))
        stage = Stage(folder, broker)
        stack.callback(stage.close)
        stage.found_ledger()
        shared = ("--packs", str(options.packs), "--keys", str(folder / "fleet"), "--registrar", REGISTRAR)
        stage.call("packseal-sim", "fleet", *shared, "--register-only", "fleet.jsonl")
        begin = time.monotonic()
        stage.call("packseal-ledger", "register", "--from", "fleet.jsonl", "--config", stage.ledger_config)
        registering_s = time.monotonic() - begin
        stage.serve()
        ledger = stage.processes["ledger"].pid
        before, begin = _cpu_s(ledger), time.monotonic()
        words = [*shared, "--rate", f"{options.rate:g}", "--duration", f"{options.duration:g}", "--json"]
        words += ["--connections", str(options.connections), "--ledger-key", "ledger.vkey", "--broker", broker.url]
        words += ["--sign-ahead"] * options.sign_ahead + ["--documents"] * options.documents
        done = stage.call("packseal-sim", "fleet", *words, check=False)
        figures = json.loads(done.stdout or "{}")
        took_s = time.monotonic() - begin
        figures["registering_s"] = round(registering_s, 2)
        figures["ledger_cpu_s"] = round(_cpu_s(ledger) - before, 2)
        figures["took_s"] = round(took_s, 2)
    _print(figures, as_json=options.json)
    if done.returncode:
        print(done.stderr.strip())
    return done.returncode


def _print(figures: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):18} {value}")


def _cpu_s(process: int) -> float:
    """CPU seconds of a process of ours so far, its threads included."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=int, default=50, help="gateways with a pack each (50)")
    parser.add_argument("--rate", type=float, default=50.0, help="statements a second (50)")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds (5)")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--documents", action="store_true", help="with segment documents")
    parser.add_argument("--sign-ahead", action="store_true", help="sign before the clock starts")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
