"""Between the first start and now every moment is in a segment or in a gap that says why."""

from agent.clock_watch import ClockChange, ClockWatch
from agent.frames import Frames
from agent.recorder import (
    DAMAGED,
    FIRST_START,
    HOLE,
    INTERFACE_DOWN,
    OVERFLOW,
    RECORDING_ENDED,
    RESTART,
    RESTARTED,
    STOPPED,
    STORE_REPLACED,
    Recorded,
    Recorder,
)
from agent.seal import Sealer
from evidence import chain
from evidence.bodies import Clock, Gap, Segment
from evidence.chain import ChainHead
from evidence.statement import Seen
from tests.agent_world import POLICY, PROFILE, START_MS, binding, digest, frames, key, reading, recorder

S = 1_000_000


def started(at_us=0, **clocks):
    made = recorder()
    sealed = list(made.start(reading(at_us, **clocks), "test", FIRST_START).sealed)
    return made, sealed


def listening(at_us=0):
    made, sealed = started(at_us)
    sealed += made.capture_started(reading(at_us)).sealed
    return made, sealed


def carried_on(sealed, epoch=2):
    """The next process's recorder, from what the last one kept."""
    last = sealed[-1]
    head = ChainHead(epoch, 0, last.statement.entry)
    return Recorder(Sealer(key("key of pack-1"), binding(), head), PROFILE, POLICY, last.covered, last.counters, bytes)


def story(sealed):
    """What was said, as (kind, reason or frames, from ms, to ms)."""
    told = []
    for each in sealed:
        body = each.statement.body
        match body:
            case Gap():
                told.append(("gap", body.reason, body.start.boot_ms, body.end.boot_ms))
            case Segment():
                stamp = each.statement.stamp
                told.append(("segment", body.frames, stamp.t0_ms, stamp.t1_ms))
            case _:
                told.append((each.statement.kind,))
    return told


def test_a_first_start_that_listens_at_once_leaves_no_gap():
    _, sealed = listening()
    assert story(sealed) == [("open",)]


def test_the_time_between_open_and_the_first_reading_is_a_gap():
    made, sealed = started()
    sealed += made.capture_started(reading(2 * S)).sealed
    assert story(sealed) == [("open",), ("gap", RESTART, 0, 2000)]


def test_a_segment_is_sealed_as_soon_as_its_time_is_over():
    made, sealed = listening()
    for second in range(1, 11):
        at_us = second * S
        sealed += made.captured(frames(at_us - 1), 0, at_us, reading(at_us)).sealed
    assert story(sealed)[1:] == [("segment", 5, 0, 5000), ("segment", 5, 5000, 10_000)]


def test_an_outage_ends_the_segment_and_is_a_gap_with_its_reason_when_it_is_over():
    made, sealed = listening()
    sealed += made.captured(frames(S), 0, 2 * S, reading(2 * S)).sealed
    sealed += made.interrupted(INTERFACE_DOWN, 2 * S, reading(3 * S)).sealed
    assert not made.capturing
    sealed += made.capture_started(reading(9 * S)).sealed
    assert story(sealed)[1:] == [("segment", 1, 0, 2000), ("gap", INTERFACE_DOWN, 2000, 9000)]


def test_an_outage_that_lasts_is_signed_so_far_again_and_again():
    made, sealed = listening()
    sealed += made.interrupted(INTERFACE_DOWN, S, reading(S)).sealed
    for minute in range(1, 4):
        sealed += made.interrupted(INTERFACE_DOWN, minute * 60 * S, reading(minute * 60 * S)).sealed
    assert [line[2:] for line in story(sealed)[2:]] == [(1000, 60_000), (60_000, 120_000), (120_000, 180_000)]


def test_a_restart_with_a_missing_adapter_is_first_a_restart_and_then_an_outage():
    made, sealed = listening()
    sealed += made.captured(frames(S), 0, 2 * S, reading(2 * S)).sealed
    again = carried_on(sealed)
    sealed += again.start(reading(10 * S), "test", RESTARTED).sealed
    for at in (11, 20):
        sealed += again.interrupted(INTERFACE_DOWN, at * S, reading(at * S)).sealed
    assert story(sealed)[-2:] == [("gap", RESTART, 0, 11_000), ("gap", INTERFACE_DOWN, 11_000, 20_000)]


