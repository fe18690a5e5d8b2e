"""What the wall clock is worth: a plausible date vouches for nothing."""

from __future__ import annotations

import pytest

from agent.clock import SystemClock
from agent.clock_quality import AGREES_MS, FRESH_MS, LARGEST_ERROR_US, PLAUSIBLE_MS
from agent.machine_time import KernelTime, MachineTime
from agent.reading import NONE, NTP, RTC
from tests.scripted_clock import DAY_MS, NOW_MS, ScriptedMachine


@pytest.fixture
def machine():
    return ScriptedMachine()


def quality(machine):
    return machine.clock.read().quality


def test_a_kernel_that_is_kept_right_within_a_bound_is_ntp(machine):
    machine.said = KernelTime(unsynchronized=False, largest_error_us=500)
    assert quality(machine) == NTP


@pytest.mark.parametrize(
    "said",
    [
        KernelTime(unsynchronized=True, largest_error_us=0),
        KernelTime(unsynchronized=False, largest_error_us=LARGEST_ERROR_US),
    ],
)
def test_a_kernel_that_nobody_keeps_right_or_not_within_a_bound_is_not_ntp_whatever_an_old_file_says(machine, said):
    machine.said, machine.touched = said, NOW_MS
    assert quality(machine) == NONE


@pytest.mark.parametrize(
    ("touched_ms", "expected"),
    [(NOW_MS, NTP), (NOW_MS - FRESH_MS, NTP), (NOW_MS - FRESH_MS - 1, NONE), (NOW_MS + 60_000, NONE), (None, NONE)],
)
def test_where_the_kernel_may_not_be_asked_a_file_that_was_touched_lately_counts(machine, touched_ms, expected):
    machine.said, machine.touched = None, touched_ms
    assert quality(machine) == expected


@pytest.mark.parametrize("wall_ms", [0, 3_000, PLAUSIBLE_MS - 1])
def test_before_this_program_existed_no_time_is_worth_anything_whoever_vouches_for_it(machine, wall_ms):
    machine.set(wall_ms)
    machine.said, machine.hardware = KernelTime(unsynchronized=False, largest_error_us=1), wall_ms
    assert quality(machine) == NONE


def test_a_plausible_date_without_a_hardware_clock_is_worth_nothing(machine):
    assert quality(machine) == NONE


@pytest.mark.parametrize(
    ("hardware_ms", "expected"),
    [
        (NOW_MS, RTC),
        (NOW_MS - AGREES_MS, RTC),
        (NOW_MS + AGREES_MS + 1, NONE),
        (81_000, NONE),
        (NOW_MS - 200 * DAY_MS, NONE),
    ],
)
def test_a_hardware_clock_vouches_only_for_what_it_says_itself(machine, hardware_ms, expected):
    machine.hardware = hardware_ms
    assert quality(machine) == expected


def test_the_hardware_clock_is_asked_rarely_and_again_after_a_step(machine):
    machine.hardware = NOW_MS
    for _ in range(100):
        machine.pass_s(1)
        assert quality(machine) == RTC
    assert machine.asked == 1
    machine.set(NOW_MS + DAY_MS)
    assert quality(machine) == NONE
    assert machine.asked == 2
    for _ in range(60):
        machine.pass_s(60)
        quality(machine)
    assert machine.asked <= 9


def test_the_kernel_is_asked_once_a_second_and_again_after_a_step(machine):
    machine.said = KernelTime(unsynchronized=False, largest_error_us=1)
    assert [quality(machine) for _ in range(100)] == [NTP] * 100
    assert machine.questions == 1
    machine.said = KernelTime(unsynchronized=True, largest_error_us=16_000_000)
    machine.set(NOW_MS + DAY_MS)
    assert quality(machine) == NONE
    assert machine.questions == 2
    machine.said = KernelTime(unsynchronized=False, largest_error_us=1)
    machine.pass_s(1)
    assert quality(machine) == NTP
    assert machine.questions == 3


def test_a_clock_that_was_once_synchronized_and_was_not_set_since_is_worth_as_much_as_a_hardware_clock(machine):
    machine.said = KernelTime(unsynchronized=False, largest_error_us=1)
    assert quality(machine) == NTP
    machine.said = KernelTime(unsynchronized=True, largest_error_us=16_000_000)
    machine.pass_s(10 * 3600)
    assert quality(machine) == RTC
    machine.set(machine.wall_ms + DAY_MS)
    assert quality(machine) == NONE


def test_in_a_hardened_service_a_clock_set_by_hand_is_worth_nothing_until_it_is_synchronized_again(machine):
    machine.said, machine.touched = None, NOW_MS
    assert quality(machine) == NTP
    for step_ms in (DAY_MS, -2 * DAY_MS):
        machine.set(machine.wall_ms + step_ms)
        assert quality(machine) == NONE
    machine.set(NOW_MS + 5_000)
    machine.touched = machine.wall_ms
    assert quality(machine) == NTP


@pytest.mark.parametrize("step_ms", [3_600_000, -1_200_000, -9_000, 2_000])
def test_in_a_hardened_service_a_clock_set_by_little_is_another_until_it_is_synchronized_again(machine, step_ms):
    machine.said, machine.touched = None, NOW_MS - 600_000
    assert quality(machine) == NTP
    machine.set(machine.wall_ms + step_ms)
    agrees = abs(step_ms) <= AGREES_MS
    for _ in range(3):
        assert quality(machine) == (RTC if agrees else NONE)
        machine.pass_s(1800)
    machine.touched = machine.wall_ms
    assert quality(machine) == NTP


def test_a_wall_clock_before_1970_reads_0(machine):
    machine.set(-5_000)
    assert machine.clock.read().wall_ms == 0


def test_this_machine_answers_without_being_changed():
    here = MachineTime()
    said = here.kernel()
    assert said is None or (said.largest_error_us >= 0 and here.kernel() is not None)
    assert SystemClock(here).read().quality in (NONE, RTC, NTP)


def test_a_refused_question_is_not_asked_again():
    here = MachineTime()
    calls = []
    here._adjtimex = lambda _timex: calls.append(1) or -1
    assert here.kernel() is None
    assert here.kernel() is None
    assert calls == [1]


def test_what_the_kernel_holds_is_read_from_where_it_writes_it():
    here = MachineTime()

    def answers(pointer):
        written = pointer._obj
        assert written.modes == 0
        written.status, written.maxerror, written.modes = 0x40 | 0x2000, 16_000_000, 77
        return 5

    here._adjtimex = answers
    assert here.kernel() == here.kernel() == KernelTime(unsynchronized=True, largest_error_us=16_000_000)
