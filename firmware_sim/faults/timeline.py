"""When which fault begins and ends: planned by a scenario, added and cleared while it runs. Pure."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import NamedTuple

from firmware_sim.faults.catalogue import KINDS, Fault

NEVER_US = 1 << 63
MAX_ENTRIES = 256  # waiting and active together


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

    @property
    def active(self) -> tuple[Entry, ...]:
        """What has begun and not yet ended, in the order of beginning."""
        return tuple(self._active.values())

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of what is active, each once, in order."""
        return tuple(sorted({entry.fault.kind for entry in self._active.values()}))

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
        return Change(at_us, entry, bool(begins))

    def _push(self, at_us: int, begins: bool, entry: Entry) -> None:
        self._order += 1
        heapq.heappush(self._waiting, (at_us, int(begins), self._order, entry))
