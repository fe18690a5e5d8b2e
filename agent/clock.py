"""The machine's clocks, read in one place: the boot clock orders, the wall clock is a claim with a quality."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from agent.reading import NONE, NTP, RTC, Reading

_SYNCHRONIZED: Final = Path("/run/systemd/timesync/synchronized")
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_PLAUSIBLE_MS: Final = 1_767_225_600_000  # 2026-01-01: before it, this program did not exist


class SystemClock:
    """The clocks of this machine."""

    def __init__(self) -> None:
        self._boot_id = bytes.fromhex(_BOOT_ID.read_text().strip().replace("-", ""))

    def read(self) -> Reading:
        """The clocks now."""
        wall_ms = max(0, time.time_ns() // 1_000_000)  # a clock set before 1970 is worth as little as none
        quality = NONE if wall_ms < _PLAUSIBLE_MS else NTP if _SYNCHRONIZED.exists() else RTC
        boot_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
        return Reading(self._boot_id, boot_us, wall_ms, quality)


class RecordedClock:
    """The clock of a recording: its boot clock starts at the first row, and its wall clock is what the rows say, if they do.

    Nobody vouches for a recording's times: the quality is none.
    """

    def __init__(self, first_unix_us: int | None) -> None:
        self._boot_id = os.urandom(16)
        self._first_unix_us = first_unix_us

    def at(self, capture_us: int) -> Reading:
        """The recording's clocks at `capture_us` after its first row."""
        wall_ms = 0 if self._first_unix_us is None else (self._first_unix_us + capture_us) // 1000
        return Reading(self._boot_id, capture_us, wall_ms, NONE)
