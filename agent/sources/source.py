"""What every source of frames promises, so that the pipeline cannot tell a recording from a bus."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from agent.frames import Frames


@dataclass(frozen=True, slots=True)
class Intake:
    """One reading: frames in order, how many rows or messages were unreadable with the first few named, and whether it ended.

    `lost` frames are known to be missing between the reading before and the first frame of this one (without frames: its
    end). All that the bus said before `until_us` of the capture clock has been read or is counted, however late; None: it
    was read just now, and nobody knows what was missed while nobody read.
    """

    frames: Frames
    malformed: int = 0
    complaints: tuple[str, ...] = ()
    ended: bool = False
    lost: int = 0
    until_us: int | None = None


class Source(Protocol):
    """Frames of one bus. Every method raises SourceError only, and after one the source may be closed and opened again."""

    name: str

    def open(self) -> None:
        """Begin to capture; what the bus said before is not seen."""

    def read(self, timeout_s: float) -> Intake:
        """What has come in, waiting at most `timeout_s` for the first frame; empty when nothing came."""

    def close(self) -> None:
        """Let go of the bus or file; never raises, may be called twice."""


def boottime_us() -> int:
    """The live capture clock: CLOCK_BOOTTIME in microseconds. It never steps, and it counts while the machine sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
