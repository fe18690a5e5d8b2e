"""The window on the wire: one second of a pack, as the exact bytes that a salted Merkle leaf commits to.

Unsalted leaves would reveal their neighbours: a parked car's window falls to a few hundred thousand guesses. So
leaf i = SHA-256(0x00 || salt_i || window_i) with salt_i = BLAKE2b-16(key = 32 random bytes, i), and one window can be
disclosed alone with its salt.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, NewType, TypeAlias

from evidence import cbor
from evidence.errors import FormatError
from evidence.merkle import Digest, Tree

SaltKey = NewType("SaltKey", bytes)  # 32 random bytes, kept in the segment document only

ScalarRecord: TypeAlias = tuple[int, int, int, int, int]
"""(n, min, max, mean, last); mean is rounded half up: floor((2 sum + n) / 2n)."""

Transitions: TypeAlias = tuple[tuple[int, int], ...]
StateRecord: TypeAlias = tuple[int, int, int, Transitions, int]
"""(n, first, last, transitions as (offset ms, value), dropped): `first` is the value before any transition."""

ArrayRecord: TypeAlias = tuple[int, int, int, int, int, int, tuple[int | None, ...]]
"""(n, min, max, mean, index of min, index of max, last value of each element or None if not seen)."""

Record: TypeAlias = ScalarRecord | StateRecord | ArrayRecord | None
"""What a window says of one signal; None when the signal was not seen in it."""

MAX_TRANSITIONS: Final = 64
MAX_BYTES: Final = 8 * 1024 * 1024  # the widest profile with every transition stays below
LARGEST: Final = 2**62 - 1  # so that the segment document's difference of any two values is within 64 bits


@dataclass(frozen=True, slots=True)
class Window:
    """One window: boot-clock start and duration in ms, frames and unreadable frames, a record per profile signal."""

    start_ms: int
    duration_ms: int
    frames: int
    malformed: int
    records: tuple[Record, ...]


def encode(window: Window) -> bytes:
    """The bytes of a window that its leaf commits to."""
    records: list[cbor.Value] = [None if record is None else _record_value(record) for record in window.records]
    return cbor.encode({1: window.start_ms, 2: window.duration_ms, 3: window.frames, 4: window.malformed, 5: records})


def read(encoded: bytes) -> Window:
    """The window of exactly these bytes; FormatError otherwise."""
    parts = cbor.as_map(cbor.decode(encoded, max_bytes=MAX_BYTES), "window", frozenset(range(1, 6)))
    return Window(
        cbor.as_int(parts[1], "window start"),
        cbor.as_int(parts[2], "window duration", 1),
        cbor.as_int(parts[3], "frames"),
        cbor.as_int(parts[4], "malformed"),
        tuple(read_record(value) for value in cbor.as_list(parts[5], "records")),
    )


def read_record(value: cbor.Value) -> Record:
    """The record of its wire form, told apart by its length; FormatError if it contradicts itself."""
    if value is None:
        return None
    items = cbor.as_list(value, "record")
    if len(items) == 5 and not isinstance(items[3], list):
        return _ordered(tuple(_int(item) for item in items))
    if len(items) == 5:
        return _state(items)
    if len(items) == 7:
        elements = cbor.as_list(items[6], "elements")
        last = tuple(None if item is None else _int(item) for item in elements)
        n, low, high, mean, low_at, high_at = (_int(item) for item in items[:6])
        if not (n > 0 and low <= mean <= high and 0 <= low_at < len(last) and 0 <= high_at < len(last)):
            raise FormatError("an array record contradicts itself")
        return n, low, high, mean, low_at, high_at, last
    raise FormatError("a record has neither 5 nor 7 parts")


def salt(key: SaltKey, index: int) -> bytes:
    """Salt of the window at `index` of its segment: BLAKE2b-16 keyed with the segment's 32 random bytes."""
    return hashlib.blake2b(index.to_bytes(8, "big"), digest_size=16, key=key).digest()


def leaf(window_salt: bytes, encoded: bytes) -> Digest:
    """Leaf of one window: SHA-256(0x00 || salt || window)."""
    return Digest(hashlib.sha256(b"\x00" + window_salt + encoded).digest())


def tree(key: SaltKey, windows: list[bytes]) -> Tree:
    """The Merkle tree over the windows of a segment."""
    return Tree(leaf(salt(key, index), encoded) for index, encoded in enumerate(windows))


def _record_value(record: ScalarRecord | StateRecord | ArrayRecord) -> cbor.Value:
    parts: list[cbor.Value] = []
    for part in record:
        if isinstance(part, tuple):
            parts.append([list(item) if isinstance(item, tuple) else item for item in part])
        else:
            parts.append(part)
    return parts


def _ordered(record: tuple[int, ...]) -> ScalarRecord:
    n, low, high, mean, last = record
    if not (n > 0 and low <= mean <= high and low <= last <= high):
        raise FormatError("a scalar record contradicts itself")
    return n, low, high, mean, last


def _state(items: list[cbor.Value]) -> StateRecord:
    changes = [cbor.as_list(item, "transition", 2) for item in cbor.as_list(items[3], "transitions")]
    if len(changes) > MAX_TRANSITIONS:
        raise FormatError("a window has too many transitions")
    n, first, last, dropped = _int(items[0]), _int(items[1]), _int(items[2]), cbor.as_int(items[4], "dropped")
    transitions = tuple((cbor.as_int(offset, "offset"), _int(state)) for offset, state in changes)
    offsets = [offset for offset, _ in transitions]
    reached = transitions[-1][1] if transitions else first
    if n < 1 or offsets != sorted(offsets) or (dropped == 0 and reached != last):
        raise FormatError("a state record contradicts itself")
    return n, first, last, transitions, dropped


def _int(value: cbor.Value) -> int:
    return cbor.as_int(value, "record value", -LARGEST, LARGEST)
