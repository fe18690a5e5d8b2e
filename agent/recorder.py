"""The recorder of one pack: what is captured, missed and stopped becomes statements, so that every moment is in one. Pure.

Between the first start and now, the pack's time is covered without holes: by segments, or by gaps that say why. `covered` is how
far. Every method returns what must be kept before anything else happens; nothing is sent from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from agent.clock_watch import ClockChange
from agent.frames import Frames
from agent.profile import Profile
from agent.reading import Reading
from agent.seal import Sealed, Sealer
from agent.segmenter import Cut, Segmenter, Segmenting
from evidence.bodies import Close, Counters, Gap, Moment, Open, Segment
from evidence.merkle import Digest
from evidence.statement import Seen
from evidence.window import SaltKey, Window

RESTART, KERNEL, BUS_OFF, INTERFACE_DOWN, UNPLUGGED, OVERFLOW, DAMAGED, HOLE = 0, 1, 2, 3, 4, 5, 8, 9
STOPPED, RECORDING_ENDED = 0, 1
FIRST_START, RESTARTED, STORE_REPLACED, REPLAY = 0, 1, 2, 3
LONGEST_SILENCE_US = 60_000_000  # a recording that jumps further has a hole; on a bus, silence is listened to

Place: TypeAlias = tuple[int, int, Digest | None]
"""Epoch and seq of a statement, and the entry that it names as its predecessor."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How much a window and a signature cover."""

    window_ms: int
    windows_per_segment: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """Statements to keep, in order, and the windows that were completed on the way."""

    sealed: tuple[Sealed, ...]
    windows: tuple[Window, ...] = ()

    def proof_of(self, window: Window) -> Place | None:
        """The place of the statement here that proves one of the windows; None if its segment is not sealed yet."""
        for said in (each.statement for each in self.sealed):
            if isinstance(said.body, Segment) and said.stamp.t0_ms <= window.start_ms < said.stamp.t1_ms:
                return said.epoch, said.seq, said.prev
        return None


