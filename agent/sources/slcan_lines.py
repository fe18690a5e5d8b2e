"""What an slcan adapter says, as columns: many lines at once, because Python pays per line. Pure.

Source: the CAN232 and CANUSB manuals of LAWICEL AB; d, D, b and B are CANable 2.0's frames of CAN FD, x is CANDapter's T.
A line ends with CR; a BEL ends an answer that refuses. A frame's line is its letter, 3 or 8 digits of identifier, one of
length, two for each byte, and four of time in ms where the adapter was asked for times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.frames import CLASSIC_BYTES, EXTENDED, FD, FD_BYTES, MAX_EXTENDED_ID, MAX_STANDARD_ID, REMOTE, IntArray

CR: Final = 13
BEL: Final = 7
LONGEST_LINE: Final = 1 + 8 + 1 + 2 * FD_BYTES + 4
NO_STAMP: Final = -1
MOST_EXAMPLES: Final = 5
_EXAMPLE_BYTES: Final = 40
_TIME_DIGITS: Final = 4

_FLAGS: Final = {
    "t": 0,
    "T": EXTENDED,
    "x": EXTENDED,
    "r": REMOTE,
    "R": REMOTE | EXTENDED,
    "d": FD,
    "D": FD | EXTENDED,
    "b": FD,
    "B": FD | EXTENDED,
}
_ANSWER_SIZES: Final = np.zeros(256, np.int64)  # of the answers that may still be on their way when frames are
_ANSWER_SIZES[np.frombuffer(b"zZFVvN", np.uint8)] = (1, 1, 3, 5, 5, 5)
_FD_LENGTHS: Final = np.array((*range(9), 12, 16, 20, 24, 32, 48, 64), np.int64)
_CLASSIC_LENGTHS: Final = np.array((*range(9), *[FD_BYTES * 2] * 7), np.int64)  # 9 to 15 fit into no line
_POWERS: Final = 16 ** np.arange(7, -1, -1)
_NOT_HEX: Final = 16
_DIGITS: Final = np.full(256, _NOT_HEX, np.uint8)
_DIGITS[np.frombuffer(b"0123456789ABCDEF", np.uint8)] = np.arange(16)
_DIGITS[np.frombuffer(b"abcdef", np.uint8)] = np.arange(10, 16)


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """The n frames of some lines in their order, as `Frames` has them but for the times, and what else was said.

    `stamps_ms` int64[n] is the adapter's time, NO_STAMP where it gave none; `examples` are the first unreadable lines;
    `refusals` counts the BELs.
    """

    ids: NDArray[np.uint32]
    flags: NDArray[np.uint8]
    lengths: NDArray[np.uint8]
    payload: NDArray[np.uint8]
    stamps_ms: IntArray
    malformed: int = 0
    examples: tuple[bytes, ...] = ()
    refusals: int = 0

    def __len__(self) -> int:
        return len(self.ids)


class Lines:
    """Cuts a stream into lines, wherever its pieces end. What is too long to be a line is one unreadable line up to its end."""

    def __init__(self) -> None:
        self._tail = b""
        self._overlong = False

    def take(self, piece: bytes) -> Said:
        """What the lines say that end in this piece."""
        text = self._tail + piece
        ends = _ends(text)
        after = int(ends[-1]) + 1 if len(ends) else 0
        self._tail = text[after:]
        lost: list[bytes] = []
        if self._overlong and len(ends):  # its end, at last
            ends, text, self._overlong = ends[1:] - ends[0] - 1, text[int(ends[0]) + 1 :], False
        if len(self._tail) > LONGEST_LINE:
            if not self._overlong:
                lost.append(self._tail[:_EXAMPLE_BYTES])
            self._tail, self._overlong = b"", True
        return _said(np.frombuffer(text, np.uint8), ends, lost)


def _ends(text: bytes) -> IntArray:
    signs = np.frombuffer(text, np.uint8)
    return np.flatnonzero((signs == CR) | (signs == BEL))


def _said(signs: NDArray[np.uint8], ends: IntArray, lost: list[bytes]) -> Said:
    starts = np.concatenate((np.zeros(min(1, len(ends)), np.int64), ends[:-1] + 1))
    sizes = ends - starts
    refusals = int(np.count_nonzero(signs[ends] == BEL))
    spoken = sizes > 0
    starts, sizes = starts[spoken], sizes[spoken]
    letters = signs[starts]
    count = len(starts)
    width = FD_BYTES if np.isin(letters, np.frombuffer(b"dDbB", np.uint8)).any() else CLASSIC_BYTES
    columns = _Columns(
        np.zeros(count, np.uint32),
        np.zeros(count, np.uint8),
        np.zeros(count, np.uint8),
        np.zeros((count, width), np.uint8),
        np.full(count, NO_STAMP, np.int64),
        np.zeros(count, np.bool_),
    )
    # Lines of one letter and size have their digits in the same places.
    shapes = letters.astype(np.int64) << 8 | np.minimum(sizes, LONGEST_LINE + 1)
    for shape in np.unique(shapes).tolist():
        letter, size = chr(shape >> 8), shape & 0xFF
        if letter in _FLAGS and size <= LONGEST_LINE:
            which = np.flatnonzero(shapes == shape)
            columns.fill(which, signs[starts[which, None] + np.arange(1, size)], _FLAGS[letter])
    known = columns.known
    unreadable = np.flatnonzero(~known & (_ANSWER_SIZES[letters] != sizes))
    examples = [signs[starts[at] : starts[at] + sizes[at]].tobytes() for at in unreadable[:MOST_EXAMPLES].tolist()]
    kept = slice(None) if known.all() else known
    return Said(
        columns.ids[kept],
        columns.flags[kept],
        columns.lengths[kept],
        columns.payload[kept],
        columns.stamps_ms[kept],
        malformed=len(unreadable) + len(lost),
        examples=tuple(each[:_EXAMPLE_BYTES] for each in [*examples, *lost][:MOST_EXAMPLES]),
        refusals=refusals,
    )


@dataclass(frozen=True, slots=True)
class _Columns:
    """One place for each line; `known` says of which the places hold a frame."""

    ids: NDArray[np.uint32]
    flags: NDArray[np.uint8]
    lengths: NDArray[np.uint8]
    payload: NDArray[np.uint8]
    stamps_ms: IntArray
    known: NDArray[np.bool_]

    def fill(self, which: IntArray, text: NDArray[np.uint8], flags: int) -> None:
        """Take the frames of lines of one shape; `text` is what follows their letter, [lines, digits]."""
        digits = _DIGITS[text]
        width = 8 if flags & EXTENDED else 3
        if digits.shape[1] <= width:
            return
        values = digits.astype(np.int64)
        ids = values[:, :width] @ _POWERS[-width:]
        code = np.minimum(values[:, width], _NOT_HEX - 1)
        asked = (_FD_LENGTHS if flags & FD else _CLASSIC_LENGTHS)[code]
        lengths = np.where(asked <= CLASSIC_BYTES, 0, asked) if flags & REMOTE else asked
        rest = digits.shape[1] - width - 1
        stamped = rest == 2 * lengths + _TIME_DIGITS
        good = (digits < _NOT_HEX).all(axis=1) & (stamped | (rest == 2 * lengths))
        good &= ids <= (MAX_EXTENDED_ID if flags & EXTENDED else MAX_STANDARD_ID)
        if not good.all():
            which, digits, values, ids = which[good], digits[good], values[good], ids[good]
            lengths, stamped = lengths[good], stamped[good]
        pairs = digits[:, width + 1 : width + 1 + rest // 2 * 2]
        payload = pairs[:, ::2] << 4 | pairs[:, 1::2]
        payload = payload[:, : self.payload.shape[1]]
        self.ids[which] = ids
        self.flags[which] = flags
        self.lengths[which] = lengths
        self.payload[which, : payload.shape[1]] = np.where(np.arange(payload.shape[1]) < lengths[:, None], payload, 0)
        if stamped.any():
            stamps = values[:, -_TIME_DIGITS:] @ _POWERS[-_TIME_DIGITS:]
            self.stamps_ms[which] = np.where(stamped, stamps, NO_STAMP)
        self.known[which] = True
