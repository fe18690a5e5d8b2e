"""Notes, checkpoints, proofs, receipts, heads and answers: what the ledger signs and how it may be wrong."""

import base64
from dataclasses import replace

import cbor2
import pytest

from evidence import answer, cbor, checkpoint, heads, merkle, note, proof, receipt, sign1
from evidence.answer import Refusal, Stored
from evidence.checkpoint import Checkpoint
from evidence.envelope import Envelope
from evidence.errors import FormatError, ProofError, SignatureError
from evidence.heads import ChainTip, PackHead
from evidence.keys import KeyId, NamedKey
from evidence.merkle import Digest
from evidence.receipt import Minter
from evidence.statement import entry_of
from tests.evidence_world import ORIGIN, digest, full_world, key

WORLD, VEHICLE = full_world("texts")
SIZE = len(WORLD.log)
NOTE = WORLD.note(SIZE)
ENTRY = VEHICLE.chain[0].entry
INDEX = WORLD.log.index(VEHICLE.chain[0].encoded)
PROOF = proof.LogProof(ENTRY, INDEX, tuple(WORLD.tree.inclusion(INDEX)), NOTE)
STRANGER = key("stranger")


def test_a_checkpoint_is_opened_with_the_ledgers_key():
    assert checkpoint.open_note(NOTE.encode(), WORLD.name) == Checkpoint(ORIGIN, SIZE, WORLD.tree.root())


def test_a_checkpoint_of_another_origin_or_key_is_refused():
    with pytest.raises(SignatureError, match="not of"):
        checkpoint.open_note(NOTE.encode(), NamedKey("other.example/log", WORLD.ledger.public))
    with pytest.raises(SignatureError, match="no signature by"):
        checkpoint.open_note(NOTE.encode(), NamedKey(ORIGIN, STRANGER.public))


def witnessed() -> str:
    text = NOTE.partition("\n\n")[0] + "\n"
    return NOTE + note.sign(text, "witness.example/w", STRANGER).rpartition("\n\n")[2]


def test_other_signatures_are_allowed_except_where_nothing_vouches_for_them():
    assert checkpoint.open_note(witnessed().encode(), WORLD.name).size == SIZE
    with pytest.raises(FormatError, match="nothing here verifies"):
        checkpoint.open_note(witnessed().encode(), WORLD.name, alone=True)


def test_a_wrong_signature_under_the_ledgers_name_is_not_outweighed_by_a_good_one():
    line = f"— {ORIGIN} {base64.b64encode(WORLD.name.note_id + bytes(64)).decode()}\n"
    with pytest.raises(SignatureError):
        checkpoint.open_note((NOTE + line).encode(), WORLD.name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n1\n",
        f"\n1\n{base64.b64encode(bytes(32)).decode()}\n",
        f"two words\n1\n{base64.b64encode(bytes(32)).decode()}\n",
        f"o\n01\n{base64.b64encode(bytes(32)).decode()}\n",
        f"o\n-1\n{base64.b64encode(bytes(32)).decode()}\n",
        f"o\n١\n{base64.b64encode(bytes(32)).decode()}\n",
        f"o\n9223372036854775808\n{base64.b64encode(bytes(32)).decode()}\n",
        f"o\n1\n{base64.b64encode(bytes(31)).decode()}\n",
        f"o\n1\n{base64.b64encode(bytes(32)).decode()}",
        f"o\n1\n{base64.b64encode(bytes(32)).decode()}\nextension\n",
        f"o\n1\n{base64.b64encode(bytes(32)).decode()}\n\n",
        f"o\r\n1\r\n{base64.b64encode(bytes(32)).decode()}\r\n",
    ],
)
def test_what_is_no_checkpoint_is_a_format_error(text):
    with pytest.raises(FormatError):
        checkpoint.parse(text)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("— ", "- "),
        lambda text: text.replace("\n\n", "\n"),
        lambda text: text[:-1],
        lambda text: text + "\n",
        lambda text: text + "— x AAAA\n",
        lambda text: text + text.splitlines()[-1] + " \n",
        lambda text: text + f"{text.splitlines()[-1]}\n" * 33,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace(str(SIZE), "\t"),
        lambda text: "x" * note.MAX_BYTES + text,
        lambda text: text.replace("— ", "—  "),
    ],
    ids=range(11),
)
def test_a_note_of_any_other_form_is_a_format_error(change):
    with pytest.raises(FormatError):
        note.parse(change(NOTE).encode())


def test_a_note_that_is_no_utf_8_is_a_format_error():
    with pytest.raises(FormatError):
        note.parse(b"\xff" + NOTE.encode())


