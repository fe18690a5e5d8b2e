"""The outbox is the only queue: what is in it is durable, in order, and leaves its queue for one reason only."""

import contextlib
import hashlib
import sqlite3
import stat

import pytest

from agent.errors import StoreError
from agent.outbox import Outbox
from agent.receipts import Receipts
from agent.recorder import FIRST_START
from tests.agent_world import PACK, Ledger, digest, frames, kept, key, reading, recorder


@pytest.fixture
def outbox(tmp_path):
    with contextlib.closing(Outbox(tmp_path / "state")) as opened:
        yield opened


def ledger_of(sealed):
    ledger = Ledger()
    for each in sealed:
        ledger.admit(each.statement.encoded)
    return ledger


def prove(outbox, ledger, entry):
    return outbox.proven(Receipts(ledger.name, None).proof(ledger.proof(entry)))


def test_what_was_sealed_is_pending_in_its_order_byte_for_byte(outbox):
    sealed = kept(outbox, 3)
    rows = outbox.pending(PACK, 10)
    assert [outbox.body(row) for row in rows] == [each.statement.encoded for each in sealed]
    assert [outbox.row_of(each.statement.entry, PACK) for each in sealed] == list(rows)
    assert outbox.pending(PACK, 2) == rows[:2]


def test_what_waits_is_asked_of_the_store_once_and_again_after_every_change(outbox):
    sealed = kept(outbox, 2)
    ledger = ledger_of(sealed)
    before = outbox.pending(PACK, 10)
    questions = []
    outbox._connection.set_trace_callback(questions.append)  # nothing but the store itself knows
    for _ in range(3):
        assert outbox.pending(PACK, 10) == before
    assert questions == []
    prove(outbox, ledger, sealed[0].statement.entry)
    assert outbox.pending(PACK, 10) == before[1:]
    outbox.refused(sealed[1].statement.entry, "no", permanent=True)
    assert outbox.pending(PACK, 10) == before[2:]


def test_the_chain_s_end_moves_with_what_is_added(outbox):
    sealed = kept(outbox, 3)
    last = sealed[-1]
    state = outbox.chain(last.statement.envelope.kid)
    assert (state.pack, state.epoch, state.seq, state.entry) == (PACK, 1, 3, last.statement.entry)
    assert (state.covered, state.counters) == (last.covered, last.counters)
    assert outbox.chain(key("unknown").kid) is None


def test_it_is_all_there_again_after_the_store_was_closed(tmp_path):
    with contextlib.closing(Outbox(tmp_path)) as first:
        sealed = kept(first, 2)
        before = (first.pending(PACK, 10), first.chain(sealed[-1].statement.envelope.kid), first.totals())
    with contextlib.closing(Outbox(tmp_path)) as second:
        assert (second.pending(PACK, 10), second.chain(sealed[-1].statement.envelope.kid), second.totals()) == before
        assert second.quarantined is None
        assert not second.replaced(sealed[-1].statement.envelope.kid)


def test_a_recording_sealed_between_leaves_the_live_chain_s_cover_and_counters_alone(outbox):
    sealed = kept(outbox, 2)
    kid = sealed[-1].statement.envelope.kid
    live = outbox.chain(kid)
    made = recorder(outbox, epoch=2)
    recorded = [*made.start(reading(0, boot=9), "test", 3).sealed, *made.capture_started(reading(0, boot=9)).sealed]
    recorded += made.captured(frames(1_000_000, total=9), 0, 6_000_000, reading(6_000_000, boot=9)).sealed
    outbox.add(PACK, recorded, covers=False)
    after = outbox.chain(kid)
    assert after.entry == recorded[-1].statement.entry
    assert (after.covered, after.counters) == (live.covered, live.counters)


def test_a_chain_that_began_with_a_recording_covers_nothing_yet(outbox):
    made = recorder()
    outbox.add(PACK, made.start(reading(0), "test", 3).sealed, covers=False)
    state = outbox.chain(key(f"key of {PACK}").kid)
    assert (state.covered, state.counters) == (None, ())


