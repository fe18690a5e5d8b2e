"""Whatever happens to a capture, and wherever the process dies: the chain is whole and no moment and no frame is unaccounted for.

The model knows only what it handed over and what was committed; it checks the statements by their own words.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from agent.clock_watch import ClockWatch
from agent.frames import Frames, digest_update
from agent.reading import NTP, Reading
from agent.recorder import FIRST_START, INTERFACE_DOWN, RESTARTED, STOPPED, UNPLUGGED, Policy, Recorded, Recorder
from agent.seal import Sealed, Sealer
from evidence import chain, segment
from evidence.bodies import Gap, Moment, Segment
from evidence.chain import ChainHead
from tests.agent_world import PROFILE, START_MS, binding, frames, key

POLICY = Policy(window_ms=100, windows_per_segment=5)
WAITS = st.integers(0, 1_300_000)
SLACK_MS = 1  # ends are rounded up to whole milliseconds

ACTIONS = st.one_of(
    st.tuples(st.just("listen"), WAITS),
    st.tuples(st.just("capture"), WAITS, st.integers(0, 6), st.booleans()),
    st.tuples(st.just("interrupt"), WAITS, st.sampled_from([INTERFACE_DOWN, UNPLUGGED])),
    st.tuples(st.just("overflow"), WAITS, st.integers(1, 1000)),
    st.tuples(st.just("hole"), WAITS),
    st.tuples(st.just("clock"), WAITS, st.integers(-(10**10), 10**7)),
    st.tuples(st.just("stop"), WAITS),
    st.tuples(st.just("crash"), st.booleans(), st.booleans()),
)


@dataclass(slots=True)
class Model:
    """One pack over several processes and boots."""

    committed: list[Sealed] = field(default_factory=list)
    handed: list[tuple[int, int]] = field(default_factory=list)  # (boot, us) of every frame ever handed over
    unsealed: list[Frames] = field(default_factory=list)  # of this process, in order
    sealed_frames: set[tuple[int, int]] = field(default_factory=set)
    boot: int = 1
    now_us: int = 1_000_000
    heard_us: int = 0
    offset_ms: int = START_MS
    epoch: int = 0
    crash_next: bool = False
    recorder: Recorder = field(init=False)
    watch: ClockWatch = field(init=False)

    def __post_init__(self) -> None:
        self.begin()

    def reading(self) -> Reading:
        return Reading(bytes([self.boot]) * 16, self.now_us, max(0, self.offset_ms + self.now_us // 1000), NTP)

    def begin(self) -> None:
        """A process starts from what is committed, and from nothing else."""
        self.epoch += 1
        self.unsealed = []
        self.crash_next = False
        last = self.committed[-1] if self.committed else None
        head = ChainHead(self.epoch, 0, last.statement.entry if last else None)
        self.watch = ClockWatch(self.reading())
        self.recorder = Recorder(
            Sealer(key(), binding(), head),
            PROFILE,
            POLICY,
            last.covered if last else None,
            last.counters if last else (),
            bytes,
        )
        self.keep(self.recorder.start(self.reading(), "test", RESTARTED if last else FIRST_START))

    def keep(self, recorded: Recorded) -> None:
        """Commit what was sealed; or die before that."""
        if self.crash_next and recorded.sealed:
            self.begin()
            return
        for each in recorded.sealed:
            if isinstance(each.statement.body, Segment):
                self.consume(each)
            self.committed.append(each)

    def consume(self, sealed: Sealed) -> None:
        """The frames of a segment are the next that were handed over, by the segment's own digest."""
        body = sealed.statement.body
        joined = Frames.concat(self.unsealed)
        taken, left = joined[: body.frames], joined[body.frames :]
        hasher = hashlib.sha256()
        digest_update(hasher, taken)
        assert hasher.digest() == body.raw
        segment.check(sealed.document, body)
        self.sealed_frames |= {(self.boot, int(time_us)) for time_us in taken.time_us}
        self.unsealed = [left] if len(left) else []

    def do(self, action: tuple) -> None:
        name, *words = action
        if name == "crash":
            self.crash(*words)
            return
        before_us, self.now_us = self.now_us, self.now_us + words[0]
        getattr(self, name)(before_us, *words[1:])

    def listen(self, _before_us: int) -> None:
        self.heard_us = self.now_us
        self.keep(self.recorder.capture_started(self.reading()))

    def capture(self, before_us: int, count: int, bounded: bool) -> None:
        step = max(1, (self.now_us - before_us) // (count + 1))
        times = [before_us + step * n for n in range(1, count + 1) if before_us + step * n <= self.now_us]
        batch = frames(*times, total=len(self.handed) % 60_000)
        self.handed += [(self.boot, time_us) for time_us in times]
        if self.recorder.capturing:
            self.unsealed.append(batch)
            self.heard_us = self.now_us
        self.keep(self.recorder.captured(batch, 0, self.now_us if bounded else None, self.reading()))

    def interrupt(self, _before_us: int, reason: int) -> None:
        at_us = self.heard_us if self.recorder.capturing else self.now_us
        self.keep(self.recorder.interrupted(reason, at_us, self.reading()))

    def overflow(self, _before_us: int, count: int) -> None:
        start_us, self.heard_us = self.heard_us, self.now_us
        self.keep(self.recorder.overflowed(count, start_us, self.now_us, self.reading()))

    def hole(self, _before_us: int) -> None:
        self.heard_us = self.now_us
        self.keep(self.recorder.hole(self.now_us, self.reading()))

    def clock(self, _before_us: int, step_ms: int) -> None:
        self.offset_ms += step_ms
        change = self.watch.look(self.reading())
        if change is not None:
            self.keep(self.recorder.clock_changed(change, self.reading()))

    def stop(self, _before_us: int) -> None:
        """An orderly end, and the next process."""
        end_us = self.heard_us if self.recorder.capturing else self.now_us
        self.keep(self.recorder.stop(STOPPED, end_us, self.reading()))
        self.now_us += 1000
        self.begin()

    def crash(self, at_next_commit: bool, reboot: bool) -> None:
        if at_next_commit:
            self.crash_next = True
            return
        if reboot:
            self.boot, self.now_us, self.heard_us = self.boot + 1, 50_000, 0
        self.begin()


def within(moment: tuple[int, int], gap: Gap) -> bool:
    """Whether (boot, us) lies in a gap's span; boots follow one another in these tests' numbering."""
    boot, time_us = moment
    start = (gap.start.boot_id[0], gap.start.boot_ms - SLACK_MS)
    end = (gap.end.boot_id[0], gap.end.boot_ms + SLACK_MS)
    return start <= (boot, time_us / 1000) <= end


def covered_after(sealed: list[Sealed]) -> Moment:
    """Walk the statements: each segment and gap begins exactly where the one before ended."""
    first = sealed[0].statement.stamp
    at = (first.boot_id, first.t0_ms)
    for each in sealed:
        said = each.statement
        match said.body:
            case Segment():
                assert at == (said.stamp.boot_id, said.stamp.t0_ms)
                at = (said.stamp.boot_id, said.stamp.t1_ms)
            case Gap() as gap:
                assert at == (gap.start.boot_id, gap.start.boot_ms)
                at = (gap.end.boot_id, gap.end.boot_ms)
                if gap.start.boot_id == gap.end.boot_id:
                    assert gap.start.boot_ms <= gap.end.boot_ms
            case _:
                pass
        assert (each.covered.boot_id, each.covered.boot_ms) == at
    return sealed[-1].covered


@given(st.lists(ACTIONS, max_size=40))
def test_any_history_is_one_whole_chain_that_tiles_the_time_and_loses_no_frame_in_silence(actions):
    model = Model()
    for action in actions:
        model.do(action)
    model.crash_next = False
    model.do(("stop", 2_000))  # beyond the millisecond that a gap's end may be rounded down by
    said = [each.statement for each in model.committed]
    assert chain.in_order(said) == said
    places = [(each.envelope.kid, each.epoch, each.seq) for each in said]
    assert len(set(places)) == len(places)
    covered = covered_after(model.committed)
    assert covered.boot_id[0] == model.boot
    gaps = [each.body for each in said if isinstance(each.body, Gap)]
    for moment in model.handed:
        assert moment in model.sealed_frames or any(within(moment, gap) for gap in gaps), moment
