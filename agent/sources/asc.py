"""Vector's ASC text log. Times are seconds since the measurement began, or since the row before (`timestamps relative`).

Its `date` line names a local time without a zone, so these are never Unix times. Channels keep the number that is written.
"""

from __future__ import annotations

import re
from typing import Final

from agent.frames import CLASSIC_BYTES, ERROR, FD, FD_BYTES, REMOTE
from agent.sources.rows import Row, RowError, flags_of

_BASE: Final = re.compile(rb"base\s+(hex|dec)(?:\s+timestamps\s+(absolute|relative))?", re.IGNORECASE)
_HEADER: Final = re.compile(
    rb"(?:date\s|base\s|(?:no\s+)?internal\s+events|begin\s+trigger|end\s+trigger|//|version\b|previous\s)",
    re.IGNORECASE,
)
_EVENT: Final = re.compile(rb"(\d{1,12})\.(\d{1,9})\s+(.*\S)", re.DOTALL)
_CLASSIC: Final = re.compile(
    rb"(\d{1,3})\s+([0-9A-Fa-f]{1,10})(x?)\s+(?:rx|tx|txrq)\s+(?:d\s+([0-9A-Fa-f]{1,2})((?:\s+[0-9A-Fa-f]{1,3})*)|(r)\b)(.*)",
    re.IGNORECASE | re.DOTALL,
)
_FLEXIBLE: Final = re.compile(
    rb"CANFD\s+(\d{1,3})\s+(?:rx|tx|txrq)\s+([0-9A-Fa-f]{1,10})(x?)\s+(?:[A-Za-z_]\w*\s+)?"
    rb"[01]\s+[01]\s+([0-9A-Fa-f]{1,2})\s+(\d{1,2})((?:\s+[0-9A-Fa-f]{1,8})*)(.*)",
    re.IGNORECASE | re.DOTALL,
)
_ERROR_FRAME: Final = re.compile(
    rb"(?:CANFD\s+)?(\d{1,3})\s+(?:(?:rx|tx)\s+)?ErrorFrame\b.*", re.IGNORECASE | re.DOTALL
)
_STATISTIC: Final = re.compile(rb"\d{1,3}\s+(?:statistic|logevent|transceiver)", re.IGNORECASE)
# What a frame's row begins with; events of other kinds (status, comments, other buses) do not, and are not rows.
_FRAME_LIKE: Final = re.compile(rb"\d|CANFD\b", re.IGNORECASE)


def recognised(head: bytes) -> bool:
    """Whether a file that begins so is one of these."""
    return re.match(rb"\s*(?:date\s+\w|base\s+(?:hex|dec)\b)", head, re.IGNORECASE) is not None


class AscParser:
    """Parses line after line; holds what the header said and, for relative times, where the clock is."""

    def __init__(self) -> None:
        self._base = 16
        self._relative = False
        self._clock_us = 0

    def parse(self, line: bytes) -> Row | None:
        """The row of a line, None for header, comment and events of other kinds; RowError if it is none of them."""
        line = line.strip()
        event = _EVENT.match(line)
        if event is None:
            self._header(line)
            return None
        seconds, fraction, rest = event.groups()
        time_us = int(seconds) * 1_000_000 + int(fraction.ljust(6, b"0")[:6])
        if self._relative:
            time_us = self._clock_us = self._clock_us + time_us
        if classic := _CLASSIC.fullmatch(rest):
            return time_us, *self._classic(*classic.groups())
        if flexible := _FLEXIBLE.fullmatch(rest):
            return time_us, *self._flexible(*flexible.groups())
        if failed := _ERROR_FRAME.fullmatch(rest):
            return time_us, int(failed.group(1)), 0, ERROR, b""
        if _FRAME_LIKE.match(rest) and not _STATISTIC.match(rest):
            raise RowError("not an ASC row")
        return None

    def _header(self, line: bytes) -> None:
        if base := _BASE.match(line):
            self._base = 10 if base.group(1).lower() == b"dec" else 16
            self._relative = (base.group(2) or b"").lower() == b"relative"
        elif line and not _HEADER.match(line):
            raise RowError("neither a row nor a header of ASC")

    def _classic(
        self, bus: bytes, identifier: bytes, extended: bytes, length: bytes, payload: bytes, remote: bytes, rest: bytes
    ) -> tuple[int, int, int, bytes]:
        number = self._number(identifier)
        flags = flags_of(number, bool(extended))
        if remote:
            return int(bus), number, flags | REMOTE, b""
        if rest.strip() and not rest[:1].isspace():
            raise RowError("the payload is not in bytes")
        count = min(self._number(length), CLASSIC_BYTES)  # codes 9 to 15 also mean 8 on classic CAN
        return int(bus), number, flags, self._payload(payload, count)

    def _flexible(
        self, bus: bytes, identifier: bytes, extended: bytes, code: bytes, length: bytes, columns: bytes, rest: bytes
    ) -> tuple[int, int, int, bytes]:
        del code, rest  # the length in bytes says it too; timing columns follow the payload
        number = self._number(identifier)
        count = int(length)
        if count > FD_BYTES:
            raise RowError("more than 64 bytes of payload")
        return int(bus), number, flags_of(number, bool(extended)) | FD, self._payload(columns, count)

    def _payload(self, columns: bytes, count: int) -> bytes:
        written = columns.split()[:count]
        if len(written) < count or any(len(byte) < 2 for byte in written if self._base == 16):
            raise RowError(f"fewer than {count} bytes of payload")
        values = [self._number(byte) for byte in written]
        if any(value > 0xFF for value in values):
            raise RowError("the payload is not in bytes")
        return bytes(values)

    def _number(self, digits: bytes) -> int:
        try:
            return int(digits, self._base)
        except ValueError:
            raise RowError(f"{digits.decode()!r} is not a number of base {self._base}") from None
