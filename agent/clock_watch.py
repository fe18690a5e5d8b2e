"""Notices when the wall clock steps or becomes worth more. Pure: readings come in, a `clock` body comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agent.reading import Reading
from evidence.bodies import Clock

STEPPED, TRUSTWORTHY = 0, 1
STEP_MS: Final = 1000  # discipline slews below this; what jumps further is said


@dataclass(frozen=True, slots=True)
class ClockChange:
    """What the statement says, and the old clock as it would read now: what came before the change is stamped with it."""

    body: Clock
    old: Reading


class ClockWatch:
    """Compares each reading with the one before."""

    def __init__(self, now: Reading) -> None:
        self._before = now

    def look(self, now: Reading) -> ClockChange | None:
        """What changed since the last look, if anything."""
        before, self._before = self._before, now
        expected_ms = max(0, before.wall_ms + (now.boot_us - before.boot_us) // 1000)
        if abs(now.wall_ms - expected_ms) > STEP_MS:
            reason = STEPPED
        elif now.quality > before.quality:
            reason = TRUSTWORTHY
        else:
            return None
        old = Reading(now.boot_id, now.boot_us, expected_ms, before.quality)
        return ClockChange(Clock(reason, expected_ms, now.wall_ms, now.quality), old)
