"""The ledger as a real process at a real broker, with a gateway that speaks MQTT as an agent would."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.broker import Broker
from demo.mosquitto import find
from evidence import answer, proof
from evidence.answer import Refusal, Stored
from evidence.keys import NamedKey
from link import topics
from link.connection import Connection
from link.endpoint import parse_url
from link.events import Message, Up
from packseal.program import Unavailable
from tests.ledger_world import Gateway

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    try:
        find()
    except Unavailable as missing:
        pytest.skip(str(missing))
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


class LedgerProcess:
    """packseal-ledger in its own process and folder."""

    def __init__(self, folder: Path, broker: Broker, *more: str, name: str = "main") -> None:
        self.folder = folder
        self._serve = [
            *(sys.executable, "-m", "ledger", "serve", "--config", str(folder / "ledger.toml")),
            *("--broker", broker.url, *more),
        ]
        folder.mkdir(exist_ok=True)
        (folder / "ledger.toml").write_text(
            f'[ledger]\norigin = "ledger.example/packs"\nregistrar = "packs.example,2026"\nid = "{name}"\n'
            f'state_dir = "{folder}/state"\n[log]\ncheckpoint_interval_s = 0.2\n'
        )
        self.key = NamedKey.parse(self.run("init"))
        self.process: subprocess.Popen[str] | None = None

    def run(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "ledger", *arguments, "--config", str(self.folder / "ledger.toml")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def register(self, gateway: Gateway) -> str:
        return self.run("register", "--pack", gateway.pack, "--gateway", gateway.name, "--key", str(gateway.named_key))

    def start(self) -> None:
        self.process = subprocess.Popen(self._serve, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert "serving ledger.example/packs at" in line, line

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.process.stdout.read()
        self.process.stdout.close()
        return self.process.wait(timeout=20)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()


class Car:
    """A gateway's link: publishes on its topics, collects what the ledger answers to them."""

    def __init__(self, broker: Broker, gateway: Gateway) -> None:
        self.gateway = gateway
        self.answers: list[tuple[topics.Leaf, bytes]] = []
        self.link = Connection(parse_url(broker.url, client_id=f"car-{gateway.name}-{os.getpid()}"))
        self.link.subscribe(topics.answers_to(gateway.name))

    def __enter__(self):
        self.link.start()
        self.wait(lambda: self.link.is_up)
        return self

    def __exit__(self, *_):
        self.link.stop()

    def wait(self, done) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline, f"no answer in {PATIENCE_S} s"
            for event in self.link.poll(0.05):
                if isinstance(event, Message):
                    self.link.ack(event.token)
                    self.answers.append((topics.parse(event.topic).leaf, event.payload))
                assert not isinstance(event, Up) or event.window > 0

    def send(self, payload: bytes, leaf: topics.Leaf = topics.Leaf.ANCHOR) -> None:
        topic = str(topics.Topic(leaf, self.gateway.name, self.gateway.pack))
        self.wait(lambda: self.link.publish(topic, payload, qos=1, content_type="application/cose") is not None)

    def of(self, leaf: topics.Leaf) -> list[bytes]:
        return [payload for each, payload in self.answers if each is leaf]

    def proven(self, key: NamedKey) -> dict[bytes, int]:
        found = [proof.parse(payload) for payload in self.of(topics.Leaf.PROOF)]
        for each in found:
            each.verify(key)
        return {each.entry: each.index for each in found}


@pytest.fixture
def ledger(broker, tmp_path):
    return LedgerProcess(tmp_path / "ledger", broker)


def test_every_statement_is_answered_with_a_proof_that_verifies(broker, ledger):
    gateway = Gateway()
    ledger.register(gateway)
    said = [gateway.open(), *(gateway.segment() for _ in range(40)), gateway.close()]
    with ledger, Car(broker, gateway) as car:
        for each in reversed(said):
            car.send(each.encoded)
        car.wait(lambda: len(car.of(topics.Leaf.PROOF)) >= len(said))
        assert car.proven(ledger.key).keys() == {each.entry for each in said}
    assert "sound" in ledger.run("log", "check")


def test_a_resent_statement_gets_a_fresh_proof_of_the_same_index(broker, ledger):
    gateway = Gateway()
    ledger.register(gateway)
    said = gateway.open()
    with ledger, Car(broker, gateway) as car:
        car.send(said.encoded)
        car.wait(lambda: car.of(topics.Leaf.PROOF))
        before = car.proven(ledger.key)
        car.send(said.encoded)
        car.wait(lambda: len(car.of(topics.Leaf.PROOF)) == 2)
        assert car.proven(ledger.key) == before


