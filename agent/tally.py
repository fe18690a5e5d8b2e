"""What a signal did in a stretch of time, so far: tallies that merge and end as a window's records. Pure.

Sums are exact whatever the values: a mean that depended on how the frames were cut into batches would be no evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.decode import Column
from agent.frames import IntArray
from evidence.window import MAX_TRANSITIONS, Record

WIDE: Final = 1 << 40  # values beyond it are summed in two halves: a sum over a batch might pass 63 bits
_FEW: Final = 64  # below this many samples Python's own min, max and sum are faster than numpy's


@dataclass(slots=True)
class ScalarTally:
    """n, extremes, sum and last of a stretch."""

    n: int
    low: int
    high: int
    total: int
    last: int

    def merge(self, later: ScalarTally) -> None:
        """Go on with the stretch that follows."""
        self.n += later.n
        self.low = min(self.low, later.low)
        self.high = max(self.high, later.high)
        self.total += later.total
        self.last = later.last

    def record(self) -> Record:
        """What a window says of it."""
        return self.n, self.low, self.high, _mean(self.total, self.n), self.last


@dataclass(slots=True)
class StateTally:
    """First and last of a stretch, and its transitions as (offset ms, value)."""

    n: int
    first: int
    last: int
    transitions: list[tuple[int, int]]
    dropped: int

    def merge(self, later: StateTally) -> None:
        """Go on with the stretch that follows."""
        self.n += later.n
        self.last = later.last
        room = MAX_TRANSITIONS - len(self.transitions)
        self.transitions += later.transitions[:room]
        self.dropped += later.dropped + len(later.transitions[room:])

    def record(self) -> Record:
        """What a window says of it."""
        return self.n, self.first, self.last, tuple(self.transitions), self.dropped


@dataclass(slots=True)
class ArrayTally:
    """A scalar's statistics over all elements, which elements had the extremes first, and the last value of each."""

    n: int
    low: int
    high: int
    total: int
    low_at: int
    high_at: int
    last: list[int | None]

    def merge(self, later: ArrayTally) -> None:
        """Go on with the stretch that follows."""
        self.n += later.n
        if later.low < self.low:
            self.low, self.low_at = later.low, later.low_at
        if later.high > self.high:
            self.high, self.high_at = later.high, later.high_at
        self.total += later.total
        self.last = [old if new is None else new for old, new in zip(self.last, later.last, strict=True)]

    def record(self) -> Record:
        """What a window says of it."""
        mean = _mean(self.total, self.n)
        return self.n, self.low, self.high, mean, self.low_at, self.high_at, tuple(self.last)


def tally_scalars(values: IntArray, firsts: list[int], wide: bool) -> list[ScalarTally]:
    """The statistics of each stretch; stretches begin at `firsts` and cover all values."""
    ends = [*firsts[1:], len(values)]
    if len(values) <= _FEW or len(firsts) == 1:
        return [_scalar(values[first:end], wide) for first, end in zip(firsts, ends, strict=True)]
    lows = np.minimum.reduceat(values, firsts).tolist()
    highs = np.maximum.reduceat(values, firsts).tolist()
    if wide:
        totals = [_total(values[first:end], wide) for first, end in zip(firsts, ends, strict=True)]
    else:
        totals = np.add.reduceat(values, firsts).tolist()
    lasts = values[np.array(ends) - 1].tolist()
    counts = [end - first for first, end in zip(firsts, ends, strict=True)]
    return [ScalarTally(*each) for each in zip(counts, lows, highs, totals, lasts, strict=True)]


def _scalar(values: IntArray, wide: bool) -> ScalarTally:
    if len(values) <= _FEW:
        few = values.tolist()
        return ScalarTally(len(few), min(few), max(few), sum(few), few[-1])
    # The ufuncs' own reduce: the array methods go through a layer of Python that costs as much again.
    low, high = int(np.minimum.reduce(values)), int(np.maximum.reduce(values))
    return ScalarTally(len(values), low, high, _total(values, wide), int(values[-1]))


def tally_array(column: Column, first: int, end: int, count: int, wide: bool) -> ArrayTally:
    """The tally of the samples from `first` to `end` of an array with `count` elements."""
    assert column.elements is not None  # noqa: S101 - the decoder names an element for every sample of an array
    values, elements = column.values[first:end], column.elements[first:end]
    low_at, high_at = int(values.argmin()), int(values.argmax())
    last: list[int | None] = [None] * count
    if len(values) <= count:
        pairs = zip(elements.tolist(), values.tolist(), strict=True)
    else:
        newest = np.full(count, -1)
        newest[elements] = np.arange(len(values))  # of repeated elements the last assignment stays
        seen = newest[newest >= 0]
        pairs = zip(elements[seen].tolist(), values[seen].tolist(), strict=True)
    for element, value in pairs:
        last[element] = value
    return ArrayTally(
        len(values),
        int(values[low_at]),
        int(values[high_at]),
        _total(values, wide),
        int(elements[low_at]),
        int(elements[high_at]),
        last,
    )


def _total(values: IntArray, wide: bool) -> int:
    if wide:  # in two halves, each of which a 64-bit sum holds
        return (int((values >> 32).sum()) << 32) + int((values & 0xFFFF_FFFF).sum())
    return int(np.add.reduce(values))


def _mean(total: int, n: int) -> int:
    return (2 * total + n) // (2 * n)
