"""What the readers of log formats have in common: rows, faults, and lines read with a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Final, TypeAlias

from agent.frames import EXTENDED, MAX_EXTENDED_ID, MAX_STANDARD_ID

MAX_LINE: Final = 4096  # the longest row of any format, CAN FD in ASC, stays below 600 bytes
_EXCERPT: Final = 60

Bus: TypeAlias = "int | str"
Row: TypeAlias = "tuple[int, Bus, int, int, bytes]"  # time us, bus, id, flags, payload
LineParser: TypeAlias = "Callable[[bytes], Row | None]"  # None: not a frame, and rightly so; RowError: unreadable


class RowError(Exception):
    """This row cannot be read; the text says why. It never leaves the sources."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in a recording that could not be read, and how many rows were lost by it."""

    what: str
    count: int = 1


class Cursor:
    """Where in its file a reader is: the line, or the object, that it gave last."""

    __slots__ = ("place",)

    def __init__(self) -> None:
        self.place: int = 0


def text_rows(file: BinaryIO, parse: LineParser, cursor: Cursor) -> Iterator[Row | Fault]:
    """Rows and faults of a text log, line by line, in order. A line is read within a bound, whatever the file holds."""
    for line in iter(partial(file.readline, MAX_LINE), b""):
        cursor.place += 1
        if len(line) == MAX_LINE and not line.endswith(b"\n"):
            _skip_line(file)
            yield Fault(f"longer than {MAX_LINE} bytes, no log has such a line")
            continue
        try:
            row = parse(line)
        except RowError as problem:
            yield Fault(f"{problem}: {excerpt(line)}")
            continue
        if row is not None:
            yield row


def flags_of(number: int, extended: bool) -> int:
    """EXTENDED or 0 for an identifier; RowError if it has more bits than its kind of frame."""
    if number > (MAX_EXTENDED_ID if extended else MAX_STANDARD_ID):
        raise RowError("the identifier has too many bits")
    return EXTENDED if extended else 0


def excerpt(line: bytes) -> str:
    """A line's beginning, safe to print."""
    text = line.rstrip(b"\r\n")
    shown = text[:_EXCERPT].decode("ascii", "backslashreplace")
    return repr(shown) + ("..." if len(text) > _EXCERPT else "")


def _skip_line(file: BinaryIO) -> None:
    for rest in iter(partial(file.readline, MAX_LINE), b""):
        if rest.endswith(b"\n"):
            return
