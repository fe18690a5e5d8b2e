"""`make demo`: three simulated packs on virtual serial CAN, an agent, a broker and a ledger, and at the end a verified bundle."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from demo.broker import Broker
from demo.stage import Stage
from link import topics
from link.connection import Connection
from link.endpoint import parse_url
from link.events import Message
from packseal.keytext import named_keys
from packseal.onlooker import Onlooker
from packseal.program import FAILED, Failure, Parser, UsageError, run

_SHORTEST_S = 5.0
PACKS = ("pack-0001", "pack-0002", "pack-0003")
_KINDS = {"anchor": "evidence", "segment": "evidence", "live": "live", "proof": "answers", "stored": "answers"}


@dataclass(slots=True)
class Seen:
    """What the demo has seen pass on the broker."""

    marks: Counter[str] = field(default_factory=Counter)
    leaves: Counter[str] = field(default_factory=Counter)
    bytes_of: dict[str, Counter[str]] = field(default_factory=lambda: {pack: Counter() for pack in PACKS})
    health: dict[str, object] = field(default_factory=dict)


def main() -> int:
    """Entry point of the demo."""
    return run("packseal-demo", _main)


def _main() -> int:
    arguments = _parser().parse_args()
    if not _SHORTEST_S <= arguments.duration < float("inf"):
        raise UsageError(f"DURATION={arguments.duration}: at least {_SHORTEST_S:.0f} seconds, one segment of each pack")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _folder() as folder, contextlib.ExitStack() as stack:
        broker = Broker(folder / "broker")
        _say(f"broker    {broker.mosquitto}")
        stack.enter_context(broker)
        stage = Stage(folder, broker)
        stack.callback(stage.close)
        _set_up(stage)
        onlooker = Onlooker(named_keys(str(folder / "ledger.vkey"))[0], named_keys(str(folder / "packs.vkey")))
        connection = stack.enter_context(Connection(parse_url(broker.url)))
        connection.subscribe([topics.everything()])
        stage.start("agent", "packseal-agent", "run", "--config", stage.agent_config, ready="sealing")
        seen = Seen()
        _watch(stage, connection, onlooker, seen, None if arguments.forever else arguments.duration)
        _say("stopping the agent: it seals what is open and waits for the proofs")
        stage.end("agent")
        _look(connection, onlooker, seen, 0.5)
        _summary(stage, seen)
    return 0


def _set_up(stage: Stage) -> None:
    """Found the ledger, register three packs and plug them in."""
    key = stage.found_ledger()
    stage.write_agent_config(key, PACKS)
    stage.serve()
    _say(f"ledger    {key}")
    for number, pack in enumerate(PACKS, 1):
        stage.register(pack, "chemistry=NMC", "rated-capacity=230 Ah")
        words = ("--cells", "96", "--seed", str(number), "--soc", f"0.{4 + number}", "--slcan-link", f"{pack}.tty")
        stage.start(f"sim-{pack}", "packseal-sim", "run", *words)
        _say(f"pack      {pack} registered, its BMS speaks on {stage.folder / pack}.tty")


def _watch(stage: Stage, connection: Connection, onlooker: Onlooker, seen: Seen, duration_s: float | None) -> None:
    """Follow the topics as packseal-tail does and say every few seconds how far things are; Ctrl-C ends a stay early."""
    vkeys = f"--ledger-key {stage.folder}/ledger.vkey --pack-key {stage.folder}/packs.vkey"
    _say(f"to look on: .venv/bin/packseal-tail {stage.broker.url} {vkeys}")
    started = time.monotonic()
    with contextlib.suppress(KeyboardInterrupt):
        while duration_s is None or time.monotonic() - started < duration_s:
            _look(connection, onlooker, seen, 5.0 if duration_s is None else min(5.0, duration_s))
            for name, process in stage.processes.items():
                if process.poll() is not None:
                    raise Failure(f"{name} has ended: {stage.last_line(name)}")
            _say(
                f"{time.monotonic() - started:4.0f} s    {seen.leaves['anchor']} statements, {seen.leaves['proof']} proofs,"
                f" {seen.leaves['live']} live lines, {seen.marks['BAD']} bad"
            )


def _look(connection: Connection, onlooker: Onlooker, seen: Seen, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        for event in connection.poll(left):
            if not isinstance(event, Message):
                continue
            connection.ack(event.token)
            line = onlooker.look(event.topic, event.payload)
            seen.marks[line.mark] += 1
            seen.leaves[line.leaf] += 1
            if line.where in seen.bytes_of:
                seen.bytes_of[line.where][_KINDS.get(line.leaf, "other")] += len(event.topic) + len(event.payload)
            if line.leaf == "health" and isinstance(line.facts.get("message"), dict):
                seen.health = dict(line.facts["message"])  # type: ignore[call-overload]


def _summary(stage: Stage, seen: Seen) -> None:
    """What came of it, and the two verdicts: of a bundle, and of the same bundle with one bit flipped."""
    packs = seen.health.get("packs")
    if not isinstance(packs, dict):
        raise Failure("the agent has not said how it is; nothing to sum up")
    frames = {pack: packs[pack]["frames"] for pack in PACKS}
    windows = {pack: packs[pack]["windows"] for pack in PACKS}
    _say("")
    _say(f"{'':10}{'frames':>10}{'windows':>10}{'evidence':>12}{'live':>12}{'answers':>12}  bytes on air")
    for pack in PACKS:
        sent = seen.bytes_of[pack]
        columns = f"{sent['evidence']:>12,}{sent['live']:>12,}{sent['answers']:>12,}"
        _say(f"{pack:10}{frames[pack]:>10,}{windows[pack]:>10,}{columns}")
    _say(
        f"statements {seen.health['proven']} proven, {seen.health['pending']} pending, {seen.health['refused']} refused"
    )
    bundle = stage.folder / "pack-0001.bundle"
    words = ("--out", str(bundle), "--with-segments", "--config", str(stage.ledger_config))
    stage.call("packseal-ledger", "bundle", "pack-0001", *words)
    keys = ("--ledger-key", str(stage.folder / "ledger.vkey"), "--pack-key", str(stage.folder / "packs.vkey"))
    verified = json.loads(stage.call("packseal-verify", bundle, *keys, "--json").stdout)
    counted = ", ".join(f"{count} {kind}" for kind, count in verified["statements"].items())
    _say(f"bundle    {bundle.stat().st_size:,} bytes, verified offline: {counted}; {verified['frames']:,} frames")
    content = bytearray(bundle.read_bytes())
    content[len(content) // 2] ^= 0x10
    flipped = stage.folder / "flipped.bundle"
    flipped.write_bytes(content)
    refused = stage.call("packseal-verify", flipped, *keys, "--json", check=False)
    verdict = json.loads(refused.stdout)
    _say(f"flipped   one bit of it: rejected at step {verdict['step']} ({verdict['title']}): {verdict['reason']}")
    if refused.returncode != FAILED or seen.health["pending"] or seen.marks["BAD"] or not all(frames.values()):
        raise Failure("the demo did not end as it should; see the lines above")


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder of our own below the system's temporary one, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="packseal-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m demo", description="Three simulated packs, end to end, on this machine.")
    parser.add_argument("--duration", type=float, default=30.0, metavar="S", help="seconds to run (default 30)")
    parser.add_argument("--forever", action="store_true", help="run until Ctrl-C")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
