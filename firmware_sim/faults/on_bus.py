"""A feed with faults: the pack breaks, frames are disturbed, the adapter fails, each at its time. Pure but for the adapter.

Faults begin and end between two frames: `until` never gives frames from both sides of a change in one answer, so that
what acts on the adapter comes after everything that was sent before it.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from firmware_sim.bus.feed import Feed
from firmware_sim.bus.frame import TimedFrame
from firmware_sim.faults.adapter import FaultyOutput
from firmware_sim.faults.apply import PackFaults
from firmware_sim.faults.arbitration import Arbitration
from firmware_sim.faults.catalogue import KINDS, MAX_PAST_S, Fault
from firmware_sim.faults.disturbances import Corrupted, Disturbance, Dropped, Flood, Held, Replay, Source, Swapped
from firmware_sim.faults.replays import Again, Logged
from firmware_sim.faults.tally import FaultTally
from firmware_sim.faults.timeline import Change, Entry, Timeline
from firmware_sim.times import NEVER_US

PAST_US = round(MAX_PAST_S * 1e6)
PAST_FRAMES = 1 << 18  # a minute of the fullest bus, if all of a recording is to be remembered

# Who meets a frame first: what is swapped can still be corrupted, lost and held back. Other nodes' frames meet nobody.
_ORDER = ("wrong-ids", "corrupted-payload", "frames-dropped", "frame-burst")


@dataclass(slots=True)
class FaultyFeed:
    """The frames of `feed` as the faults of `timeline` let them through; itself a feed.

    `pack` is None for a recording, which has nothing to break, and `adapter` where no output can fail. `own` are the
    identifiers that the pack itself sends (None: all), which a replay takes the place of.
    """

    feed: Feed
    timeline: Timeline
    seed: int
    tally: FaultTally
    pack: PackFaults | None = None
    adapter: FaultyOutput | None = None
    own: Collection[int] | None = None
    now_us: int = 0
    _disturbances: dict[int, tuple[str, Disturbance]] = field(default_factory=dict)
    _sources: dict[int, Source] = field(default_factory=dict)
    _replaying: int = 0
    _last_us: int = -1_000_000  # of the last frame while the bus was not crowded
    _leaps: int = 0  # how many beginnings and ends of leaps are past, while the bus is crowded
    _past: deque[TimedFrame] = field(default_factory=lambda: deque(maxlen=PAST_FRAMES))
    _pending: deque[TimedFrame] = field(default_factory=deque)
    _arbitration: Arbitration = field(default_factory=Arbitration)

    def finished(self) -> bool:
        """Whether there are no more frames; floods and replays end with the feed."""
        if not self.feed.finished() or self._pending or not self._arbitration.empty:
            return False
        end_us = self.feed.end_us()
        if self.now_us < end_us - 1 or (self._arbitration.crowded and self._next_leap_us() <= self.now_us):
            return False
        return not any(source.next_us() < end_us for source in self._speaking())

    def end_us(self) -> int:
        """When the feed ended, once it is finished; what was held back may come a little later."""
        return self.feed.end_us()

    def next_us(self) -> int:
        """When the next frame is due, or something begins or ends."""
        due = [self.timeline.next_us(), *(source.next_us() for source in self._speaking())]
        if self._pending:
            due.append(self._pending[0].time_us)
        due.append(self.feed.end_us() if self.feed.finished() else self.feed.next_us())
        return max(min(due), self._arbitration.free_us if not self._arbitration.empty else 0)

    def until(self, time_us: int, limit: int) -> list[TimedFrame]:
        """The frames due up to `time_us`, oldest first and not more than `limit`; each is given once."""
        while True:
            frames = self._give(limit)
            if frames or self.finished():
                return frames
            change_us = self.timeline.next_us()
            if self.now_us >= min(time_us, change_us - 1):
                if change_us > time_us:
                    return []
                self._change(change_us)
                continue
            self._draw(min(time_us, change_us - 1), limit)

    def _draw(self, bound_us: int, limit: int) -> None:
        """Take more of the feed, not beyond `bound_us`; `now_us` is how far all frames are known."""
        drawn = self.feed.until(bound_us, limit)
        if drawn:
            passing = self._of_others(drawn) if self._replaying else self._remembered(drawn)
            self._pending.extend(self._disturbed(passing) if self._disturbances else passing)
        if self.feed.finished():
            # What is held back or waits for the bus comes after the last frame.
            last_us = max(self.now_us, self.feed.end_us() - 1, self._arbitration.free_us)
            self.now_us = min(bound_us, max(last_us, self._pending[-1].time_us if self._pending else 0))
        elif len(drawn) == limit:
            self.now_us = max(self.now_us, drawn[-1].time_us - 1)  # another one may be due at the same time
        else:
            self.now_us = bound_us

    def _of_others(self, drawn: Sequence[TimedFrame]) -> list[TimedFrame]:
        own = self.own
        return [] if own is None else [timed for timed in drawn if timed.frame.identifier not in own]

    def _remembered(self, drawn: Sequence[TimedFrame]) -> Sequence[TimedFrame]:
        past, own = self._past, self.own
        past.extend(drawn if own is None else [timed for timed in drawn if timed.frame.identifier in own])
        since_us = drawn[-1].time_us - PAST_US
        while past and past[0].time_us < since_us:
            past.popleft()
        return drawn

    def _disturbed(self, drawn: Iterable[TimedFrame]) -> Iterator[TimedFrame]:
        for timed in drawn:
            passed: TimedFrame | None = timed
            for _, disturbance in self._disturbances.values():
                passed = disturbance.pass_on(passed) if passed else None
            if passed:
                yield passed

    def _give(self, limit: int) -> list[TimedFrame]:
        """What is known to be next on the bus."""
        pending, arbitration = self._pending, self._arbitration
        while arbitration.crowded:
            leap_us, speaking = self._next_leap_us(), self._speaking()
            known_us = min(self.now_us, leap_us - 1)
            end_us = self.feed.end_us() if self.feed.finished() else NEVER_US
            frames = arbitration.give(pending, speaking, known_us, limit, end_us, stays=self._crowding())
            self._dismiss()
            if frames:
                return frames
            if not arbitration.crowded:
                break
            if leap_us > self.now_us:
                return []
            self._leap(leap_us)
        if not pending:
            return []
        if len(pending) <= limit:
            frames = list(pending)
            pending.clear()
        else:
            frames = [pending.popleft() for _ in range(limit)]
        self._last_us = frames[-1].time_us
        return frames

    def _crowding(self) -> bool:
        """Whether anything lasts that crowds the bus."""
        return bool(self._sources) or any(kind == "frame-burst" for kind, _ in self._disturbances.values())

    def _crowd(self) -> None:
        """Something begins that crowds the bus."""
        self._arbitration.begin(self._last_us)
        self._leaps = bisect_right(self._leap_edges_us(), self.now_us)

    def _leap_edges_us(self) -> Sequence[int]:
        return () if self.pack is None else self.pack.pack.leaps_us

    def _next_leap_us(self) -> int:
        edges_us = self._leap_edges_us()
        return edges_us[self._leaps] if self._leaps < len(edges_us) else NEVER_US

    def _leap(self, time_us: int) -> None:
        """Time begins to be leaped over, or no longer is: nobody is on the bus meanwhile."""
        self._leaps += 1
        if not self._leaps % 2:
            for source in self._sources.values():
                source.rest(time_us)

    def _speaking(self) -> Sequence[Source]:
        return () if self._leaps % 2 else tuple(self._sources.values())

    def _dismiss(self) -> None:
        """End the faults whose source can send no more."""
        for number, source in tuple(self._sources.items()):
            if source.failure:
                self.timeline.stop(number, self.now_us)
                self.tally.complain("replayed-log", source.failure)
                del self._sources[number]

    def _change(self, time_us: int) -> None:
        change = self.timeline.take(time_us)
        assert change is not None  # noqa: S101 - asked for at its own time
        self.now_us = max(self.now_us, change.time_us - 1)
        if change.begins:
            self._begin(change)
        else:
            self._end(change)

    def _begin(self, change: Change) -> None:
        entry, fault = change.entry, change.entry.fault
        self.tally.begun[fault.kind] += 1
        match KINDS[fault.kind].place:
            case "pack" if self.pack is not None:
                self.pack.pack.meet(change.time_us)
                self.pack.begin(fault)
            case "adapter" if self.adapter is not None:
                self.adapter.begin(fault)
            case "bus":
                self._disturb(entry, change.time_us)

    def _end(self, change: Change) -> None:
        entry, fault = change.entry, change.entry.fault
        match KINDS[fault.kind].place:
            case "pack" if self.pack is not None:
                self.pack.pack.meet(change.time_us)
                self.pack.end(fault)
            case "adapter" if self.adapter is not None:
                self.adapter.end(fault)
            case "bus":
                self._disturbances.pop(entry.number, None)
                self._sources.pop(entry.number, None)
                self._replaying -= fault.kind == "replayed-log"
                if fault.kind == "frame-burst":
                    self._release(change.time_us)

    def _disturb(self, entry: Entry, time_us: int) -> None:
        fault = entry.fault
        if fault.kind == "frame-flood":
            self._crowd()
            self._sources[entry.number] = Flood(fault, time_us, self._count)
        elif fault.kind == "replayed-log":
            self._crowd()
            log = fault.text("log")
            frames = Logged(Path(log)) if log else self._own_past(fault, time_us)
            self._sources[entry.number] = Replay(fault, time_us, self._count, frames)
            self._replaying += 1
        else:
            if fault.kind == "frame-burst":
                self._crowd()
            added = {**self._disturbances, entry.number: (fault.kind, self._disturbance(entry, fault, time_us))}
            self._disturbances = dict(sorted(added.items(), key=lambda item: (_ORDER.index(item[1][0]), item[0])))

    def _disturbance(self, entry: Entry, fault: Fault, time_us: int) -> Disturbance:
        chance = random.Random(f"fault {self.seed} {entry.number} {fault.kind}")  # noqa: S311 - a simulation, not a secret
        if fault.kind == "frames-dropped":
            return Dropped(fault, chance, self._count)
        if fault.kind == "corrupted-payload":
            return Corrupted(fault, chance, self._count)
        if fault.kind == "wrong-ids":
            return Swapped(fault, self._count)
        return Held(fault, time_us, self._count)

    def _own_past(self, fault: Fault, time_us: int) -> Again:
        since_us = time_us - round(fault.number("past_s") * 1e6)
        return Again([timed for timed in self._past if timed.time_us >= since_us])

    def _release(self, time_us: int) -> None:
        self._arbitration.released_us = time_us
        early = (TimedFrame(min(timed.time_us, time_us), timed.frame) for timed in self._pending)
        self._pending = deque(early)

    def _count(self, kind: str) -> None:
        self.tally.frames[kind] += 1
