"""Output into Vector's log formats, `.asc` and `.blf`, through python-can's writers.

The files begin at the run's start, not at its first frame, and the same run writes the same bytes: the writers' habit
of stamping the hour of writing is overruled. An `.asc` names its start in local time, as the format's readers expect.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TextIO

import can

from firmware_sim.bus.frame import TimedFrame
from firmware_sim.outputs.log_file import LogFile
from firmware_sim.outputs.output import Completed, nobody_asks
from firmware_sim.outputs.python_can_bus import message_of

FAR_PAST_US = 631_152_000_000_000  # 1990; the headers know no earlier year
TRUNCATED_S = 1e-10  # the writer cuts nanoseconds off where it should round
_HEAD = "date {date}\nbase hex  timestamps absolute\ninternal events logged\nBegin Triggerblock {date}\n"


class PythonCanFile(LogFile):
    """Writes every frame that is offered, with the frame's own time after `start_us` (Unix microseconds).

    A frame from before the start, after a clock was set back, stands at the start: the formats know no earlier time.
    """

    def __init__(self, path: Path, start_us: int = 0, completed: Completed = nobody_asks) -> None:
        super().__init__(path, completed)
        # The headers hold whole milliseconds; what is below is in the time of every frame.
        self._head_us = start_us - start_us % 1_000 if start_us >= FAR_PAST_US else 0
        self._ahead_us = start_us - self._head_us
        self._writer: can.ASCWriter | can.BLFWriter | None = None

    def open(self) -> str:
        """Create or empty the file."""
        try:
            self._writer = self._blf() if Path(self._path).suffix.lower() == ".blf" else self._asc()
        except OSError as problem:
            raise self._failed(problem) from problem
        return f"writing {self._path}"

    def offer(self, frames: Sequence[TimedFrame]) -> int:
        """Write all of `frames`."""
        assert self._writer is not None, "open first"  # noqa: S101 - a fault of ours, not of the input
        try:
            for time_us, frame in frames:
                after_s = max(0, self._ahead_us + time_us) / 1e6 + TRUNCATED_S
                self._writer.on_message_received(message_of(frame, after_s))
        except OSError as problem:
            raise self._failed(problem) from problem
        return self._taken(frames)

    def close(self) -> None:
        """Finish the file: its last container, its counts."""
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        if isinstance(writer, can.BLFWriter):
            writer.start_timestamp = self._head_us / 1e6
            writer.stop_timestamp = writer.start_timestamp + (writer.stop_timestamp or 0.0)
        try:
            writer.stop()
        except OSError as problem:
            raise self._failed(problem) from problem

    def _blf(self) -> can.BLFWriter:
        # Times are given after the start, as the format has them: so no microsecond is lost in a Unix time's float.
        writer = can.BLFWriter(self._path)
        writer.start_timestamp = 0.0
        return writer

    def _asc(self) -> can.ASCWriter:
        writer = can.ASCWriter(self._path)
        file: TextIO = writer.file
        file.seek(0)
        file.truncate()
        start = datetime.fromtimestamp(self._head_us / 1e6)  # noqa: DTZ006 - the format's times are local, without a zone
        date = start.strftime(f"%a %b %d %H:%M:%S.{start.microsecond // 1_000:03d} %Y")
        file.write(_HEAD.format(date=date))
        writer.header_written, writer.started = True, 0.0
        writer.log_event("Start of measurement", 0.0)
        return writer
