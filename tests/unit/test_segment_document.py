"""The segment document against a reader written here from docs/formats.md, sharing nothing with evidence.segment."""

import hashlib
import zlib
from dataclasses import replace

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import bodies, cbor, segment, window
from evidence.errors import EvidenceError, FormatError, ProofError
from evidence.merkle import Digest
from evidence.segment import SegmentDocument
from evidence.window import SaltKey, Window
from tests.evidence_world import sealed, some_windows

numbers = st.integers(-(2**62) + 1, 2**62 - 1)


@st.composite
def scalars(draw):
    low, mean, high = sorted(draw(st.tuples(numbers, numbers, numbers)))
    return draw(st.integers(1, 5000)), low, high, mean, draw(st.integers(low, high))


@st.composite
def states(draw):
    offsets = sorted(draw(st.lists(st.integers(0, 3_600_000), max_size=4)))
    changes = tuple((offset, draw(st.integers(0, 9))) for offset in offsets)
    first, dropped = draw(st.integers(0, 9)), draw(st.sampled_from([0, 0, 3]))
    last = draw(st.integers(0, 9)) if dropped else changes[-1][1] if changes else first
    return draw(st.integers(1, 5000)), first, last, changes, dropped


def arrays(elements: int):
    @st.composite
    def records(draw):
        low, mean, high = sorted(draw(st.tuples(*[st.integers(-5000, 5000)] * 3)))
        places = st.integers(0, elements - 1)
        last = draw(st.tuples(*[st.none() | st.integers(low, high)] * elements))
        return draw(st.integers(1, 5000)), low, high, mean, draw(places), draw(places), last

    return records()


@st.composite
def windows(draw):
    columns = draw(st.lists(st.sampled_from([scalars(), states(), arrays(1), arrays(5), st.none()]), max_size=4))
    made = []
    for _ in range(draw(st.integers(1, 6))):
        records = tuple(draw(st.none() | column) for column in columns)
        counts = draw(st.tuples(*[st.integers(0, 10_000)] * 2))
        made.append(Window(draw(st.integers(0, 2**50)), draw(st.integers(1, 60_000)), *counts, records))
    return tuple(made)


def naive(encoded: bytes) -> list[Window]:
    """The windows of a document, by docs/formats.md."""
    parts = cbor2.loads(zlib.decompress(encoded))
    made, start = [], 0
    for at, step in enumerate(parts[3]):
        start += step
        records = tuple(naive_record(column, at) for column in parts[7])
        made.append(Window(start, parts[4][at], parts[5][at], parts[6][at], records))
    return made


def naive_record(column, at):
    kind, counts, *rest = column
    n = counts[at]
    if n == 0:
        return None
    row = sum(1 for earlier in counts[:at] if earlier)
    if kind == 1:
        first, last, changes, dropped = (part[row] for part in rest)
        return n, first, last, tuple((offset, value) for offset, value in changes), dropped
    low = sum(rest[0][: row + 1])
    if kind == 0:
        return n, low, low + rest[1][row], low + rest[2][row], low + rest[3][row]
    last = tuple(None if element is None else low + element for element in rest[5][row])
    return n, low, low + rest[1][row], low + rest[2][row], rest[3][row], rest[4][row], last


def document(made) -> SegmentDocument:
    return SegmentDocument(Digest(b"p" * 32), SaltKey(b"k" * 32), tuple(made))


@given(windows())
def test_any_windows_are_read_back_by_our_reader_and_by_the_naive_one(made):
    encoded = segment.encode(document(made))
    assert segment.read(encoded) == document(made)
    assert naive(encoded) == list(made)


@given(windows())
def test_any_window_is_read_back_from_the_bytes_that_its_leaf_commits_to(made):
    for each in made:
        assert window.read(window.encode(each)) == each


def test_the_document_of_a_statement_is_the_one_that_it_names():
    encoded, body = sealed("a", some_windows(4))
    assert segment.check(encoded, body).windows == some_windows(4)


def test_another_document_than_the_signed_one_is_refused():
    _, body = sealed("a", some_windows(4))
    other, _ = sealed("b", some_windows(4))
    with pytest.raises(ProofError, match="not the one that was signed"):
        segment.check(other, body)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"root": Digest(b"r" * 32)}, "windows are not the ones"),
        ({"windows": 5}, "windows are not the ones"),
        ({"frames": 1}, "disagree on profile or counts"),
        ({"malformed": 99}, "disagree on profile or counts"),
        ({"profile": Digest(b"p" * 32)}, "disagree on profile or counts"),
    ],
)
def test_a_statement_that_contradicts_its_own_document_is_refused(change, complaint):
    encoded, body = sealed("a", some_windows(4))
    with pytest.raises(ProofError, match=complaint):
        segment.check(encoded, replace(body, **change))


def good():
    """The parts of a document of two windows, each signal kind once."""
    return cbor.decode(zlib.decompress(sealed("a", some_windows(2))[0]))


def doctored(change) -> bytes:
    parts = good()
    change(parts)
    return zlib.compress(cbor.encode(parts))


def put(path, value):
    def change(parts):
        for step in path[:-1]:
            parts = parts[step]
        parts[path[-1]] = value

    return change


