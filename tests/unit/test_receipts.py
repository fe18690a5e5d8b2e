"""Proofs are believed under the pinned key only, and a ledger that shows two logs has signed the evidence against itself."""

import pytest

from agent.receipts import LedgerForked, Receipts
from evidence.errors import EvidenceError
from tests.agent_world import PACK, REGISTRAR, Captured, Ledger, bad_proofs, digest, key

URI = REGISTRAR.pack(PACK)
SMALL = Ledger()
SMALL.log(digest("one"))
SMALL.log(digest("two"))


@pytest.fixture(scope="module")
def ledger():
    """A ledger that has admitted an open and three segments."""
    made = Ledger()
    captured, sealed = Captured.opened()
    for each in [*sealed, *captured.segments(3)]:
        made.admit(each.statement.encoded)
    return made


def test_a_true_proof_names_entry_index_and_checkpoint(ledger):
    entry = ledger.entries[2]
    proven = Receipts(ledger.name, None).proof(ledger.proof(entry))
    assert (proven.entry, proven.index, proven.seen.size) == (entry, 2, 4)
    assert proven.seen.root == ledger.tree.root(4)
    assert proven.note == ledger.note()


@pytest.mark.parametrize("wrong", sorted(bad_proofs(SMALL, SMALL.entries[0])))
def test_a_proof_that_proves_nothing_is_an_evidence_error(ledger, wrong):
    payload = bad_proofs(ledger, ledger.entries[0])[wrong]
    with pytest.raises(EvidenceError):
        Receipts(ledger.name, None).proof(payload)


def test_only_a_larger_checkpoint_becomes_the_newest(ledger):
    receipts = Receipts(ledger.name, ledger.note(3))
    assert receipts.newest.size == 3
    larger = receipts.proof(ledger.proof(ledger.entries[0])).seen
    assert receipts.remember(larger)
    assert not receipts.remember(larger)
    assert not receipts.remember(Receipts(ledger.name, ledger.note(2)).newest)
    assert receipts.newest == larger


def test_two_roots_of_one_size_are_a_fork_and_the_second_note_is_at_hand(ledger):
    other = ledger.fork()
    receipts = Receipts(ledger.name, ledger.note())
    with pytest.raises(LedgerForked) as caught:
        receipts.proof(other.proof(other.entries[0]))
    assert caught.value.note == other.note()


def test_a_note_kept_from_another_ledger_accuses_nobody(ledger):
    for stranger in (Ledger(key("stranger")), Ledger(ledger.key, origin="other.example/log")):
        for n in range(4):
            stranger.log(digest(f"{n}"))
        receipts = Receipts(ledger.name, stranger.note())
        assert receipts.newest is None
        assert receipts.proof(ledger.proof(ledger.entries[0])).index == 0


@pytest.mark.parametrize("note", ["", "rotten", "a\n1\nb\n\n— a b\n"])
def test_a_rotten_note_counts_for_nothing(ledger, note):
    assert Receipts(ledger.name, note).newest is None


def test_refusals_are_believed_about_this_pack_or_from_a_ledger_that_does_not_know_it(ledger):
    receipts = Receipts(ledger.name, None)
    for subject in (URI, ledger.origin):
        said = receipts.refusal(ledger.refusal(digest("x"), permanent=True, subject=subject), URI)
        assert (said.entry, said.permanent) == (digest("x"), True)
    with pytest.raises(EvidenceError):
        receipts.refusal(ledger.refusal(digest("x"), permanent=True, subject=REGISTRAR.pack("pack-2")), URI)


def test_acknowledgements_are_believed_about_this_pack_only(ledger):
    receipts = Receipts(ledger.name, None)
    assert receipts.stored(ledger.stored(digest("x"), digest("y")), URI).digests == (digest("x"), digest("y"))
    for subject in (REGISTRAR.pack("pack-2"), ledger.origin):
        with pytest.raises(EvidenceError):
            receipts.stored(ledger.stored(digest("x"), subject=subject), URI)


def test_an_answer_of_the_wrong_kind_or_signer_is_an_evidence_error(ledger):
    receipts = Receipts(ledger.name, None)
    stranger = Ledger(key("stranger"))
    refusal, stored = ledger.refusal(digest("x"), permanent=True), ledger.stored(digest("x"))
    for call, payload in [
        (receipts.refusal, stored),
        (receipts.stored, refusal),
        (receipts.refusal, stranger.refusal(digest("x"), permanent=True)),
        (receipts.stored, stranger.stored(digest("x"))),
        (receipts.refusal, refusal[:-1]),
        (receipts.refusal, refusal[:-1] + bytes([refusal[-1] ^ 1])),
        (receipts.stored, b""),
        (receipts.stored, b"\xff" * 100_000),
    ]:
        with pytest.raises(EvidenceError):
            call(payload, URI)
