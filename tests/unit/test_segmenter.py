"""Segments are whole windows, and the digest of exactly the frames that they were made of."""

import hashlib

import pytest

from agent.frames import Frames, digest_update
from agent.segmenter import Segmenter
from tests.agent_world import PROFILE, frames

WINDOW_MS, WINDOWS = 1000, 5


def segmenter(start_us=0):
    return Segmenter(PROFILE, start_us, WINDOW_MS, WINDOWS)


def raw_of(*batches):
    hasher = hashlib.sha256()
    for batch in batches:
        digest_update(hasher, batch)
    return hasher.digest()


def test_nothing_is_cut_before_the_segment_is_over():
    made = segmenter()
    done = made.push(frames(0, 1_500_000, 4_999_999))
    assert done.cuts == ()
    assert [window.start_ms for window in done.windows] == [0, 1000, 2000, 3000]


def test_the_first_frame_after_the_end_cuts_the_segment_and_is_not_in_it():
    made = segmenter()
    first, later = frames(100, 4_999_999), frames(5_000_000)
    done = made.push(Frames.concat([first, later]))
    (cut,) = done.cuts
    assert (cut.start_ms, cut.end_ms, cut.frames, len(cut.windows)) == (0, 5000, 2, 5)
    assert cut.raw == raw_of(first)
    (last,) = made.finish(None).cuts
    assert (last.start_ms, last.end_ms, last.frames, last.raw) == (5000, 5001, 1, raw_of(later))


def test_passing_time_cuts_a_segment_in_which_nothing_was_heard():
    (cut,) = segmenter().advance(5_000_000).cuts
    assert (cut.frames, len(cut.windows), cut.raw) == (0, 5, hashlib.sha256().digest())


def test_a_frame_that_comes_segments_later_leaves_silent_segments_behind():
    done = segmenter().push(frames(17_500_000))
    assert [(cut.start_ms, cut.end_ms, cut.frames) for cut in done.cuts] == [
        (0, 5000, 0),
        (5000, 10_000, 0),
        (10_000, 15_000, 0),
    ]


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
def test_segments_do_not_depend_on_how_the_frames_were_batched(batch):
    times = [137_000 * n for n in range(120)]
    whole, parts = segmenter(), segmenter()
    expected = [*whole.push(frames(*times)).cuts, *whole.finish(None).cuts]
    cuts = []
    for at in range(0, len(times), batch):
        cuts += parts.push(frames(*times[at : at + batch])).cuts
    assert cuts + list(parts.finish(None).cuts) == expected
    assert sum(cut.frames for cut in expected) == len(times)


def test_unreadable_frames_are_counted_once_in_one_segment():
    made = segmenter()
    cuts = [*made.push(frames(0, 6_000_000), malformed=3).cuts, *made.push(Frames.empty(), malformed=2).cuts]
    cuts += made.finish(None).cuts
    assert sum(cut.malformed for cut in cuts) == 5


def test_frames_whose_times_run_backwards_stay_in_order_and_in_the_segment_that_is_open():
    made = segmenter()
    batch = frames(6_000_000, 4_000_000, 5_500_000)
    cuts = [*made.push(batch).cuts, *made.finish(None).cuts]
    assert [cut.frames for cut in cuts] == [0, 3]
    assert cuts[1].raw == raw_of(batch)


def test_frames_from_before_the_start_belong_to_the_first_window():
    made = segmenter(start_us=10_000_000)
    (cut,) = [*made.push(frames(9_000_000, 9_999_999)).cuts, *made.finish(11_000_000).cuts]
    assert (cut.start_ms, cut.frames) == (10_000, 2)


def test_a_capture_that_ends_early_has_its_true_span_rounded_up_to_a_millisecond():
    made = segmenter()
    made.push(frames(0, 1_200_300))
    (cut,) = made.finish(1_234_567).cuts
    assert cut.end_ms == 1235
    assert [window.duration_ms for window in cut.windows] == [1000, 235]


def test_without_a_known_end_a_recording_ends_just_after_its_last_frame():
    made = segmenter()
    made.push(frames(0, 1_200_300))
    assert made.finish(None).cuts[0].end_ms == 1201


def test_an_end_before_the_last_frame_does_not_cut_that_frame_off():
    made = segmenter()
    made.push(frames(0, 2_000_000))
    (cut,) = made.finish(1_000_000).cuts
    assert (cut.frames, cut.end_ms) == (2, 2001)


def test_a_capture_that_ends_as_it_begins_has_no_segment():
    assert segmenter(7_000_000).finish(7_000_000).cuts == ()
    assert segmenter(7_000_000).finish(None).cuts == ()


def test_a_capture_that_ends_exactly_with_its_segment_leaves_nothing_over():
    made = segmenter()
    assert len(made.advance(5_000_000).cuts) == 1
    assert made.finish(5_000_000).cuts == ()


def test_how_far_the_capture_is_known_never_runs_backwards():
    made = segmenter()
    made.push(frames(3_000_000))
    assert made.latest_us == 3_000_000
    made.advance(2_000_000)
    made.push(frames(1_000_000))
    assert made.latest_us == 3_000_000
    made.advance(3_500_000)
    assert made.latest_us == 3_500_000
