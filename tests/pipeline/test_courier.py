"""The courier over a real broker: what leaves, what is believed of the answers, and what a broker's death costs."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import random
import time

import pytest

from agent.courier import Courier
from agent.errors import StoreError
from agent.outbox import Outbox
from agent.receipts import Receipts
from agent.recorder import FIRST_START
from demo.broker import Broker
from evidence import note, segment
from evidence.statement import entry_of
from link import presence, topics
from link.connection import Connection
from link.endpoint import parse_url
from link.events import Message, Will
from link.presence import Presence
from link.topics import Leaf, Topic
from tests.agent_world import (
    GATEWAY,
    ORIGIN,
    PACK,
    REGISTRAR,
    Ledger,
    bad_proofs,
    digest,
    frames,
    kept,
    key,
    reading,
    recorder,
)
from tests.pipeline.answering_ledger import AnsweringLedger, archive, keep_silent, prove, refuse
from tests.pipeline.link_watch import FAST

DEADLINE_S = 20.0
PLACE = Topic(Leaf.ANCHOR, GATEWAY, PACK)
PACKS = (PACK, "pack-2")


class Scene:
    """A courier and a ledger on one broker, each taking its turn in one thread."""

    def __init__(self, outbox, broker, side, *, proof_timeout_s=0.2, send_documents=True):
        self.outbox, self.broker, self.side = outbox, broker, side
        self.inbox, self.seen = queue.SimpleQueue(), []
        will = Will(topics.state(GATEWAY), Presence("lost", 1).payload())
        endpoint = parse_url(broker.url, client_id="agent", session_expiry_s=3600)
        self.connection = Connection(endpoint, backoff=FAST, events=self.inbox, will_for=lambda _birth: will)
        self.courier = Courier(
            self.connection,
            outbox,
            Receipts(side.ledger.name, outbox.checkpoint()),
            gateway=GATEWAY,
            packs={pack: REGISTRAR.pack(pack) for pack in PACKS},
            send_documents=send_documents,
            proof_timeout_s=proof_timeout_s,
            checkpoint_seen=self.seen.append,
        )

    def step(self):
        with contextlib.suppress(queue.Empty):
            self.courier.handle(self.inbox.get(timeout=0.01), time.monotonic())
            for _ in range(self.inbox.qsize()):
                self.courier.handle(self.inbox.get_nowait(), time.monotonic())
        self.courier.pump(time.monotonic())
        self.side.step()

    def until(self, fact):
        deadline = time.monotonic() + DEADLINE_S
        while not fact():
            assert time.monotonic() < deadline, (self.outbox.totals(), self.courier.carried, self.side.states)
            self.step()

    def answer(self, leaf, payload, pack=PACK):
        """The other side says something, and the courier has dealt with all of it."""
        before = self.courier.carried.bad_answers
        topic = str(Topic(leaf, GATEWAY, pack))
        self.side.connection.publish(topic, payload, qos=1)
        return before


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def outbox(tmp_path):
    with contextlib.closing(Outbox(tmp_path / "state")) as opened:
        yield opened


@pytest.fixture
def stage(broker, outbox, tmp_path):
    """Starts a scene: a ledger that is subscribed, and a courier whose link is on its way up."""
    with contextlib.ExitStack() as running:

        def started(**settings):
            side = running.enter_context(AnsweringLedger(broker, store=tmp_path / "state" / "outbox.db"))
            scene = Scene(outbox, broker, side, **settings)
            deadline = time.monotonic() + DEADLINE_S
            while not side.ready and time.monotonic() < deadline:
                side.step(0.05)
            running.callback(scene.connection.stop)
            scene.connection.start()
            return scene

        yield started


def entries(sealed):
    return [each.statement.entry for each in sealed]


def test_everything_is_proven_then_archived_and_nothing_left_before_it_was_committed(stage, outbox):
    sealed = kept(outbox, 12)
    scene = stage()
    scene.until(lambda: not scene.courier.unfinished(PACK))
    totals = outbox.totals()
    assert (totals.proven, totals.documents_stored, totals.pending, totals.documents_pending) == (13, 12, 0, 0)
    assert set(scene.side.statements) == set(entries(sealed))
    assert scene.side.uncommitted == []
    assert scene.courier.carried.proofs == 13
    assert scene.courier.carried.bad_answers == 0
    assert scene.seen[-1].size == 13


def test_a_document_does_not_leave_before_its_statement_is_proven_and_comes_again_until_it_is_stored(stage, outbox):
    sealed = kept(outbox, 1)
    scene = stage()
    scene.side.to_statement, scene.side.to_document = keep_silent, lambda *_: None
    scene.until(lambda: scene.side.statements[entries(sealed)[1]] >= 2)
    assert not scene.side.documents
    scene.side.to_statement = prove
    scene.until(lambda: scene.side.documents.total() >= 3)
    assert len(scene.side.documents) == 1
    scene.side.to_document = archive
    scene.until(lambda: not scene.courier.unfinished(PACK))
    assert outbox.totals().documents_stored == 1


def test_where_documents_are_kept_none_ever_leaves(stage, outbox):
    kept(outbox, 2)
    scene = stage(send_documents=False)
    scene.until(lambda: not scene.courier.unfinished(PACK))
    scene.until(lambda: scene.side.states)
    assert not scene.side.documents
    assert outbox.totals().documents_pending == 2


def test_a_statement_whose_proof_does_not_come_is_sent_again_and_again(stage, outbox):
    (sealed,) = kept(outbox, 0)
    scene = stage()
    scene.side.to_statement = keep_silent
    entry = sealed.statement.entry
    scene.until(lambda: scene.side.statements[entry] >= 3)
    assert outbox.states([entry]) == ["pending"]
    scene.side.to_statement = prove
    scene.until(lambda: outbox.states([entry]) == ["proven"])


@pytest.fixture
def ignored(caplog):
    """Expects warnings of ignored answers, all of them fit for a terminal."""
    caplog.set_level(logging.DEBUG, "packseal.agent")
    yield caplog
    for record in caplog.records:
        assert record.getMessage().isprintable(), record.getMessage()


def test_proofs_that_prove_nothing_are_counted_and_change_nothing(stage, outbox, ignored):
    sealed = kept(outbox, 1)
    scene = stage(proof_timeout_s=3600)
    scene.side.to_statement = keep_silent
    scene.until(lambda: len(scene.side.statements) == 2)
    wrong = bad_proofs(scene.side.ledger, entries(sealed)[0])
    for payload in wrong.values():
        scene.answer(Leaf.PROOF, payload)
        scene.step()
    # The megabyte is dropped by the link, all others are counted by the courier.
    scene.until(lambda: scene.courier.carried.bad_answers == len(wrong) - 1)
    assert outbox.totals().pending == 2
    assert outbox.checkpoint() is None
    assert scene.seen == []
    scene.answer(Leaf.PROOF, scene.side.ledger.proof(entries(sealed)[0]))
    scene.until(lambda: outbox.states(entries(sealed)) == ["proven", "pending"])


def test_a_true_proof_of_what_is_not_ours_or_on_another_pack_s_topic_changes_nothing(stage, outbox, ignored):
    sealed = kept(outbox, 0)
    scene = stage(proof_timeout_s=3600)
    scene.side.to_statement = keep_silent
    scene.until(lambda: scene.side.statements)
    scene.side.ledger.log(digest("somebody else's"))
    scene.answer(Leaf.PROOF, scene.side.ledger.proof(digest("somebody else's")))
    scene.answer(Leaf.PROOF, scene.side.ledger.proof(entries(sealed)[0]), "pack-2")
    scene.answer(Leaf.PROOF, scene.side.ledger.proof(entries(sealed)[0]), "pack-3")
    scene.until(lambda: scene.courier.carried.bad_answers == 3)
    assert outbox.states(entries(sealed)) == ["pending"]


def test_random_bytes_on_every_topic_that_the_agent_hears_are_counted_and_it_goes_on(stage, outbox, ignored):
    chance = random.Random(2)
    sealed = kept(outbox, 1)
    scene = stage()
    scene.side.to_statement = keep_silent
    scene.until(lambda: len(scene.side.statements) == 2)
    for leaf in topics.ANSWERS:
        for size in (0, 1, 7, 64, 1000, 60_000):
            scene.answer(leaf, chance.randbytes(size))
            scene.step()
    scene.until(lambda: scene.courier.carried.bad_answers == 3 * 6)
    scene.side.to_statement = prove
    scene.until(lambda: outbox.states(entries(sealed)) == ["proven"] * 2)


def test_a_temporary_refusal_is_tried_again_and_a_permanent_one_is_the_end(stage, outbox, ignored, monkeypatch):
    monkeypatch.setattr("agent.uplink.REFUSED_WAIT_S", 0.1)
    sealed = kept(outbox, 0)
    entry = sealed[0].statement.entry
    scene = stage()
    scene.side.to_statement = refuse
    scene.until(lambda: scene.side.statements[entry] >= 3)
    assert scene.courier.carried.refusals == 1  # the same words again are not written again
    assert outbox.states([entry]) == ["pending"]
    scene.side.to_statement = lambda *_: None
    scene.answer(Leaf.REFUSAL, scene.side.ledger.refusal(entry, permanent=True, rule="wrong-ledger"))
    scene.until(lambda: outbox.states([entry]) == ["refused"])
    scene.until(lambda: any(b"chain-broken" in state for state in scene.side.states))
    sent = scene.side.statements[entry]
    more = kept(outbox, 0, epoch=2)
    scene.until(lambda: scene.side.statements[more[0].statement.entry] >= 2)
    assert scene.side.statements[entry] == sent
    assert "the ledger refuses statement" in ignored.text


def test_a_pack_that_the_ledger_does_not_know_holds_up_no_other(stage, outbox):
    kept(outbox, 300)
    others = kept(outbox, 3, "pack-2")
    scene = stage()

    def know_pack_2(side, place, payload):
        (prove if place.pack == "pack-2" else refuse)(side, place, payload)

    scene.side.to_statement = know_pack_2
    scene.until(lambda: outbox.states(entries(others)) == ["proven"] * 4)
    assert outbox.totals().pending == 301


def test_a_key_that_the_ledger_does_not_know_holds_up_no_other_of_the_same_pack(stage, outbox):
    unbound = recorder(signer="unbound key")
    sealed = [*unbound.start(reading(0), "test", FIRST_START).sealed, *unbound.capture_started(reading(0)).sealed]
    for second in range(1, 301):
        sealed += unbound.captured(frames(), 0, 5_000_000 * second, reading(5_000_000 * second)).sealed
    outbox.add(PACK, sealed)
    bound = kept(outbox, 3)
    scene = stage()
    refused = set(entries(sealed))

    def know_the_bound_key(side, place, payload):
        (refuse if entry_of(payload) in refused else prove)(side, place, payload)

    scene.side.to_statement = know_the_bound_key
    scene.until(lambda: outbox.states(entries(bound)) == ["proven"] * 4)
    assert outbox.totals().pending == len(sealed) == 301


def test_a_document_refused_for_good_is_not_sent_again_and_one_refused_for_now_is(stage, outbox, ignored, monkeypatch):
    monkeypatch.setattr("agent.uplink.REFUSED_WAIT_S", 0.1)
    sealed = kept(outbox, 2)
    scene = stage()
    for_good, for_now = (each.statement.body.document for each in sealed[1:])

    def refuse_document(side, place, payload):
        name = segment.digest(payload)
        rule = "wrong-document" if name == for_good else "unknown-document"
        about = side.ledger.refusal(name, permanent=name == for_good, rule=rule, subject=ORIGIN)
        side.publish(Leaf.REFUSAL, place, about)

    scene.side.to_document = refuse_document
    scene.until(lambda: scene.side.documents[for_now] >= 4)
    assert scene.side.documents[for_good] == 1
    assert (outbox.totals().documents_refused, outbox.totals().documents_pending) == (1, 1)
    assert scene.courier.carried.refusals == 1
    assert "is refused for good" in ignored.text
    scene.side.to_document = archive
    scene.until(lambda: not scene.courier.unfinished(PACK))
    assert outbox.totals().documents_stored == 1


def test_that_nobody_listens_for_statements_is_said_once(stage, outbox, ignored):
    kept(outbox, 3)
    scene = stage()
    scene.side.connection.unsubscribe([topics.everything()])
    scene.until(lambda: "nobody listens for statements" in ignored.text)
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        scene.step()
    assert ignored.text.count("nobody listens for statements") == 1


def test_a_ledger_that_shows_two_logs_leaves_its_evidence_and_an_alarm_that_outlives_a_restart(
    stage, outbox, broker, ignored
):
    sealed = kept(outbox, 2)
    scene = stage()
    scene.until(lambda: outbox.totals().proven == 3)
    honest, forked = scene.side.ledger, scene.side.ledger.fork()
    scene.answer(Leaf.PROOF, forked.proof(forked.entries[0]))
    scene.until(lambda: any(b"ledger-forked" in state for state in scene.side.states))
    pair = outbox.fork()
    assert pair == (honest.note(), forked.note())
    for text in pair:
        note.parse(text.encode()).verify(honest.name)
    kept(outbox, 1, epoch=2)
    scene.until(lambda: outbox.totals().proven == 6)
    assert outbox.fork() == pair
    assert outbox.checkpoint() != pair[0]
    scene.connection.stop()
    scene.side.states.clear()
    again = Scene(outbox, broker, scene.side)
    with again.connection:
        again.until(lambda: any(b"ledger-forked" in state for state in again.side.states))
    assert outbox.states(entries(sealed)) == ["proven"] * 3


def test_a_killed_broker_costs_time_and_nothing_else(stage, outbox, broker):
    sealed = kept(outbox, 30)
    scene = stage()
    scene.until(lambda: outbox.totals().proven >= 5)
    broker.kill()
    for _ in range(20):
        scene.step()
    more = kept(outbox, 10, epoch=2)
    broker.start()
    scene.until(lambda: not scene.courier.unfinished(PACK))
    assert outbox.states(entries(sealed + more)) == ["proven"] * 43
    assert outbox.totals().documents_stored == 40


def test_what_the_broker_acknowledged_and_then_lost_is_sent_again(stage, outbox, broker):
    sealed = kept(outbox, 3)
    scene = stage()
    scene.side.connection.stop()  # nobody listens: the broker acknowledges, and keeps nothing that survives a kill
    deadline = time.monotonic() + DEADLINE_S
    while scene.connection.bytes_out < sum(len(each.statement.encoded) for each in sealed):
        assert time.monotonic() < deadline
        with contextlib.suppress(queue.Empty):
            scene.courier.handle(scene.inbox.get(timeout=0.05), time.monotonic())
        scene.courier.pump(time.monotonic())
    broker.kill()
    broker.start()
    with AnsweringLedger(broker) as side:
        scene.side = side
        scene.courier._receipts = Receipts(side.ledger.name, None)
        scene.until(lambda: outbox.totals().proven == 4)


def test_a_flipped_byte_on_the_disk_is_never_sent_and_stops_nothing_else(stage, outbox, ignored):
    sealed = kept(outbox, 2)
    outbox._connection.execute("UPDATE statements SET body = zeroblob(400) WHERE id = 2")
    scene = stage()
    scene.until(lambda: not scene.courier.unfinished(PACK))
    assert outbox.states(entries(sealed)) == ["proven", "damaged", "proven"]
    assert len(scene.side.statements) == 2
    assert "is not what was written, the disk fails" in ignored.text


def test_presence_follows_the_courier_s_life(stage, outbox):
    scene = stage()
    scene.until(lambda: scene.side.states)
    online = presence.parse(scene.side.states[-1])
    assert online.condition == "online"
    assert scene.courier.goodbye()
    scene.until(lambda: presence.parse(scene.side.states[-1]).condition == "offline")
    assert json.loads(scene.side.states[-1])["packs"] == 2


def test_live_and_health_lines_pass_and_are_lost_without_a_sound_while_offline(stage, outbox, broker):
    scene = stage()
    scene.until(lambda: scene.side.states)
    scene.courier.live(PACK, b'{"frames":1}')
    scene.courier.health(b'{"pending":0}')
    scene.until(lambda: {"live", "health"} <= set(scene.side.others))
    broker.kill()
    scene.until(lambda: not scene.connection.is_up)
    scene.courier.live(PACK, b"lost")
    scene.until(scene.courier.goodbye)


@pytest.fixture
def deaf(outbox, broker):
    """A courier whose link was never started: events are handed to it as they could come."""
    side = AnsweringLedger(broker)
    return Scene(outbox, broker, side)


def message(topic, payload):
    return Message(topic, payload, None, 1, 1, False, None)


@pytest.mark.parametrize(
    "topic",
    ["", "packseal/v1", f"packseal/v1/gw/{GATEWAY}/pack/\x1b[2J\n/proof", "a" * 65535, "packseal/v1/gw/other/pack/pack-1/proof",
     f"packseal/v1/gw/{GATEWAY}/health", f"packseal/v1/gw/{GATEWAY}/pack/pack-1/proof\u202e"],
)  # fmt: skip
def test_any_topic_is_ignored_in_a_line_that_no_terminal_obeys(deaf, topic, ignored):
    deaf.courier.handle(message(topic, b"x"), 0.0)
    assert deaf.courier.carried.bad_answers == 1


def test_an_answer_that_breaks_us_is_ignored_and_does_not_end_the_agent(deaf, ignored):
    deaf.courier.handle(message(topics.proof(GATEWAY, PACK), None), 0.0)
    assert deaf.courier.carried.bad_answers == 1
    assert "TypeError" in ignored.text


def test_a_disk_that_fails_does_end_the_agent_and_the_answer_is_not_acknowledged(deaf, outbox):
    sealed = kept(outbox, 0)
    ledger = deaf.side.ledger
    ledger.admit(sealed[0].statement.encoded)
    outbox._connection.execute("CREATE TRIGGER t BEFORE UPDATE ON statements BEGIN SELECT raise(ABORT, 'broken'); END")
    acknowledged = []
    deaf.connection.ack = acknowledged.append
    with pytest.raises(StoreError, match="broken"):
        deaf.courier.handle(message(topics.proof(GATEWAY, PACK), ledger.proof(sealed[0].statement.entry)), 0.0)
    assert acknowledged == []


def test_a_refusal_of_what_is_proven_leaves_no_trace(deaf, outbox):
    sealed = kept(outbox, 0)
    ledger, entry = deaf.side.ledger, sealed[0].statement.entry
    ledger.admit(sealed[0].statement.encoded)
    deaf.courier.handle(message(topics.proof(GATEWAY, PACK), ledger.proof(entry)), 0.0)
    for permanent in (False, True):
        deaf.courier.handle(message(topics.refusal(GATEWAY, PACK), ledger.refusal(entry, permanent=permanent)), 0.0)
    assert outbox.states([entry]) == ["proven"]
    assert deaf.courier._statements.outstanding == 0


def test_a_checkpoint_kept_from_another_ledger_raises_no_alarm(outbox, broker):
    stranger = Ledger(key("the ledger before"))
    stranger.log(digest("x"))
    outbox.remember_checkpoint(stranger.note())
    scene = Scene(outbox, broker, AnsweringLedger(broker))
    sealed = kept(outbox, 0)
    scene.side.ledger.admit(sealed[0].statement.encoded)
    proof = scene.side.ledger.proof(sealed[0].statement.entry)
    scene.courier.handle(message(topics.proof(GATEWAY, PACK), proof), 0.0)
    assert outbox.fork() is None
    assert outbox.states(entries(sealed)) == ["proven"]
