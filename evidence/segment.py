"""The segment document: the windows of a segment as columns of integers, compressed. It never enters the log.

Its SHA-256 and the root over its salted windows are in the segment statement, so it is checked by whoever receives it.
Columns keep alike numbers together, and differences keep them small, so that zlib has little left to do.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from evidence import cbor, window
from evidence.bodies import Segment
from evidence.errors import FormatError, ProofError
from evidence.merkle import Digest
from evidence.window import LARGEST, ArrayRecord, Record, SaltKey, StateRecord, Window

MAX_COMPRESSED: Final = 4 * 1024 * 1024
MAX_EXPANDED: Final = 32 * 1024 * 1024  # the longest segment with the widest profile is about a tenth of this
MAX_ITEMS: Final = 8_000_000
_SCALAR, _STATE, _ARRAY, _UNSEEN = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class SegmentDocument:
    """The windows of one segment with the key of their salts."""

    profile: Digest
    salt_key: SaltKey
    windows: tuple[Window, ...]


def encode(document: SegmentDocument) -> bytes:
    """The compressed document; what its digest in the statement is taken of."""
    windows = document.windows
    signals = len(windows[0].records) if windows else 0
    starts = [each.start_ms for each in windows]
    columns: list[cbor.Value] = [_column([each.records[at] for each in windows]) for at in range(signals)]
    value: dict[int, cbor.Value] = {
        1: bytes(document.profile),
        2: bytes(document.salt_key),
        3: _differences(starts),
        4: [each.duration_ms for each in windows],
        5: [each.frames for each in windows],
        6: [each.malformed for each in windows],
        7: columns,
    }
    return zlib.compress(cbor.encode(value), 9)


def digest(encoded: bytes) -> Digest:
    """Digest of a compressed document."""
    return Digest(hashlib.sha256(encoded).digest())


def read(encoded: bytes) -> SegmentDocument:
    """The document of these bytes; FormatError if it is malformed, too large or goes on after its end."""
    value = cbor.decode(_expand(encoded), max_bytes=MAX_EXPANDED, max_items=MAX_ITEMS)
    parts = cbor.as_map(value, "segment document", frozenset(range(1, 8)))
    starts = _sums(_ints(parts[3], None))
    count = len(starts)
    durations, frames, malformed = (_ints(parts[key], count) for key in (4, 5, 6))
    if not starts:
        raise FormatError("a segment document has no window")
    if min(*starts, *frames, *malformed) < 0 or min(durations) < 1 or max(starts) > LARGEST:
        raise FormatError("a window of the segment document has an impossible start, duration or count")
    columns = [_records(column, count) for column in cbor.as_list(parts[7], "columns")]
    rows: Iterable[tuple[Record, ...]] = zip(*columns, strict=True) if columns else [()] * count
    return SegmentDocument(
        Digest(cbor.as_bytes(parts[1], "profile digest", 32)),
        SaltKey(cbor.as_bytes(parts[2], "salt key", 32)),
        tuple(
            Window(start, duration, seen, bad, records)
            for start, duration, seen, bad, records in zip(starts, durations, frames, malformed, rows, strict=True)
        ),
    )


def check(encoded: bytes, body: Segment) -> SegmentDocument:
    """The document, if it is the one that the statement's body commits to; ProofError otherwise."""
    if digest(encoded) != body.document:
        raise ProofError("the segment document is not the one that was signed")
    document = read(encoded)
    windows = [window.encode(each) for each in document.windows]
    if window.tree(document.salt_key, windows).root() != body.root or len(windows) != body.windows:
        raise ProofError("the segment document's windows are not the ones that were signed")
    totals = (sum(each.frames for each in document.windows), sum(each.malformed for each in document.windows))
    if document.profile != body.profile or totals != (body.frames, body.malformed):
        raise ProofError("the segment document and its statement disagree on profile or counts")
    if any(each.duration_ms > body.window_ms for each in document.windows):
        raise ProofError("a window of the segment document is longer than its statement says")
    return document


def check_span(document: SegmentDocument, t0_ms: int, t1_ms: int) -> None:
    """ProofError unless the windows follow one another, without overlap, within the statement's span."""
    until = t0_ms
    for each in document.windows:
        if each.start_ms < until:
            raise ProofError("the windows of the segment document overlap or begin before its statement's span")
        until = each.start_ms + each.duration_ms
    if until > t1_ms:
        raise ProofError("the windows of the segment document end after its statement's span")


def _expand(encoded: bytes) -> bytes:
    if len(encoded) > MAX_COMPRESSED:
        raise FormatError(f"a segment document of {len(encoded)} bytes, allowed are {MAX_COMPRESSED}")
    decompressor = zlib.decompressobj()
    try:
        expanded = decompressor.decompress(encoded, MAX_EXPANDED)
    except zlib.error:
        raise FormatError("the segment document is not zlib data") from None
    if not decompressor.eof or decompressor.unused_data:
        raise FormatError("the segment document is truncated, too large or followed by other bytes")
    return expanded


