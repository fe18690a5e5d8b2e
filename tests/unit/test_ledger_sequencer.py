"""The sequencer gives indices, logs the time, signs checkpoints and proves: with a real store in a real folder."""

from __future__ import annotations

import pytest

from evidence import acts, answer, checkpoint, merkle, proof
from evidence.acts import Heads, Time
from evidence.answer import Refusal
from evidence.bodies import Close
from evidence.envelope import Envelope
from evidence.merkle import Tree
from evidence.statement import Seen
from ledger import sequencer as module
from ledger.admission import Known
from ledger.errors import LogDamaged
from ledger.sequencer import Admitted, Refused, Sequencer, SetAside
from ledger.store import Store
from tests.ledger_world import ORIGIN, REGISTRAR, START_MS, Clock, Gateway, World, read_all

YEAR_MS = 365 * 86_400_000


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "ledger")


@pytest.fixture
def store(world):
    with Store(world.folder) as opened:
        yield opened


@pytest.fixture
def sequencer(world, store):
    return world.sequencer(store)


@pytest.fixture
def gateway(world, sequencer):
    made = Gateway()
    world.register(sequencer, made)
    return made


def admit(sequencer, gateway, *said):
    return sequencer.integrate([gateway.arrival(each) for each in said])


def test_indices_follow_the_order_of_arrival_and_a_batch_may_hold_its_own_repetition(sequencer, gateway):
    first, second = gateway.open(), gateway.segment()
    start = sequencer.size
    outcomes = admit(sequencer, gateway, second, first, second)
    document = second.body.document
    assert outcomes == [
        Admitted(second.entry, start, document),
        Admitted(first.entry, start + 1),
        Known(second.entry, start),
    ]
    assert admit(sequencer, gateway, first) == [Known(first.entry, start + 1)]


def test_an_equivocation_within_one_batch_is_recorded_with_both(sequencer, gateway, store):
    first = gateway.open()
    second = gateway.sign("close", Close(1), epoch=first.epoch, seq=0)
    _, refused = admit(sequencer, gateway, first, second)
    assert isinstance(refused, Refused)
    assert refused.rule == "equivocation"
    (twin,) = store.twins()
    assert (twin.first, twin.second, twin.message) == (first.entry, second.entry, second.encoded)


def test_a_refusal_is_signed_by_the_ledger_and_answered_again_with_the_same_bytes(world, sequencer, gateway, store):
    stranger = Gateway(pack="pack-9", name="gw-9", seed=9)
    said = stranger.open()
    (refused,) = admit(sequencer, stranger, said)
    world.clock.ms += 10_000
    (again,) = admit(sequencer, stranger, said)
    assert refused.answer == again.answer
    signed, subject = answer.read(refused.answer, world.ledger)
    assert isinstance(signed, Refusal)
    assert (signed.entry, signed.rule, signed.permanent, subject) == (
        *(said.entry, "unknown-pack", False),
        REGISTRAR.pack("pack-9"),
    )
    assert len(store.refusals()) == 1


def test_what_was_refused_for_now_is_admitted_once_its_pack_is_registered(world, sequencer):
    gateway = Gateway()
    said = gateway.open()
    assert isinstance(admit(sequencer, gateway, said)[0], Refused)
    world.register(sequencer, gateway)
    assert isinstance(admit(sequencer, gateway, said)[0], Admitted)


def test_a_proof_comes_with_the_checkpoint_and_verifies_at_every_index(world, sequencer, gateway):
    outcomes = admit(sequencer, gateway, gateway.open(), *(gateway.segment() for _ in range(20)))
    assert sequencer.prove(outcomes[-1].entry, outcomes[-1].index) is None
    signed = sequencer.checkpoint()
    assert sequencer.checkpoint() is None
    for outcome in outcomes:
        proven = proof.parse(sequencer.prove(outcome.entry, outcome.index))
        assert proven.verify(world.ledger).size == signed.size == sequencer.size


def test_checkpoints_are_those_of_a_tree_built_from_the_entries(world, sequencer, gateway, store):
    for _ in range(5):
        admit(sequencer, gateway, gateway.open(), gateway.segment())
        sequencer.checkpoint()
    leaves = [merkle.leaf_hash(entry) for _, entry in store.entries(0, store.size())]
    for size, note in store.checkpoints():
        assert checkpoint.open_note(note.encode(), world.ledger).root == Tree(leaves[:size]).root()


