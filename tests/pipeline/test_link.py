"""The connection against a real mosquitto: what is promised to the outbox, and what survives a broker's death."""

from __future__ import annotations

import datetime
import ipaddress
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from demo.broker import Broker
from link import presence
from link.connection import Connection
from link.endpoint import Endpoint, Tls, parse_url
from link.errors import LinkError, TopicError
from link.events import Down, Dropped, Message, Published, Subscribed, Up, Will
from link.presence import Presence
from tests.pipeline.link_watch import FAST, Watch, eventually

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path / "broker") as running:
        yield running


def connect(broker, client_id="", **settings):
    return Connection(parse_url(broker.url, client_id=client_id), backoff=FAST, **settings)


def test_nothing_published_while_offline_is_accepted_or_sent_later(broker):
    with connect(broker) as reader, connect(broker) as writer:
        heard, sent = Watch(reader), Watch(writer)
        reader.subscribe(["t/#"])
        heard.next(Subscribed)
        sent.next(Up)
        broker.kill()
        sent.next(Down)
        assert [writer.publish("t/offline", b"x", qos=qos) for qos in (0, 1) for _ in range(25)] == [None] * 50
        broker.start()
        sent.next(Up)
        heard.next(Subscribed)
        writer.publish("t/online", b"y", qos=1)
        assert heard.next(Message).topic == "t/online"


def test_a_publish_before_start_and_after_stop_is_not_accepted(broker):
    writer = connect(broker)
    assert writer.publish("t", b"", qos=1) is None
    with writer:
        Watch(writer).next(Up)
        assert writer.publish("t", b"", qos=1) is not None
    assert writer.publish("t", b"", qos=1) is None
    assert not writer.is_up


def test_the_window_is_the_brokers_receive_maximum_and_a_fast_publisher_never_exceeds_it(tmp_path):
    # mosquitto 2 disconnects a client that exceeds it (0x93).
    with Broker(tmp_path, settings=["max_inflight_messages 5"]) as broker, connect(broker) as writer:
        watch = Watch(writer)
        assert watch.next(Up).window == 5
        sent, answered = set(), set()
        while len(answered) < 500:
            while (token := writer.publish("t/window", b"x" * 100, qos=1)) is not None:
                sent.add(token)
            answered.add(watch.next(Published, lambda event: event.ok).token)
        assert answered <= sent
        assert not any(isinstance(event, Down) for event in watch.seen)
        assert "exceeded" not in broker.log.read_text()


def test_without_a_receive_maximum_twenty_are_in_flight_at_most(broker):
    with connect(broker) as writer:
        assert Watch(writer).next(Up).window == 20


def test_live_values_find_room_when_the_window_is_full_of_statements(tmp_path):
    with Broker(tmp_path, settings=["max_inflight_messages 1"]) as broker, connect(broker) as writer:
        watch = Watch(writer)
        watch.next(Up)
        assert writer.publish("t/anchor", b"x", qos=1) is not None
        live = writer.publish("t/live", b"x", qos=0)
        assert live is not None
        assert watch.next(Published, lambda event: event.token == live).ok


@pytest.fixture
def guarded(tmp_path):
    acl = "user agent\ntopic write allowed/#\ntopic read #\n"
    with Broker(tmp_path / "guarded", users={"agent": "xyzzy"}, acl=acl) as running:
        yield running


def test_a_publish_that_the_acl_denies_is_answered_not_ok_on_mqtt_5(guarded):
    endpoint = replace(parse_url(guarded.url), username="agent", password="xyzzy")
    with Connection(endpoint, backoff=FAST) as writer:
        watch = Watch(writer)
        watch.next(Up)
        denied = writer.publish("forbidden/t", b"x", qos=1)
        assert watch.next(Published) == Published(denied, ok=False, reason="Not authorized")
        allowed = writer.publish("allowed/t", b"x", qos=1)
        assert watch.next(Published).token == allowed


def test_a_publish_that_nobody_listens_to_says_so(broker):
    with connect(broker) as writer:
        watch = Watch(writer)
        watch.next(Up)
        writer.publish("t/nobody", b"x", qos=1)
        assert watch.next(Published) == Published(1, ok=True, reason="No matching subscribers", unheard=True)
        writer.subscribe(["t/#"])
        watch.next(Subscribed)
        writer.publish("t/somebody", b"x", qos=1)
        assert not watch.next(Published).unheard


