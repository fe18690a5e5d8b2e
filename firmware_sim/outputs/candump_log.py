"""Output into a candump log: `(seconds.microseconds) interface ID#HEX`, one frame on each line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from firmware_sim.bus.frame import CanFrame, TimedFrame
from firmware_sim.outputs.log_file import LogFile
from firmware_sim.outputs.output import Completed, nobody_asks

STDOUT = "-"


def log_line(time_us: int, interface: str, frame: CanFrame) -> str:
    """One line in the format of can-utils' `candump -L`, which knows no time before 1970."""
    seconds, micros = divmod(max(0, time_us), 1_000_000)
    number, payload, extended, remote, requested = frame
    identifier = f"{number:08X}" if extended else f"{number:03X}"
    content = f"R{requested}" if remote else payload.hex().upper()
    return f"({seconds:010d}.{micros:06d}) {interface} {identifier}#{content}\n"


class CandumpLog(LogFile):
    """Writes every frame that is offered, with the frame's own time after `start_us`; `-` is standard output."""

    def __init__(
        self, path: str, interface: str = "can0", start_us: int = 0, completed: Completed = nobody_asks
    ) -> None:
        super().__init__(path, completed)
        self._interface, self._start_us = interface, start_us
        self._file: TextIO | None = None

    def open(self) -> str:
        """Create or empty the file."""
        if self._path == STDOUT:
            self._file = sys.stdout
            return "writing to standard output"
        try:
            self._file = Path(self._path).open("w", encoding="ascii", newline="\n")  # noqa: SIM115 - until close()
        except OSError as problem:
            raise self._failed(problem) from problem
        return f"writing {self._path}"

    def offer(self, frames: Sequence[TimedFrame]) -> int:
        """Write all of `frames`."""
        assert self._file is not None, "open first"  # noqa: S101 - a fault of ours, not of the input
        lines = [log_line(self._start_us + time_us, self._interface, frame) for time_us, frame in frames]
        try:
            self._file.write("".join(lines))
        except BrokenPipeError:
            raise  # whoever read our standard output has had enough; the program ends quietly
        except OSError as problem:
            raise self._failed(problem) from problem
        return self._taken(frames)

    def close(self) -> None:
        """Flush, and close what is ours."""
        if self._file is None:
            return
        try:
            self._file.flush()
            if self._path != STDOUT:
                self._file.close()
        except BrokenPipeError:
            raise
        except OSError as problem:
            raise self._failed(problem) from problem
        finally:
            self._file = None