@pytest.mark.parametrize(("text", "name"), [("no newline", "n"), ("\nx\n", "n"), ("x\n", "two words"), ("x\n", "a+b")])
def test_no_note_is_signed_that_would_not_be_read(text, name):
    with pytest.raises(FormatError):
        note.sign(text, name, STRANGER)


def test_a_proof_verifies_and_gives_its_checkpoint():
    assert proof.parse(PROOF.encode()) == PROOF
    assert PROOF.verify(WORLD.name).size == SIZE


@pytest.mark.parametrize(
    "wrong", [{"entry": digest("x")}, {"index": INDEX + 1}, {"path": PROOF.path[1:]}, {"index": SIZE}], ids=str
)
def test_a_proof_of_something_else_is_a_proof_error(wrong):
    with pytest.raises(ProofError):
        replace(PROOF, **wrong).verify(WORLD.name)


def test_a_proof_under_another_key_is_a_signature_error():
    with pytest.raises(SignatureError):
        PROOF.verify(NamedKey(ORIGIN, STRANGER.public))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("tlog-proof@v1", "tlog-proof@v2"),
        lambda text: text.replace("extra ", "other "),
        lambda text: text.replace("index ", "index  "),
        lambda text: text.replace(f"index {INDEX}", "index 012"),
        lambda text: text.replace("index", "\nindex"),
        lambda text: "\n" + text,
        lambda text: text[:-10],
        lambda text: text + " ",
        lambda text: text + "x" * proof.MAX_BYTES,
        lambda text: text.replace(base64.b64encode(PROOF.path[0]).decode(), "AAAA"),
        lambda text: text.replace(base64.b64encode(PROOF.entry).decode(), base64.b64encode(bytes(31)).decode()),
    ],
    ids=range(11),
)
def test_a_proof_of_any_other_form_is_a_format_error(change):
    with pytest.raises(FormatError):
        proof.parse(change(PROOF.encode().decode()).encode())


def test_a_path_longer_than_any_tree_is_a_format_error():
    long = replace(PROOF, path=(digest("x"),) * (merkle.MAX_PATH + 1))
    with pytest.raises(FormatError):
        proof.parse(long.encode())


def minted(index=INDEX, **more):
    minter = Minter.create(
        WORLD.ledger, origin=ORIGIN, subject=VEHICLE.uri, issued_at=1, size=SIZE, root=WORLD.tree.root(), **more
    )
    return minter.mint(index, WORLD.tree.inclusion(index))


def test_a_receipt_leads_from_its_entry_to_the_signed_root():
    assert receipt.parse(minted()).verify(ENTRY, WORLD.ledger.public) == WORLD.tree.root()


def test_every_entry_of_a_log_has_a_receipt_from_one_signature():
    minter = Minter.create(
        WORLD.ledger, origin=ORIGIN, subject=VEHICLE.uri, issued_at=1, size=SIZE, root=WORLD.tree.root()
    )
    for index, encoded in enumerate(WORLD.log):
        shown = receipt.parse(minter.mint(index, WORLD.tree.inclusion(index)))
        entry = entry_of(encoded)
        assert shown.verify(entry, WORLD.ledger.public) == WORLD.tree.root()


def test_a_receipt_is_of_no_other_entry_key_or_algorithm():
    shown = receipt.parse(minted())
    with pytest.raises(SignatureError):
        shown.verify(digest("x"), WORLD.ledger.public)
    with pytest.raises(SignatureError):
        shown.verify(ENTRY, STRANGER.public)
    with pytest.raises(SignatureError):
        shown.verify(ENTRY, WORLD.ledger.public, sign1.EDDSA)


def with_proof(encoded, parts):
    message = sign1.parse(encoded)
    return replace(message, unprotected={396: {-1: [cbor2.dumps(parts)]}}).encode()


def test_a_receipt_whose_proof_names_another_size_or_index_is_refused():
    path = [bytes(each) for each in WORLD.tree.inclusion(INDEX)]
    with pytest.raises(FormatError, match="signed tree size"):
        receipt.parse(with_proof(minted(), [SIZE + 1, INDEX, path]))
    for index in range(SIZE):
        if index != INDEX:
            shown = receipt.parse(with_proof(minted(), [SIZE, index, path]))
            with pytest.raises((SignatureError, ProofError)):
                shown.verify(ENTRY, WORLD.ledger.public)


