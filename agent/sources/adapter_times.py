"""An adapter's own times, in milliseconds of a minute, as times of the capture clock. Pure.

Source: the CAN232 manual of LAWICEL AB, command Z: a 16-bit count of milliseconds that starts anew at 60,000.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from agent.frames import IntArray

WRAP_MS: Final = 60_000
_LATEST_US: Final = 5_000_000  # no line is under way so long: the adapter's clock starts anew elsewhere
_DRIFT: Final = 500e-6  # of an adapter's clock against ours, at most: the anchor may be as much too early


class AdapterTimes:
    """Anchors an adapter's clock to ours by the least delay seen; what has no stamp is given the time of its reading."""

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None  # the last stamp as ms since the first minute, and when it was read
        self._offset_us = 0

    def place(self, stamps_ms: IntArray, read_us: int, after_us: int) -> IntArray:
        """Times in µs for frames read at `read_us`, none earlier than `after_us` and none later than the reading."""
        times = np.full(len(stamps_ms), read_us, np.int64)
        stamped = (stamps_ms >= 0) & (stamps_ms < WRAP_MS)
        if stamped.any():
            times[stamped] = self._placed(stamps_ms[stamped], read_us)
        return np.maximum.accumulate(np.clip(times, min(after_us, read_us), read_us))

    def _placed(self, stamps_ms: IntArray, read_us: int) -> IntArray:
        first = int(stamps_ms[0])
        steps = np.diff(stamps_ms, prepend=first) % WRAP_MS
        if self._last is None:
            begin, elapsed_us = first, 0
        else:
            before_ms, before_us = self._last
            elapsed_us = read_us - before_us
            step = (first - before_ms) % WRAP_MS
            # Whole minutes in which nothing was heard show only on our clock.
            begin = before_ms + step + WRAP_MS * max(0, round((elapsed_us / 1000 - step) / WRAP_MS))
        since = begin + np.cumsum(steps)
        newest = int(since[-1])
        offset_us = read_us - newest * 1000
        if self._last is not None:
            anchored_us = self._offset_us + int(elapsed_us * _DRIFT)
            if anchored_us > offset_us - _LATEST_US:
                offset_us = min(offset_us, anchored_us)
        self._last, self._offset_us = (newest, read_us), offset_us
        return since * 1000 + offset_us
