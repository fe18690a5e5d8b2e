"""Recorded logs as a source: candump, ASC, BLF and SavvyCAN's GVRET, told apart by what they begin with.

A row that cannot be read is counted, named with its file and line, and skipped; it never ends a replay and is never guessed.
Nothing here imports python-can: its readers read clean files only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import numpy as np

from agent.errors import RecordingError, RecordingUnreadable, SourceError
from agent.frames import Frames
from agent.sources import asc, blf, candump, gvret
from agent.sources.rows import Bus, Cursor, Fault, Row, excerpt, text_rows
from agent.sources.source import Intake

DEFAULT_BATCH: Final = 20_000  # numpy pays per call: 0.15 us a frame here, 4.5 at 200
MAX_COMPLAINTS: Final = 20  # per recording; all faults are counted, the first ones are named
LATEST_BACK_US: Final = 60 * 1_000_000  # rows of several interfaces may cross; further back is a damaged time
LONGEST_SILENCE_US: Final = 24 * 3600 * 1_000_000  # a longer jump is a damaged time, not a parked car
LONGEST_SEAM_US: Final = 60 * 1_000_000  # between two files of one recording
_UNIX_FROM_US: Final = 946_684_800 * 1_000_000  # 2000-01-01: clocks that start at 0 never get here
_NONE_YET: Final = (1, 0)  # bounds within which no time lies: the next row is looked at by itself
_HEAD: Final = 4096


class _Format(NamedTuple):
    """A log format, and how to read a file of it that begins with `head`."""

    name: str
    suffix: str
    rows: Callable[[BinaryIO, bytes, Cursor], Iterator[Row | Fault]]
    recognised: Callable[[bytes], bool]
    zoned: bool  # whether its times can be Unix times


def _gvret_rows(file: BinaryIO, head: bytes, cursor: Cursor) -> Iterator[Row | Fault]:
    parse = gvret.parser(head)
    if parse is None:
        raise RecordingError("not a GVRET table")  # the format was chosen by this very test
    return text_rows(file, parse, cursor)


def _candump_rows(file: BinaryIO, head: bytes, cursor: Cursor) -> Iterator[Row | Fault]:
    return text_rows(file, candump.parse, cursor)


def _asc_rows(file: BinaryIO, head: bytes, cursor: Cursor) -> Iterator[Row | Fault]:
    return text_rows(file, asc.AscParser().parse, cursor)


def _blf_rows(file: BinaryIO, head: bytes, cursor: Cursor) -> Iterator[Row | Fault]:
    return blf.rows(file, cursor)


_FORMATS: Final = (
    _Format("BLF", ".blf", _blf_rows, blf.recognised, False),
    _Format("GVRET", ".csv", _gvret_rows, gvret.recognised, True),
    _Format("candump", ".log", _candump_rows, candump.recognised, True),
    _Format("ASC", ".asc", _asc_rows, asc.recognised, False),
)


class RecordedSource:
    """The frames of one bus in one recording, which may lie in several files that follow one another.

    The capture clock is microseconds since the recording's first row, of whatever bus. `bus` is a number (GVRET's column;
    the digits that an interface's name ends with; the channel written in ASC and BLF) or an interface's name; None takes
    all. Frames of other buses are ignored, which is not a loss. After `open`, `unix_times` says whether the recording's
    times are Unix times, and `first_time_us` is then the first row's, else None.
    """

    _format: _Format
    _rows: Iterator[Row | Fault]
    _rows_taken: list[Row]
    _malformed: int
    _complaints: list[str]
    _complained: int
    _origin_us: int | None
    _earliest_us: int  # the next row's time lies between these
    _latest_us: int
    _seam_us: int | None  # where the file before ended, until this one's first row
    _ended: bool
    _wanted: dict[Bus, bool]

    def __init__(self, paths: Sequence[Path], bus: Bus | None = None, batch: int = DEFAULT_BATCH) -> None:
        self.name = ", ".join(str(path) for path in paths)
        self.unix_times = False
        self.first_time_us: int | None = None
        self._paths = tuple(paths)
        self._bus = int(bus) if isinstance(bus, str) and bus.isdecimal() else bus
        self._batch = batch
        self._file: BinaryIO | None = None
        self._reset()

    def open(self) -> None:
        """Find the first row; SourceError if a file is not there, RecordingError if it is not a recording that we read."""
        if not self._paths:
            raise SourceError("no recording was named")
        self.close()
        self._reset()
        for path in self._paths:  # all of them now, rather than after hours of the first
            with self._opened(path) as file:
                _recognise(path, file.read(_HEAD))
        while self._origin_us is None and not self._ended:
            self._take_batch()

    def require_frames(self) -> None:
        """RecordingError if nothing can be taken from the recording: sealing it would say that somebody had listened."""
        while not self._rows_taken and not self._ended:
            self._take_batch()
        if not self._rows_taken:
            there = ", ".join(sorted(str(bus) for bus in self._wanted))
            on = "no frame" if self._bus is None or not there else f"no frame on bus {self._bus}, there are {there}"
            raise RecordingError(f"{self.name}: {on}; {self._malformed} rows were unreadable")

    def read(self, timeout_s: float = 0.0) -> Intake:
        """The next rows, at most a batch of them; recordings never wait."""
        del timeout_s
        if not self._rows_taken and not self._ended:
            self._take_batch()
        frames = self._frames()
        intake = Intake(frames, self._malformed, tuple(self._complaints), self._ended)
        self._rows_taken = []
        self._malformed = 0
        self._complaints = []
        return intake

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _reset(self) -> None:
        self._rows = iter(())
        self._next_file = 0
        self._cursor = Cursor()
        self._path = Path()
        self._rows_taken = []
        self._malformed = 0
        self._complaints = []
        self._complained = 0
        self._origin_us = None
        self._earliest_us, self._latest_us = _NONE_YET
        self._seam_us = None
        self._ended = False
        self._wanted = {}

    def _take_batch(self) -> None:
        """Take at most a batch of rows, of any bus, from the files in turn."""
        left = self._batch
        try:
            while left > 0 and not self._ended:
                given = self._take_from_file(left)
                if given < left and not self._turn_to_next_file():
                    self._ended = True
                left -= given
        except OSError as problem:
            self.close()
            raise RecordingUnreadable(f"{self._path}: cannot be read: {problem.strerror or problem}") from None
        except SourceError:
            self.close()
            raise

    def _take_from_file(self, most: int) -> int:
        """Take up to `most` rows and faults from the open file; how many there were."""
        given = 0
        earliest, latest, wanted, take = self._earliest_us, self._latest_us, self._wanted, self._rows_taken.append
        for item in islice(self._rows, most):
            given += 1
            if isinstance(item, Fault):
                self._complain(item)
                continue
            time_us, bus, _, _, _ = item
            if not earliest <= time_us <= latest and not self._is_first(time_us):
                away_us = time_us - earliest - LATEST_BACK_US
                self._complain(Fault(f"a time {away_us / 1e6:+.6f} s from the row before cannot be true"))
                continue
            earliest, latest = time_us - LATEST_BACK_US, time_us + LONGEST_SILENCE_US
            if wanted.get(bus) or (bus not in wanted and self._choose(bus)):
                take(item)
        self._earliest_us, self._latest_us = earliest, latest
        return given

    def _turn_to_next_file(self) -> bool:
        self.close()
        if self._next_file == len(self._paths):
            return False
        self._path = self._paths[self._next_file]
        self._next_file += 1
        self._file = self._opened(self._path)
        head = self._file.read(_HEAD)
        self._file.seek(0)
        self._format = _recognise(self._path, head)
        self._cursor = Cursor()
        self._rows = self._format.rows(self._file, head, self._cursor)
        if self._origin_us is not None:
            self._seam_us = self._earliest_us + LATEST_BACK_US
            self._earliest_us, self._latest_us = _NONE_YET
        return True

    def _opened(self, path: Path) -> BinaryIO:
        try:
            return path.open("rb")
        except OSError as problem:
            raise RecordingUnreadable(f"{path}: cannot be opened: {problem.strerror or problem}") from None

    def _is_first(self, time_us: int) -> bool:
        """Whether the row is its file's first; the recording's first sets the clock's origin, the others must follow on."""
        if self._origin_us is None:
            self._origin_us = time_us
            self.unix_times = self._format.zoned and time_us >= _UNIX_FROM_US
            self.first_time_us = time_us if self.unix_times else None
            return True
        seam_us, self._seam_us = self._seam_us, None
        if seam_us is not None and not seam_us <= time_us <= seam_us + LONGEST_SEAM_US:
            raise RecordingError(
                f"{self._path}: its times do not follow those of {self._paths[self._next_file - 2]};"
                " replay the recordings one by one"
            )
        return seam_us is not None

    def _choose(self, bus: Bus) -> bool:
        wanted = self._bus is None or bus == self._bus
        if isinstance(self._bus, int) and isinstance(bus, str):
            digits = bus[len(bus.rstrip("0123456789")) :]
            wanted = digits != "" and len(digits) < 10 and int(digits) == self._bus
        self._wanted[bus] = wanted
        return wanted

    def _complain(self, fault: Fault) -> None:
        self._malformed += fault.count
        self._complained += 1
        if self._complained <= MAX_COMPLAINTS:
            self._complaints.append(f"{self._path}:{self._cursor.place}: {fault.what}")

    def _frames(self) -> Frames:
        if not self._rows_taken:
            return Frames.empty()
        times, _, ids, flags, payloads = zip(*self._rows_taken, strict=True)
        origin = self._origin_us or 0
        frames = Frames.from_columns(times, ids, flags, payloads)
        np.subtract(frames.time_us, origin, out=frames.time_us)
        return frames


def _recognise(path: Path, head: bytes) -> _Format:
    """The format of a file by what it begins with; by its suffix where the beginning is damaged."""
    for candidate in _FORMATS:
        if candidate.recognised(head):
            return candidate
    for candidate in _FORMATS:
        if candidate.suffix == path.suffix.lower() and candidate.name in ("candump", "ASC"):
            return candidate
    first = excerpt(head.partition(b"\n")[0]) if head else "nothing"
    raise RecordingError(
        f"{path}: begins with {first}, which is no recording we read:"
        " candump .log, Vector .asc or .blf, or SavvyCAN GVRET .csv with its header line"
    )
