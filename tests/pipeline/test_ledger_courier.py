"""The courier against a broker that misbehaves on purpose: what it subscribes to, when it is ready, what it acknowledges."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

import pytest

from ledger.courier import Courier
from ledger.errors import LinkUnusable
from link import topics
from link.connection import Connection
from link.endpoint import Endpoint
from tests.pipeline.scripted_broker import ACCEPT_5, PUBACK, PUBLISH, SUBACK, SUBSCRIBE, Peer, ScriptedBroker

PATIENCE_S = 20.0


def text(octets: bytes) -> str:
    (length,) = struct.unpack_from("!H", octets)
    return octets[2 : 2 + length].decode()


def filters(body: bytes) -> list[str]:
    """The filters of an MQTT 5 SUBSCRIBE without properties."""
    found, at = [], 3
    while at < len(body):
        (length,) = struct.unpack_from("!H", body, at)
        found.append(body[at + 2 : at + 2 + length].decode())
        at += 3 + length
    return found


def packet(kind: int, flags: int, body: bytes) -> bytes:
    assert len(body) < 128
    return bytes([kind << 4 | flags, len(body)]) + body


def publish(topic: str, payload: bytes, identifier: int) -> bytes:
    named = topic.encode()
    body = struct.pack("!H", len(named)) + named + struct.pack("!H", identifier) + b"\0" + payload
    return packet(PUBLISH, 2, body)


def broker(granted: Callable[[str], bool], delivers: Callable[[str], bool], seen: list, extra: tuple[bytes, ...] = ()):
    """Grants the filters that it likes, and echoes publishes only to those that it really serves."""

    def play(peer: Peer) -> None:
        peer.receive()
        peer.send(ACCEPT_5)
        served: list[str] = []
        while True:
            got = peer.receive()
            if got.kind == SUBSCRIBE:
                wanted = filters(got.body)
                seen.append(("subscribe", wanted))
                codes = bytes(1 if granted(each) else 0x87 for each in wanted)
                peer.send(packet(SUBACK, 0, got.packet_id + b"\0" + codes))
                served += [each for each in wanted if delivers(each)]
                for octets in extra if served else ():
                    peer.send(octets)
            elif got.kind == PUBLISH and got.flags & 2:
                peer.send(packet(PUBACK, 0, got.packet_id))
                topic, after = text(got.body), 2 + len(text(got.body)) + 2
                if topic.endswith("/anchor") and any(each.endswith("/anchor") for each in served):
                    peer.send(publish(topic, got.body[after + 1 + got.body[after] :], 500))
            elif got.kind == PUBACK:
                seen.append(("acknowledged", struct.unpack_from("!H", got.body)[0]))

    return play


def courier(port: int, share: str) -> Courier:
    endpoint = Endpoint("127.0.0.1", port, "packseal-ledger-main", protocol="5")
    # A clock twenty times as fast, so that patience is not the test's.
    return Courier(Connection(endpoint), "main", share, monotonic=lambda: time.monotonic() * 20)


def collect_until(made: Courier, done: Callable[[list], bool]) -> list:
    deadline = time.monotonic() + PATIENCE_S
    deliveries: list = []
    while not done(deliveries):
        assert time.monotonic() < deadline
        deliveries += made.collect(0.02)
    return deliveries


def test_a_shared_subscription_that_is_granted_and_not_served_is_given_up_for_a_plain_one(caplog):
    seen: list = []
    with ScriptedBroker(broker(lambda _: True, lambda name: not name.startswith("$share"), seen)) as playing:
        made = courier(playing.port, "ledger")
        made.start()
        collect_until(made, lambda _: made.ready)
        made.stop()
    shared = topics.anchors_of_all("ledger")
    plain = topics.anchors_of_all()
    asked = [names[0] for what, names in seen if what == "subscribe"]
    assert asked[0] == shared
    assert plain in asked
    assert "does not deliver to $share/ledger" in caplog.text


def test_a_refused_subscription_ends_the_service_with_its_name():
    with ScriptedBroker(broker(lambda _: False, lambda _: False, [])) as playing:
        made = courier(playing.port, "")
        made.start()
        with pytest.raises(LinkUnusable, match="refuses the subscription"):
            collect_until(made, lambda _: False)
        made.stop()


def test_messages_are_acknowledged_in_order_and_not_before_the_writer_says_so():
    seen: list = []
    sent = (
        publish("packseal/v1/gw/gw-1/pack/pack-1/anchor", b"first", 1),
        publish("packseal/v1/gw/GW/pack/pack-1/anchor", b"stray", 2),
        publish("packseal/v1/gw/gw-1/pack/pack-1/segment", b"second", 3),
    )
    with ScriptedBroker(broker(lambda _: True, lambda _: True, seen, sent)) as playing:
        made = courier(playing.port, "")
        made.start()
        deliveries = collect_until(made, lambda found: len(found) == 2 and made.ready)
        assert not [each for each in seen if each[0] == "acknowledged"]
        assert [(each.leaf, each.payload) for each in deliveries] == [("anchor", b"first"), ("segment", b"second")]
        made.acknowledge(deliveries)
        collect_until(made, lambda _: ("acknowledged", 500) in seen)
        made.stop()
    assert [number for what, number in seen if what == "acknowledged"][:4] == [1, 2, 3, 500]
    assert made.strays == 1
