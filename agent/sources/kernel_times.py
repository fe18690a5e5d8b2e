"""The kernel's receive stamps, which are of the wall clock, as times of the boot clock, which never steps. Pure.

A stamp loses the wall clock's distance to the boot clock, which is measured at every reading. When the wall clock has stepped
between two readings, the frames before the step need the distance of the reading before. Which one a frame needs shows by
where it lands: nothing can have come before the reading before it had ended, nor after now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.frames import IntArray

STEP_US: Final = 1_000  # a clock that is only being steered changes its distance by 50 us in a reading of 0.1 s
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks at one moment: the boot clock in us, how far the wall clock is ahead of it, how long the machine has slept."""

    boot_us: int
    ahead_us: int
    slept_us: int = 0

    @staticmethod
    def read(boot_ns: Callable[[], int], wall_ns: Callable[[], int], waking_ns: Callable[[], int]) -> Clocks:
        """The others read between two readings of the boot clock; of three tries the closest. `waking_ns` stops in sleep."""
        tries = []
        for _ in range(_TRIES):
            before, wall, waking, after = boot_ns(), wall_ns(), waking_ns(), boot_ns()
            middle = (before + after) // 2
            tries.append((after - before, after, wall - middle, middle - waking))
        _, boot, ahead, slept = min(tries)
        return Clocks(boot // 1000, ahead // 1000, slept // 1000)


def boot_times(stamps_us: IntArray, before: Clocks, now: Clocks, earliest_us: int) -> IntArray:
    """Boot-clock times of frames stamped between two readings of the clocks, in order, from `earliest_us` to now."""
    times = stamps_us - now.ahead_us
    if abs(now.ahead_us - before.ahead_us) > STEP_US:
        earlier = stamps_us - before.ahead_us
        misplaced = (times < earliest_us) | (times > now.boot_us)
        fitting = (earlier >= earliest_us) & (earlier <= now.boot_us)
        times = np.where(misplaced & fitting, earlier, times)
    ordered: IntArray = np.maximum.accumulate(np.clip(times, earliest_us, max(earliest_us, now.boot_us)))
    return ordered