def test_no_place_of_a_chain_is_taken_twice(outbox):
    sealed = kept(outbox, 1)
    with pytest.raises(StoreError, match="UNIQUE"):
        outbox.add(PACK, sealed[:1])
    assert outbox.totals().pending == len(sealed)


def test_a_document_waits_for_the_proof_of_its_statement_and_then_for_its_archive(outbox):
    sealed = kept(outbox, 2)
    ledger = ledger_of(sealed)
    assert outbox.pending_documents(PACK, 10) == ()
    second = sealed[-1]
    assert prove(outbox, ledger, second.statement.entry)
    (row,) = outbox.pending_documents(PACK, 10)
    assert outbox.document(row) == second.document
    assert outbox.stored([second.statement.body.document, digest("unknown")]) == [row]
    assert outbox.pending_documents(PACK, 10) == ()
    totals = outbox.totals()
    assert (totals.documents_pending, totals.documents_stored) == (1, 1)
    prove(outbox, ledger, second.statement.entry)
    assert outbox.pending_documents(PACK, 10) == ()


def test_a_proof_ends_a_statement_s_way_once(outbox):
    sealed = kept(outbox, 1)
    ledger = ledger_of(sealed)
    entry = sealed[0].statement.entry
    assert prove(outbox, ledger, entry)
    assert not prove(outbox, ledger, entry)
    assert outbox.states([each.statement.entry for each in sealed]) == ["proven", "pending"]


def test_the_chain_keeps_the_proof_of_its_newest_statement_whatever_the_order_of_arrival(outbox, tmp_path):
    sealed = kept(outbox, 2)
    ledger = ledger_of(sealed)
    newest = ledger.proof(sealed[2].statement.entry)
    for each in (sealed[0], sealed[2], sealed[1]):
        prove(outbox, ledger, each.statement.entry)
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "outbox.db")) as reader:
        assert reader.execute("SELECT proof FROM chains").fetchall() == [(newest,)]


def test_a_permanent_refusal_ends_a_statement_s_way_and_a_temporary_one_does_not(outbox):
    first, second = (each.statement.entry for each in kept(outbox, 1))
    assert outbox.refused(first, "malformed: x", permanent=True)
    assert outbox.refused(second, "unknown-pack: x", permanent=False)
    assert outbox.states([first, second]) == ["refused", "pending"]
    assert not outbox.refused(first, "again", permanent=True)


def test_the_same_temporary_refusal_again_writes_nothing(outbox):
    _, entry = (each.statement.entry for each in kept(outbox, 1))
    assert outbox.refused(entry, "unknown-pack: x", permanent=False)
    assert not outbox.refused(entry, "unknown-pack: x", permanent=False)
    assert outbox.refused(entry, "unknown-key: y", permanent=False)


def test_a_refused_statement_that_is_proven_after_all_is_proven(outbox):
    sealed = kept(outbox, 0)
    entry = sealed[0].statement.entry
    outbox.refused(entry, "unknown", permanent=True)
    assert prove(outbox, ledger_of(sealed), entry)
    assert outbox.states([entry]) == ["proven"]


def test_each_pack_has_a_queue_of_its_own(outbox):
    one, two = kept(outbox, 300, "pack-1"), kept(outbox, 2, "pack-2")
    assert [outbox.body(row) for row in outbox.pending("pack-2", 256)] == [each.statement.encoded for each in two]
    assert len(outbox.pending("pack-1", 256)) == 256
    assert outbox.packs() == ("pack-1", "pack-2")
    assert outbox.row_of(one[0].statement.entry, "pack-2") is None


def test_an_open_can_name_the_pack_s_other_chains_as_many_as_fit(outbox):
    for number in range(70):
        outbox.add(PACK, recorder(signer=f"key {number}").start(reading(0), "test", FIRST_START).sealed)
    others = outbox.other_chains(PACK, key("key 69").kid)
    assert len(others) == 64
    assert list(others) == sorted(others)
    recorder(signer="the next key").start(reading(0), "test", FIRST_START, others)