def test_the_log_has_time_before_each_act_and_every_minute_of_admission(world, sequencer, gateway, store):
    admit(sequencer, gateway, gateway.open())
    world.clock.ms += 59_000
    admit(sequencer, gateway, gateway.segment())
    world.clock.ms += 2_000
    admit(sequencer, gateway, gateway.segment(), gateway.segment())
    world.clock.ms += 5_000
    world.register(sequencer, Gateway(pack="pack-2", name="gw-2", seed=2))
    kinds = [each.kind for each in read_all(store)]
    assert kinds == [
        *("policy", "time", "party", "pack-register", "gateway-bind", "key-bind"),
        *("open", "segment", "time", "segment", "segment"),
        *("time", "pack-register", "gateway-bind", "key-bind"),
    ]


def test_a_clock_that_goes_back_never_takes_the_logs_time_with_it(world, sequencer, gateway, store):
    world.clock.ms += 100_000
    admit(sequencer, gateway, gateway.open())
    world.clock.ms -= 3_600_000
    admit(sequencer, gateway, gateway.segment())
    world.register(sequencer, Gateway(pack="pack-2", name="gw-2", seed=2))
    times = [each.body.unix_ms for each in read_all(store) if isinstance(each.body, Time)]
    assert times == sorted(set(times))


def test_a_clock_that_leaps_ahead_adds_no_time_until_it_is_back(world, store, caplog):
    boot = Clock(0)
    sequencer = Sequencer(store, world.key, ORIGIN, now_ms=world.clock, progress_ms=boot)
    gateway = Gateway()
    world.register(sequencer, gateway)
    before = sequencer.register.time_ms
    world.clock.ms += 10 * YEAR_MS
    admit(sequencer, gateway, gateway.open())
    sequencer.log_heads()
    assert sequencer.register.time_ms == before
    world.clock.ms += 70_000 - 10 * YEAR_MS
    boot.ms += 70_000
    admit(sequencer, gateway, gateway.segment())
    assert sequencer.register.time_ms == before + 70_000
    assert [word in caplog.text for word in ("leapt", "plausible again")] == [True, True]


def test_a_leap_that_lasts_was_the_clock_being_set_right_and_is_believed_in_the_end(world, store):
    boot = Clock(0)
    sequencer = Sequencer(store, world.key, ORIGIN, now_ms=world.clock, progress_ms=boot)
    gateway = Gateway()
    world.register(sequencer, gateway)
    before = sequencer.register.time_ms
    world.clock.ms += 86_400_000
    admit(sequencer, gateway, gateway.open())
    for minute in range(1, 12):
        world.clock.ms += 60_000
        boot.ms += 60_000
        admit(sequencer, gateway, gateway.segment())
        assert (sequencer.register.time_ms == before) == (minute < 10)
    assert sequencer.register.time_ms == world.clock.ms


def test_a_clock_that_was_behind_the_log_is_believed_once_it_is_set_right(world, store):
    boot = Clock(0)
    world.clock.ms -= YEAR_MS
    sequencer = Sequencer(store, world.key, ORIGIN, now_ms=world.clock, progress_ms=boot)
    gateway = Gateway()
    world.register(sequencer, gateway)
    world.clock.ms += YEAR_MS + 86_400_000
    admit(sequencer, gateway, gateway.open())
    assert sequencer.register.time_ms == world.clock.ms


def test_the_time_of_the_newest_heads_is_known_after_a_restart(world, sequencer, gateway, store):
    assert sequencer.heads_ms() == START_MS
    world.clock.ms += 100_000
    sequencer.log_heads()
    world.clock.ms += 100_000
    admit(sequencer, gateway, gateway.open())
    assert world.sequencer(store).heads_ms() == START_MS + 100_000


def test_an_act_is_admitted_once_and_then_known(world, sequencer, store):
    gateway = Gateway()
    first = world.register(sequencer, gateway)
    encoded = [store.message(index) for index in first]
    assert [outcome.index for outcome in sequencer.submit(encoded)] == first
    assert all(isinstance(outcome, Known) for outcome in sequencer.submit(encoded))