@pytest.mark.parametrize(
    "change",
    [
        {"unprotected": {}},
        {"unprotected": {396: {-2: [b""]}}},
        {"unprotected": {396: {-1: []}}},
        {"unprotected": {396: {-1: [b"", b""]}}},
        {"unprotected": {396: {-1: [b"\x00"]}}},
        {"unprotected": {396: {-1: [cbor2.dumps([SIZE, INDEX, [bytes(31)]])]}}},
        {"unprotected": {396: {-1: [cbor2.dumps([SIZE, INDEX, [bytes(32)] * 64])]}}},
        {"unprotected": {396: {-1: [cbor2.dumps([0, 0, []])]}}},
        {"payload": bytes(WORLD.tree.root())},
    ],
    ids=range(9),
)
def test_a_receipt_of_any_other_form_is_a_format_error(change):
    with pytest.raises(FormatError):
        receipt.parse(replace(sign1.parse(minted()), **change).encode())


def test_a_receipt_of_another_kind_of_tree_is_a_format_error():
    message = sign1.parse(minted())
    header = {**message.header, 395: 2}
    with pytest.raises(FormatError):
        receipt.parse(replace(message, protected=cbor.encode(header)).encode())


def test_a_pack_head_is_one_encoding_with_sorted_tips():
    tips = tuple(ChainTip(KeyId(bytes([n]) * 8), n, n, digest(str(n))) for n in (2, 1))
    encoded = PackHead(VEHICLE.uri, digest("strand"), tips).encode()
    assert heads.read(encoded) == PackHead(VEHICLE.uri, digest("strand"), tuple(sorted(tips)))
    parts = cbor.decode(encoded)
    for wrong in (list(reversed(parts[3])), parts[3] * 2, [parts[3][0][:3]], [[b"short", 0, 0, bytes(32)]]):
        with pytest.raises(FormatError):
            heads.read(cbor.encode({**parts, 3: wrong}))


def test_the_heads_tree_is_sorted_by_pack_whatever_the_order_it_comes_in():
    leaves = [PackHead(f"tag:packs.example,2026:pack/{name}", digest(name), ()) for name in "cab"]
    tree, ordered = heads.tree(leaves)
    assert [each.pack[-1] for each in ordered] == list("abc")
    assert heads.tree(reversed(leaves))[0].root() == tree.root()
    assert tree.node(0, 1) == merkle.leaf_hash(ordered[1].encode())


REFUSAL = Refusal(ENTRY, "unknown-pack", "p-9 is not registered", permanent=False)


@pytest.mark.parametrize("said", [REFUSAL, replace(REFUSAL, permanent=True), Stored((digest("a"), digest("b")))])
def test_an_answer_is_read_as_it_was_signed(said):
    encoded = answer.sign(WORLD.ledger, ORIGIN, VEHICLE.uri, 7, said)
    assert answer.read(encoded, WORLD.name) == (said, VEHICLE.uri)


def test_an_answer_by_another_key_or_in_another_name_is_a_signature_error():
    for signer, origin in ((STRANGER, ORIGIN), (WORLD.ledger, "other.example/log")):
        with pytest.raises(SignatureError):
            answer.read(answer.sign(signer, origin, VEHICLE.uri, 7, REFUSAL), WORLD.name)


def test_an_answer_to_another_audience_is_a_signature_error():
    frame = Envelope("refusal", WORLD.ledger.kid, ORIGIN, VEHICLE.uri, "other.example/log", 1)
    with pytest.raises(SignatureError):
        answer.read(sign1.sign(WORLD.ledger, frame.header(), cbor.encode({1: ENTRY})).encode(), WORLD.name)


@pytest.mark.parametrize("kind", ["open", "time", "refusal", "stored"])
def test_what_the_ledger_signs_otherwise_is_no_answer(kind):
    frame = Envelope(kind, WORLD.ledger.kid, ORIGIN, ORIGIN, ORIGIN, 1)
    with pytest.raises(FormatError):
        answer.read(sign1.sign(WORLD.ledger, frame.header(), cbor.encode({1: []})).encode(), WORLD.name)


def test_a_reason_that_quotes_a_stranger_is_cut_and_cannot_steer_a_terminal():
    hostile = replace(REFUSAL, reason="\x1b[2Jthe statement is for " + "x" * 3000 + "\n")
    read, _ = answer.read(answer.sign(WORLD.ledger, ORIGIN, ORIGIN, 7, hostile), WORLD.name)
    assert read.reason.startswith("?[2Jthe statement")
    assert len(read.reason) == answer.MAX_REASON


def test_an_answer_names_a_bounded_number_of_documents():
    many = Stored(tuple(Digest(n.to_bytes(32, "big")) for n in range(answer.MAX_DIGESTS + 1)))
    with pytest.raises(FormatError):
        answer.read(answer.sign(WORLD.ledger, ORIGIN, ORIGIN, 7, many), WORLD.name)
