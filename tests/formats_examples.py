"""The worked examples of docs/formats.md, made from fixed seeds with the product's own code.

`python -m tests.formats_examples` writes them into the document between their markers; a test says when that is due.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evidence import answer, cbor, proof, segment, sign1, window
from evidence.answer import Refusal, Stored
from evidence.bodies import Clock, Close, Gap, Moment
from evidence.merkle import leaf_hash
from evidence.segment import SegmentDocument
from evidence.window import SaltKey
from tests.evidence_world import ORIGIN, START_S, Vehicle, World, disclosed, sealed, some_windows
from tests.shared import ROOT

DOCUMENT = ROOT / "docs" / "formats.md"
WIDTH = 100


@dataclass(frozen=True)
class Example:
    """One worked example: its exact bytes, and how people read them ("" where the bytes are text themselves)."""

    name: str
    encoded: bytes
    reading: str


class Embedded:
    """CBOR within a byte string, shown as << ... >> (RFC 8610 appendix G.3)."""

    def __init__(self, value: object) -> None:
        self.value = value


class Elided:
    """A byte string shown by its first bytes and length."""

    def __init__(self, value: bytes) -> None:
        self.value = value


def diagnostic(value: object, indent: int = 0) -> str:
    """Diagnostic notation (RFC 8949 section 8), broken where a line would be too long."""
    if isinstance(value, Embedded):
        return f"<< {diagnostic(value.value, indent)} >>"
    if isinstance(value, Elided):
        return f"h'{value.value[:8].hex()}...' / {len(value.value)} bytes /"
    if isinstance(value, bytes):
        return f"h'{value.hex()}'"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    pad = " " * (indent + 2)
    if isinstance(value, dict):
        items, ends = [f"{key}: {diagnostic(item, indent + 2)}" for key, item in value.items()], "{}"
    else:
        assert isinstance(value, list)
        items, ends = [diagnostic(item, indent + 2) for item in value], "[]"
    line = ends[0] + ", ".join(items) + ends[1]
    if len(line) + indent <= WIDTH and "\n" not in line:
        return line
    return f"{ends[0]}\n{pad}" + f",\n{pad}".join(items) + f"\n{' ' * indent}{ends[1]}"


def message(encoded: bytes) -> str:
    """A COSE_Sign1 with what its byte strings hold."""
    parts = sign1.parse(encoded)
    unprotected: dict[int, object] = dict(parts.unprotected)
    if 396 in unprotected:
        inclusion = parts.unprotected[396][-1][0]  # type: ignore[index,call-overload]
        unprotected = {396: {-1: [Embedded(cbor.decode(inclusion))]}}
    payload = None if parts.payload is None else Embedded(cbor.decode(parts.payload))
    shown = [Embedded(parts.header), unprotected, payload, parts.signature]
    return f"18({diagnostic(shown)})"


def build() -> tuple[World, Vehicle]:
    """The world of the examples: one pack, an epoch of all kinds, and the heads."""
    world = World("docs/formats.md")
    vehicle = world.register("p-1")
    world.open(vehicle)
    document, body = stored_uncompressed()
    vehicle.documents[world.say(vehicle, "segment", body).entry] = document
    moments = (Moment(b"boot id of world", 9_000, 0, 0), Moment(b"boot id of world", 9_500, 1000 * START_S, 2))
    world.say(vehicle, "gap", Gap(4, *moments, 17, (("odometer_km", 12),)))
    world.say(vehicle, "clock", Clock(1, 0, 1000 * START_S, 2), seen=world.seen(9))
    world.say(vehicle, "close", Close(0))
    world.heads()
    return world, vehicle


def stored_uncompressed() -> tuple[bytes, segment.Segment]:
    """A segment document in zlib's stored form, whose bytes are the same with every zlib, and its body."""
    encoded, body = sealed("docs/formats.md", some_windows(2))
    encoded = zlib.compress(zlib.decompress(encoded), 0)
    return encoded, segment.Segment(**{**fields(body), "document": segment.digest(encoded)})


def fields(body: segment.Segment) -> dict[str, object]:
    """The fields of a slotted dataclass."""
    return {name: getattr(body, name) for name in body.__slots__}


def raw_frames() -> tuple[list[tuple[int, int, bytes]], bytes]:
    """Two frames as (identifier, flags, payload), and what their digest is taken of."""
    frames = [(0x132, 0, bytes.fromhex("409c640000000000")), (0x18FF50E5, 1, bytes.fromhex("0102"))]
    fed = b"".join(
        number.to_bytes(4, "big") + bytes([flags, len(payload)]) + payload for number, flags, payload in frames
    )
    return frames, fed