def test_what_was_captured_but_not_sealed_when_the_process_died_is_in_the_restart_s_gap():
    made, sealed = listening()
    sealed += made.captured(frames(6 * S), 0, 7 * S, reading(7 * S)).sealed
    made.captured(frames(8 * S), 0, 9 * S, reading(9 * S))
    again = carried_on(sealed)
    sealed += again.start(reading(3 * S, boot=2), "test", RESTARTED).sealed
    sealed += again.capture_started(reading(4 * S, boot=2)).sealed
    gap = sealed[-1].statement.body
    assert (gap.reason, gap.start.boot_ms, gap.end.boot_ms) == (RESTART, 5000, 4000)
    assert gap.start.boot_id != gap.end.boot_id
    assert chain.in_order([each.statement for each in sealed])


def test_frames_that_we_could_not_keep_up_with_are_a_counted_gap():
    made, sealed = listening()
    sealed += made.captured(frames(S), 0, 2 * S, reading(2 * S)).sealed
    sealed += made.overflowed(77, 2 * S, 3 * S, reading(3 * S)).sealed
    sealed += made.stop(STOPPED, 4 * S, reading(4 * S)).sealed
    assert story(sealed)[1:] == [
        ("segment", 1, 0, 2000),
        ("gap", OVERFLOW, 2000, 3000),
        ("segment", 0, 3000, 4000),
        ("close",),
    ]
    assert sealed[2].statement.body.count == 77


def test_an_overflow_within_what_is_covered_already_is_said_without_running_backwards():
    made, sealed = listening()
    sealed += made.captured(frames(), 0, 5 * S, reading(5 * S)).sealed
    sealed += made.overflowed(5, S, 2 * S, reading(5 * S)).sealed
    assert story(sealed)[1:] == [("segment", 0, 0, 5000), ("gap", OVERFLOW, 5000, 5000)]
    assert sealed[-1].covered.boot_ms == 5000


def test_an_overflow_while_nothing_is_captured_does_not_begin_to_capture():
    made, sealed = listening()
    sealed += made.interrupted(INTERFACE_DOWN, S, reading(S)).sealed
    sealed += made.overflowed(5, 2 * S, 3 * S, reading(3 * S)).sealed
    assert not made.capturing
    assert story(sealed)[2:] == [("gap", INTERFACE_DOWN, 1000, 2000), ("gap", OVERFLOW, 2000, 3000)]


def test_what_was_missed_within_a_millisecond_is_in_the_gap_and_not_in_the_segment_after_it():
    made, sealed = started()
    sealed += made.capture_started(reading(2_000_400)).sealed
    sealed += made.interrupted(INTERFACE_DOWN, 3 * S, reading(3 * S)).sealed
    sealed += made.interrupted(INTERFACE_DOWN, 4_000_001, reading(4_000_001)).sealed
    sealed += made.stop(STOPPED, 5_000_999, reading(6 * S)).sealed
    ends = [end_ms for kind, *_, end_ms in (line for line in story(sealed) if len(line) == 4)]
    assert ends == [2001, 3000, 4001, 5001]


def test_after_the_close_nothing_is_said_any_more_whatever_comes():
    made, sealed = listening()
    sealed += made.stop(STOPPED, 2 * S, reading(2 * S)).sealed
    change = ClockChange(Clock(0, 1, 2, 2), reading(3 * S))
    late = [
        made.capture_started(reading(3 * S)),
        made.captured(frames(3 * S), 0, 4 * S, reading(4 * S)),
        made.interrupted(INTERFACE_DOWN, 4 * S, reading(4 * S)),
        made.overflowed(5, 3 * S, 4 * S, reading(4 * S)),
        made.hole(9 * S, reading(9 * S)),
        made.clock_changed(change, reading(4 * S)),
        made.stop(STOPPED, 5 * S, reading(5 * S)),
    ]
    assert late == [Recorded(())] * 7
    assert not made.capturing


