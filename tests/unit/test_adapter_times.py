"""An adapter's milliseconds as times of ours: late readings, whole minutes of silence, drifting clocks, nonsense."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sources.adapter_times import WRAP_MS, AdapterTimes

START_US = 5_000_000_000


def placed(readings, first_ms=0, rate=1.0):
    """Times given for readings of (sent at, read at) in ms since the start: each a list of frames' sendings and a reading."""
    times, given_times, after = AdapterTimes(), [], START_US
    for sent, read in readings:
        stamps = np.array([int(first_ms + ms * rate) % WRAP_MS for ms in sent], np.int64)
        read_us = START_US + read * 1000
        given_times.append(times.place(stamps, read_us, after).tolist())
        after = read_us
    return given_times


def test_frames_that_were_read_late_have_the_distances_that_the_adapter_saw():
    found = placed([([0, 10, 20], 20), ([30, 40, 50, 60], 75)])
    for times, sent in zip(found, ((0, 10, 20), (30, 40, 50, 60)), strict=True):
        assert times == pytest.approx([START_US + ms * 1000 for ms in sent], abs=50)


def test_minutes_of_silence_are_counted_by_our_own_clock():
    for silence in (59_990, 60_010, 119_000, 600_500, 86_400_000):
        _, after = placed([([0], 0), ([silence], silence + 15)], first_ms=59_995)
        (time_us,) = after
        assert abs(time_us - START_US - silence * 1000) <= 15_000 + silence, silence


def test_a_clock_that_runs_wrong_is_followed():
    readings = [([ms], ms + 2) for ms in range(0, 3_600_000, 500)]
    for rate in (1 - 200e-6, 1 + 200e-6):
        times = placed(readings, rate=rate)
        errors = [
            abs(time_us - START_US - sent[0] * 1000) for (time_us,), (sent, _) in zip(times, readings, strict=True)
        ]
        assert max(errors) <= 3_000


def test_a_stamp_that_is_none_has_the_time_of_its_reading():
    times = AdapterTimes()
    assert times.place(np.array([-1, 65_535]), START_US, START_US - 5).tolist() == [START_US, START_US]


@given(st.lists(st.tuples(st.lists(st.integers(-1, 0xFFFF), max_size=6), st.integers(0, 10**9)), max_size=12))
def test_whatever_an_adapter_says_times_lie_between_its_readings_and_never_run_backwards(readings):
    times, after, last = AdapterTimes(), START_US, 0
    for stamps, later_us in readings:
        read_us = after + later_us
        found = times.place(np.array(stamps, np.int64), read_us, after).tolist()
        assert all(after <= each <= read_us for each in found)
        assert found == sorted(found)
        assert not found or last <= found[0]
        after, last = read_us, found[-1] if found else last