def test_a_document_is_stored_once_its_statement_is_admitted_whichever_comes_first(broker, ledger):
    gateway = Gateway()
    ledger.register(gateway)
    said = [gateway.open(), gateway.segment(), gateway.segment()]
    first, second = gateway.documents.values()
    with ledger, Car(broker, gateway) as car:
        car.send(second, topics.Leaf.SEGMENT)
        for each in said:
            car.send(each.encoded)
        car.send(first, topics.Leaf.SEGMENT)
        car.wait(lambda: len(car.of(topics.Leaf.STORED)) == 2)
        answers = [answer.read(payload, ledger.key)[0] for payload in car.of(topics.Leaf.STORED)]
    assert {each.digests[0] for each in answers if isinstance(each, Stored)} == gateway.documents.keys()
    assert "2 documents" in ledger.run("log", "check")


def test_garbage_gets_a_signed_refusal_that_names_its_hash_and_the_ledger_goes_on(broker, ledger):
    gateway = Gateway()
    stranger = Gateway(pack="pack-9", name="gw-1", seed=9)
    ledger.register(gateway)
    garbage = os.urandom(300)
    huge = bytes(200_000)
    with ledger, Car(broker, gateway) as car:
        car.send(garbage)
        car.send(huge)
        car.send(stranger.open().encoded)
        said = gateway.open()
        car.send(said.encoded)
        car.wait(lambda: len(car.of(topics.Leaf.REFUSAL)) == 3 and car.of(topics.Leaf.PROOF))
        refusals = [answer.read(payload, ledger.key)[0] for payload in car.of(topics.Leaf.REFUSAL)]
        assert [each.rule for each in refusals if isinstance(each, Refusal)] == [
            "malformed",
            "too-large",
            "wrong-topic",
        ]
        assert refusals[0].entry == hashlib.sha256(garbage).digest()
        assert said.entry in car.proven(ledger.key)


def test_registering_and_bundling_work_while_the_ledger_serves(broker, ledger, tmp_path):
    gateway = Gateway()
    with ledger, Car(broker, gateway) as car:
        said = gateway.open()
        car.send(said.encoded)
        car.wait(lambda: car.of(topics.Leaf.REFUSAL))
        refused, _ = answer.read(car.of(topics.Leaf.REFUSAL)[0], ledger.key)
        assert (refused.rule, refused.permanent) == ("unknown-pack", False)
        ledger.register(gateway)
        car.send(said.encoded)
        car.wait(lambda: car.of(topics.Leaf.PROOF))
        out = tmp_path / "pack.bundle"
        assert "1 statements" in ledger.run("bundle", "pack-1", "--out", str(out))
        assert "statements   1" in ledger.run("show", "pack-1")
        assert "sound" in ledger.run("log", "check")


def test_a_shared_subscription_is_probed_and_used(broker, tmp_path):
    ledger = LedgerProcess(tmp_path / "ledger", broker, "--share", "ledger", name="sharing")
    gateway = Gateway()
    ledger.register(gateway)
    with ledger, Car(broker, gateway) as car:
        car.send(gateway.open().encoded)
        car.wait(lambda: car.of(topics.Leaf.PROOF))


def test_presence_is_retained_online_then_lost_after_a_kill_then_offline_after_a_stop(broker, ledger):
    heard: list[bytes] = []
    watcher = Connection(parse_url(broker.url))
    watcher.subscribe([topics.ledger_state("main")])

    def wait_for(condition: bytes) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not heard or condition not in heard[-1]:
            assert time.monotonic() < deadline, heard
            for event in watcher.poll(0.05):
                if isinstance(event, Message):
                    watcher.ack(event.token)
                    heard.append(event.payload)

    with watcher:
        ledger.start()
        wait_for(b'"online"')
        ledger.stop(signal.SIGKILL)
        wait_for(b'"lost"')
        ledger.start()
        wait_for(b'"online"')
        assert ledger.stop() == 0
        wait_for(b'"offline"')


def test_a_ledger_killed_at_any_moment_loses_nothing_that_is_resent(broker, ledger):
    gateway = Gateway()
    ledger.register(gateway)
    said = [gateway.open()]
    with Car(broker, gateway) as car:
        for life in range(3):
            ledger.start()
            said += [gateway.segment() for _ in range(30)]
            unproven = [each for each in said if each.entry not in car.proven(ledger.key)]
            for each in unproven[: 5 + 14 * life]:
                car.send(each.encoded)
            ledger.stop(signal.SIGKILL)
        ledger.start()
        deadline = time.monotonic() + PATIENCE_S
        while missing := [each for each in said if each.entry not in car.proven(ledger.key)]:
            assert time.monotonic() < deadline
            wanted = len(car.of(topics.Leaf.PROOF)) + len(missing)
            for each in missing:
                car.send(each.encoded)
            car.wait(lambda wanted=wanted: len(car.of(topics.Leaf.PROOF)) >= wanted)
        ledger.stop()
    indices = car.proven(ledger.key)
    assert len(set(indices.values())) == len(said)
    assert "0 equivocations, 0 loose statements" in ledger.run("log", "check")
