"""Notices when the wall clock steps or becomes worth more. Pure: readings come in, a `clock` body comes out."""

from __future__ import annotations

from typing import Final

from agent.reading import Reading
from evidence.bodies import Clock

STEPPED, TRUSTWORTHY = 0, 1
STEP_MS: Final = 1000  # discipline slews below this; what jumps further is said


class ClockWatch:
    """Compares each reading with the one before."""

    def __init__(self, now: Reading) -> None:
        self._before = now

    def look(self, now: Reading) -> Clock | None:
        """What changed since the last look, if anything."""
        before, self._before = self._before, now
        expected_ms = before.wall_ms + (now.boot_us - before.boot_us) // 1000
        if abs(now.wall_ms - expected_ms) > STEP_MS:
            return Clock(STEPPED, max(0, expected_ms), now.wall_ms, now.quality)
        if now.quality > before.quality:
            return Clock(TRUSTWORTHY, max(0, expected_ms), now.wall_ms, now.quality)
        return None
