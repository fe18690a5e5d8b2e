"""Every parser: any bytes give a value or its one error, and a value is written again as it was read."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import (
    acts,
    answer,
    bodies,
    bundle,
    cbor,
    checkpoint,
    heads,
    keys,
    names,
    note,
    proof,
    receipt,
    segment,
    sign1,
    statement,
    window,
)
from evidence.errors import FormatError, SignatureError
from evidence.merkle import Digest
from tests.doctoring import anything, doctored, ordered
from tests.evidence_world import ORIGIN, digest, disclosed, full_world, small_world

WORLD, VEHICLE = small_world("parsers")
OTHER, OTHER_VEHICLE = full_world("parsers")
OFFER = WORLD.offer(VEHICLE)
OFFER.windows = [disclosed(VEHICLE.chain[1], OFFER.documents[0], 1)]
DOCUMENT = segment.read(OFFER.documents[0])
PROOF = proof.LogProof(VEHICLE.chain[0].entry, 9, tuple(WORLD.tree.inclusion(9)), WORLD.note(len(WORLD.log)))
REFUSAL = answer.sign(WORLD.ledger, ORIGIN, VEHICLE.uri, 1, answer.Refusal(digest("x"), "unknown-key", "why", True))
STORED = answer.sign(WORLD.ledger, ORIGIN, VEHICLE.uri, 1, answer.Stored((digest("a"), digest("b"))))


def written_note(parsed: note.Note) -> bytes:
    lines = [
        f"— {each.name} {keys.base64.b64encode(each.key_id + each.signature).decode()}\n" for each in parsed.signatures
    ]
    return f"{parsed.text}\n{''.join(lines)}".encode()


def written_act(parsed: acts.Act) -> bytes:
    payload = {4: parsed.kind, 10: acts._value(parsed.body), 12: parsed.after}
    return sign1.Sign1(
        cbor.encode(parsed.envelope.header()), {}, {}, cbor.encode(payload), parsed.message.signature
    ).encode()


def written_statement(parsed: statement.Statement) -> bytes:
    at = parsed.stamp
    payload = {1: parsed.epoch, 2: parsed.seq, 3: parsed.prev, 4: parsed.kind, 5: at.boot_id, 6: at.t0_ms, 7: at.t1_ms}
    payload |= {8: at.wall_ms, 9: at.quality, 10: bodies.body_value(parsed.body)}
    if parsed.seen is not None:
        payload[11] = [parsed.seen.size, parsed.seen.root]
    return sign1.Sign1(
        cbor.encode(parsed.envelope.header()), {}, {}, cbor.encode(payload), parsed.message.signature
    ).encode()


def written_bundle(parsed: bundle.Bundle) -> bytes:
    messages = [bundle.with_receipt(item.encoded, item.receipt.message.encode()) for item in parsed.items]
    return bundle.encode(parsed.pack, messages, parsed.note, parsed.heads, list(parsed.documents), list(parsed.windows))


def written_answer(parsed: tuple[answer.Answer, str]) -> bytes:
    return answer.sign(WORLD.ledger, ORIGIN, parsed[1], 1, parsed[0])


def textual(parse: Callable[[str], Any]) -> Callable[[bytes], Any]:
    """A parser of text as one of bytes: what is no text does not reach it."""

    def of_bytes(encoded: bytes) -> Any:
        return parse(encoded.decode("utf-8", "surrogateescape"))

    return of_bytes


@dataclass(frozen=True)
class Parser:
    parse: Callable[[bytes], Any]
    write: Callable[[Any], bytes]
    samples: tuple[bytes, ...]
    plain: Callable[[bytes], bytes] = bytes  # what is compared: the document within its compression
    errors: tuple[type[Exception], ...] = (FormatError,)


def identity(parsed: str) -> bytes:
    return parsed.encode()


PARSERS = {
    "cbor": Parser(cbor.decode, cbor.encode, (cbor.encode({1: [None, "text", b"bytes"], -1: {0: -7}}),)),
    "sign1": Parser(sign1.parse, sign1.Sign1.encode, tuple(WORLD.log[:4]) + tuple(OFFER.messages()[:2])),
    "statement": Parser(statement.read, written_statement, tuple(each.encoded for each in OTHER_VEHICLE.chain)),
    "acts": Parser(acts.read, written_act, (*tuple(WORLD.log[:9]), WORLD.log[-2])),
    "note": Parser(note.parse, written_note, (WORLD.note(5).encode(),)),
    "checkpoint": Parser(
        textual(checkpoint.parse),
        lambda parsed: parsed.text().encode(),
        (WORLD.note(5).partition("\n\n")[0].encode() + b"\n",),
    ),
    "decimal": Parser(
        textual(lambda text: checkpoint.decimal(text, "size")), lambda n: str(n).encode(), (b"0", b"907")
    ),
    "proof": Parser(proof.parse, proof.LogProof.encode, (PROOF.encode(),)),
    "receipt": Parser(
        receipt.parse,
        lambda parsed: parsed.message.encode(),
        tuple(sign1.parse(each).unprotected[394][0] for each in OFFER.messages()[:2]),
    ),
    "answer": Parser(
        lambda encoded: answer.read(encoded, WORLD.name),
        written_answer,
        (REFUSAL, STORED),
        errors=(FormatError, SignatureError),
    ),
    "heads": Parser(heads.read, heads.PackHead.encode, (OFFER.heads.leaf,)),
    "window": Parser(window.read, window.encode, tuple(window.encode(each) for each in DOCUMENT.windows)),
    "segment": Parser(segment.read, segment.encode, tuple(OFFER.documents), plain=zlib.decompress),
    "bundle": Parser(bundle.read, written_bundle, (OFFER.encode(),)),
    "vkey": Parser(textual(keys.NamedKey.parse), lambda parsed: str(parsed).encode(), (str(WORLD.name).encode(),)),
    "identifier": Parser(textual(names.identifier), identity, (b"pack-1", b"0")),
    "origin": Parser(textual(names.origin), identity, (ORIGIN.encode(),)),
    "registrar": Parser(textual(names.Registrar), lambda parsed: parsed.authority.encode(), (b"packs.example,2026",)),
    "uri": Parser(
        textual(lambda text: names.parse_uri(text, "pack")),
        lambda parsed: parsed[0].pack(parsed[1]).encode(),
        (VEHICLE.uri.encode(),),
    ),
}
every_parser = pytest.mark.parametrize("name", PARSERS)


def judge(parser: Parser, encoded: bytes) -> bool:
    """Whether it is a value, which then must be written as it was read."""
    try:
        value = parser.parse(encoded)
    except parser.errors:
        return False
    assert parser.plain(parser.write(value)) == parser.plain(encoded)
    return True


@every_parser
def test_its_samples_are_values_that_are_written_as_they_were_read(name):
    parser = PARSERS[name]
    assert all(judge(parser, sample) for sample in parser.samples)


@every_parser
@given(encoded=st.binary(max_size=120))
def test_any_bytes_are_a_value_or_its_one_error(name, encoded):
    judge(PARSERS[name], encoded)


@every_parser
@given(text=st.text(max_size=80))
def test_any_text_is_a_value_or_its_one_error(name, text):
    judge(PARSERS[name], text.encode())


@every_parser
@given(data=st.data())
def test_a_sample_with_changed_bytes_is_a_value_or_its_one_error(name, data):
    sample = bytearray(PARSERS[name].samples[data.draw(st.integers(0, len(PARSERS[name].samples) - 1))])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(sample) - 1))
        sample[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        sample = sample or bytearray(b"\0")
    judge(PARSERS[name], bytes(sample))


@every_parser
def test_a_sample_that_is_truncated_or_followed_by_anything_is_its_one_error(name):
    parser = PARSERS[name]
    free = {"identifier", "origin", "registrar", "uri", "decimal"}  # their prefixes may well be names and numbers
    for sample in parser.samples:
        step = max(1, len(sample) // 400)
        for length in range(0, len(sample), step):
            assert not judge(parser, sample[:length]) or name in free
        for tail in (b"\0", b"\n", b" ", b"\xf6", sample):
            twice = tail == sample and name in {
                "identifier",
                "decimal",
                "origin",
                "note",
            }  # a note's text may hold a note
            assert twice or not judge(parser, sample + tail)


def signed_anew(encoded: bytes, data: st.DataObject) -> bytes:
    """A message with something changed in its headers or payload, and a signature that fits."""
    message = sign1.parse(encoded)
    header, unprotected, payload = message.header, message.unprotected, message.payload
    place = data.draw(st.sampled_from(["header", "unprotected", "payload"]))
    if place == "header":
        header = ordered(doctored(header, data))
    elif place == "unprotected":
        unprotected = ordered(doctored(unprotected, data))
    elif payload is not None:
        payload = cbor.encode(ordered(doctored(cbor.decode(payload), data)))
    protected = cbor.encode(header)
    signature = WORLD.ledger.sign(sign1.to_be_signed(protected, payload or b""))
    return cbor.encode_sign1([protected, unprotected, payload, signature])


@pytest.mark.parametrize("name", ["sign1", "statement", "acts", "receipt", "answer"])
@given(data=st.data())
def test_a_signed_message_of_any_other_content_is_a_value_or_its_one_error(name, data):
    sample = PARSERS[name].samples[data.draw(st.integers(0, len(PARSERS[name].samples) - 1))]
    try:
        judge(PARSERS[name], signed_anew(sample, data))
    except AssertionError:
        if name != "answer":  # an answer is signed anew with the time of the test, not with its own
            raise


@pytest.mark.parametrize("name", ["heads", "window", "segment", "bundle"])
@given(data=st.data())
def test_a_document_of_any_other_content_is_a_value_or_its_one_error(name, data):
    sample = PARSERS[name].samples[data.draw(st.integers(0, len(PARSERS[name].samples) - 1))]
    packed = name == "segment"
    value = doctored(cbor.decode(zlib.decompress(sample) if packed else sample, max_bytes=2**20), data)
    encoded = cbor.encode(ordered(value))
    judge(PARSERS[name], zlib.compress(encoded) if packed else encoded)


@given(st.sampled_from(sorted(bodies.BODIES)), anything)
def test_a_body_of_any_value_is_a_body_or_a_format_error(kind, value):
    try:
        body = bodies.read_body(kind, value)
    except FormatError:
        return
    assert bodies.body_value(body) == value


@given(st.text(max_size=40), st.sampled_from(["pack", "gw", "party"]))
def test_no_text_but_the_written_form_is_a_uri(text, kind):
    try:
        registrar, identifier = names.parse_uri(f"tag:packs.example,2026:{text}", kind)
    except FormatError:
        return
    assert text == f"{kind}/{identifier}"
    assert registrar == names.Registrar("packs.example,2026")


def test_digests_in_a_value_are_plain_bytes():
    assert type(heads.read(OFFER.heads.leaf).strand) is bytes
    assert Digest(b"x") == b"x"
