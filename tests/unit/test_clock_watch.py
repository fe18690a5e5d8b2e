"""The wall clock is a claim: its steps are said, its slewing is not."""

import time

from agent.clock import RecordedClock, SystemClock
from agent.clock_watch import STEPPED, TRUSTWORTHY, ClockWatch
from agent.reading import NONE, NTP, RTC, Reading
from tests.agent_world import START_MS, reading


def test_a_clock_that_runs_on_is_not_worth_a_word():
    watch = ClockWatch(reading(0))
    assert watch.look(reading(500_000)) is None
    assert watch.look(reading(3_600_000_000)) is None


def test_slewing_below_a_second_is_not_said():
    watch = ClockWatch(reading(0))
    assert watch.look(reading(1_000_000, wall_ms=START_MS + 1000 + 999)) is None


def test_a_step_forward_or_back_is_said_with_both_readings_of_the_same_moment():
    for step_ms in (86_400_000, -86_400_000):
        watch = ClockWatch(reading(0))
        change = watch.look(reading(2_000_000, wall_ms=START_MS + 2000 + step_ms))
        assert change is not None
        assert (change.body.reason, change.body.before_ms) == (STEPPED, START_MS + 2000)
        assert change.body.after_ms - change.body.before_ms == step_ms
        assert change.old == reading(2_000_000)
        assert watch.look(reading(3_000_000, wall_ms=START_MS + 3000 + step_ms)) is None


def test_a_clock_that_becomes_trustworthy_is_said_even_without_a_step():
    watch = ClockWatch(reading(0, quality=RTC))
    change = watch.look(reading(1_000_000, quality=NTP))
    assert change is not None
    assert (change.body.reason, change.body.quality, change.old.quality) == (TRUSTWORTHY, NTP, RTC)


def test_a_clock_that_is_worth_less_is_not_said():
    watch = ClockWatch(reading(0, quality=NTP))
    assert watch.look(reading(1_000_000, quality=RTC)) is None


def test_a_step_that_also_makes_the_clock_trustworthy_carries_the_new_quality():
    watch = ClockWatch(reading(0, wall_ms=5_000, quality=NONE))
    change = watch.look(reading(1_000_000, quality=NTP))
    assert change is not None
    assert (change.body.reason, change.body.before_ms, change.body.quality) == (STEPPED, 6_000, NTP)


def test_a_wall_clock_that_is_worth_nothing_says_0_of_every_moment():
    nothing = Reading(bytes(16), 10_000_000, 0, NONE)
    assert nothing.wall_at(5_000) == 0
    assert nothing.moment(20_000).wall_ms == 0


def test_a_moment_before_1970_by_the_present_offset_is_0_and_never_negative():
    early = Reading(bytes(16), 10_000_000, 5_000, NONE)
    assert early.wall_at(1_000) == 0
    assert early.at(20_000_000).wall_ms == 15_000


def test_the_system_clock_reads_a_boot_id_and_both_clocks_together():
    clock = SystemClock()
    first, second = clock.read(), clock.read()
    assert first.boot_id == second.boot_id
    assert len(first.boot_id) == 16
    assert 0 <= second.boot_us - first.boot_us < 60_000_000
    assert abs(first.wall_ms - time.time() * 1000) < 60_000


def test_a_recording_without_unix_times_has_no_wall_clock():
    assert RecordedClock(None).at(5_000_000).wall_ms == 0


def test_a_recording_s_wall_clock_is_a_claim_that_nobody_vouches_for():
    at = RecordedClock(1_700_000_000_000_000).at(2_500_000)
    assert (at.boot_us, at.wall_ms, at.quality) == (2_500_000, 1_700_000_002_500, NONE)


def test_two_replays_are_two_boots():
    assert RecordedClock(None).at(0).boot_id != RecordedClock(None).at(0).boot_id