def test_acts_that_only_the_ledger_signs_are_not_taken_from_anybody(world, sequencer):
    frame = Envelope("time", world.key.kid, ORIGIN, ORIGIN, ORIGIN, START_MS // 1000)
    forged = acts.sign(world.key, frame, Time(START_MS + 10**9))
    (refused,) = sequencer.submit([forged.encoded])
    assert (refused.rule, sequencer.size) == ("wrong-issuer", 3)


def test_garbage_among_acts_refuses_itself_alone(world, sequencer):
    gateway = Gateway()
    (refused,) = sequencer.submit([b"garbage"])
    assert refused.rule == "malformed"
    assert len(world.register(sequencer, gateway)) == 3


def test_heads_cover_the_log_before_them_and_are_checkpointed_at_once(world, sequencer, gateway, store):
    admit(sequencer, gateway, gateway.open())
    world.clock.ms += 1
    signed = sequencer.log_heads()
    last = read_all(store)[-1]
    assert isinstance(last.body, Heads)
    assert (last.body.covered, last.body.packs, signed.size) == (sequencer.size - 1, 1, sequencer.size)


def test_a_restart_comes_to_the_same_state(world, sequencer, gateway, store):
    late = [gateway.open(), gateway.segment(), gateway.segment()]
    admit(sequencer, gateway, late[2], late[0])
    sequencer.checkpoint()
    again = world.sequencer(store)
    assert (again.size, again.newest) == (sequencer.size, sequencer.newest)
    assert again.register.packs == sequencer.register.packs
    assert list(again.chains.tips()) == list(sequencer.chains.tips())
    assert isinstance(admit(again, gateway, late[1])[0], Admitted)
    assert again.chains.loose() == 0


def test_a_message_that_breaks_admission_is_set_aside_by_hash_after_one_retry(sequencer, gateway, store, monkeypatch):
    poison = gateway.open()
    decide, tries = module.admission.decide, []

    def fragile(arrival, view):
        if arrival.payload == poison.encoded:
            tries.append(arrival)
            raise ZeroDivisionError("a defect of ours")
        return decide(arrival, view)

    monkeypatch.setattr(module.admission, "decide", fragile)
    outcomes = admit(sequencer, gateway, poison, gateway.segment())
    assert outcomes[0] == SetAside(poison.entry)
    assert isinstance(outcomes[1], Admitted)
    assert len(tries) == 2
    assert [(each.digest, each.topic) for each in store.quarantined()] == [(poison.entry, "gw-1/pack-1")]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("DELETE FROM messages WHERE idx = ?", "missing"),
        ("UPDATE messages SET message = (SELECT message FROM messages WHERE idx = 3) WHERE idx = ?", "not the one"),
    ],
)
@pytest.mark.parametrize("index", [0, 1, 2, 4, 5])
def test_a_ledger_does_not_start_without_the_acts_that_it_logged(world, gateway, store, change, complaint, index):
    store._db.execute(change, (index,))
    with pytest.raises(LogDamaged, match=f"entry {index} is {complaint}"):
        world.sequencer(store)


def test_what_comes_for_the_place_of_an_erased_statement_is_answered(world, sequencer, gateway, store):
    first = gateway.open()
    second = gateway.sign("close", Close(1), epoch=first.epoch, seq=0)
    (admitted,) = admit(sequencer, gateway, first)
    store._db.execute("DELETE FROM messages WHERE idx = ?", (admitted.index,))
    again = world.sequencer(store)
    assert admit(again, gateway, second)[0].rule == "equivocation"
    assert admit(again, gateway, first) == [Known(first.entry, admitted.index)]


def test_a_statement_that_has_seen_a_checkpoint_ahead_of_its_own_index_is_refused_for_now(sequencer, gateway, store):
    size = sequencer.size
    root = sequencer.newest.root
    ahead = gateway.sign("open", gateway_open(), seen=Seen(size + 1, root))
    at_the_edge = gateway.sign("open", gateway_open(), epoch=5, seen=Seen(size, root))
    refused, admitted = admit(sequencer, gateway, ahead, at_the_edge)
    assert (refused.rule, store.refusals()[-1].permanent) == ("checkpoint-ahead", False)
    assert admitted.index >= size
    assert isinstance(admit(sequencer, gateway, ahead)[0], Admitted)


def gateway_open():
    return Gateway().open().body


def test_a_ledger_does_not_start_over_entries_that_lead_to_another_root(world, sequencer, gateway, store):
    admit(sequencer, gateway, gateway.open(), gateway.segment())
    sequencer.checkpoint()
    store._db.execute("UPDATE entries SET entry = ? WHERE idx = 6", (bytes(32),))
    with pytest.raises(LogDamaged, match="do not lead to the root"):
        world.sequencer(store)


def test_a_ledger_does_not_start_on_a_log_shorter_than_its_newest_checkpoint(world, sequencer, gateway, store):
    admit(sequencer, gateway, gateway.open(), gateway.segment())
    sequencer.checkpoint()
    store._db.execute("DELETE FROM messages WHERE idx = ?", (sequencer.size - 1,))
    store._db.execute("DELETE FROM entries WHERE idx = ?", (sequencer.size - 1,))
    with pytest.raises(LogDamaged, match="is signed, but the log has"):
        world.sequencer(store)


def test_a_second_checkpoint_of_a_size_is_never_stored(sequencer, store):
    size, note = store.newest_checkpoint()
    for other in (size, size - 1):
        with pytest.raises(LogDamaged):
            store.put_checkpoint(other, "another note")
    assert store.newest_checkpoint() == (size, note)
