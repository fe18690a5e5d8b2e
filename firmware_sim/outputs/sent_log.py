"""The sent log: a line `boottime_us,id_hex,flags,payload_hex` for each frame that was completely written.

It is the simulator's testimony in crash tests, so it is flushed at least every 100 ms and never says more than was
written.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from firmware_sim.bus.frame import CanFrame
from packseal.program import InputOutputError

FLUSH_US = 50_000


def boottime_us() -> int:
    """CLOCK_BOOTTIME in microseconds: the agent's capture clock."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000


class SentLog:
    """Collects lines; `flush` is called in every step of the run and writes when it is time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[str] = []
        self._flushed_us = 0
        try:
            self._file: TextIO = path.open("w", encoding="ascii", newline="\n")
        except OSError as problem:
            raise InputOutputError(f"{path}: {problem.strerror}") from problem

    def record(self, frames: Sequence[CanFrame]) -> None:
        """Note frames that have just been written."""
        now = boottime_us()
        self._lines += [f"{now},{f.identifier:X},{f.flags},{f.payload.hex()}\n" for f in frames]

    def flush(self, now_us: int) -> None:
        """Hand the lines to the kernel if 50 ms have passed."""
        if now_us - self._flushed_us >= FLUSH_US:
            self._hand_over()
            self._flushed_us = now_us

    def close(self) -> None:
        """Write the rest."""
        self._hand_over()
        self._file.close()

    def _hand_over(self) -> None:
        try:
            self._file.write("".join(self._lines))
            self._file.flush()
        except OSError as problem:
            raise InputOutputError(f"{self._path}: {problem.strerror}") from problem
        self._lines.clear()
