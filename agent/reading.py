"""One reading of the clocks, as a value: the boot clock orders, the wall clock is a claim with a quality. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from evidence.bodies import Moment

NONE: Final = 0
RTC: Final = 1
NTP: Final = 2


@dataclass(frozen=True, slots=True)
class Reading:
    """Boot clock in µs and wall clock in Unix ms, read together; what the wall clock is worth (0 none, 1 rtc, 2 ntp)."""

    boot_id: bytes
    boot_us: int
    wall_ms: int
    quality: int

    def wall_at(self, boot_ms: int) -> int:
        """What the wall clock would have said at `boot_ms`, by its present offset; 0 when it is worth nothing."""
        return max(0, self.wall_ms + boot_ms - self.boot_us // 1000) if self.wall_ms else 0

    def moment(self, boot_ms: int) -> Moment:
        """A moment of this boot as statements carry it."""
        return Moment(self.boot_id, boot_ms, self.wall_at(boot_ms), self.quality)

    def at(self, boot_us: int) -> Reading:
        """This reading moved to another moment of the same boot, the wall clock by its present offset."""
        return Reading(self.boot_id, boot_us, self.wall_at(boot_us // 1000), self.quality)
