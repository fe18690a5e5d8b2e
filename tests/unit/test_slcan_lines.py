"""Lines of slcan adapters: every kind against a parser of one line at a time, whole or cut, sound or damaged."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.frames import EXTENDED, FD, REMOTE
from agent.sources.slcan_lines import LONGEST_LINE, MOST_EXAMPLES, NO_STAMP, Lines

FD_LENGTHS = (*range(9), 12, 16, 20, 24, 32, 48, 64)
FRAME = re.compile(
    rb"(?:([trdb])([0-7][0-9A-Fa-f]{2})|([TRDBx])([01][0-9A-Fa-f]{7}))([0-9A-Fa-f])((?:[0-9A-Fa-f]{2})*)"
)


def one(line):
    """(identifier, flags, payload, stamp) of a line, or None: the manual's words, one line at a time."""
    match = FRAME.fullmatch(line)
    if match is None:
        return None
    letter = match[1] or match[3]
    code, rest = int(match[5], 16), bytes.fromhex(match[6].decode())
    fd, remote = letter in b"dDbB", letter in b"rR"
    if code > 8 and not fd:
        return None
    length = 0 if remote else FD_LENGTHS[code]
    if len(rest) not in (length, length + 2):
        return None
    flags = (EXTENDED if match[3] else 0) | (FD if fd else 0) | (REMOTE if remote else 0)
    stamp = int.from_bytes(rest[length:], "big") if len(rest) > length else NO_STAMP
    return int(match[2] or match[4], 16), flags, rest[:length], stamp


def rows(said):
    assert (said.payload[np.arange(said.payload.shape[1]) >= said.lengths[:, None]] == 0).all()
    columns = said.ids.tolist(), said.flags.tolist(), said.lengths.tolist(), said.payload, said.stamps_ms.tolist()
    return [(number, flag, bytes(data[:size]), stamp) for number, flag, size, data, stamp in zip(*columns, strict=True)]


def written(letter, number, code, payload, stamp):
    """A line as an adapter writes it."""
    digits = 8 if letter in "TRDBx" else 3
    return f"{letter}{number:0{digits}X}{code:X}{payload.hex().upper()}{stamp}".encode()


@st.composite
def frame_lines(draw):
    letter = draw(st.sampled_from("tTrRdDbBx"))
    number = draw(st.integers(0, 0x1FFFFFFF if letter in "TRDBx" else 0x7FF))
    code = draw(st.integers(0, 15 if letter in "dDbB" else 8))
    size = 0 if letter in "rR" else FD_LENGTHS[code]
    stamp = draw(st.sampled_from(["", "0000", "EA5F"]))
    return written(letter, number, code, draw(st.binary(min_size=size, max_size=size)), stamp)


damage = st.binary(max_size=30).map(lambda noise: re.sub(rb"[\r\a]", b"", noise))
damaged_lines = st.tuples(frame_lines(), st.integers(0, 150), damage).map(
    lambda d: d[0][: d[1]] + d[2] + d[0][d[1] + 1 :]
)
ANSWERS = [b"", b"z", b"Z", b"V1013", b"v0100", b"NPS01", b"F01"]
answers = st.sampled_from(ANSWERS)


@given(
    st.lists(st.one_of(frame_lines(), damaged_lines, answers), max_size=30), st.lists(st.integers(0, 3000), max_size=8)
)
def test_lines_are_read_as_one_at_a_time_wherever_the_stream_was_cut(lines, cuts):
    stream = b"".join(line + b"\r" for line in lines)
    places = sorted(min(cut, len(stream)) for cut in cuts)
    parser, found, malformed, refusals = Lines(), [], 0, 0
    for start, end in zip([0, *places], [*places, len(stream)], strict=True):
        said = parser.take(stream[start:end])
        found += rows(said)
        malformed += said.malformed
        refusals += said.refusals
    expected = [one(line) for line in lines]
    assert found == [each for each in expected if each is not None]
    noise = [line for line, each in zip(lines, expected, strict=True) if line and each is None and line not in ANSWERS]
    assert malformed == len(noise)
    assert refusals == 0


@pytest.mark.parametrize(
    "line",
    [
        b"t12",  # too short for its length
        b"tXYZ0",  # no digits
        b"t123200",  # a byte is missing
        b"t1232000102",  # a byte too many
        b"tFFF0",  # twelve bits
        b"T200000000",  # thirty bits
        b"t12390001020304050607",  # nine bytes
        b"r1239",  # nine asked for
        b"t123G",
        b"q1230",
        b"F0102030405",  # the end of a frame's line
        b"S1122",
        b"\xff\xfe",
        b"T",
        b"t",
    ],
)
def test_a_line_that_cannot_be_true_is_counted_shown_and_skipped(line):
    said = Lines().take(line + b"\rt1233010203\r")
    assert rows(said) == [(0x123, 0, b"\1\2\3", NO_STAMP)]
    assert (said.malformed, said.examples) == (1, (line,))


def test_ten_thousand_bytes_without_an_end_are_one_unreadable_line_and_cost_no_memory():
    parser = Lines()
    counts = [parser.take(b"\xaa" * 100).malformed for _ in range(100)]
    assert sum(counts) == 1
    assert len(parser._tail) <= LONGEST_LINE
    said = parser.take(b"\xaa\rt1230\r")
    assert (said.ids.tolist(), said.malformed) == ([0x123], 0)


def test_of_many_unreadable_lines_some_are_shown_and_all_are_counted():
    said = Lines().take(b"nonsense\r" * 1000)
    assert (len(said), said.malformed, len(said.examples)) == (0, 1000, MOST_EXAMPLES)


def test_a_refusal_is_counted_and_breaks_no_line():
    said = Lines().take(b"\at1230\r\a\at1241FF\r")
    assert (said.ids.tolist(), said.refusals, said.malformed) == ([0x123, 0x124], 3, 0)


def test_frames_of_can_fd_widen_a_piece_and_no_other():
    parser = Lines()
    assert parser.take(b"t1230\r").payload.shape == (1, 8)
    assert parser.take(written("d", 1, 15, bytes(range(64)), "") + b"\rt1230\r").payload.shape == (2, 64)
    assert parser.take(b"t1230\r").payload.shape == (1, 8)