def test_births_rise_with_every_start_whatever_the_wall_clock_says_and_whatever_became_of_the_store(tmp_path):
    births = []
    for unix_ms in (1_900_000_000_000, 1_900_000_005_000, 0, 1_900_000_010_000):
        with contextlib.closing(Outbox(tmp_path / "state")) as opened:
            births.append(opened.first_birth(unix_ms))
    with contextlib.closing(Outbox(tmp_path / "another")) as opened:
        births.append(opened.first_birth(1_900_010_000_000))
    assert births == sorted(set(births))
    assert births[:2] == [1_900_000_000_000, 1_900_000_005_000]


def test_a_key_that_the_ledger_does_not_know_leaves_the_queue_of_the_pack_s_other_key_alone(outbox):
    unknown = recorder(signer="unbound key")
    sealed = [*unknown.start(reading(0), "test", FIRST_START).sealed, *unknown.capture_started(reading(0)).sealed]
    for second in range(300):
        sealed += unknown.captured(frames(5_000_000 * second), 0, 5_000_000 * (second + 1), reading(0)).sealed
    outbox.add(PACK, sealed)
    bound = kept(outbox, 2)
    bodies = [outbox.body(row) for row in outbox.pending(PACK, 256)]
    assert bodies[256:] == [each.statement.encoded for each in bound]


def test_a_document_refused_for_good_is_kept_counted_and_not_sent_again(outbox):
    sealed = kept(outbox, 2)
    ledger = ledger_of(sealed)
    digest_of_held = sealed[2].statement.body.document
    prove(outbox, ledger, sealed[1].statement.entry)
    (row,) = outbox.documents_of(sealed[1].statement.body.document, PACK)
    assert outbox.documents_of(digest_of_held, PACK) == []
    assert outbox.documents_of(sealed[1].statement.body.document, "pack-2") == []
    outbox.document_refused(row, "wrong-document: said by a test")
    assert outbox.pending_documents(PACK, 10) == ()
    assert outbox.document(row) == sealed[1].document
    assert (outbox.totals().documents_pending, outbox.totals().documents_refused) == (1, 1)


def test_the_newest_checkpoint_s_note_is_kept(outbox):
    assert outbox.checkpoint() is None
    outbox.remember_checkpoint("one")
    outbox.remember_checkpoint("two")
    assert outbox.checkpoint() == "two"


def test_the_first_two_notes_that_contradict_each_other_stay_whatever_follows(outbox):
    outbox.remember_checkpoint("ours of 8")
    assert outbox.fork() is None
    outbox.remember_fork("theirs of 8")
    outbox.remember_checkpoint("ours of 9")
    outbox.remember_fork("theirs of 9")
    assert outbox.fork() == ("ours of 8", "theirs of 8")


def test_the_store_is_its_owner_s_alone_even_in_an_open_folder(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    with contextlib.closing(Outbox(folder)) as opened:
        kept(opened, 1)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == dict.fromkeys(("outbox.db", "outbox.db-wal", "outbox.db-shm", "lock"), 0o600)


def test_a_commit_is_on_the_disk_before_add_returns(outbox):
    rows = (
        outbox._connection.execute("PRAGMA synchronous").fetchone(),
        outbox._connection.execute("PRAGMA journal_mode"),
    )
    assert rows[0] == (2,)  # FULL
    assert rows[1].fetchone() == ("wal",)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id FROM statements WHERE state = 'pending' AND kid = x'00' ORDER BY id LIMIT 256",
        "SELECT id FROM documents WHERE state = 'pending' AND kid = x'00' ORDER BY id LIMIT 256",
        "SELECT state, count(*) FROM statements GROUP BY state",
        "SELECT state, count(*) FROM documents GROUP BY state",
    ],
)
def test_what_is_asked_ten_times_a_second_reads_an_index_and_sorts_nothing(outbox, query):
    plan = " ".join(row[3] for row in outbox._connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall())
    assert "COVERING INDEX" in plan
    assert "TEMP B-TREE" not in plan


def test_an_entry_is_the_digest_of_its_row(outbox):
    for each in kept(outbox, 2):
        assert hashlib.sha256(each.statement.encoded).digest() == each.statement.entry
