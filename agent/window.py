"""Samples to windows: what each signal did in each second. Pure: time comes in with the frames or as an argument.

Windows tile the capture: aligned to its start, one after the other without holes. One in which nothing was received is made
too, since "listened, heard nothing" is evidence and silence is not. States keep their transitions, for a second must not
blur when a contactor opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from agent.decode import Column, Samples
from agent.frames import Frames, IntArray
from agent.profile import Profile
from agent.tally import WIDE, ArrayTally, ScalarTally, StateTally, tally_array, tally_scalars
from evidence.window import MAX_TRANSITIONS, Record, Window

DEFAULT_WINDOW_MS: Final = 1000


Tally: TypeAlias = ScalarTally | StateTally | ArrayTally


@dataclass(slots=True)
class _Open:
    """The window that is being filled."""

    frames: int = 0
    malformed: int = 0
    tallies: dict[int, Tally] = field(default_factory=dict)

    def merge(self, signal: int, later: Tally) -> None:
        earlier = self.tallies.get(signal)
        if earlier is None:
            self.tallies[signal] = later
        else:
            earlier.merge(later)  # type: ignore[arg-type]  # a signal's tallies are all of one kind


class Windower:
    """Collects samples into windows of `window_ms`. `late` counts frames whose times ran backwards; they join the newest.

    Windows are aligned to `start_us` of the capture clock, else to the first frame; the alignment is to whole milliseconds.
    """

    _start_us: int | None
    _latest_us: int
    _number: int
    _open: _Open

    def __init__(self, profile: Profile, window_ms: int = DEFAULT_WINDOW_MS, start_us: int | None = None) -> None:
        self.late = 0
        self._kinds = tuple(signal.kind for signal in profile.signals)
        self._elements = tuple(signal.elements for signal in profile.signals)
        self._wide = _wide_signals(profile)
        self._window_ms = window_ms
        self._window_us = window_ms * 1000
        self._known: dict[int, int] = {}  # the last value of every state, for as long as this windower lives
        self._start(start_us)

    def push(self, frames: Frames, samples: Samples, malformed: int = 0) -> list[Window]:
        """Take a batch and its samples; the windows that it completes. `malformed` counts in the window open afterwards."""
        if not len(frames):
            self._open.malformed += malformed
            return []
        times = self._in_order(frames.time_us)
        windows: list[Window] = []
        cuts, numbers = self._cut(times)
        parts = self._tallied(samples, times, cuts, numbers)
        ends = [*cuts[1:], len(times)]
        for number, begin, end, tallies in zip(numbers, cuts, ends, parts, strict=True):
            windows += self._close_before(number)
            self._open.frames += end - begin
            for signal, tally in tallies.items():
                self._open.merge(signal, tally)
        self._open.malformed += malformed
        return windows

    def advance(self, now_us: int) -> list[Window]:
        """The windows whose end has passed at `now_us`, heard or not; for live captures, where silence must show."""
        if self._start_us is None:
            return []
        windows = self._close_before((now_us - self._start_us) // self._window_us)
        if windows:
            self._latest_us = max(self._latest_us, self._begin_us())
        return windows

    def finish(self, end_us: int | None = None) -> list[Window]:
        """All that is left, the last window with its true span: to `end_us`, or just past the last frame.

        Afterwards the windower starts anew with the next frame, and remembers the states it has seen.
        """
        if self._start_us is None and self._open.malformed:
            self._start_us = (end_us or 0) // 1000 * 1000
        windows: list[Window] = []
        if self._start_us is not None:
            windows = [] if end_us is None else self.advance(end_us)
            content = self._open.frames or self._open.malformed
            # The span reaches past the last frame's nearest millisecond, so that every offset lies within it.
            heard_ms = (self._latest_us - self._begin_us() + 500) // 1000 + 1 if content else 0
            span_ms = max(heard_ms, -((self._begin_us() - (end_us or 0)) // 1000))
            if span_ms > 0:
                windows.append(self._closed(min(span_ms, self._window_ms)))
        self._start(None)
        return windows

    def _start(self, start_us: int | None) -> None:
        self._start_us = None if start_us is None else start_us // 1000 * 1000
        self._latest_us = self._start_us or 0
        self._number = 0
        self._open = _Open()

    def _begin_us(self) -> int:
        return (self._start_us or 0) + self._number * self._window_us

    def _in_order(self, times: IntArray) -> IntArray:
        """The frames' times, never before the open window and never backwards."""
        if self._start_us is None:
            self._start_us = self._latest_us = int(times[0]) // 1000 * 1000
        floor = self._latest_us
        if int(times[0]) < floor or (len(times) > 1 and bool((times[1:] < times[:-1]).any())):
            ordered = np.maximum.accumulate(np.maximum(times, floor))
            self.late += int(np.count_nonzero(ordered != times))
            times = ordered
        self._latest_us = int(times[-1])
        return times

    def _cut(self, times: IntArray) -> tuple[list[int], list[int]]:
        """First frame and number of each window that has frames in the batch."""
        start_us = self._start_us or 0
        if int(times[-1]) < self._begin_us() + self._window_us:
            return [0], [self._number]
        numbers = (times - start_us) // self._window_us
        cuts = np.concatenate(([0], np.flatnonzero(numbers[1:] != numbers[:-1]) + 1))
        return cuts.tolist(), numbers[cuts].tolist()

    def _tallied(
        self, samples: Samples, times: IntArray, cuts: list[int], numbers: list[int]
    ) -> list[dict[int, Tally]]:
        """What each signal did in each of the cut stretches."""
        parts: list[dict[int, Tally]] = [{} for _ in cuts]
        for signal, column in samples.columns.items():
            bounds = [0, *np.searchsorted(column.rows, cuts[1:]).tolist(), len(column.values)]
            filled = [at for at in range(len(cuts)) if bounds[at] < bounds[at + 1]]
            kind = self._kinds[signal]
            made: Sequence[Tally]
            if kind == "state":
                begins = [(self._start_us or 0) + numbers[at] * self._window_us for at in filled]
                made = self._states(signal, column, times, [bounds[at] for at in filled], begins)
            elif kind == "array":
                made = [
                    tally_array(column, bounds[at], bounds[at + 1], self._elements[signal], signal in self._wide)
                    for at in filled
                ]
            else:
                made = tally_scalars(column.values, [bounds[at] for at in filled], signal in self._wide)
            for at, tally in zip(filled, made, strict=True):
                parts[at][signal] = tally
        return parts

    def _states(
        self, signal: int, column: Column, times: IntArray, firsts: list[int], begins: list[int]
    ) -> list[StateTally]:
        values = column.values
        known = self._known.get(signal, int(values[0]))
        changed = np.flatnonzero(values[1:] != values[:-1]) + 1
        if int(values[0]) != known:
            changed = np.concatenate(([0], changed))
        ends = [*firsts[1:], len(values)]
        made = []
        for first, end, begin_us in zip(firsts, ends, begins, strict=True):
            low, high = np.searchsorted(changed, (first, end)).tolist() if len(changed) else (0, 0)
            kept = changed[low : min(high, low + MAX_TRANSITIONS)]
            offsets = self._offsets(times[column.rows[kept]] - begin_us) if len(kept) else kept
            last = int(values[end - 1])
            transitions = list(zip(offsets.tolist(), values[kept].tolist(), strict=True))
            made.append(StateTally(end - first, known, last, transitions, high - low - len(kept)))
            known = last
        self._known[signal] = known
        return made

    def _offsets(self, us: IntArray) -> IntArray:
        """Microseconds into a window as the nearest milliseconds (ties to even), which stay within the window."""
        return np.minimum(np.rint(us / 1000), self._window_ms - 1).astype(np.int64)

    def _close_before(self, number: int) -> list[Window]:
        """Close every window before this one."""
        windows: list[Window] = []
        while self._number < number:
            windows.append(self._closed(self._window_ms))
            self._number += 1
        return windows

    def _closed(self, duration_ms: int) -> Window:
        records: list[Record] = [None] * len(self._kinds)
        for signal, tally in self._open.tallies.items():
            records[signal] = tally.record()
        window = Window(self._begin_us() // 1000, duration_ms, self._open.frames, self._open.malformed, tuple(records))
        self._open = _Open()
        return window


def _wide_signals(profile: Profile) -> frozenset[int]:
    return frozenset(
        item.signal
        for message in profile.messages
        for item in message.fields
        if max(-item.value_range[0], item.value_range[1]) >= WIDE
    )
