"""candump's log format (`candump -L`, `candump -l`, python-can's .log): `(1436509052.249713) can0 123#DEADBEEF`.

It writes no length, so a row that was cut short still reads as a shorter frame: the last line counts only with its line end.
"""

from __future__ import annotations

import re
from binascii import Error, unhexlify
from typing import Final

from agent.frames import CLASSIC_BYTES, ERROR, EXTENDED, FD, FD_BYTES, MAX_EXTENDED_ID, REMOTE
from agent.sources.rows import Row, RowError, flags_of

_ROW: Final = re.compile(
    rb"\((\d{1,12})\.(\d{1,9})\) +(\S{1,32}) +([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})#"
    rb"(?:(#)[0-9A-Fa-f])?(?:([0-9A-Fa-f]*)(?:_[9A-Fa-f])?|(R)[0-8]?)(?: +([RTrt]))? *\r?\n?"
)
_START: Final = re.compile(rb"\s*\(\d+\.\d+\) +\S+ +[0-9A-Fa-f]+#")
_ERROR_FLAG: Final = 0x2000_0000


def recognised(head: bytes) -> bool:
    """Whether a file that begins so is one of these."""
    return _START.match(head) is not None


def parse(line: bytes) -> Row | None:
    """The row of a line, None for an empty one; RowError if it is neither."""
    match = _ROW.fullmatch(line)
    if match is None:
        if not line.strip():
            return None
        raise RowError("not a candump row")
    seconds, fraction, interface, identifier, flexible, payload_hex, remote, direction = match.groups()
    if direction is None and not line.endswith(b"\n"):
        raise RowError("cut short, the line does not end")
    number = int(identifier, 16)
    if len(identifier) == 3:
        flags = flags_of(number, False)
    elif number & _ERROR_FLAG:
        number, flags = number & MAX_EXTENDED_ID, ERROR
    else:
        flags = EXTENDED
        if number > MAX_EXTENDED_ID:
            raise RowError("the identifier has too many bits")
    if flexible:
        flags |= FD
    if remote:
        flags |= REMOTE
    payload = _payload(payload_hex or b"", FD_BYTES if flexible else CLASSIC_BYTES)
    time_us = int(seconds) * 1_000_000 + int(fraction if len(fraction) == 6 else fraction.ljust(6, b"0")[:6])
    return time_us, interface.decode("ascii", "backslashreplace"), number, flags, payload


def _payload(digits: bytes, longest: int) -> bytes:
    try:
        payload = unhexlify(digits)
    except Error:
        raise RowError("half a byte of payload") from None
    if len(payload) > longest:
        raise RowError(f"more than {longest} bytes of payload")
    return payload
