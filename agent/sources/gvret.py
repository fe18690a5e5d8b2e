"""SavvyCAN's GVRET table: `Time Stamp,ID,Extended[,Dir],Bus,LEN,D1,...`, times in microseconds, told by its header."""

from __future__ import annotations

import re
from binascii import Error, unhexlify
from typing import Final

from agent.frames import CLASSIC_BYTES, FD, FD_BYTES
from agent.sources.rows import LineParser, Row, RowError, flags_of

_COLUMNS: Final = ("time stamp", "id", "extended", "bus", "len")
_COLUMNS_WITH_DIRECTION: Final = ("time stamp", "id", "extended", "dir", "bus", "len")
_BEFORE: Final = rb"(\d{1,18}),([0-9A-Fa-f]{1,8},(?:true|false|True|False|1|0)),"
_AFTER: Final = rb"(\d{1,3},\d{1,2})([,0-9A-Fa-f]*)\s*"
_MOST_IDENTIFIERS: Final = 65_536  # a bus has some hundred; the memory of a damaged file is bounded


def recognised(head: bytes) -> bool:
    """Whether a file that begins so is one of these."""
    return parser(head) is not None


def parser(head: bytes) -> LineParser | None:
    """A parser of the rows under this header line; None if it is not GVRET's.

    Identifiers and shapes repeat by the thousand, so that their columns are read once each and then looked up.
    """
    names = tuple(name.strip().lower() for name in _first_line(head).decode("ascii", "replace").split(","))
    if names[:5] == _COLUMNS:
        fullmatch = re.compile(_BEFORE + _AFTER).fullmatch
    elif names[:6] == _COLUMNS_WITH_DIRECTION:
        fullmatch = re.compile(_BEFORE + rb"[RTrt][xX]?," + _AFTER).fullmatch
    else:
        return None
    identifiers: dict[bytes, tuple[int, int]] = {}
    shapes: dict[bytes, tuple[int, int, bytes]] = {}

    def parse(row: bytes) -> Row | None:
        match = fullmatch(row)
        if match is None:
            if _is_row(row):
                raise RowError("not a GVRET row")
            return None
        time_us, identifier, shape, columns = match.groups()
        number, flags = identifiers.get(identifier) or _learn_identifier(identifiers, identifier)
        bus, count, commas = shapes.get(shape) or _learn_shape(shapes, shape)
        # Every third character a comma, the rest hexadecimal: a row cut anywhere, or with a wrong LEN, fails here.
        if columns[::3] != commas and (columns := columns.rstrip(b","))[::3] != commas:
            raise RowError(f"LEN {count} does not fit the payload")
        try:
            payload = unhexlify(columns.replace(b",", b""))
        except Error:
            raise RowError("the payload is not in pairs of hexadecimal digits") from None
        if len(payload) != count:
            raise RowError(f"LEN {count} does not fit the payload")
        return int(time_us), bus, number, flags | FD if count > CLASSIC_BYTES else flags, payload

    return parse


def _learn_identifier(known: dict[bytes, tuple[int, int]], columns: bytes) -> tuple[int, int]:
    digits, _, extended = columns.partition(b",")
    number = int(digits, 16)
    if len(known) >= _MOST_IDENTIFIERS:
        known.clear()
    known[columns] = learnt = (number, flags_of(number, extended in (b"true", b"True", b"1")))
    return learnt


def _learn_shape(known: dict[bytes, tuple[int, int, bytes]], columns: bytes) -> tuple[int, int, bytes]:
    bus, _, length = columns.partition(b",")
    if int(length) > FD_BYTES:
        raise RowError(f"LEN {int(length)} is more than {FD_BYTES}")
    known[columns] = learnt = (int(bus), int(length), b"," * int(length))
    return learnt


def _is_row(line: bytes) -> bool:
    """Whether a line should have been one: neither empty nor the header, which recordings put together repeat."""
    return bool(line.strip()) and not _first_line(line).lower().startswith(b"time stamp,id,")


def _first_line(head: bytes) -> bytes:
    return head.partition(b"\n")[0].removeprefix(b"\xef\xbb\xbf").strip()
