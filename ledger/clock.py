"""The log's clock: the server's wall clock, but for readings that its own progress since the last one cannot explain.

Log time never decreases, so one wrong reading would hold it in the future for ever. What is not believed adds no time to the
log, which then stands still until the clock is plausible again. The first reading of a process has nothing to be held against.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

LEAP_MS: Final = 5 * 60 * 1000
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
        self._doubted = False

    def read(self, log_ms: int) -> int:
        """The wall clock where it is believed, else the log's own time `log_ms` (both Unix ms)."""
        wall_ms, progress_ms = self._wall_ms(), self._progress_ms()
        ahead_ms = 0 if self._offset is None else wall_ms - progress_ms - self._offset
        if ahead_ms > LEAP_MS:
            if not self._doubted:
                _journal.error(
                    "this clock has leapt %d s ahead: the log's time stands still until it is back", ahead_ms / 1e3
                )
            self._doubted = True
            return log_ms
        if self._doubted:
            _journal.warning("this clock is plausible again: the log's time goes on")
            self._doubted = False
        # A clock behind the log is known to be wrong: set right, it will leap, and must not be doubted for that.
        if wall_ms >= log_ms and (self._offset is None or ahead_ms > 0):
            self._offset = wall_ms - progress_ms
        return wall_ms
