"""The connection against brokers that no mosquitto would play: old, silent, greedy, garbled."""

from __future__ import annotations

import random
import struct
import threading
import time

import pytest

from link import session
from link.connection import Connection
from link.endpoint import Endpoint
from link.events import Denied, Down, Dropped, Message, Published, Subscribed, Up
from tests.pipeline.link_watch import FAST, Watch, eventually
from tests.pipeline.scripted_broker import (
    ACCEPT_5,
    ACCEPT_311,
    CONNECT,
    PINGREQ,
    PUBACK,
    PUBLISH,
    REFUSE_VERSION,
    SUBACK,
    SUBSCRIBE,
    ScriptedBroker,
)


def connect(broker, **settings):
    settings = {"keepalive_s": 30, "protocol": "auto"} | settings
    return Connection(Endpoint("127.0.0.1", broker.port, "client", **settings), backoff=FAST)


def accept_whatever(peer):
    """Accept CONNECT in its own version and read on until the client goes."""
    accept(peer)
    while True:
        peer.receive()


def accept(peer):
    packet = peer.receive()
    assert packet.kind == CONNECT
    peer.send(ACCEPT_5 if packet.version == 5 else ACCEPT_311)


def only_3_1_1(refusal):
    """A broker of 3.1.1 that meets MQTT 5 with these bytes (none: it hangs up)."""
    levels = []

    def script(peer):
        packet = peer.receive()
        levels.append(packet.version)
        if packet.version == 5:
            peer.send(refusal)
            return
        peer.send(ACCEPT_311)
        while levels.count(4) != 1:
            peer.receive()

    return script, levels


@pytest.mark.parametrize("refusal", [REFUSE_VERSION, b"\x20\x03\x00\x84\x00"], ids=["3.1.1 form", "MQTT 5 form"])
def test_a_broker_that_refuses_mqtt_5_gets_3_1_1_at_once_and_from_then_on(refusal):
    script, levels = only_3_1_1(refusal)
    with ScriptedBroker(script) as broker, connect(broker) as link:
        watch = Watch(link)
        assert watch.next(Down).retry_in_s == 0
        assert watch.next(Up).protocol == "3.1.1"
        watch.next(Down)
        assert watch.next(Up).protocol == "3.1.1"
        assert levels == [5, 4, 4]


def test_a_broker_that_hangs_up_on_mqtt_5_gets_3_1_1_for_one_connection():
    script, levels = only_3_1_1(b"")
    with ScriptedBroker(script) as broker, connect(broker) as link:
        watch = Watch(link)
        assert "hung up" in watch.next(Down).reason
        assert watch.next(Up).protocol == "3.1.1"
        watch.next(Down)
        watch.next(Up)
        assert levels == [5, 4, 5, 4]


def test_a_broker_that_refuses_both_versions_is_not_hammered():
    levels = []

    def script(peer):
        levels.append(peer.receive().version)
        peer.send(REFUSE_VERSION)

    with ScriptedBroker(script) as broker, connect(broker) as link:
        watch = Watch(link)
        delays = [watch.next(Down).retry_in_s for _ in range(4)]
        assert delays[0] == delays[2] == 0
        assert min(delays[1], delays[3]) > 0
        assert levels == [5, 4, 5, 4]


def test_with_mqtt_5_demanded_a_refusal_is_permanent():
    with ScriptedBroker(only_3_1_1(REFUSE_VERSION)[0]) as broker, connect(broker, protocol="5") as link:
        down = Watch(link).next(Down)
        assert down.permanent
        assert "Unsupported protocol version" in down.reason


def test_no_more_than_the_receive_maximum_is_ever_on_the_wire_unanswered():
    outstanding, most, answered = [], [], []

    full = threading.Event()

    def script(peer):
        peer.receive()
        peer.send(b"\x20\x06\x00\x00\x03\x21\x00\x05")
        while len(answered) < 40:
            packet = peer.receive()
            if packet.kind == PUBLISH:
                outstanding.append(packet.packet_id)
                most.append(len(outstanding))
            if len(outstanding) == 5:
                full.wait(5)  # not before the window has been seen full
                for packet_id in outstanding[:3]:
                    peer.send(bytes([PUBACK << 4, 2]) + packet_id)
                    answered.append(packet_id)
                    outstanding.remove(packet_id)

    with ScriptedBroker(script) as broker, connect(broker) as link:
        watch = Watch(link)
        assert watch.next(Up).window == 5
        assert [link.publish("t", b"x", qos=1) is not None for _ in range(7)] == [True] * 5 + [False] * 2
        full.set()
        while len(answered) < 40:
            link.publish("t", b"x", qos=1)
        assert max(most) == 5


def test_what_was_in_flight_is_void_after_a_loss_and_not_sent_again_by_the_link():
    published = []

    def swallow(peer):
        accept(peer)
        published.extend(peer.receive().body for _ in range(3))

    def record(peer):
        accept(peer)
        while True:
            packet = peer.receive()
            if packet.kind == PUBLISH:
                published.append(packet.body)

    with ScriptedBroker(swallow, record) as broker, connect(broker) as link:
        watch = Watch(link)
        watch.next(Up)
        for number in range(3):
            link.publish("t", b"old%d" % number, qos=1)
        watch.next(Down)
        watch.next(Up)
        assert [link.publish("t", b"new", qos=1) is not None for _ in range(20)] == [True] * 20
        assert eventually(lambda: len(published) == 23)
        assert sum(b"old" in body for body in published) == 3
        assert not any(isinstance(event, Published) for event in watch.seen)
        link.stop(0.1)


