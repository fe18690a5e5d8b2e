"""Segment documents: kept for a statement, held for a while without one, bounded for everybody."""

from __future__ import annotations

import os

import pytest

from evidence import answer, segment
from evidence.answer import Stored
from evidence.bodies import Segment
from ledger import archive as module
from ledger.archive import Archive, Held, Kept, Unwanted
from ledger.store import Store
from tests.ledger_world import PROFILE, START_MS, Gateway, World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "ledger")


@pytest.fixture
def gateway():
    return Gateway()


@pytest.fixture
def sequencer(world, gateway):
    with Store(world.folder) as store:
        made = world.sequencer(store)
        world.register(made, gateway)
        yield made


@pytest.fixture
def archive(sequencer):
    return Archive(sequencer)


def send(archive, gateway, body, now_ms=START_MS):
    return archive.receive(gateway.name, gateway.pack, body, now_ms)


def admit(sequencer, gateway, *said):
    return sequencer.integrate([gateway.arrival(each) for each in said])


def test_a_document_whose_statement_is_there_is_kept_and_the_answer_says_so(world, sequencer, archive, gateway):
    admit(sequencer, gateway, gateway.open(), gateway.segment())
    ((digest, body),) = gateway.documents.items()
    fate = send(archive, gateway, body)
    assert isinstance(fate, Kept)
    assert answer.read(fate.answer, world.ledger)[0] == Stored((digest,))
    assert send(archive, gateway, body) == fate
    assert sequencer.store.document_body(digest) == body


def test_a_document_that_comes_first_waits_for_its_statement(sequencer, archive, gateway):
    said = [gateway.open(), gateway.segment()]
    ((digest, body),) = gateway.documents.items()
    assert send(archive, gateway, body) == Held(digest)
    assert sequencer.store.document_body(digest) is None
    _, admitted = admit(sequencer, gateway, *said)
    assert isinstance(archive.admitted(digest, admitted.index, START_MS), Kept)
    assert sequencer.store.document_body(digest) == body
    assert sequencer.store.held() == []


def test_a_document_held_through_a_restart_is_kept_when_its_statement_has_come(sequencer, archive, gateway):
    said = [gateway.open(), gateway.segment()]
    ((digest, body),) = gateway.documents.items()
    send(archive, gateway, body)
    admit(sequencer, gateway, *said)
    (fate,) = Archive(sequencer).resume(START_MS)
    assert isinstance(fate, Kept)
    assert fate.digest == digest


def test_what_waits_for_nobody_is_bounded_and_the_oldest_goes_first(sequencer, archive, gateway):
    bodies = [os.urandom(100) for _ in range(module.HELD_DOCUMENTS + 5)]
    for body in bodies:
        assert isinstance(send(archive, gateway, body), Held)
    held = [digest for digest, *_ in sequencer.store.held()]
    assert sorted(held) == sorted(segment.digest(body) for body in bodies[5:])
    assert archive.dropped == 5


def test_what_has_waited_too_long_is_let_go_of(sequencer, archive, gateway):
    send(archive, gateway, b"old")
    send(archive, gateway, b"new", START_MS + module.HELD_MS + 1)
    assert [digest for digest, *_ in sequencer.store.held()] == [segment.digest(b"new")]


def test_held_bytes_are_bounded_too(sequencer, archive, gateway):
    for _ in range(6):
        send(archive, gateway, os.urandom(2 * 1024 * 1024))
    assert sum(size for *_, size, _ in sequencer.store.held()) <= module.HELD_BYTES


def test_a_gateway_that_is_bound_to_no_such_pack_is_refused(archive, sequencer):
    fate = send(archive, Gateway(name="gw-9"), b"anything")
    assert isinstance(fate, Unwanted)
    assert fate.rule == "unknown-gateway"
    assert sequencer.store.held() == []


def test_an_oversized_document_is_refused(archive, gateway):
    fate = send(archive, gateway, bytes(segment.MAX_COMPRESSED + 1))
    assert isinstance(fate, Unwanted)
    assert fate.rule == "too-large"


def test_a_document_of_an_erased_statement_is_refused_for_good(world, sequencer, archive, gateway):
    *_, admitted = admit(sequencer, gateway, gateway.open(), gateway.segment())
    sequencer.store._db.execute("DELETE FROM messages WHERE idx = ?", (admitted.index,))
    ((_, body),) = gateway.documents.items()
    fate = send(archive, gateway, body)
    assert isinstance(fate, Unwanted)
    signed, _ = answer.read(fate.answer, world.ledger)
    assert (signed.rule, signed.permanent) == ("erased", True)


def test_a_document_held_for_a_statement_that_was_erased_is_let_go_of(sequencer, archive, gateway):
    said = [gateway.open(), gateway.segment()]
    ((digest, body),) = gateway.documents.items()
    send(archive, gateway, body)
    *_, admitted = admit(sequencer, gateway, *said)
    sequencer.store._db.execute("DELETE FROM messages WHERE idx = ?", (admitted.index,))
    assert isinstance(archive.admitted(digest, admitted.index, START_MS), Unwanted)
    assert sequencer.store.held() == []


def test_a_signed_document_whose_windows_lie_outside_its_statements_span_is_refused(sequencer, archive, gateway):
    admit(sequencer, gateway, gateway.open())
    said = gateway.sign("segment", gateway.segment().body, seq=9)
    admit(sequencer, gateway, said)
    ((_, body),) = gateway.documents.items()
    assert send(archive, gateway, body).rule == "wrong-document"


def test_a_signed_document_that_is_not_of_its_windows_is_refused(sequencer, archive, gateway):
    body = b"not a document at all"
    lie = Segment(2, 1000, bytes(32), segment.digest(body), bytes(32), 20, 0, PROFILE, 0)
    admit(sequencer, gateway, gateway.open(), gateway.say("segment", lie))
    fate = send(archive, gateway, body)
    assert isinstance(fate, Unwanted)
    assert fate.rule == "wrong-document"
    assert sequencer.store.document(segment.digest(body)) is None
