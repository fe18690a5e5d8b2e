"""The load generator as a user runs it: against a real broker and a real ledger, each a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo.broker import Broker
from demo.mosquitto import find
from demo.stage import Stage
from evidence.keys import NamedKey, SigningKey
from link import topics
from link.connection import Connection
from link.endpoint import parse_url
from link.events import Message
from packseal import program
from packseal.program import Unavailable
from tests.pipeline.link_watch import DEADLINE_S, Watch
from tests.programs import failed, run

BENCH = Path(__file__).resolve().parents[2] / "bench" / "ledger_load.py"


def staged(folder):
    """A broker and a founded ledger that serves."""
    try:
        find()
    except Unavailable as missing:
        pytest.skip(str(missing))
    with Broker(folder / "broker", settings=("max_inflight_messages 0", "max_queued_messages 0")) as broker:
        stage = Stage(folder, broker)
        stage.found_ledger()
        stage.serve()
        yield stage
        stage.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """For tests that leave broker and ledger as they were, each with a fleet of its own."""
    yield from staged(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def stage(tmp_path):
    yield from staged(tmp_path)


def words(stage, *more, fleet="fleet", packs=12, rate=60, duration=1.0):
    common = ("--packs", packs, "--keys", stage.folder / fleet, "--broker", stage.broker.url, "--json")
    timing = ("--rate", rate, "--duration", duration, "--ledger-key", stage.folder / "ledger.vkey")
    return ["packseal-sim", "fleet", *(str(word) for word in (*common, *timing, *more))]


def register(stage, fleet="fleet"):
    listed = f"{fleet}.jsonl"
    stage.call(*words(stage, "--register-only", listed, fleet=fleet))
    return stage.call("packseal-ledger", "register", "--from", listed, "--config", stage.ledger_config).stdout


def checked(stage):
    done = stage.call("packseal-ledger", "log", "check", "--json", "--config", stage.ledger_config)
    return json.loads(done.stdout)


def test_a_registered_fleet_is_proven_and_stored_to_the_last_statement_run_after_run(shared):
    before = checked(shared)
    assert "12 of 12 registrations stand: 36 new acts" in register(shared, "proven")
    for turn, more in enumerate((("--documents", "--gap-share", "0"), ("--sign-ahead", "--gap-share", "0.5"))):
        done = shared.call(*words(shared, *more, fleet="proven"))
        figures = json.loads(done.stdout)
        assert (figures["sent"], figures["proven"], figures["unanswered"], figures["bad_answers"]) == (60, 60, 0, 0)
        assert figures["documents"] == figures["stored"] == (36 if turn == 0 else 0)
        assert figures["proof_latency_s"]["max"] > 0
    found = checked(shared)
    assert (found["statements"] - before["statements"], found["documents"] - before["documents"]) == (120, 36)
    assert (found["equivocations"], found["loose"]) == (0, 0)
    shown = shared.call("packseal-ledger", "show", "--config", shared.ledger_config).stdout
    assert "FORK" not in shown


def test_a_bundle_of_a_generated_pack_verifies_and_says_who_made_it(shared):
    register(shared, "bundled")
    shared.call(*words(shared, "--documents", "--gap-share", "0", fleet="bundled"))
    pack = json.loads((shared.folder / "bundled.jsonl").read_text().splitlines()[0])["pack"]
    bundle = shared.folder / "pack.bundle"
    config = ("--config", str(shared.ledger_config))
    shared.call("packseal-ledger", "bundle", pack, "--out", str(bundle), "--with-segments", *config)
    verified = json.loads(
        shared.call("packseal-verify", bundle, "--ledger-key", str(shared.folder / "ledger.vkey"), "--json").stdout
    )
    assert verified["statements"] == {"open": 1, "segment": 3, "close": 1}
    assert b"packseal-sim fleet" in bundle.read_bytes()


def test_a_fleet_that_the_ledger_does_not_know_is_told_how_to_register(shared):
    done = shared.call(*words(shared, fleet="unknown"), check=False)
    assert done.returncode == program.FAILED
    figures = json.loads(done.stdout)
    assert (figures["proven"], figures["refused"], figures["unanswered"]) == (0, {"unknown-pack": 60}, 0)
    (line,) = done.stderr.splitlines()
    assert "--register-only" in line


def test_proofs_of_another_ledger_count_for_nothing(shared):
    register(shared, "misled")
    other = NamedKey("ledger.example/packs", SigningKey(bytes(32)).public)
    done = shared.call(*words(shared, "--ledger-key", str(other), "--patience", "1", fleet="misled"), check=False)
    assert done.returncode == program.FAILED
    figures = json.loads(done.stdout)
    assert (figures["proven"], figures["bad_answers"], figures["unanswered"]) == (0, 60, 60)


@pytest.mark.soak
def test_a_broker_that_dies_in_between_costs_no_statement_that_it_had_not_taken(stage):
    register(stage)
    watcher = Connection(parse_url(stage.broker.url))
    watcher.subscribe([topics.anchors_of_all()])
    fleet = stage.start("fleet", *words(stage, "--patience", "5", packs=12, rate=60, duration=3.0))
    with watcher:
        watch = Watch(watcher)
        for _ in range(20):
            watcher.ack(watch.next(Message, lambda message: b"sim" in message.payload).token)
    stage.broker.kill()
    stage.broker.start()
    assert fleet.wait(4 * DEADLINE_S) in (program.OK, program.FAILED)
    figures = json.loads(stage.log("fleet").read_text().splitlines()[0])
    assert figures["connections_lost"] >= 4
    assert figures["sent"] == figures["statements"] == 180
    assert figures["proven"] + figures["unanswered"] == 180
    assert figures["proven"] > 100
    assert checked(stage)["equivocations"] == 0


def test_a_broker_that_stays_away_ends_the_load_when_patience_ends(stage):
    watcher = Connection(parse_url(stage.broker.url))
    watcher.subscribe([topics.anchors_of_all()])
    fleet = stage.start("fleet", *words(stage, "--patience", "1", duration=600))
    with watcher:
        watcher.ack(Watch(watcher).next(Message, lambda message: b"sim" in message.payload).token)
    stage.broker.kill()
    assert fleet.wait(4 * DEADLINE_S) == program.FAILED
    figures = json.loads(stage.log("fleet").read_text().splitlines()[0])
    assert 0 < figures["sent"] < figures["statements"]


@pytest.mark.soak
def test_a_load_that_is_stopped_says_what_it_did_and_the_next_one_goes_on_from_there(stage):
    register(stage)
    watcher = Connection(parse_url(stage.broker.url))
    watcher.subscribe([topics.anchors_of_all()])
    stage.start("fleet", *words(stage, duration=600))
    with watcher:
        watch = Watch(watcher)
        for _ in range(20):
            watcher.ack(watch.next(Message, lambda message: b"sim" in message.payload).token)
    assert stage.end("fleet", signal.SIGINT) == program.FAILED
    figures = json.loads(stage.log("fleet").read_text().splitlines()[0])
    assert 20 <= figures["sent"] == figures["proven"] < figures["statements"]
    stage.call(*words(stage))
    found = checked(stage)
    assert (found["statements"], found["loose"]) == (figures["sent"] + 60, 0)
    assert "FORK" not in stage.call("packseal-ledger", "show", "--config", stage.ledger_config).stdout


def test_a_broker_that_is_not_there_is_one_line_and_exit_69(tmp_path):
    key = str(NamedKey("ledger.example/packs", SigningKey(bytes(32)).public))
    words = ("--packs", "5", "--keys", tmp_path / "fleet", "--broker", "mqtt://127.0.0.1:9", "--ledger-key", key)
    assert "127.0.0.1:9" in failed(run("packseal-sim", "fleet", *words, "--patience", "0.3"), program.UNAVAILABLE)


def test_the_benchmark_runs_and_prints_its_figures():
    try:
        find()
    except Unavailable as missing:
        pytest.skip(str(missing))
    command = [sys.executable, str(BENCH), "--packs", "5", "--rate", "20", "--duration", "1", "--json"]
    done = subprocess.run(command, cwd=BENCH.parents[1], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["proven"] == figures["statements"] == 20
    assert figures["ledger_cpu_s"] >= 0