def test_after_a_brokers_death_it_comes_up_under_a_higher_birth_with_its_subscriptions(broker):
    with connect(broker, first_birth=7) as reader, connect(broker) as writer:
        heard, sent = Watch(reader), Watch(writer)
        reader.subscribe(["t/one"])
        reader.subscribe(["t/two", "t/three"])
        reader.unsubscribe(["t/three"])
        assert heard.next(Up).birth == 7
        sent.next(Up)
        for _ in range(3):
            broker.kill()
            heard.next(Down)
            broker.start()
            born = [event.birth for event in heard.seen if isinstance(event, Up)]
            assert heard.next(Up).birth > max(born)
            assert set(heard.next(Subscribed).filters) == {"t/one", "t/two"}
            sent.next(Up)
            for topic in ("t/three", "t/two", "t/one"):
                assert writer.publish(topic, b"x", qos=1) is not None
            assert [heard.next(Message).topic, heard.next(Message).topic] == ["t/two", "t/one"]


def test_a_will_that_cannot_be_made_is_a_down_and_not_the_end(broker):
    failures = [ValueError("no will today"), RuntimeError("nor now")]

    def will_for(birth):
        if failures:
            raise failures.pop(0)
        return Will("t/state", b"lost")

    with connect(broker, will_for=will_for) as connection:
        watch = Watch(connection)
        assert "no will today" in watch.next(Down).reason
        assert "nor now" in watch.next(Down).reason
        assert watch.next(Up).birth == 3