def test_a_broker_that_stops_answering_pings_is_given_up_within_two_keepalives():
    pings = []

    def script(peer):
        accept(peer)
        while True:
            if peer.receive().kind == PINGREQ:
                pings.append(time.monotonic())

    with ScriptedBroker(script, accept_whatever) as broker, connect(broker, keepalive_s=1) as link:
        watch = Watch(link)
        watch.next(Up)
        started = time.monotonic()
        assert "keepalive" in watch.next(Down).reason
        assert time.monotonic() - started < 4
        assert pings
        watch.next(Up)
        assert sum(isinstance(event, Down) for event in watch.seen) == 1


def test_a_broker_that_never_answers_connect_is_given_up(monkeypatch):
    monkeypatch.setattr(session, "CONNECT_TIMEOUT_S", 0.2)

    def mute(peer):
        while True:
            peer.receive()

    with ScriptedBroker(mute, accept_whatever) as broker, connect(broker) as link:
        watch = Watch(link)
        assert "no answer to CONNECT" in watch.next(Down).reason
        watch.next(Up)


@pytest.mark.parametrize(("code", "permanent"), [(0x8E, True), (0x8B, False), (0x87, True), (0x93, False)])
def test_a_brokers_disconnect_says_why_and_whether_repeating_can_help(code, permanent):
    def script(peer):
        accept(peer)
        peer.send(bytes([0xE0, 2, code, 0]))
        peer.receive()

    with ScriptedBroker(script, accept_whatever) as broker, connect(broker) as link:
        down = Watch(link).next(Down)
        assert down.permanent is permanent
        assert "disconnected by the broker: " in down.reason


@pytest.mark.parametrize(("code", "permanent"), [(4, True), (5, True), (2, True), (3, False)])
def test_refusals_of_3_1_1_are_told_apart_too(code, permanent):
    def script(peer):
        peer.receive()
        peer.send(bytes([0x20, 2, 0, code]))
        peer.receive()

    with ScriptedBroker(script) as broker, connect(broker, protocol="3.1.1") as link:
        assert Watch(link).next(Down).permanent is permanent


def test_a_refused_filter_is_denied_and_the_granted_ones_are_named():
    def script(peer):
        accept(peer)
        while True:
            packet = peer.receive()
            if packet.kind == SUBSCRIBE:
                peer.send(bytes([SUBACK << 4, 5]) + packet.packet_id + b"\x00\x01\x87")

    with ScriptedBroker(script) as broker, connect(broker) as link:
        watch = Watch(link)
        watch.next(Up)
        link.subscribe(["a", "b"])
        assert watch.next(Subscribed) == Subscribed(("a",))
        assert watch.next(Denied) == Denied("b", "Not authorized")


def test_a_topic_that_is_not_utf_8_is_dropped_reported_and_acknowledged():
    acknowledged = []

    def script(peer):
        accept(peer)
        body = struct.pack("!H", 3) + b"t/\xff" + b"\x00\x07" + b"\x00" + b"payload"
        peer.send(bytes([PUBLISH << 4 | 2, len(body)]) + body)
        while not acknowledged:
            packet = peer.receive()
            if packet.kind == PUBACK:
                acknowledged.append(packet.body[:2])
        body = struct.pack("!H", 1) + b"t" + b"\x00\x08" + b"\x00" + b"next"
        peer.send(bytes([PUBLISH << 4 | 2, len(body)]) + body)
        peer.receive()

    with ScriptedBroker(script) as broker, connect(broker) as link:
        watch = Watch(link)
        assert watch.next(Dropped) == Dropped("t/\\xff", 7, "the topic is not UTF-8")
        assert watch.next(Message).payload == b"next"
        assert acknowledged == [b"\x00\x07"]


GARBAGE = [
    b"\xf0\x00",
    b"\x00" * 64,
    b"\x30\xff\xff\xff\xff\xff",
    b"\x30\x02\x00\x09",
    b"\x32\x03\x00\x01t",
    b"\x40\x01\x00",
    b"\x90\x00",
    b"\xe0\x01\xff",
    b"\x20\x02\x00",
    b"\xd0\x01\x00",
    b"\xb0\x01\x00",
    *(random.Random(seed).randbytes(200) for seed in range(20)),
]


@pytest.mark.parametrize("accepted", [True, False], ids=["after CONNACK", "as CONNACK"])
def test_no_bytes_from_a_broker_deafen_the_connection(accepted):
    def spit(octets):
        def script(peer):
            if accepted:
                accept(peer)
            else:
                peer.receive()
            peer.send(octets)

        return script

    with ScriptedBroker(*map(spit, GARBAGE), accept_whatever) as broker, connect(broker) as link:
        watch = Watch(link)
        births = 0
        while births <= len(GARBAGE):
            births = watch.next(Up).birth
        assert eventually(lambda: link.is_up)
        assert link.publish("t", b"x", qos=0) is not None
        assert watch.next(Published).ok


def test_a_flood_of_qos_0_that_nobody_reads_is_bounded_and_counted(monkeypatch):
    monkeypatch.setattr("link.unread.EVENTS", 100)
    body = struct.pack("!H", 1) + b"t" + b"\x00" + b"x"

    def script(peer):
        accept(peer)
        peer.send((bytes([PUBLISH << 4, len(body)]) + body) * 1000)
        peer.receive()

    with ScriptedBroker(script) as broker, connect(broker) as link:
        assert eventually(lambda: link.bytes_in == 2000)
        assert link.events.qsize() <= 101
        assert link.overflowed == 1000 - sum(isinstance(event, Message) for event in link.poll())
