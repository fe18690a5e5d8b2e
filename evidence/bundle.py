"""The bundle: one CBOR file that a stranger can check offline, with nothing in it that checking does not authenticate.

`{1: version, 2: pack, 3: [statement with its receipt], 4: checkpoint, 5: heads leaf or nil, 6: [segment document],
7: [disclosed window]}`. Statements and acts stand in the order of the log; each carries its COSE receipt in its
unprotected header (394). Documents stand in the order of the segments that name them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from evidence import cbor, note, receipt, sign1
from evidence.errors import FormatError
from evidence.merkle import Digest
from evidence.receipt import Receipt
from evidence.statement import entry_of

VERSION: Final = 1
MAX_BYTES: Final = 256 * 1024 * 1024
MAX_STATEMENTS: Final = 1_000_000
MAX_ITEMS: Final = 4 * MAX_STATEMENTS  # each segment may have a document, and some windows with their paths


@dataclass(frozen=True, slots=True)
class Item:
    """One message of the log: its bytes without the receipt, parsed, with its entry and its receipt."""

    encoded: bytes
    message: sign1.Sign1
    entry: Digest
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class HeadsLeaf:
    """The pack's leaf in the newest `heads` of the bundle, with its path."""

    leaf: bytes
    index: int
    path: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class DisclosedWindow:
    """One window of the segment `entry`, with what proves it: its position, salt and path."""

    entry: Digest
    index: int
    salt: bytes
    window: bytes
    path: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A parsed bundle. Not yet verified."""

    pack: str
    items: tuple[Item, ...]
    note: str
    heads: HeadsLeaf | None
    documents: tuple[bytes, ...]
    windows: tuple[DisclosedWindow, ...]


def with_receipt(encoded: bytes, minted: bytes) -> bytes:
    """The message `encoded` with the receipt `minted` in its unprotected header (RFC 9942 section 4.3)."""
    message = sign1.parse(encoded)
    proofs: dict[int, cbor.Value] = {receipt.RECEIPTS: [minted]}
    return sign1.Sign1(message.protected, message.header, proofs, message.payload, message.signature).encode()


def encode(
    pack: str,
    messages: list[bytes],
    checkpoint: str,
    heads: HeadsLeaf | None,
    documents: list[bytes],
    windows: list[DisclosedWindow],
) -> bytes:
    """The bundle's bytes; `messages` carry their receipts and stand in the order of the log."""
    return cbor.encode(
        {
            1: VERSION,
            2: pack,
            3: list(messages),
            4: checkpoint,
            5: None if heads is None else [heads.leaf, heads.index, _hashes(heads.path)],
            6: list(documents),
            7: [[bytes(w.entry), w.index, w.salt, w.window, _hashes(w.path)] for w in windows],
        }
    )


def read(encoded: bytes) -> Bundle:
    """The bundle of exactly these bytes; FormatError for anything else."""
    value = cbor.decode(encoded, max_bytes=MAX_BYTES, max_items=MAX_ITEMS)
    parts = cbor.as_map(value, "bundle", frozenset(range(1, 8)))
    if parts[1] != VERSION:
        raise FormatError(f"the bundle's version is {parts[1]!r}, this program reads {VERSION}")
    messages = cbor.as_list(parts[3], "statements")
    if not 1 <= len(messages) <= MAX_STATEMENTS:
        raise FormatError(f"a bundle has 1 to {MAX_STATEMENTS} statements")
    return Bundle(
        pack=cbor.as_text(parts[2], "pack"),
        items=tuple(_item(message) for message in messages),
        note=_note(parts[4]),
        heads=None if parts[5] is None else _heads(parts[5]),
        documents=tuple(cbor.as_bytes(document, "document") for document in cbor.as_list(parts[6], "documents")),
        windows=tuple(_window(window) for window in cbor.as_list(parts[7], "windows")),
    )


def _item(value: cbor.Value) -> Item:
    message = sign1.parse(cbor.as_bytes(value, "statement"))
    proofs = cbor.as_map(message.unprotected, "unprotected header", frozenset({receipt.RECEIPTS}))
    (minted,) = cbor.as_list(proofs[receipt.RECEIPTS], "receipts", 1)
    bare = sign1.Sign1(message.protected, message.header, {}, message.payload, message.signature)
    encoded = bare.encode()
    return Item(encoded, bare, entry_of(encoded), receipt.parse(cbor.as_bytes(minted, "receipt")))


def _note(value: cbor.Value) -> str:
    if not isinstance(value, str) or len(value) > note.MAX_BYTES:
        raise FormatError(f"a checkpoint is not a text of at most {note.MAX_BYTES} characters")
    return value


def _heads(value: cbor.Value) -> HeadsLeaf:
    leaf, index, path = cbor.as_list(value, "heads leaf", 3)
    return HeadsLeaf(cbor.as_bytes(leaf, "heads leaf"), cbor.as_int(index, "leaf index"), _path(path))


def _window(value: cbor.Value) -> DisclosedWindow:
    entry, index, salt, window, path = cbor.as_list(value, "disclosed window", 5)
    return DisclosedWindow(
        Digest(cbor.as_bytes(entry, "entry", 32)),
        cbor.as_int(index, "window index"),
        cbor.as_bytes(salt, "salt", 16),
        cbor.as_bytes(window, "window"),
        _path(path),
    )


def _hashes(path: tuple[Digest, ...]) -> cbor.Value:
    return [bytes(digest) for digest in path]


def _path(value: cbor.Value) -> tuple[Digest, ...]:
    return tuple(Digest(cbor.as_bytes(digest, "path", 32)) for digest in cbor.as_list(value, "path"))
