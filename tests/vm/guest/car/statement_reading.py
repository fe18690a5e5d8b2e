"""Reads statements by the published format (docs/formats.md) with nothing of packseal: another eye on what it wrote."""

import contextlib
import functools
import hashlib
import sqlite3
from dataclasses import dataclass

STORE = "/var/lib/packseal/agent/outbox.db"
LOG = "/var/lib/packseal/ledger/log.sqlite3"


@dataclass(frozen=True, slots=True)
class Said:
    """One statement: its place in the chain, its times in ms (boot clock; wall clock at t0), its body by number."""

    epoch: int
    seq: int
    kind: str
    boot_id: bytes
    t0_ms: int
    t1_ms: int
    wall_ms: int
    quality: int
    body: dict
    entry: bytes


def said():
    """Every statement in the outbox, oldest first."""
    return [_statement(encoded) for (encoded,) in _rows(STORE, "SELECT body FROM statements ORDER BY id")]


def admitted():
    """The entries of the ledger's log."""
    return {entry for (entry,) in _rows(LOG, "SELECT entry FROM entries")}


def _rows(path, query):
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        return store.execute(query).fetchall()


@functools.cache
def _statement(encoded):
    (_, unprotected, payload, _), end = _item(encoded, 0)
    assert (unprotected, end) == ({}, len(encoded))
    fields, end = _item(payload, 0)
    assert end == len(payload)
    numbers = (1, 2, 4, 5, 6, 7, 8, 9, 10)
    return Said(*(fields[number] for number in numbers), hashlib.sha256(encoded).digest())


def _item(octets, at):
    """The CBOR item at `at` and where the next one begins; a tag is passed over."""
    kind, short = octets[at] >> 5, octets[at] & 31
    width = {24: 1, 25: 2, 26: 4, 27: 8}.get(short, 0)
    value = int.from_bytes(octets[at + 1 : at + 1 + width], "big") if width else short
    at += 1 + width
    match kind:
        case 0:
            return value, at
        case 1:
            return -1 - value, at
        case 2:
            return octets[at : at + value], at + value
        case 3:
            return octets[at : at + value].decode(), at + value
        case 4:
            items = []
            for _ in range(value):
                item, at = _item(octets, at)
                items.append(item)
            return items, at
        case 5:
            fields = {}
            for _ in range(value):
                key, at = _item(octets, at)
                fields[key], at = _item(octets, at)
            return fields, at
        case 6:
            return _item(octets, at)
    assert value == 22, "of the simple values statements have nil alone"
    return None, at