def test_after_a_damaged_store_the_time_since_what_was_salvaged_is_a_gap_that_says_so():
    made, sealed = listening()
    sealed += made.stop(STOPPED, 2 * S, reading(2 * S)).sealed
    last = sealed[-1]
    again = carried_on(sealed)
    again.start(reading(9 * S), "test", STORE_REPLACED)
    (gap,) = again.capture_started(reading(9 * S)).sealed
    assert (gap.statement.body.reason, gap.statement.body.start, gap.covered.boot_ms) == (DAMAGED, last.covered, 9000)


def test_frames_too_short_or_in_no_message_are_counted():
    made, _ = listening()
    made.captured(frames(1, 2, identifier=0x101), 0, 10, reading(10))
    made.captured(Frames.from_rows([(20, 0x100, 0, b"12")]), 0, 30, reading(30))
    assert (made.unmapped, made.short) == (2, 1)


def test_a_hole_in_a_recording_ends_the_segment_after_its_last_frame():
    made, sealed = listening()
    sealed += made.captured(frames(S), 0, None, reading(S)).sealed
    sealed += made.hole(100 * S, reading(100 * S)).sealed
    sealed += made.captured(frames(100 * S), 0, None, reading(100 * S)).sealed
    sealed += made.stop(RECORDING_ENDED, None, reading(100 * S)).sealed
    assert story(sealed)[1:] == [
        ("segment", 1, 0, 1001),
        ("gap", HOLE, 1001, 100_000),
        ("segment", 1, 100_000, 100_001),
        ("close",),
    ]


def test_ends_are_rounded_up_and_the_next_capture_begins_there_without_overlap():
    made, sealed = listening()
    sealed += made.captured(frames(400), 0, 10_400, reading(10_400)).sealed
    sealed += made.interrupted(INTERFACE_DOWN, 10_400, reading(10_500)).sealed
    sealed += made.capture_started(reading(10_900)).sealed
    sealed += made.captured(frames(10_950), 0, 20_000, reading(20_000)).sealed
    sealed += made.stop(STOPPED, 20_000, reading(20_000)).sealed
    assert story(sealed)[1:] == [("segment", 1, 0, 11), ("segment", 1, 11, 20), ("close",)]


def test_a_clock_step_ends_the_segment_under_the_old_clock_and_the_next_has_the_new_one():
    made, sealed = listening()
    watch = ClockWatch(reading(0))
    sealed += made.captured(frames(S), 0, 2 * S, reading(2 * S)).sealed
    now = reading(2 * S + 400_000, wall_ms=5_000_000)
    sealed += made.clock_changed(watch.look(now), now).sealed
    now = reading(3 * S, wall_ms=5_000_600)
    sealed += made.captured(frames(2 * S + 100_000), 0, 3 * S, now).sealed
    sealed += made.stop(STOPPED, 3 * S, now).sealed
    assert story(sealed)[1:] == [("segment", 1, 0, 2000), ("clock",), ("segment", 1, 2000, 3000), ("close",)]
    assert sealed[1].statement.stamp.wall_ms == START_MS
    assert sealed[3].statement.stamp.wall_ms == 5_000_600 - 1000
    clock = sealed[2].statement.body
    assert (clock.before_ms, clock.after_ms) == (START_MS + 2400, 5_000_000)


def test_a_clock_step_while_nothing_is_captured_is_said_too():
    made, sealed = started()
    now = reading(S, wall_ms=0)
    sealed += made.clock_changed(ClockWatch(reading(0)).look(now), now).sealed
    sealed += made.capture_started(reading(2 * S, wall_ms=0)).sealed
    assert story(sealed) == [("open",), ("clock",), ("gap", RESTART, 0, 2000)]