class Recorder:
    """Drives one chain. `covered` and `counters` are what an earlier process left; None and () at the very first start.

    `short` and `unmapped` count frames as `agent.decode.Samples` does, for health lines.
    After `stop` it says nothing more: a statement behind a close would break the chain for whoever reads it.
    """

    def __init__(
        self,
        sealer: Sealer,
        profile: Profile,
        policy: Policy,
        covered: Moment | None,
        counters: Counters,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._sealer = sealer
        self._profile = profile
        self._policy = policy
        self._covered = covered
        self._random_bytes = random_bytes
        self._segmenter: Segmenter | None = None
        self.short = 0
        self.unmapped = 0
        self._missing = RESTART
        self._stopped = False
        self._seen: Seen | None = None
        self._counting = [
            (index, f"{signal.name}_{signal.unit}")
            for index, signal in enumerate(profile.signals)
            if signal.kind == "counter"
        ]
        # Those of a profile that was in use before are dropped: nothing would ever read them again.
        names = {name for _, name in self._counting}
        self._counters = tuple((name, value) for name, value in counters if name in names)

    @property
    def capturing(self) -> bool:
        """Whether frames are being taken."""
        return self._segmenter is not None

    @property
    def next_statement(self) -> Place:
        """The place of the statement that will prove what is being captured."""
        head = self._sealer.head
        return head.epoch, head.seq, head.prev

    def checkpoint_seen(self, seen: Seen) -> None:
        """A newer checkpoint was verified: the next statement carries it."""
        self._seen = seen

    def start(self, now: Reading, version: str, reason: int, others: tuple[Digest, ...] = ()) -> Recorded:
        """Open the epoch. When the store was replaced, what lies between `covered` and now is a gap of that reason."""
        self._missing = DAMAGED if reason == STORE_REPLACED else RESTART
        body = Open(version, reason, others, self._profile.schema, self._counters)
        sealed = self._sealer.open(body, now, self._covered, self._counters, self._take_seen())
        self._covered = sealed.covered
        return Recorded((sealed,))

    def capture_started(self, now: Reading) -> Recorded:
        """Frames will come from now on: what was not seen since `covered` is a gap."""
        if self._stopped or self._segmenter is not None:
            return Recorded(())
        gaps = self._gap(self._missing, _whole_ms(now.boot_us), now, None)
        self._begin()
        return Recorded(gaps)

    def captured(self, frames: Frames, malformed: int, until_us: int | None, now: Reading) -> Recorded:
        """Frames have come; none from before `until_us` will come any more (None: nobody knows, as in a recording)."""
        if self._segmenter is None:
            return Recorded(())
        pushed = self._segmenter.push(frames, malformed)
        self.short += pushed.short
        self.unmapped += pushed.unmapped
        sealed = self._seal(pushed, now)
        if until_us is None:
            return Recorded(sealed, pushed.windows)
        advanced = self._segmenter.advance(until_us)
        return Recorded(sealed + self._seal(advanced, now), pushed.windows + advanced.windows)

    def interrupted(self, reason: int, at_us: int, now: Reading) -> Recorded:
        """Capture has ended at `at_us` and may resume: seal what there is. Called while it lasts, it signs the gap so far."""
        if self._stopped:
            return Recorded(())
        if self._segmenter is None:
            gaps = self._gap(self._missing, _whole_ms(at_us), now, None)
            self._missing = reason
            return Recorded(gaps)
        finished = self._segmenter.finish(at_us)
        self._segmenter = None
        self._missing = reason
        return Recorded(self._seal(finished, now), finished.windows)

    def overflowed(self, count: int, start_us: int, end_us: int, now: Reading, reason: int = OVERFLOW) -> Recorded:
        """`count` frames came between the two times, but the kernel or we did not keep up: a gap, and on we go."""
        if self._stopped:
            return Recorded(())
        capturing = self.capturing
        ended = self.interrupted(reason, start_us, now)
        gaps = self._gap(reason, _whole_ms(end_us), now, count)
        if capturing:
            self._begin()
        return Recorded(ended.sealed + gaps, ended.windows)

    def hole(self, resumes_us: int, now: Reading) -> Recorded:
        """A recording goes on only at `resumes_us`: end the segment just after its last frame, and sign the hole."""
        if self._segmenter is None:
            return Recorded(())
        finished = self._segmenter.finish(None)
        sealed = self._seal(finished, now) + self._gap(HOLE, resumes_us // 1000, now, None)
        self._begin()
        return Recorded(sealed, finished.windows)

    def clock_changed(self, change: ClockChange, now: Reading) -> Recorded:
        """The wall clock stepped or became trustworthy: the segment ends, stamped by the old clock, so that each has one."""
        if self._stopped:
            return Recorded(())
        ended = Recorded(())
        if self._segmenter is not None:
            finished = self._segmenter.finish(self._segmenter.latest_us)
            ended = Recorded(self._seal(finished, change.old), finished.windows)
            self._begin()
        covered = self._covered or now.moment(now.boot_us // 1000)
        said = self._sealer.say("clock", change.body, now, covered, self._counters)
        return Recorded((*ended.sealed, said), ended.windows)

    def stop(self, reason: int, end_us: int | None, now: Reading) -> Recorded:
        """End the epoch: the open segment with its true span to `end_us` (None: to its last frame), then the close."""
        if self._stopped:
            return Recorded(())
        self._stopped = True
        windows: tuple[Window, ...] = ()
        sealed: tuple[Sealed, ...] = ()
        if self._segmenter is not None:
            finished = self._segmenter.finish(end_us)
            windows, sealed = finished.windows, self._seal(finished, now)
        elif end_us is not None:
            sealed = self._gap(self._missing, _whole_ms(end_us), now, None)
        self._segmenter = None
        covered = self._covered or now.moment(now.boot_us // 1000)
        return Recorded((*sealed, self._sealer.close(Close(reason, self._counters), now, covered)), windows)

    def _begin(self) -> None:
        """Begin to capture where the covered time ends: ends are rounded up to whole ms, and nothing overlaps."""
        policy, start_us = self._policy, (self._covered.boot_ms if self._covered else 0) * 1000
        self._segmenter = Segmenter(self._profile, start_us, policy.window_ms, policy.windows_per_segment)

    def _seal(self, done: Segmenting, now: Reading) -> tuple[Sealed, ...]:
        return tuple(self._segment(cut, now) for cut in done.cuts)

    def _segment(self, cut: Cut, now: Reading) -> Sealed:
        self._counters = self._counters_after(cut)
        salt_key = SaltKey(self._random_bytes(32))
        profile = Digest(self._profile.digest)
        sealed = self._sealer.segment(cut, profile, salt_key, now, self._counters, self._take_seen())
        self._covered = sealed.covered
        return sealed

    def _gap(self, reason: int, end_ms: int, now: Reading, count: int | None) -> tuple[Sealed, ...]:
        """The gap from `covered` to `end_ms` of this boot, unless there is none. It never ends before it starts."""
        start = self._covered
        if start is None or (start.boot_id == now.boot_id and start.boot_ms >= end_ms and not count):
            return ()
        end = now.moment(max(end_ms, start.boot_ms) if start.boot_id == now.boot_id else end_ms)
        sealed = self._sealer.gap(Gap(reason, start, end, count, self._counters), now, self._take_seen())
        self._covered = end
        return (sealed,)

    def _take_seen(self) -> Seen | None:
        seen, self._seen = self._seen, None
        return seen

    def _counters_after(self, cut: Cut) -> Counters:
        """The newest reading of each lifetime counter, older ones kept where the cut has none."""
        known = dict(self._counters)
        for index, name in self._counting:
            for window in reversed(cut.windows):
                record = window.records[index]
                if record is not None:
                    known[name] = max(0, int(record[4]))
                    break
        return tuple(sorted(known.items()))


def _whole_ms(time_us: int) -> int:
    """Rounded up, as segments end: what was missed within a millisecond is in the gap, not in the segment after it."""
    return -(-time_us // 1000)