def examples() -> Iterator[Example]:
    """All examples, in the order of the document."""
    world, vehicle = build()
    yield Example("vkey", str(world.name).encode(), "")
    for said in vehicle.chain:
        yield Example(f"statement {said.kind}", said.encoded, message(said.encoded))
    frames, fed = raw_frames()
    shown = "\n".join(f"id {n:#x}, flags {flags}, payload {payload.hex()}" for n, flags, payload in frames)
    yield Example("raw frames", fed, f"{shown}\nSHA-256: {hashlib.sha256(fed).hexdigest()}")
    document = vehicle.documents[vehicle.chain[1].entry]
    parsed = segment.read(document)
    yield from window_examples(parsed)
    yield Example("segment document", document, diagnostic(cbor.decode(zlib.decompress(document))))
    for index in (0, 2, 4, 6, 8, -1, 1):
        act = world.log[index]
        kind = str(sign1.parse(act).header[3]).split(".")[2]
        yield Example(f"act {kind}", act, message(act))
    offer = world.offer(vehicle)
    assert offer.heads is not None
    leaf = offer.heads.leaf
    yield Example("heads leaf", leaf, f"{diagnostic(cbor.decode(leaf))}\nleaf hash: {leaf_hash(leaf).hex()}")
    yield Example("checkpoint", offer.note.encode(), "")
    at = world.log.index(vehicle.chain[0].encoded)
    shown_proof = proof.LogProof(vehicle.chain[0].entry, at, tuple(world.tree.inclusion(at)), offer.note)
    yield Example("proof", shown_proof.encode(), "")
    minted = sign1.parse(offer.messages()[offer.indexes.index(at)]).unprotected[394][0]  # type: ignore[index,call-overload]
    yield Example("receipt", minted, message(minted))
    refusal = Refusal(vehicle.chain[0].entry, "unknown-pack", f"{vehicle.uri} is not registered", permanent=False)
    for name, said in (("refusal", refusal), ("stored", Stored((segment.digest(document),)))):
        signed = answer.sign(world.ledger, ORIGIN, vehicle.uri, START_S + 900, said)
        yield Example(name, signed, message(signed))
    offer.documents, offer.windows = [], [disclosed(vehicle.chain[1], document, 1)]
    offer.without(*[at for at in offer.indexes if b"packseal.time" in world.log[at]])
    yield Example("bundle", offer.encode(), bundle_reading(offer.encode()))


def window_examples(parsed: SegmentDocument) -> Iterator[Example]:
    """The second window of the segment, alone, and its salted leaf."""
    encoded = window.encode(parsed.windows[1])
    salt = window.salt(SaltKey(parsed.salt_key), 1)
    leaf = window.leaf(salt, encoded)
    reading = f"{diagnostic(cbor.decode(encoded))}\nsalt key: {parsed.salt_key.hex()}\nsalt 1: {salt.hex()}"
    yield Example("window", encoded, f"{reading}\nleaf 1: {leaf.hex()}")


def bundle_reading(encoded: bytes) -> str:
    """A bundle with its long byte strings elided."""
    parts = cbor.decode(encoded, max_bytes=2**20)
    assert isinstance(parts, dict)
    assert isinstance(parts[3], list)
    shown: dict[int, object] = dict(parts)
    shown[3] = [Elided(each) for each in parts[3] if isinstance(each, bytes)]
    return diagnostic(shown)


def rendered(example: Example) -> str:
    """The example as Markdown: the bytes in hexadecimal (texts as they are), then the reading."""
    if not example.reading:
        return f"```text\n{example.encoded.decode().rstrip()}\n```\n"
    digits = example.encoded.hex()
    lines = "\n".join(digits[at : at + 2 * 48] for at in range(0, len(digits), 2 * 48))
    return f"```hex\n{lines}\n```\n\n```text\n{example.reading}\n```\n"


def filled(document: str) -> str:
    """The document with every example between its markers as it is now."""
    for example in examples():
        start, end = f"<!-- example: {example.name} -->\n", "<!-- end of example -->\n"
        before, marker, rest = document.partition(start)
        if not marker:
            raise SystemExit(f"docs/formats.md has no place for the example: {example.name}")
        _, _, after = rest.partition(end)
        document = before + start + rendered(example) + end + after
    return document


def shown_bytes(document: str, name: str) -> bytes:
    """The bytes that the document shows for an example, read from its text."""
    _, _, rest = document.partition(f"<!-- example: {name} -->\n```")
    language, _, rest = rest.partition("\n")
    block, _, _ = rest.partition("\n```\n")
    return bytes.fromhex(block) if language == "hex" else block.encode()


def main(document: Path = DOCUMENT) -> None:
    """Write the examples into the document."""
    document.write_text(filled(document.read_text()))


if __name__ == "__main__":
    main()
