"""`log check` derives everything again: whatever is changed in the store, it says so."""

from __future__ import annotations

import pytest

from evidence.bodies import Close
from evidence.checkpoint import Checkpoint
from evidence.keys import NamedKey, SigningKey
from evidence.merkle import Digest
from evidence.statement import Seen
from ledger import logcheck
from ledger.archive import Archive
from ledger.errors import LogDamaged
from ledger.rows import Batch, row_of_statement
from ledger.store import Store
from tests.ledger_world import ORIGIN, START_MS, Gateway, World


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "ledger")
    with Store(made.folder) as store:
        sequencer = made.sequencer(store)
        gateway = Gateway()
        made.register(sequencer, gateway)
        sequencer.checkpoint()
        said = [gateway.open(), gateway.segment(), gateway.segment()]
        twin = gateway.sign("close", Close(1), seq=1)
        sequencer.integrate([gateway.arrival(each) for each in [*said, twin]])
        Archive(sequencer).receive("gw-1", "pack-1", next(iter(gateway.documents.values())), START_MS)
        made.clock.ms += 1
        sequencer.log_heads()
        sequencer.integrate([gateway.arrival(gateway.close())])
        sequencer.checkpoint()
    return made


def check(world, expected=None):
    with Store(world.folder) as store:
        return logcheck.check(store, expected or world.ledger, lambda *_: None)


def damage(world, *changes):
    with Store(world.folder) as store:
        for change in changes:
            query, *values = (change,) if isinstance(change, str) else change
            store._db.execute("PRAGMA foreign_keys = OFF")
            assert store._db.execute(query, values).rowcount


def test_a_sound_log_is_described_in_full(world):
    found = check(world)
    assert (found.entries, found.acts, found.statements, found.checkpoints) == (12, 8, 4, 4)
    assert (found.heads, found.documents, found.equivocations, found.loose, found.erased) == (1, 1, 1, 0, 0)


def test_an_erased_body_leaves_the_log_sound(world):
    damage(world, "DELETE FROM messages WHERE idx = 8")
    assert check(world).erased == 1


def test_statements_that_have_seen_another_history_are_counted(world):
    with Store(world.folder) as store:
        sequencer = world.sequencer(store)
        gateway = Gateway(epoch=3)
        foreign = gateway.sign("close", Close(0), seen=Seen(5, Digest(bytes(32))))
        own = gateway.sign("close", Close(0), seq=1, seen=Seen(sequencer.newest.size, sequencer.newest.root))
        sequencer.integrate([gateway.arrival(foreign), gateway.arrival(own)])
    found = check(world)
    assert (found.other_history, found.loose) == (1, 2)


def test_a_document_left_over_from_an_erased_segment_leaves_the_log_sound(world):
    damage(world, "DELETE FROM messages WHERE idx = 7")
    assert (check(world).erased, check(world).documents) == (1, 1)


def test_a_statement_that_had_seen_beyond_itself_was_wrongly_admitted(world):
    said = Gateway(epoch=3).sign("close", Close(0), seen=Seen(13, Digest(bytes(32))))
    with Store(world.folder) as store:
        store.commit(Batch(entries=[row_of_statement(12, said)]))
    with pytest.raises(LogDamaged, match="entry 12: it had seen"):
        check(world)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE messages SET message = zeroblob(length(message)) WHERE idx = 7",
        "UPDATE messages SET message = (SELECT message FROM messages WHERE idx = 7) WHERE idx = 8",
        "UPDATE entries SET entry = zeroblob(32) WHERE idx = 7",
        "UPDATE entries SET kind = 'gap' WHERE idx = 7",
        "UPDATE entries SET subject = 'tag:packs.example,2026:pack/pack-2' WHERE idx = 7",
        "UPDATE entries SET seq = 99 WHERE idx = 7",
        "UPDATE entries SET prev = zeroblob(32) WHERE idx = 7",
        "UPDATE entries SET document = NULL WHERE idx = 7",
        "UPDATE entries SET profile = zeroblob(32) WHERE idx = 6",
        "UPDATE entries SET kind = 'time' WHERE idx = 3",
        "UPDATE checkpoints SET note = replace(note, 'ledger', 'lodger')",
        "UPDATE checkpoints SET size = 100 WHERE size = 12",
        "DELETE FROM messages WHERE idx = 3",
        "UPDATE documents SET body = x'00'",
        "UPDATE equivocations SET message = zeroblob(300)",
        "UPDATE equivocations SET first = zeroblob(32)",
    ],
)
def test_whatever_is_changed_in_the_store_is_found(world, change):
    damage(world, change)
    with pytest.raises(LogDamaged):
        check(world)


def test_a_missing_entry_is_found(world):
    damage(world, "DELETE FROM messages WHERE idx = 7", "DELETE FROM entries WHERE idx = 7")
    with pytest.raises(LogDamaged, match="entry 7 is missing"):
        check(world)


def test_a_rewritten_entry_with_its_own_hash_contradicts_the_checkpoint(world):
    forged = Gateway(epoch=1000).sign("close", Close(7), seq=3, prev=Digest(bytes(32)))
    damage(
        world,
        ("UPDATE messages SET message = ? WHERE idx = 11", forged.encoded),
        ("UPDATE entries SET entry = ?, prev = ? WHERE idx = 11", forged.entry, forged.prev),
    )
    with pytest.raises(LogDamaged, match="another root"):
        check(world)


def test_a_checkpoint_over_another_root_is_found_even_when_our_key_signed_it(world):
    note = Checkpoint(ORIGIN, 12, Digest(bytes(32))).sign(world.key)
    damage(world, ("UPDATE checkpoints SET note = ? WHERE size = 12", note))
    with pytest.raises(LogDamaged, match="another root"):
        check(world)


def test_a_log_of_another_ledger_is_not_the_expected_one(world):
    with pytest.raises(LogDamaged):
        check(world, NamedKey(ORIGIN, SigningKey(bytes(32)).public))