def test_a_wrong_password_is_permanent_retried_slowly_and_mended_by_a_new_file(guarded, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("mellon\n")
    endpoint = replace(parse_url(guarded.url), username="agent", password_file=secret)
    with Connection(endpoint, backoff=FAST) as connection:
        watch = Watch(connection)
        for _ in range(2):
            down = watch.next(Down)
            assert down.permanent
            assert FAST.refused_s * (1 - FAST.jitter) <= down.retry_in_s <= FAST.refused_s
            assert "Not authorized" in down.reason
        secret.unlink()
        gone = watch.next(Down, lambda event: "password" in event.reason)
        assert gone.permanent
        secret.write_text("xyzzy\n")
        watch.next(Up)
    assert not any("mellon" in str(event) or "xyzzy" in str(event) for event in watch.seen)


def test_a_broker_that_is_not_there_is_retried_with_jitter_and_found_when_it_comes(tmp_path):
    broker = Broker(tmp_path / "late")
    with connect(broker) as connection:
        watch = Watch(connection)
        downs = [watch.next(Down) for _ in range(6)]
        assert all("refused" in down.reason and not down.permanent for down in downs)
        nominal = [min(FAST.limit_s, FAST.first_s * 2**n) for n in range(6)]
        assert all(n * (1 - FAST.jitter) <= down.retry_in_s <= n for n, down in zip(nominal, downs, strict=True))
        assert len({down.retry_in_s for down in downs}) == 6
        with broker:
            watch.next(Up)


def test_an_unresolvable_host_is_a_down_and_not_an_exception():
    with Connection(Endpoint("no-such-host.invalid", 1883, "c"), backoff=FAST) as connection:
        assert "no-such-host.invalid" in Watch(connection).next(Down).reason


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_an_unacknowledged_message_comes_again_after_reconnect_and_an_acknowledged_one_does_not(broker, protocol):
    endpoint = replace(parse_url(broker.url, client_id="ledger", session_expiry_s=3600), protocol=protocol)
    with connect(broker) as writer:
        sent = Watch(writer)
        sent.next(Up)
        with Connection(endpoint, backoff=FAST) as reader:
            heard = Watch(reader)
            up = heard.next(Up)
            assert (up.protocol, up.session_present) == (protocol, False)
            reader.subscribe(["t/#"])
            heard.next(Subscribed)
            for payload in (b"committed", b"not committed"):
                assert writer.publish("t/x", payload, qos=1) is not None
            first, second = heard.next(Message), heard.next(Message)
            assert (first.payload, second.payload) == (b"committed", b"not committed")
            reader.ack(first.token)
        writer.publish("t/x", b"while away", qos=1)
        sent.next(Published, lambda event: event.token == 3)
        with Connection(endpoint, backoff=FAST) as again:
            heard = Watch(again)
            assert heard.next(Up).session_present
            assert {heard.next(Message).payload, heard.next(Message).payload} == {b"not committed", b"while away"}
            assert heard.quiet(Message)
            again.ack(second.token + 1000)


def test_a_token_from_before_the_last_down_acknowledges_nothing(broker):
    endpoint = parse_url(broker.url, client_id="ledger", session_expiry_s=3600)
    with Connection(endpoint, backoff=FAST) as reader, connect(broker) as writer:
        heard, sent = Watch(reader), Watch(writer)
        reader.subscribe(["t/#"])
        heard.next(Subscribed)
        sent.next(Up)
        writer.publish("t/x", b"1", qos=1)
        stale = heard.next(Message)
        broker.stop()
        heard.next(Down)
        reader.ack(stale.token)
        broker.start()
        again = heard.next(Message)
        assert again.payload == stale.payload
        assert again.token != stale.token
        reader.ack(stale.token)
        reader.stop()
        with Connection(endpoint, backoff=FAST) as third:
            assert Watch(third).next(Message).payload == b"1"


VICTIM = """
import sys, time
from link.connection import Connection
from link.endpoint import parse_url
from link.events import Up, Will
from link.presence import Presence

def will_for(birth):
    return Will("t/state", Presence("lost", birth).payload())

with Connection(parse_url(sys.argv[1], client_id="victim"), will_for=will_for, first_birth=int(sys.argv[2])) as link:
    while True:
        for event in link.poll(1.0):
            if isinstance(event, Up):
                link.publish("t/state", Presence("online", event.birth).payload(), qos=1, retain=True)
                print("up", flush=True)
"""


def test_when_the_process_is_killed_its_will_tells_and_an_old_will_never_beats_a_newer_birth(broker):
    def victim(birth):
        command = [sys.executable, "-c", VICTIM, broker.url, str(birth)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "up\n"
        return process

    def end(process):
        process.kill()
        process.communicate()

    known = None
    with connect(broker) as reader:
        heard = Watch(reader)
        reader.subscribe(["t/state"])
        heard.next(Subscribed)
        first = victim(1)
        known = presence.parse(heard.next(Message).payload)
        assert known == Presence("online", 1)
        # The successor takes over while the broker still holds the first one: its will may come on either side.
        second = victim(2)
        try:
            states = [presence.parse(heard.next(Message).payload) for _ in range(2)]
            assert set(states) == {Presence("lost", 1), Presence("online", 2)}
            for order in (states, states[::-1]):
                latest = known
                for state in order:
                    latest = state if state.supersedes(latest) else latest
                assert latest == Presence("online", 2)
        finally:
            end(first)
            end(second)
        assert heard.next(Message, lambda event: b"2" in event.payload).payload == Presence("lost", 2).payload()


def test_a_clean_stop_takes_the_will_back_even_with_messages_unread(broker):
    def will_for(birth):
        return Will("t/will", b"lost", retain=False)

    with connect(broker) as reader:
        heard = Watch(reader)
        reader.subscribe(["t/#"])
        heard.next(Subscribed)
        for _ in range(5):
            leaver = connect(broker, will_for=will_for)
            leaver.subscribe(["t/#"])
            leaver.start()
            Watch(leaver).next(Subscribed)
            for _ in range(20):
                leaver.publish("t/flood", b"x" * 50_000, qos=0)
            leaver.stop()
        leaver_said = [heard.next(Message).topic for _ in range(5)]
        assert heard.quiet(Message) or "t/will" not in {e.topic for e in heard.seen if isinstance(e, Message)}
        assert "t/will" not in leaver_said


def test_stop_waits_for_what_is_in_flight_and_ends_the_thread(broker):
    writer = connect(broker, "leaving")
    writer.start()
    watch = Watch(writer)
    watch.next(Up)
    tokens = [writer.publish("t/last", b"x", qos=1) for _ in range(20)]
    writer.stop()
    writer.stop()
    assert [watch.next(Published).token for _ in tokens] == tokens
    assert watch.next(Down).reason == "stopped"
    assert "link-leaving" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(LinkError, match="once"):
        writer.start()


def test_stop_does_not_wait_for_a_retry(tmp_path):
    connection = Connection(Endpoint("127.0.0.1", 1, "c"))
    connection.start()
    Watch(connection).next(Down)
    connection.stop()
    assert "link-c" not in {thread.name for thread in threading.enumerate()}


def test_an_oversized_payload_is_dropped_reported_and_acknowledged(broker):
    endpoint = parse_url(broker.url, client_id="small", session_expiry_s=3600)
    with connect(broker) as writer:
        Watch(writer).next(Up)
        with Connection(endpoint, backoff=FAST, inbound_limit_bytes=1000) as reader:
            heard = Watch(reader)
            reader.subscribe(["t/#"])
            heard.next(Subscribed)
            for size in (1001, 10_000, 1000):
                writer.publish("t/size", b"x" * size, qos=1)
            assert heard.next(Dropped) == Dropped("t/size", 1001, "larger than 1000 bytes")
            assert heard.next(Dropped).size == 10_000
            fits = heard.next(Message)
            assert len(fits.payload) == 1000
            reader.ack(fits.token)
        with Connection(endpoint, backoff=FAST) as again:
            heard = Watch(again)
            assert heard.next(Up).session_present
            assert heard.quiet(Message)


def test_a_payload_larger_than_the_broker_takes_is_refused_without_losing_the_connection(tmp_path):
    with Broker(tmp_path, settings=["max_packet_size 2000"]) as broker, connect(broker) as writer:
        watch = Watch(writer)
        watch.next(Up)
        refused = writer.publish("t/big", b"x" * 2000, qos=1)
        answer = watch.next(Published)
        assert (answer.token, answer.ok) == (refused, False)
        assert "2000 bytes" in answer.reason
        writer.publish("t/small", b"x", qos=1)
        assert watch.next(Published).ok
        assert writer.is_up


def test_a_message_carries_its_properties_and_whether_it_was_retained(broker):
    with connect(broker) as writer:
        sent = Watch(writer)
        sent.next(Up)
        writer.publish("t/kept", b"\x00\xff", qos=1, retain=True, content_type="application/cose", response_topic="t/r")
        sent.next(Published)
        with connect(broker) as reader:
            heard = Watch(reader)
            reader.subscribe(["t/#"])
            kept = heard.next(Message)
            assert (kept.topic, kept.payload, kept.qos, kept.retained) == ("t/kept", b"\x00\xff", 1, True)
            assert (kept.content_type, kept.response_topic) == ("application/cose", "t/r")
            reader.ack(kept.token)
            writer.publish("t/live", b"{}", qos=0, text=True, expiry_s=300)
            live = heard.next(Message)
            assert (live.qos, live.retained, live.content_type) == (0, False, None)
            reader.ack(live.token)
            writer.publish("t/kept", b"", qos=1, retain=True)
            assert heard.next(Message).payload == b""


def test_a_content_type_that_paho_cannot_read_costs_the_properties_and_not_the_messages(broker):
    # U+FEFF is valid in MQTT and mosquitto passes it on; paho calls the packet malformed. Retained, it would come again
    # at every connection for ever.
    with connect(broker) as writer:
        sent = Watch(writer)
        sent.next(Up)
        writer.publish("t/poison", b"p", qos=1, retain=True, content_type="\ufeff")
        sent.next(Published)
        with connect(broker) as reader:
            heard = Watch(reader)
            reader.subscribe(["t/#"])
            assert "cannot read" in heard.next(Down).reason
            assert heard.next(Up).protocol == "3.1.1"
            assert heard.next(Message).payload == b"p"
            writer.publish("t/next", b"n", qos=1)
            assert heard.next(Message).payload == b"n"


def test_3_1_1_on_request_does_without_properties(broker):
    endpoint = replace(parse_url(broker.url), protocol="3.1.1")
    with Connection(
        endpoint, backoff=FAST, will_for=lambda birth: Will("t/w", b"w", content_type="text/plain")
    ) as link:
        watch = Watch(link)
        up = watch.next(Up)
        assert (up.protocol, up.window) == ("3.1.1", 20)
        link.subscribe(["t/#"])
        watch.next(Subscribed)
        link.publish("t/x", b"x", qos=1, content_type="application/cose", text=True, expiry_s=1, response_topic="t/r")
        message = watch.next(Message)
        assert (message.payload, message.content_type, message.response_topic) == (b"x", None, None)
        assert watch.next(Published).ok


def test_application_bytes_are_counted_in_both_directions(broker):
    with connect(broker) as link:
        watch = Watch(link)
        link.subscribe(["t/#"])
        watch.next(Subscribed)
        for size in (10, 20):
            link.publish("t/x", b"x" * size, qos=1)
            watch.next(Message)
        assert (link.bytes_out, link.bytes_in) == (36, 36)


def test_what_no_broker_could_take_is_refused_before_it_reaches_the_thread(broker):
    with connect(broker) as link:
        watch = Watch(link)
        watch.next(Up)
        for topic in ("", "a/+/b", "a/#", "a\0b", "\ud800", "x" * 65536):
            with pytest.raises(TopicError):
                link.publish(topic, b"", qos=1)
        for settings in ({"qos": 2}, {"qos": 1, "expiry_s": 2**32}, {"qos": 1, "expiry_s": -1}):
            with pytest.raises(LinkError):
                link.publish("t", b"", **settings)
        with pytest.raises(TopicError):
            link.publish("t", b"", qos=1, content_type="\ud800")
        for name in ("", "a/#/b", "a+/b", "$share/g", "$share//t"):
            with pytest.raises(TopicError):
                link.subscribe([name])
        assert link.publish("t", b"", qos=1) is not None
        assert watch.next(Published).ok


def test_a_consumer_that_dies_does_not_deafen_the_connection(broker):
    with connect(broker) as link:
        watch = Watch(link)
        link.subscribe(["t/#"])
        watch.next(Subscribed)
        died = threading.Event()

        def consumer():
            try:
                link.events.get(timeout=10)
                raise RuntimeError("the consumer's own defect")
            except RuntimeError:
                died.set()

        thread = threading.Thread(target=consumer)
        thread.start()
        link.publish("t/x", b"1", qos=1)
        thread.join()
        assert died.is_set()
        link.publish("t/x", b"2", qos=1)
        assert watch.next(Message, lambda event: event.payload == b"2")


def test_many_threads_may_publish_at_once(broker):
    with connect(broker) as link, connect(broker) as reader:
        watch, heard = Watch(link), Watch(reader)
        watch.next(Up)
        reader.subscribe(["t/#"])
        heard.next(Subscribed)

        def publisher(name):
            sent = 0
            while sent < 100:
                if link.publish(f"t/{name}", str(sent).encode() * 500, qos=1) is not None:
                    sent += 1

        threads = [threading.Thread(target=publisher, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        received = {name: [] for name in range(4)}
        for _ in range(400):
            message = heard.next(Message)
            received[int(message.topic[2:])].append(message.payload)
            reader.ack(message.token)
        for thread in threads:
            thread.join()
        assert all(found == [str(n).encode() * 500 for n in range(100)] for found in received.values())
        assert not any(isinstance(event, Down) for event in watch.seen + heard.seen)


@pytest.fixture
def certificates(tmp_path):
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, private = tmp_path / "broker.pem", tmp_path / "broker.key"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, private


def test_tls_carries_large_messages_both_ways_and_an_untrusted_broker_gets_nothing(certificates, tmp_path):
    pem, private = certificates
    settings = [f"certfile {pem}", f"keyfile {private}"]
    plain = Broker(tmp_path / "tls", settings=settings)
    url = f"mqtts://127.0.0.1:{plain.port}"
    with plain:
        with Connection(parse_url(url, tls=Tls(ca=pem)), backoff=FAST) as link:
            watch = Watch(link)
            link.subscribe(["t/#"])
            watch.next(Subscribed)
            for size in (1, 16384, 300_000):
                link.publish("t/x", b"x" * size, qos=1)
                assert len(watch.next(Message).payload) == size
        with Connection(parse_url(url), backoff=FAST) as wary:
            down = Watch(wary).next(Down)
            assert "TLS" in down.reason
            assert "self-signed" in down.reason or "certificate" in down.reason
        with Connection(parse_url(url.replace("mqtts", "mqtt")), backoff=FAST) as wrong:
            Watch(wrong).next(Down)


def test_a_stopped_connection_leaves_no_socket_open(broker):
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        with connect(broker) as link:
            Watch(link).next(Up)
            broker.kill()
            Watch(link).next(Down)
            broker.start()
    assert eventually(lambda: len(set(Path("/proc/self/fd").iterdir())) <= len(before))
