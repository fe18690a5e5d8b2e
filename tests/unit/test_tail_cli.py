"""packseal-tail on a real broker: a line for each message, whoever sent it and whatever is in it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time

import pytest

from demo.broker import Broker
from evidence.keys import NamedKey
from link import topics
from link.connection import Connection
from link.endpoint import parse_url
from link.topics import Leaf, Topic
from tests.agent_world import GATEWAY, PACK, REGISTRAR, ROOT, Captured, Ledger, key
from tests.pipeline.link_watch import FAST
from tests.programs import call, command, failed

DEADLINE_S = 20


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """A ledger that has proven an open and a segment, with the keys that a user has as files: (ledger, sealed, folder)."""
    made, folder = Ledger(), tmp_path_factory.mktemp("keys")
    captured, sealed = Captured.opened()
    sealed += captured.segments(1)
    for each in sealed:
        made.admit(each.statement.encoded)
    (folder / "ledger.vkey").write_text(f"{made.name}\n")
    (folder / "packs.vkey").write_text(f"{NamedKey(REGISTRAR.pack(PACK), key(f'key of {PACK}').public)}\n")
    return made, sealed, folder


def publish(sender, topic, payload):
    deadline = time.monotonic() + DEADLINE_S
    while sender.publish(topic, payload, qos=1, retain=True) is None:
        assert time.monotonic() < deadline
        sender.poll(0.02)


def tail(broker, folder, messages, *words, count=None):
    """What packseal-tail prints while these (topic, payload) are published; it ends by itself after the last."""
    count = len(messages) if count is None else count
    process = subprocess.Popen(
        command("packseal-tail", broker.url, "--count", count, *words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    try:
        with Connection(parse_url(broker.url), backoff=FAST) as sender:
            # Retained: the tail may subscribe before or after, and sees each message all the same.
            for topic, payload in messages:
                publish(sender, topic, payload)
            out, err = process.communicate(timeout=DEADLINE_S)
            for topic, _ in messages:
                publish(sender, topic, b"")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
    assert (process.returncode, err) == (0, "")
    return out.splitlines()


def test_a_passing_chain_is_verified_line_by_line(broker, ledger):
    made, sealed, folder = ledger
    messages = [
        (topics.anchor(GATEWAY, PACK), sealed[1].statement.encoded),
        (topics.proof(GATEWAY, PACK), made.proof(sealed[1].statement.entry)),
        (topics.live(GATEWAY, PACK), b'{"time_ms":1,"frames":5,"Voltage_mV":355100}'),
    ]
    lines = tail(broker, folder, messages, "--ledger-key", "ledger.vkey", "--pack-key", "packs.vkey")
    shown = {line.split()[1]: line for line in lines}
    assert shown["anchor"].split()[2] == shown["proof"].split()[2] == "ok"
    assert "5 frames in 5 windows" in shown["anchor"]
    assert "Voltage 355.1 V" in shown["live"]


def test_one_pack_alone_can_be_followed(broker, ledger):
    messages = [(topics.live(GATEWAY, pack), b'{"frames":1}') for pack in ("pack-2", "pack-3")]
    lines = tail(broker, ledger[2], messages, "--pack", "pack-3", count=1)
    assert [line.split()[0] for line in lines] == ["pack-3"]


def test_random_bytes_and_escape_sequences_on_every_topic_are_lines_that_no_terminal_obeys(broker, ledger):
    chance = random.Random(3)
    places = [str(Topic(leaf, GATEWAY, PACK if leaf in topics.PACK_LEAVES else None)) for leaf in Leaf]
    places += [topics.ledger_state("main"), "packseal/v1/odd", f"packseal/v1/gw/{GATEWAY}/pack/Pack/live"]
    hostile = [
        b"\x1b[2J\x1b]0;owned\x07",
        b'{"a":"\x1b[31m","\\u001b[2J":"\\u202e"}',
        chance.randbytes(200),
        b"\xff\n\r",
    ]
    for payload in hostile:
        lines = tail(broker, ledger[2], [(place, payload) for place in places], "--ledger-key", "ledger.vkey")
        assert len(lines) == len(places)
        assert all(line.isprintable() for line in lines)
        assert not any(" ok " in line for line in lines)


def test_as_json_each_line_is_one_object_of_ascii(broker, ledger):
    made, sealed, folder = ledger
    messages = [
        (topics.proof(GATEWAY, PACK), made.proof(sealed[0].statement.entry)),
        (topics.live(GATEWAY, PACK), b'{"a":"\\u001b[2J \xc2\xb0"}'),
        (topics.stored(GATEWAY, PACK), b"\x1b[2J"),
    ]
    lines = tail(broker, folder, messages, "--json", "--ledger-key", "ledger.vkey")
    assert all(line.isascii() and line.isprintable() for line in lines)
    rows = {row["leaf"]: row for row in map(json.loads, lines)}
    assert (rows["proof"]["verified"], rows["live"]["verified"], rows["stored"]["verified"]) == (True, None, False)
    assert rows["live"]["message"] == {"a": "\x1b[2J \u00b0"}


def test_a_broker_that_is_not_there_is_69_and_one_line():
    impatient = "import sys; from packseal import tail; tail._PATIENCE_S = 0.5; sys.exit(tail.main())"
    words = [sys.executable, "-c", impatient, "mqtt://127.0.0.1:1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (69, 1)
    assert done.stderr.startswith("packseal-tail: mqtt://127.0.0.1:1: ")


@pytest.mark.parametrize(
    "words",
    [
        ("http://broker",),
        ("mqtt://",),
        ("mqtt://a:99999",),
        ("mqtt://broker\x1b[2J",),
        ("mqtt://broker/topic",),
        ("mqtt://broker", "--pack", "Pack"),
        ("mqtt://broker", "--pack", "+"),
        ("mqtt://broker", "--ledger-key", "x"),
        ("mqtt://broker", "--pack-key", "a+b"),
        ("mqtt://broker", "--ca", "ca.pem"),
        ("mqtts://broker", "--key", "only.key"),
        ("mqtts://broker", "--ca", "missing.pem"),
        ("mqtt://user@broker", "--password-file", "missing"),
        ("mqtt://broker", "--password-file", "missing"),
        ("mqtt://broker", "--count", "many"),
        (),
    ],
)
def test_a_wrong_command_line_is_64_and_one_line(words, tmp_path):
    failed(call("packseal-tail", *words, cwd=tmp_path), 64)


def test_a_password_in_the_url_is_never_repeated():
    for url in ("mqtt://user:hunter2@broker/x", "mqtt://user:hunter2@:99999", "http://user:hunter2@broker"):
        assert "hunter2" not in failed(call("packseal-tail", url), 64)


def test_the_help_has_an_example():
    assert "example:\n  packseal-tail mqtt://" in call("packseal-tail", "--help").stdout
