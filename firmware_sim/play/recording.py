"""Reads recorded frames to play them again: candump `.log` and SavvyCAN's GVRET `.csv`, line by line.

The simulator's own reader, independent of the agent's. A corrupt line is counted, named and skipped, because real
recordings end in half a line; what is no recording at all is a RecordingError, found out in bounded time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TextIO

from firmware_sim.bus.frame import CanFrame
from firmware_sim.errors import RecordingError
from packseal.program import InputOutputError

MAX_LINE = 4_096
MAX_COMPLAINTS = 5
MAX_BEFORE_FIRST = 20_000  # lines without a frame: a tenth of a second
GVRET_COLUMNS = ("Time Stamp", "ID", "Extended", "Bus", "LEN", "D1")

_CANDUMP = re.compile(
    r"\((\d{1,12})\.(\d{6})\)\s+(\S+)\s+([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})#"
    r"(?:(R)([0-8])?|((?:[0-9A-Fa-f]{2}){0,8}))(?:\s+[RT])?"
)
_HEX_ID = re.compile(r"[0-9A-Fa-f]{1,8}")
_TRAILING_NUMBER = re.compile(r"(\d{1,4})$")
EXTENDED_LIMIT = 1 << 29
STANDARD_LIMIT = 1 << 11
TIME_LIMIT_US = 10**18  # thirty thousand years, and as much as a candump line can say
BUS_LIMIT = 10**4


class RecordedFrame(NamedTuple):
    """A frame with its recorded time in microseconds, on the recording's own clock, and its bus number."""

    time_us: int
    bus: int
    frame: CanFrame


Parse = Callable[[str], RecordedFrame]


@dataclass(slots=True)
class Recording:
    """One file of recorded frames. Iterating reads it from the start; faults are counted in the first pass."""

    path: Path
    malformed: int = 0
    complaints: list[str] = field(default_factory=list)
    _passes: int = 0

    def __iter__(self) -> Iterator[RecordedFrame]:
        self._passes += 1
        try:
            with self.path.open(encoding="ascii", errors="replace", newline="\n") as file:
                yield from self._frames(file)
        except OSError as problem:
            raise InputOutputError(f"{self.path}: {problem.strerror}") from problem

    def _frames(self, file: TextIO) -> Iterator[RecordedFrame]:
        number, parse, any_frame = 0, None, False
        while line := file.readline(MAX_LINE):
            number += 1
            text = line.strip()
            if number > MAX_BEFORE_FIRST and not any_frame:
                raise RecordingError(f"{self.path}: no frame in its first {MAX_BEFORE_FIRST} lines")
            if parse is None:
                parse, is_header = self._parser(text)
                if is_header:
                    continue
            if not text:
                continue
            try:
                recorded = parse(text)
            except ValueError as problem:
                self._complain(number, str(problem))
            else:
                any_frame = True
                yield recorded
        if parse is None:
            raise RecordingError(f"{self.path}: is empty")

    def _parser(self, first: str) -> tuple[Parse, bool]:
        columns = [name.strip() for name in first.split(",")]
        if all(name in columns for name in GVRET_COLUMNS):
            return _gvret_parser(columns), True
        if first.startswith("("):
            return parse_candump, False
        raise RecordingError(f"{self.path}: neither a candump log nor a GVRET CSV: it begins with {first[:30]!r}")

    def _complain(self, number: int, problem: str) -> None:
        if self._passes > 1:
            return
        self.malformed += 1
        if len(self.complaints) < MAX_COMPLAINTS:
            self.complaints.append(f"{self.path}:{number}: {problem}")


def parse_candump(line: str) -> RecordedFrame:
    """One line of `candump -L`; the bus is the number at the end of the interface's name. ValueError if it is not."""
    match = _CANDUMP.fullmatch(line)
    if match is None:
        raise ValueError("CAN FD frames are not played" if "##" in line else "not a candump line")
    seconds, micros, interface, identifier, remote, requested, payload = match.groups()
    number = _TRAILING_NUMBER.search(interface)
    frame = _frame(
        int(identifier, 16), len(identifier) == 8, bytes.fromhex(payload or ""), remote is not None, requested
    )
    return RecordedFrame(int(seconds) * 1_000_000 + int(micros), int(number[1]) if number else 0, frame)


def _gvret_parser(columns: list[str]) -> Parse:
    time, ident, extended, bus, length, first = (columns.index(name) for name in GVRET_COLUMNS)

    def parse(line: str) -> RecordedFrame:
        cells = line.split(",")
        if len(cells) <= length:
            raise ValueError(f"{len(cells)} columns where {length + 1} are needed")
        if not (cells[time].isdecimal() and cells[bus].isdecimal() and cells[length].isdecimal()):
            raise ValueError("time, bus or length is not a number")
        if not _HEX_ID.fullmatch(cells[ident]) or cells[extended] not in ("true", "false"):
            raise ValueError("identifier or its kind is malformed")
        time_us, number, count = int(cells[time]), int(cells[bus]), int(cells[length])
        if time_us >= TIME_LIMIT_US or number >= BUS_LIMIT:
            raise ValueError("a time or a bus that no recording has")
        payload = _payload(cells[first : first + count], count)
        frame = _frame(int(cells[ident], 16), cells[extended] == "true", payload, False, None)
        return RecordedFrame(time_us, number, frame)

    return parse


def _payload(cells: list[str], count: int) -> bytes:
    if count > 8:
        raise ValueError(f"{count} bytes: only classic frames are played")
    if len(cells) < count or any(len(cell) != 2 for cell in cells):
        raise ValueError(f"fewer than the {count} bytes that the line announces")
    payload = bytes.fromhex("".join(cells))
    if len(payload) != count:
        raise ValueError("payload is not hexadecimal")
    return payload


def _frame(identifier: int, extended: bool, payload: bytes, remote: bool, requested: str | None) -> CanFrame:
    if identifier >= (EXTENDED_LIMIT if extended else STANDARD_LIMIT):
        raise ValueError(f"identifier {identifier:X} does not exist")
    return CanFrame(identifier, payload, extended, remote, int(requested or 0))