def _column(records: Sequence[Record]) -> cbor.Value:
    """Wire form of one signal's records: [kind, n of each window (0: not seen), then the parts as columns]."""
    seen = [record for record in records if record is not None]
    counts: list[cbor.Value] = [0 if record is None else record[0] for record in records]
    if not seen:
        return [_UNSEEN, counts]
    if len(seen[0]) == 7:
        return [_ARRAY, counts, *_array_parts([record for record in seen if len(record) == 7])]
    if isinstance(seen[0][3], tuple):
        return [_STATE, counts, *_state_parts([record for record in seen if isinstance(record[3], tuple)])]
    return [_SCALAR, counts, *_spread([(r[1], r[2], r[3], r[4]) for r in seen])]  # type: ignore[misc]


def _spread(rows: Sequence[tuple[int, ...]]) -> list[cbor.Value]:
    """Minima as differences, every further part relative to its minimum."""
    relative: list[cbor.Value] = [[row[at] - row[0] for row in rows] for at in range(1, len(rows[0]))]
    return [_differences([row[0] for row in rows]), *relative]


def _state_parts(records: Sequence[StateRecord]) -> list[cbor.Value]:
    return [
        [record[1] for record in records],
        [record[2] for record in records],
        [[list(change) for change in record[3]] for record in records],
        [record[4] for record in records],
    ]


def _array_parts(records: Sequence[ArrayRecord]) -> list[cbor.Value]:
    parts = _spread([(record[1], record[2], record[3]) for record in records])
    parts.append([record[4] for record in records])
    parts.append([record[5] for record in records])
    elements: list[cbor.Value] = []
    for _, low, _, _, _, _, last in records:
        elements.append([None if item is None else item - low for item in last])
    return [*parts, elements]


def _records(value: cbor.Value, count: int) -> list[Record]:
    """The records of one signal from its column; the record rules of `window.read_record` hold here too."""
    column = cbor.as_list(value, "column")
    if len(column) < 2:
        raise FormatError("a column is too short")
    kind = cbor.as_int(column[0], "column kind", 0, _UNSEEN)
    counts = _ints(column[1], count)
    seen = sum(1 for n in counts if n)
    lengths = {_SCALAR: 6, _STATE: 6, _ARRAY: 8, _UNSEEN: 2}
    if len(column) != lengths[kind] or (seen == 0) != (kind == _UNSEEN):
        raise FormatError("a column does not fit its kind")
    readings = [n for n in counts if n]
    if kind == _SCALAR:
        rows = iter(_read_spread(readings, column[2:6]))
    elif kind == _STATE:
        rows = iter(_read_states(readings, column[2:6]))
    elif kind == _ARRAY:
        rows = iter(_read_arrays(readings, column[2:8]))
    else:
        rows = iter(())
    return [window.read_record(next(rows)) if n else None for n in counts]


def _read_spread(counts: list[int], parts: Sequence[cbor.Value]) -> list[list[cbor.Value]]:
    lows = _sums(_ints(parts[0], len(counts)))
    others = [_ints(part, len(counts)) for part in parts[1:]]
    return [
        [n, low, *(low + other[at] for other in others)] for at, (n, low) in enumerate(zip(counts, lows, strict=True))
    ]


def _read_states(counts: list[int], parts: Sequence[cbor.Value]) -> list[list[cbor.Value]]:
    columns = [cbor.as_list(part, "state column", len(counts)) for part in parts]
    if not all(isinstance(changes, list) for changes in columns[2]):
        raise FormatError("transitions are not arrays")
    return [[n, *row] for n, row in zip(counts, zip(*columns, strict=True), strict=True)]


def _read_arrays(counts: list[int], parts: Sequence[cbor.Value]) -> list[list[cbor.Value]]:
    spread = _read_spread(counts, parts[:3])
    low_at, high_at = _ints(parts[3], len(counts)), _ints(parts[4], len(counts))
    rows: list[list[cbor.Value]] = []
    for at, elements in enumerate(cbor.as_list(parts[5], "array column", len(counts))):
        low = cbor.as_int(spread[at][1], "minimum", -(2**63))
        last: list[cbor.Value] = [
            None if item is None else low + cbor.as_int(item, "element", -(2**63))
            for item in cbor.as_list(elements, "elements")
        ]
        rows.append([*spread[at], low_at[at], high_at[at], last])
    return rows


def _differences(values: list[int]) -> cbor.Value:
    return [value - before for value, before in zip(values, [0, *values], strict=False)]


def _sums(values: list[int]) -> list[int]:
    total = 0
    return [total := total + value for value in values]


def _ints(value: cbor.Value, length: int | None) -> list[int]:
    return [cbor.as_int(item, "column value", -(2**63)) for item in cbor.as_list(value, "column", length)]
