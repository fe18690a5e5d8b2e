"""A feed with faults: the pack breaks, frames are disturbed, the adapter fails, each at its time. Pure but for the adapter.

Faults begin and end between two frames: `until` never gives frames from both sides of a change in one answer, so that
what acts on the adapter comes after everything that was sent before it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from firmware_sim.bus.frame import TimedFrame
from firmware_sim.faults.adapter import FaultyOutput
from firmware_sim.faults.apply import PackFaults
from firmware_sim.faults.arbitration import Arbitration
from firmware_sim.faults.catalogue import KINDS, Fault
from firmware_sim.faults.disturbances import (
    Again,
    Corrupted,
    Disturbance,
    Dropped,
    Flood,
    Held,
    Repeated,
    Replay,
    Source,
    Swapped,
)
from firmware_sim.faults.tally import FaultTally
from firmware_sim.faults.timeline import NEVER_US, Change, Entry, Timeline
from firmware_sim.play.playback import Playback
from firmware_sim.play.recording import Recording

PAST_FRAMES = 1 << 16  # five minutes of one pack


class Feed(Protocol):
    """Frames in order of time, as `outputs.stream` takes them."""

    def until(self, time_us: int, limit: int) -> list[TimedFrame]:
        """The frames due up to `time_us`, not more than `limit`; each is given once."""

    def next_us(self) -> int:
        """When the next frame is due."""

    def finished(self) -> bool:
        """Whether there are no more."""


# Who meets a frame first: what is swapped can still be corrupted, lost and held back. Other nodes' frames meet nobody.
_ORDER = ("wrong-ids", "corrupted-payload", "frames-dropped", "frame-burst")


@dataclass(slots=True)
class FaultyFeed:
    """The frames of `feed` as the faults of `timeline` let them through; itself a feed.

    `pack` is None for a recording, which has nothing to break, and `adapter` where no output can fail.
    """

    feed: Feed
    timeline: Timeline
    seed: int
    tally: FaultTally
    pack: PackFaults | None = None
    adapter: FaultyOutput | None = None
    now_us: int = 0
    _disturbances: dict[int, tuple[str, Disturbance]] = field(default_factory=dict)
    _sources: dict[int, Source] = field(default_factory=dict)
    _end_us: int = NEVER_US  # of the feed, once it is known
    _replaying: int = 0
    _bursting: bool = False
    _past: deque[TimedFrame] = field(default_factory=lambda: deque(maxlen=PAST_FRAMES))
    _pending: deque[TimedFrame] = field(default_factory=deque)
    _arbitration: Arbitration = field(default_factory=Arbitration)

    def finished(self) -> bool:
        """Whether there are no more frames; floods and replays end with the feed."""
        return self.feed.finished() and not self._pending and self._arbitration.empty

    def next_us(self) -> int:
        """When the next frame is due, or something begins or ends."""
        due = [self.timeline.next_us(), *(source.next_us() for source in self._sources.values())]
        if self._pending:
            due.append(self._pending[0].time_us)
        if not self.feed.finished():
            due.append(self.feed.next_us())
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
        if not self._replaying:
            self._past.extend(drawn)
            self._pending.extend(self._disturbed(drawn) if self._disturbances else drawn)
        if len(drawn) == limit:
            self.now_us = drawn[-1].time_us
        elif self.feed.finished():
            # What is held back or waits for the bus comes after the last frame; a flood has nothing left to disturb.
            last_us = max([self.now_us, *(timed.time_us for timed in (*drawn, *self._pending))])
            self._end_us = min(self._end_us, last_us)
            self.now_us = min(bound_us, max(last_us, self._arbitration.free_us))
        else:
            self.now_us = bound_us

    def _disturbed(self, drawn: Iterable[TimedFrame]) -> Iterator[TimedFrame]:
        for timed in drawn:
            passed: TimedFrame | None = timed
            for _, disturbance in self._disturbances.values():
                passed = disturbance.pass_on(passed) if passed else None
            if passed:
                yield passed

    def _give(self, limit: int) -> list[TimedFrame]:
        """What is known to be next on the bus."""
        if self._sources or not self._arbitration.empty:
            sources = [source for source in self._sources.values() if source.next_us() <= self._end_us]
            return self._arbitration.give(self._pending, sources, self.now_us, limit, self._end_us)
        if self._bursting:
            frames = self._arbitration.in_a_row(self._pending, self.now_us, limit)
            self._bursting = bool(self._pending) or any(
                kind == "frame-burst" for kind, _ in self._disturbances.values()
            )
            return frames
        return [self._pending.popleft() for _ in range(min(limit, len(self._pending)))]

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
                self.pack.pack.advance_to(change.time_us)
                self.pack.begin(fault)
            case "adapter" if self.adapter is not None:
                self.adapter.begin(fault)
            case "bus":
                self._disturb(entry, change.time_us)

    def _end(self, change: Change) -> None:
        entry, fault = change.entry, change.entry.fault
        match KINDS[fault.kind].place:
            case "pack" if self.pack is not None:
                self.pack.pack.advance_to(change.time_us)
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
            self._sources[entry.number] = Flood(fault, time_us, self._count)
        elif fault.kind == "replayed-log":
            log = fault.text("log")
            frames: Repeated = Playback(Recording(Path(log)), loop=True) if log else self._own_past(fault, time_us)
            self._sources[entry.number] = Replay(fault, time_us, self._count, frames)
            self._replaying += 1
        else:
            self._bursting = self._bursting or fault.kind == "frame-burst"
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
        early = (TimedFrame(min(timed.time_us, time_us), timed.frame) for timed in self._pending)
        self._pending = deque(early)

    def _count(self, kind: str) -> None:
        self.tally.frames[kind] += 1
