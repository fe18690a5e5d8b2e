"""When which fault begins and ends: planned by a scenario, added and cleared while it runs. Pure."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from firmware_sim.faults.catalogue import KINDS, Fault
from firmware_sim.times import NEVER_US

MAX_ENTRIES = 256  # waiting and active together
MARK_US = 1_000_000  # what only happens is marked for so long


@dataclass(frozen=True, slots=True)
class Entry:
    """A fault with its place in time; `end_us` None means until it is cleared. `number` tells it from its like."""

    number: int
    fault: Fault
    start_us: int
    end_us: int | None

    @property
    def momentary(self) -> bool:
        """Whether it only happens, and has no end."""
        return KINDS[self.fault.kind].momentary


class Change(NamedTuple):
    """An entry begins or ends."""

    time_us: int
    entry: Entry
    begins: bool


@dataclass(slots=True)
class Timeline:
    """All faults of a run. What has begun is `active` until its end has been taken with `take`."""

    _waiting: list[tuple[int, int, int, Entry]] = field(default_factory=list)
    _active: dict[int, Entry] = field(default_factory=dict)
    _numbers: int = 0
    _order: int = 0
    _happened: deque[Change] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    _asked_us: int = -1
    _asked_before_us: int = -1

    def add(self, fault: Fault, start_us: int, end_us: int | None = None) -> Entry:
        """Let `fault` begin at `start_us` and end at `end_us`; ValueError when there are too many, or it never is."""
        if end_us is not None and end_us <= start_us:
            raise ValueError("it ends before it begins")
        if len(self._waiting) + len(self._active) >= MAX_ENTRIES:
            raise ValueError(f"more than {MAX_ENTRIES} faults at a time; clear some")
        self._numbers += 1
        entry = Entry(self._numbers, fault, start_us, end_us)
        self._push(start_us, True, entry)
        return entry

    def clear(self, kind: str | None, now_us: int) -> int:
        """End what is active and forget what waits, of one kind or of all; returns how many that were."""
        begun = [entry for entry in self._active.values() if kind in (None, entry.fault.kind)]
        waiting = [row for row in self._waiting if kind in (None, row[3].fault.kind)]
        unborn = {row[3].number for row in waiting if row[3].number not in self._active}
        self._waiting = [row for row in self._waiting if row not in waiting]
        heapq.heapify(self._waiting)
        for entry in begun:
            self._push(now_us, False, entry)
        return len(begun) + len(unborn)

    def stop(self, number: int, now_us: int) -> None:
        """End one entry that is active, sooner than it would."""
        self._waiting = [row for row in self._waiting if row[3].number != number]
        heapq.heapify(self._waiting)
        self._push(now_us, False, self._active[number])

    @property
    def active(self) -> tuple[Entry, ...]:
        """What has begun and not yet ended, in the order of beginning."""
        return tuple(self._active.values())

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of what is active, each once, in order."""
        return tuple(sorted({entry.fault.kind for entry in self._active.values()}))

    def marks(self, now_us: int) -> tuple[str, ...]:
        """`kinds` for a row of a table at `now_us`, with what only happened since the last row, or a second ago."""
        if now_us != self._asked_us:
            self._asked_before_us, self._asked_us = self._asked_us, now_us
        since_us = min(self._asked_before_us, now_us - MARK_US)
        while self._happened and self._happened[0].time_us < since_us:
            self._happened.popleft()
        if not self._happened:
            return self.kinds
        return tuple(sorted({*self.kinds, *(change.entry.fault.kind for change in self._happened)}))

    def next_us(self) -> int:
        """When something begins or ends next; NEVER_US when nothing will."""
        return self._waiting[0][0] if self._waiting else NEVER_US

    def take(self, time_us: int) -> Change | None:
        """The next change due up to `time_us`, given once; of one moment ends come before beginnings."""
        if not self._waiting or self._waiting[0][0] > time_us:
            return None
        at_us, begins, _, entry = heapq.heappop(self._waiting)
        if not begins:
            del self._active[entry.number]
        elif not entry.momentary:
            self._active[entry.number] = entry
            if entry.end_us is not None:
                self._push(entry.end_us, False, entry)
        change = Change(at_us, entry, bool(begins))
        if entry.momentary:
            self._happened.append(change)
        return change

    def _push(self, at_us: int, begins: bool, entry: Entry) -> None:
        self._order += 1
        heapq.heappush(self._waiting, (at_us, int(begins), self._order, entry))