CONTRADICTIONS = {
    "no window": lambda parts: parts.update({3: [], 4: [], 5: [], 6: [], 7: []}),
    "a negative start": put([3], [-1, 1000]),
    "a start that goes below zero": put([3], [5, -6]),
    "a start beyond 2^62": put([3], [2**62, 0]),
    "no duration": put([4], [1000, 0]),
    "negative frames": put([5], [241, -1]),
    "negative malformed": put([6], [-1, 2]),
    "a column of counts too short": put([5], [1]),
    "a salt key of 31 bytes": put([2], b"k" * 31),
    "an unknown column kind": put([7, 0, 0], 4),
    "a scalar said to be a state": put([7, 0, 0], 1),
    "a state said to be a scalar": put([7, 1, 0], 0),
    "an array said to be a scalar": put([7, 2, 0], 0),
    "an unseen signal with a count": put([7, 3, 1], [0, 1]),
    "a seen column that is never seen": put([7, 0, 1], [0, 0]),
    "a negative count": put([7, 0, 1], [-1, 10]),
    "a mean below the minimum": put([7, 0, 4], [-1, 0]),
    "a last above the maximum": put([7, 0, 5], [1000, 0]),
    "a value beyond 2^62": put([7, 0, 2], [2**62, 0]),
    "transitions that are no array": put([7, 1, 4], [0, []]),
    "transitions out of order": put([7, 1, 4], [[], [[9, 1], [8, 1]]]),
    "transitions that lead elsewhere": put([7, 1, 4], [[], [[9, 0]]]),
    "too many transitions": put([7, 1, 4], [[], [[9, 1]] * 65]),
    "an index beyond the array": put([7, 2, 5], [3, 0]),
    "an array's columns too short": put([7, 2, 7], [[None]]),
    "a column too few": lambda parts: parts[7][0].pop(),
    "a column of one part": put([7, 0], [0]),
    "an unknown key": lambda parts: parts.update({8: 0}),
    "a missing key": lambda parts: parts.pop(6),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_document_that_contradicts_itself_is_refused(name):
    assert segment.read(doctored(lambda parts: None)).windows == some_windows(2)
    with pytest.raises(FormatError):
        segment.read(doctored(CONTRADICTIONS[name]))


def test_a_document_is_not_expanded_beyond_its_bound():
    bomb = zlib.compress(bytes(segment.MAX_EXPANDED + 1), 9)
    with pytest.raises(FormatError, match="too large"):
        segment.read(bomb)
    with pytest.raises(FormatError, match="allowed are"):
        segment.read(bytes(segment.MAX_COMPRESSED + 1))


def test_what_follows_a_document_is_refused():
    encoded, _ = sealed("a", some_windows(1))
    for wrong in (encoded + b"\0", encoded[:-1], encoded + encoded, b"", b"plain"):
        with pytest.raises(FormatError):
            segment.read(wrong)


def test_a_salted_leaf_is_what_the_design_says():
    key, encoded = SaltKey(bytes(range(32))), b"window"
    salt = hashlib.blake2b((5).to_bytes(8, "big"), digest_size=16, key=key).digest()
    assert window.salt(key, 5) == salt
    assert window.leaf(salt, encoded) == hashlib.sha256(b"\x00" + salt + encoded).digest()


def test_every_window_of_a_segment_has_another_salt_and_so_another_leaf():
    key = SaltKey(bytes(32))
    leaves = {window.leaf(window.salt(key, at), b"the same window") for at in range(1000)}
    assert len(leaves) == 1000
    assert window.tree(key, [b"x"] * 7).root() != window.tree(SaltKey(b"1" * 32), [b"x"] * 7).root()


@pytest.mark.parametrize(
    "record",
    [
        [1, 2, 1, 1, 1],
        [0, 1, 1, 1, 1],
        [1, 1, 2, 3, 1],
        [1, 1, 2, 1, 3],
        [0, 1, 1, [], 0],
        [1, 0, 1, [], 0],
        [1, 0, 1, [[5, 1], [4, 1]], 0],
        [1, 0, 0, [[-1, 0]], 0],
        [1, 0, 0, [[0]], 0],
        [1, 0, 0, [], -1],
        [1, 0, 1, [[0, 1]] * 65, 0],
        [1, 0, 0, 0, 0, 0, []],
        [1, 0, 0, 0, 1, 0, [0]],
        [1, 0, 0, 1, 0, 0, [0]],
        [1, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0],
        [2**62, 0, 0, 0, 0],
        7,
    ],
)
def test_a_record_that_contradicts_itself_is_refused(record):
    with pytest.raises(FormatError):
        window.read_record(record)


@given(st.binary(max_size=200))
def test_any_compressed_bytes_are_a_document_or_a_format_error(plain):
    try:
        segment.read(zlib.compress(plain))
    except FormatError:
        return
    raise AssertionError("random bytes made a document")


@given(st.binary(max_size=200))
def test_a_document_is_judged_by_its_digest_before_it_is_expanded(encoded):
    _, body = sealed("a", some_windows(1))
    with pytest.raises(EvidenceError, match="not the one that was signed"):
        segment.check(encoded, body)


def test_a_body_of_a_segment_survives_its_wire_form():
    _, body = sealed("a", some_windows(2))
    assert bodies.read_body("segment", bodies.body_value(body)) == body
