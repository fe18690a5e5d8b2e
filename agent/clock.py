"""The machine's clocks, read in one place: the boot clock orders, the wall clock is a claim with a quality."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from agent.clock_quality import Vouching, disciplined, touched_lately
from agent.machine_time import KernelTime, MachineTime
from agent.reading import NONE, Reading

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_ASK_HARDWARE_MS: Final = 600_000
_ASK_DISCIPLINE_MS: Final = 1000
_STEP_MS: Final = 1000


class Witnesses(Protocol):
    """What a machine can say of its time; MachineTime is this one."""

    def kernel(self) -> KernelTime | None:
        """The kernel's discipline, if it may be asked for."""

    def touched_ms(self) -> int | None:
        """The last synchronization that systemd-timesyncd tells of."""

    def hardware_ms(self) -> int | None:
        """The hardware clock, if there is one."""


class SystemClock:
    """The clocks of this machine. `wall_ns` and `boot_ns` read them; `witnesses` say what the wall clock is worth."""

    def __init__(
        self,
        witnesses: Witnesses | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        boot_ns: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME),
    ) -> None:
        self._boot_id = bytes.fromhex(_BOOT_ID.read_text().strip().replace("-", ""))
        self._witnesses = MachineTime() if witnesses is None else witnesses
        self._wall_ns = wall_ns
        self._boot_ns = boot_ns
        self._vouching = Vouching()
        self._asked: tuple[int, int, int | None] | None = None  # boot ms, offset then, hardware clock less boot clock
        self._told: tuple[int, int, bool] | None = None  # boot ms, offset then, whether it was synchronized
        self._touched: tuple[int | None, int] = (None, 0)  # the file's time, and the offset when it was first seen

    def read(self) -> Reading:
        """The clocks now."""
        wall_ms = max(0, self._wall_ns() // 1_000_000)  # a clock set before 1970 is worth as little as none
        boot_us = self._boot_ns() // 1000
        return Reading(self._boot_id, boot_us, wall_ms, self._quality(wall_ms, boot_us // 1000))

    def _quality(self, wall_ms: int, boot_ms: int) -> int:
        offset_ms = wall_ms - boot_ms
        hardware_ms = self._hardware(boot_ms, offset_ms)
        synchronized = self._synchronized(boot_ms, offset_ms)
        return self._vouching.judge(wall_ms, offset_ms, synchronized=synchronized, hardware_ms=hardware_ms)

    def _synchronized(self, boot_ms: int, offset_ms: int) -> bool:
        """Whether somebody keeps the clock right: asked after a step and every second, and counted on in between."""
        told = self._told
        if told is None or boot_ms - told[0] >= _ASK_DISCIPLINE_MS or abs(offset_ms - told[1]) > _STEP_MS:
            told = self._told = (boot_ms, offset_ms, self._disciplined(boot_ms + offset_ms, offset_ms))
        return told[2]

    def _disciplined(self, wall_ms: int, offset_ms: int) -> bool:
        said = self._witnesses.kernel()
        if said is None:
            touched_ms = self._witnesses.touched_ms()
            if touched_ms != self._touched[0]:
                self._touched = (touched_ms, offset_ms)
            # What was synchronized is the clock of then: one that has stepped since is another.
            return touched_lately(wall_ms, touched_ms) and abs(offset_ms - self._touched[1]) <= _STEP_MS
        return disciplined(unsynchronized=said.unsynchronized, largest_error_us=said.largest_error_us)

    def _hardware(self, boot_ms: int, offset_ms: int) -> int | None:
        """The hardware clock now: asked after a step and every ten minutes, and counted on in between."""
        asked = self._asked
        if asked is None or boot_ms - asked[0] >= _ASK_HARDWARE_MS or abs(offset_ms - asked[1]) > _STEP_MS:
            said_ms = self._witnesses.hardware_ms()
            asked = self._asked = (boot_ms, offset_ms, None if said_ms is None else said_ms - boot_ms)
        return None if asked[2] is None else boot_ms + asked[2]


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
