"""What a wall clock is worth, judged by what vouches for it. Pure: what the machine says comes in as values.

A plausible date proves nothing: a computer without a hardware clock starts with its software's date, or with that of its
last shutdown. So it takes a source of time that is in force now (ntp), or a clock that ran on since somebody set it and
still agrees (rtc): the hardware's, or this one itself since it was last synchronized.
"""

from __future__ import annotations

from typing import Final

from agent.reading import NONE, NTP, RTC

PLAUSIBLE_MS: Final = 1_767_225_600_000  # 2026-01-01: before it, this program did not exist
AGREES_MS: Final = 300_000  # what a month without synchronization makes of two clocks of 100 ppm
LARGEST_ERROR_US: Final = 10_000_000  # the kernel's own bound, which grows while nobody synchronizes
FRESH_MS: Final = 3 * 3_600_000  # systemd-timesyncd asks at least every 34 minutes
AHEAD_MS: Final = 10_000


class Vouching:
    """Judges one boot's wall clock, reading by reading. `offset_ms` is wall clock less boot clock: a step changes it."""

    def __init__(self) -> None:
        self._held_ms: int | None = None

    def judge(self, wall_ms: int, offset_ms: int, *, synchronized: bool, hardware_ms: int | None) -> int:
        """The quality. `hardware_ms` is what the hardware clock would say of the same moment, None without one."""
        if wall_ms < PLAUSIBLE_MS:
            return NONE
        if synchronized:
            self._held_ms = offset_ms
            return NTP
        if self._held_ms is not None and abs(offset_ms - self._held_ms) <= AGREES_MS:
            return RTC
        if hardware_ms is not None and hardware_ms >= PLAUSIBLE_MS and abs(hardware_ms - wall_ms) <= AGREES_MS:
            return RTC
        return NONE


def disciplined(*, unsynchronized: bool, largest_error_us: int) -> bool:
    """Whether the kernel says that somebody keeps its clock right, within a bound that means something."""
    return not unsynchronized and largest_error_us < LARGEST_ERROR_US


def touched_lately(wall_ms: int, touched_ms: int | None) -> bool:
    """Whether a file that is touched at each synchronization was so lately, by the clock as it is now.

    That alone does not notice a clock that was set by less than that; who has seen the clock step says so.
    """
    return touched_ms is not None and -AHEAD_MS <= wall_ms - touched_ms <= FRESH_MS