def test_stopping_seals_the_true_span_and_what_comes_later_is_no_longer_taken():
    made, sealed = listening()
    sealed += made.captured(frames(S), 0, 2 * S, reading(2 * S)).sealed
    sealed += made.stop(STOPPED, 2_300_000, reading(4 * S)).sealed
    assert story(sealed)[1:] == [("segment", 1, 0, 2300), ("close",)]
    assert made.captured(frames(5 * S), 0, 5 * S, reading(5 * S)).sealed == ()


def test_stopping_during_an_outage_signs_the_outage_up_to_now():
    made, sealed = listening()
    sealed += made.interrupted(INTERFACE_DOWN, S, reading(S)).sealed
    sealed += made.stop(STOPPED, 8 * S, reading(8 * S)).sealed
    assert story(sealed)[1:] == [("segment", 0, 0, 1000), ("gap", INTERFACE_DOWN, 1000, 8000), ("close",)]


def test_a_capture_that_starts_twice_keeps_what_it_has():
    made, sealed = listening()
    made.captured(frames(S), 0, 2 * S, reading(2 * S))
    assert made.capture_started(reading(3 * S)).sealed == ()
    sealed += made.stop(STOPPED, 4 * S, reading(4 * S)).sealed
    assert story(sealed)[1:] == [("segment", 1, 0, 4000), ("close",)]


def test_the_newest_checkpoint_travels_once_in_the_next_statement():
    made, sealed = listening()
    for size in (3, 9):
        made.checkpoint_seen(Seen(size, digest("root")))
    sealed += made.captured(frames(), 0, 10 * S, reading(10 * S)).sealed
    assert [each.statement.seen.size if each.statement.seen else None for each in sealed] == [None, 9, None]


def test_lifetime_counters_travel_in_what_frames_a_silence():
    made, sealed = listening()
    sealed += made.captured(frames(S, total=41), 0, 2 * S, reading(2 * S)).sealed
    sealed += made.captured(frames(3 * S, total=42), 0, 4 * S, reading(4 * S)).sealed
    sealed += made.interrupted(INTERFACE_DOWN, 4 * S, reading(4 * S)).sealed
    sealed += made.capture_started(reading(6 * S)).sealed
    sealed += made.stop(STOPPED, 6 * S, reading(6 * S)).sealed
    assert sealed[-1].statement.body.counters == sealed[-2].statement.body.counters == (("Total_Wh", 42),)
    opened = carried_on(sealed).start(reading(9 * S), "test", RESTARTED).sealed[0]
    assert opened.statement.body.counters == (("Total_Wh", 42),)


def test_a_window_names_the_statement_that_proves_it_whether_sealed_or_still_to_come():
    made, _ = listening()
    done = made.captured(frames(S), 0, 6 * S, reading(6 * S))
    (sealed,) = done.sealed
    assert [window.start_ms for window in done.windows] == [0, 1000, 2000, 3000, 4000, 5000]
    place = (sealed.statement.epoch, sealed.statement.seq, sealed.statement.prev)
    assert [done.proof_of(window) for window in done.windows] == [place] * 5 + [None]
    assert made.next_statement == (1, sealed.statement.seq + 1, sealed.statement.entry)


def test_every_segment_has_a_salt_key_of_its_own():
    asked = []
    made = Recorder(
        Sealer(key(), binding(), ChainHead(1, 0, None)),
        PROFILE,
        POLICY,
        None,
        (),
        lambda n: asked.append(n) or bytes(n),
    )
    made.start(reading(0), "test", FIRST_START)
    made.capture_started(reading(0))
    made.captured(frames(), 0, 10 * S, reading(10 * S))
    assert asked == [32, 32]


def test_counters_of_a_profile_that_is_no_longer_in_use_are_dropped():
    known = (("Old_Wh", 5), ("Total_Wh", 41))
    made = Recorder(Sealer(key(), binding(), ChainHead(2, 0, None)), PROFILE, POLICY, None, known, bytes)
    opened = made.start(reading(0), "test", RESTARTED).sealed[0]
    assert opened.statement.body.counters == (("Total_Wh", 41),)
