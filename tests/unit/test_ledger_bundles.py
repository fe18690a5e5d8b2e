"""Bundles made from a real log verify with nothing but the ledger's key, and show what they should."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evidence import verify
from evidence.merkle import Digest
from evidence.verdict import Rejected
from ledger import bundles, logcheck
from ledger.archive import Archive
from ledger.bundles import Wanted
from ledger.errors import NoBundle
from ledger.store import Reader, Store
from tests.ledger_world import ORIGIN, REGISTRAR, START_MS, Gateway, World

PACK = REGISTRAR.pack("pack-1")


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "ledger")


@pytest.fixture
def sequencer(world):
    with Store(world.folder) as store:
        yield world.sequencer(store)


@pytest.fixture
def gateway(world, sequencer):
    made = Gateway()
    world.register(sequencer, made)
    return made


def drive(world, sequencer, gateway, segments=3):
    """One epoch, some minutes long; its statements."""
    said = [gateway.open(), *(gateway.segment() for _ in range(segments)), gateway.close()]
    for each in said:
        world.clock.ms += 61_000
        sequencer.integrate([gateway.arrival(each)])
    return said


def make(world, sequencer, **wanted):
    world.clock.ms += 1
    sequencer.log_heads()
    return bundles.make(sequencer.store, world.key, ORIGIN, Wanted(**{"pack": PACK} | wanted), START_MS // 1000)


def test_a_bundle_shows_every_statement_complete_as_of_the_heads(world, sequencer, gateway):
    said = [*drive(world, sequencer, gateway), *drive(world, sequencer, gateway)]
    heard = sequencer.register.time_ms
    verdict = make(world, sequencer).verdict
    assert [proven.statement.entry for proven in verdict.statements] == [each.entry for each in said]
    assert (verdict.complete_size, verdict.heard_time_ms) == (sequencer.size - 1, heard)
    assert verdict.complete_time_ms == world.clock.ms


def test_other_packs_in_the_log_are_none_of_a_bundles_business(world, sequencer, gateway):
    others = [Gateway(pack=f"pack-{n}", name=f"gw-{n}", seed=n) for n in range(2, 7)]
    for other in others:
        world.register(sequencer, other)
        drive(world, sequencer, other)
    drive(world, sequencer, gateway)
    made = make(world, sequencer)
    assert len(made.verdict.statements) == 5
    assert b"pack-2" not in made.encoded
    for other in others:
        assert make(world, sequencer, pack=REGISTRAR.pack(other.pack)).verdict.complete_size is not None


def test_a_registered_pack_that_has_said_nothing_has_a_bundle(world, sequencer, gateway):
    verdict = make(world, sequencer).verdict
    assert (verdict.statements, verdict.heard_time_ms) == ((), None)
    assert verdict.titleholder == REGISTRAR.party("maker")


def test_two_keys_of_a_pack_are_two_chains_of_its_bundle(world, sequencer, gateway):
    second = Gateway(name="gw-2", seed=2)
    world.register(sequencer, second)
    drive(world, sequencer, gateway)
    drive(world, sequencer, second)
    assert len(make(world, sequencer).verdict.statements) == 10


def test_only_what_is_reachable_without_a_hole_is_shown(world, sequencer, gateway):
    said = [gateway.open(), gateway.segment(), gateway.segment(), gateway.segment()]
    sequencer.integrate([gateway.arrival(each) for each in (said[0], said[1], said[3])])
    made = make(world, sequencer)
    assert ([proven.statement.seq for proven in made.verdict.statements], made.left_out) == ([0, 1], 1)
    sequencer.integrate([gateway.arrival(said[2])])
    assert len(make(world, sequencer).verdict.statements) == 4


def test_documents_come_along_when_asked_for_and_only_those_that_are_there(world, sequencer, gateway):
    drive(world, sequencer, gateway)
    archive = Archive(sequencer)
    first, _, third = gateway.documents.values()
    for body in (third, first):
        archive.receive(gateway.name, gateway.pack, body, START_MS)
    verdict = make(world, sequencer, with_segments=True).verdict
    assert [proven.document is not None for proven in verdict.statements] == [False, True, False, True, False]
    assert not any(proven.document for proven in make(world, sequencer).verdict.statements)


def test_single_windows_are_disclosed_with_their_proof(world, sequencer, gateway):
    said = drive(world, sequencer, gateway)
    archive = Archive(sequencer)
    for body in gateway.documents.values():
        archive.receive(gateway.name, gateway.pack, body, START_MS)
    wanted = ((said[2].entry, 1), (said[1].entry, 1), (said[1].entry, 0))
    verdict = make(world, sequencer, windows=wanted).verdict
    assert [(each.entry, each.index) for each in verdict.windows] == [
        *((said[1].entry, 0), (said[1].entry, 1)),
        (said[2].entry, 1),
    ]
    with pytest.raises(NoBundle, match="has 2 windows"):
        make(world, sequencer, windows=((said[1].entry, 2),))
    with pytest.raises(NoBundle, match="no segment"):
        make(world, sequencer, windows=((said[0].entry, 0),))


def test_a_fork_is_named_and_no_bundle_chooses_a_branch(world, sequencer, gateway):
    drive(world, sequencer, gateway)
    clone = Gateway(epoch=5000, seq=0, prev=gateway.prev)
    sequencer.integrate([gateway.arrival(gateway.open())])
    sequencer.integrate([clone.arrival(clone.say("open", gateway_open()))])
    with pytest.raises(NoBundle, match="forks after entry"):
        make(world, sequencer)


def test_what_hangs_on_a_hole_is_counted_in_the_verdict(world, sequencer, gateway):
    said = [gateway.open(), gateway.segment(), gateway.segment(), gateway.segment()]
    other = Gateway(pack="pack-2", name="gw-2", seed=2)
    world.register(sequencer, other)
    sequencer.integrate([gateway.arrival(each) for each in (said[0], said[2], said[3])])
    drive(world, sequencer, other)
    made = make(world, sequencer)
    assert (made.verdict.loose, made.left_out) == (2, 2)
    assert make(world, sequencer, pack=REGISTRAR.pack("pack-2")).verdict.loose == 0


def test_a_segment_of_a_foreign_profile_ends_what_is_shown_and_no_more(world, sequencer, gateway):
    said = [gateway.open(), gateway.segment()]
    foreign = replace(Gateway().segment().body, profile=Digest(bytes(32)))
    said += [gateway.say("segment", foreign), gateway.segment(), gateway.close()]
    sequencer.integrate([gateway.arrival(each) for each in said])
    made = make(world, sequencer)
    assert ([proven.statement.seq for proven in made.verdict.statements], made.left_out) == ([0, 1], 3)
    assert made.verdict.loose == 3


def test_a_document_that_another_segment_names_falsely_is_left_out_from_there_on(world, sequencer, gateway):
    said = [gateway.open(), gateway.segment()]
    said.append(gateway.say("segment", replace(said[1].body, root=Digest(bytes(32)))))
    gateway.seq = 1  # the clocks of the first segment once more, so that its document is of this one too
    said.append(gateway.sign("segment", said[1].body, seq=3, prev=said[2].entry))
    gateway.seq, gateway.prev = 4, said[3].entry
    said.append(gateway.segment())
    sequencer.integrate([gateway.arrival(each) for each in said])
    for body in gateway.documents.values():
        Archive(sequencer).receive(gateway.name, gateway.pack, body, START_MS)
    verdict = make(world, sequencer, with_segments=True).verdict
    assert [proven.document is not None for proven in verdict.statements] == [False, True, False, False, True]
    with pytest.raises(NoBundle, match="not in the archive"):
        make(world, sequencer, windows=((said[2].entry, 0),))


def test_a_chain_with_an_erased_statement_has_no_bundle_and_says_so(world, sequencer, gateway):
    drive(world, sequencer, gateway)
    sequencer.store._db.execute("DELETE FROM messages WHERE idx = ?", (sequencer.size - 1,))
    with pytest.raises(NoBundle, match="was erased"):
        make(world, sequencer)


def gateway_open():
    return Gateway().open().body


def test_an_unregistered_pack_has_no_bundle(world, sequencer, gateway):
    with pytest.raises(NoBundle, match="not registered"):
        make(world, sequencer, pack=REGISTRAR.pack("pack-9"))


def test_a_pack_registered_after_the_last_heads_has_a_bundle_of_unknown_completeness(world, sequencer):
    world.clock.ms += 1
    sequencer.log_heads()
    gateway = Gateway()
    world.register(sequencer, gateway)
    drive(world, sequencer, gateway)
    sequencer.checkpoint()
    made = bundles.make(sequencer.store, world.key, ORIGIN, Wanted(PACK), START_MS // 1000)
    assert (made.verdict.complete_size, len(made.verdict.statements)) == (None, 5)


def test_a_bundle_is_rejected_under_another_ledgers_key(world, sequencer, gateway):
    drive(world, sequencer, gateway)
    made = make(world, sequencer)
    with pytest.raises(Rejected):
        verify.verify(made.encoded, gateway.named_key)


class _Overtaken(Reader):
    """A reader beside a ledger that is at work: after each thing read the log is longer."""

    def __init__(self, folder, admit):
        self._admit = lambda: None
        super().__init__(folder)
        self._admit = admit

    def _maybe(self, query, *values):
        found = super()._maybe(query, *values)
        self._admit()
        return found


def test_a_snapshot_is_of_one_moment_beside_a_ledger_at_work(world, sequencer, gateway):
    with Reader(world.folder) as reader:
        with reader.snapshot():
            before = reader.size()
            drive(world, sequencer, gateway)
            assert reader.size() == before
        assert reader.size() == sequencer.size > before


@pytest.mark.parametrize("read", ["bundle", "log check"])
def test_what_a_ledger_admits_meanwhile_changes_nothing_in_what_is_read(world, sequencer, gateway, read):
    drive(world, sequencer, gateway)
    sequencer.log_heads()
    before = sequencer.size

    def admit():
        world.clock.ms += 61_000
        sequencer.integrate([gateway.arrival(gateway.open())])

    with _Overtaken(world.folder, admit) as reader:
        if read == "bundle":
            found = bundles.make(reader, world.key, ORIGIN, Wanted(PACK), START_MS // 1000).verdict.complete_size
            assert found == before - 1
        else:
            assert logcheck.check(reader, None, lambda *_: None).entries == before
    assert sequencer.size > before + 3
