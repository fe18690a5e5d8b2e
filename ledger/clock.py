"""The log's clock: the server's wall clock, but for readings that its own progress since the last one cannot explain.

Log time never decreases, so one wrong reading would hold it in the future for ever. A leap ahead is therefore not believed until
the clock has kept to it for a while, and until then the log's time stands still. The first reading of a process has nothing to be
held against.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

LEAP_MS: Final = 5 * 60 * 1000
PATIENCE_MS: Final = 10 * 60 * 1000  # a clock that was set right stays so; a wrong reading does not last
_journal: Final = logging.getLogger("packseal-ledger")


def unix_ms() -> int:
    """The server's wall clock."""
    return time.time_ns() // 1_000_000


def boottime_ms() -> int:
    """Time since boot, suspension included: what the wall clock should have progressed by."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class LogClock:
    """Reads `wall_ms` (Unix ms) and holds it against `progress_ms`, which only ever runs on."""

    def __init__(self, wall_ms: Callable[[], int] = unix_ms, progress_ms: Callable[[], int] = boottime_ms) -> None:
        self._wall_ms = wall_ms
        self._progress_ms = progress_ms
        self._offset: int | None = None
        self._claimed: tuple[int, int] | None = None  # the offset not believed yet, and since which progress

    def read(self, log_ms: int) -> int:
        """The wall clock where it is believed, else the log's own time `log_ms` (both Unix ms)."""
        wall_ms, progress_ms = self._wall_ms(), self._progress_ms()
        ahead_ms = 0 if self._offset is None else wall_ms - progress_ms - self._offset
        if ahead_ms > LEAP_MS:
            offset = wall_ms - progress_ms
            if self._claimed is None or abs(offset - self._claimed[0]) > LEAP_MS:
                _journal.error(
                    "this clock has leapt %d s ahead: the log's time stands still until it is back or has lasted",
                    ahead_ms / 1e3,
                )
                self._claimed = (offset, progress_ms)
            if progress_ms - self._claimed[1] < PATIENCE_MS:
                return log_ms
        if self._claimed is not None:
            _journal.warning("this clock is plausible again: the log's time goes on")
            self._claimed = None
        # A clock behind the log is known to be wrong: set right, it will leap, and must not be doubted for that.
        if wall_ms >= log_ms and (self._offset is None or ahead_ms > 0):
            self._offset = wall_ms - progress_ms
        return wall_ms
