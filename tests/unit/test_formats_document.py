"""docs/formats.md says what the code does: its examples are current and parse, its tables and keys are the code's."""

import hashlib
import re
from pathlib import Path

import pytest

from agent.frames import Frames, digest_update
from evidence import (
    acts,
    answer,
    bodies,
    bundle,
    cbor,
    checkpoint,
    heads,
    proof,
    receipt,
    register,
    segment,
    sign1,
    statement,
    window,
)
from evidence.keys import NamedKey
from evidence.statement import QUALITIES
from evidence.verify import verify
from tests import formats_examples
from tests.formats_examples import DOCUMENT, build, examples, filled, raw_frames, shown_bytes

TEXT = DOCUMENT.read_text()
WORLD, VEHICLE = build()
LEDGER = WORLD.name
NAMES = [example.name for example in examples()]


def shown(name: str) -> bytes:
    """The bytes in the document; texts lose their last newline there."""
    found = shown_bytes(TEXT, name)
    return found + b"\n" if name in ("checkpoint", "proof") else found


def test_the_examples_are_current():
    assert filled(TEXT) == TEXT, "run python -m tests.formats_examples"


def test_every_marker_of_the_document_is_an_example():
    assert re.findall("<!-- example: (.+) -->", TEXT) == sorted(NAMES, key=lambda name: TEXT.index(f"example: {name} "))


@pytest.mark.parametrize("example", list(examples()), ids=NAMES)
def test_the_document_shows_the_examples_bytes(example):
    assert shown(example.name) == example.encoded


@pytest.mark.parametrize("kind", bodies.BODIES)
def test_the_statements_of_the_document_are_read_by_the_parser(kind):
    encoded = shown(f"statement {kind}")
    said = statement.read(encoded)
    assert (said.kind, said.envelope.subject) == (kind, VEHICLE.uri)
    assert said.message.encode() == encoded
    said.message.verify(VEHICLE.key.public)


@pytest.mark.parametrize("kind", sorted(acts.ACT_KINDS))
def test_the_acts_of_the_document_are_read_by_the_parser(kind):
    encoded = shown(f"act {kind}")
    act = acts.read(encoded)
    assert act.kind == kind
    assert act.message.encode() == encoded in WORLD.log


def test_the_segment_its_window_and_its_document_belong_together():
    said = statement.read(shown("statement segment"))
    document = segment.check(shown("segment document"), said.body)
    encoded = shown("window")
    assert window.read(encoded) == document.windows[1]
    leaf = window.leaf(window.salt(document.salt_key, 1), encoded)
    assert f"leaf 1: {leaf.hex()}" in TEXT


def test_the_raw_frame_digest_is_what_the_agent_computes():
    frames, _ = raw_frames()
    hasher = hashlib.sha256()
    digest_update(hasher, Frames.from_rows((0, number, flags, payload) for number, flags, payload in frames))
    assert hasher.digest() == hashlib.sha256(shown("raw frames")).digest()
    assert f"SHA-256: {hasher.hexdigest()}" in TEXT


def test_the_key_checkpoint_proof_and_receipt_of_the_document_verify():
    key = NamedKey.parse(shown("vkey").decode())
    assert key == LEDGER
    head = checkpoint.open_note(shown("checkpoint"), key, alone=True)
    assert proof.parse(shown("proof")).verify(key) == head
    entry = statement.read(shown("statement open")).entry
    assert receipt.parse(shown("receipt")).verify(entry, key.public) == head.root


def test_the_heads_leaf_names_the_packs_last_act_and_statement():
    leaf = heads.read(shown("heads leaf"))
    assert leaf.encode() == shown("heads leaf")
    assert (leaf.strand, leaf.tips[0].entry) == (VEHICLE.strand, VEHICLE.chain[-1].entry)


def test_the_answers_of_the_document_are_read_by_the_parser():
    assert answer.read(shown("refusal"), LEDGER)[0].rule == "unknown-pack"
    assert answer.read(shown("stored"), LEDGER)[0].digests == (segment.digest(shown("segment document")),)


def test_the_bundle_of_the_document_verifies():
    verdict = verify(shown("bundle"), LEDGER, [VEHICLE.key.public])
    assert (verdict.complete_size, len(verdict.statements), len(verdict.windows)) == (15, 5, 1)
    assert bundle.read(shown("bundle")).pack == VEHICLE.uri


def table(first: str, second: str) -> dict[str, str]:
    """The rows of the document's table with these column names."""
    _, found, rest = TEXT.partition(f"| {first} | {second} |\n|---|---|\n")
    assert found, first
    rows = rest.partition("\n\n")[0].splitlines()
    return dict(row.strip("| ").split(" | ", 1) for row in rows)


@pytest.mark.parametrize(
    ("name", "constants"),
    [
        ("open reason", bodies.OPEN_REASONS),
        ("gap reason", bodies.GAP_REASONS),
        ("close reason", bodies.CLOSE_REASONS),
        ("clock reason", bodies.CLOCK_REASONS),
        ("clock quality", QUALITIES),
    ],
)
def test_the_tables_of_codes_are_the_codes(name, constants):
    assert table(name, "meaning") == {str(code): meaning for code, meaning in constants.items()}


def test_the_table_of_rules_is_the_registers():
    source = Path(register.__file__).read_text()
    named = set(re.findall(r'"([a-z]+(?:-[a-z]+)+|stale)"', source)) - acts.ACT_KINDS
    assert set(table("rule", "refuses")) == named


def cddl(name: str) -> str:
    """A rule of the document."""
    found = re.search(rf"^{name} = (.*?)^[\]}})]", TEXT, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]


def keys(name: str) -> tuple[set[int], set[int]]:
    """(required, optional) keys of a map in the document."""
    rows = re.findall(r"^  (\? )?(-?\d+) =>", cddl(name), re.MULTILINE)
    return {int(key) for optional, key in rows if not optional}, {int(key) for optional, key in rows if optional}


def content(name: str) -> dict:
    message = sign1.parse(shown(name))
    return cbor.decode(message.payload)


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        *((kind, content(f"statement {kind}")[10]) for kind in bodies.BODIES),
        *((kind, content(f"act {kind}")[10]) for kind in sorted(acts.ACT_KINDS)),
        ("refusal", content("refusal")),
        ("stored", content("stored")),
        ("statement-payload", content("statement clock")),
        ("act-payload", content("act key-bind")),
        ("header", sign1.parse(shown("act time")).header),
        ("claims", sign1.parse(shown("act time")).header[15]),
        ("receipt-header", sign1.parse(shown("receipt")).header),
        ("window", cbor.decode(shown("window"))),
        ("segment-document", cbor.decode(formats_examples.zlib.decompress(shown("segment document")))),
        ("pack-head", cbor.decode(shown("heads leaf"))),
        ("bundle", cbor.decode(shown("bundle"))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_keys_of_each_map_are_those_of_its_example(rule, value):
    required, optional = keys(rule)
    assert required <= value.keys() <= required | optional


def test_the_kinds_and_roles_of_the_document_are_the_codes():
    kinds = re.findall(r'"([a-z-]+)"', cddl("statement-payload"))
    assert set(kinds) == bodies.BODIES.keys()
    assert set(re.findall(r'"([a-z-]+)"', cddl("act-payload"))) == acts.ACT_KINDS
    roles = re.search(r"^role = (.*)$", TEXT, re.MULTILINE)
    assert set(re.findall(r'"([a-z]+)"', roles[1])) == acts.ROLES
