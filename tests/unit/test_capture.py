"""The capture thread: what it hands over, what it owns up to, and that it neither waits nor dies in silence."""

from __future__ import annotations

import contextlib
import queue
import threading
import time

import pytest

from agent import capture
from agent.capture import Capture, Captured, CaptureLost, CaptureStarted, Overflowed
from agent.errors import BusOff, SourceError
from agent.recorder import BUS_OFF, INTERFACE_DOWN, KERNEL
from agent.sources.source import Intake
from tests.agent_world import frames
from tests.scripted_source import ScriptedSource

DEADLINE_S = 10.0


@pytest.fixture
def scene(monkeypatch):
    """A started capture on a scripted source: (capture, source, next event of a kind)."""
    monkeypatch.setattr(capture, "BATCH_S", 0.02)
    monkeypatch.setattr(capture, "FIRST_RETRY_S", 0.01)
    source, inbox = ScriptedSource(), queue.SimpleQueue()
    made = Capture("pack-1", source, inbox.put, lambda: source.now_us)

    def following(kind, such_that=lambda event: True):
        """The next event of a kind; events before it are returned too."""
        before, until = [], time.monotonic() + DEADLINE_S
        while time.monotonic() < until:
            with contextlib.suppress(queue.Empty):
                event = inbox.get(timeout=0.1)
                if isinstance(event, kind) and such_that(event):
                    return event, before
                before.append(event)
        raise AssertionError(f"no {kind.__name__} but {before}")

    yield made, source, following
    made.stop()
    assert not made.alive


def some(event):
    return len(event.intake.frames) > 0


def test_what_is_read_is_handed_over_with_how_far_it_goes(scene):
    made, source, following = scene
    made.start()
    started, _ = following(CaptureStarted)
    assert started.at_us == 1_000_000
    source.then(Intake(frames(1_050_000), 2, ("a complaint",)))
    captured, _ = following(Captured, some)
    assert (captured.intake.malformed, captured.intake.complaints, captured.until_us) == (
        2,
        ("a complaint",),
        1_100_000,
    )


def test_an_adapter_that_goes_away_loses_nothing_of_what_came_before_and_the_loss_begins_there(scene):
    made, source, following = scene
    made.start()
    source.then(Intake(frames(1_050_000)))
    source.then(SourceError("gone"), 900_000)
    lost, before = following(CaptureLost)
    assert sum(len(event.intake.frames) for event in before if isinstance(event, Captured)) == 1
    assert lost.at_us == 1_100_000 == max(event.until_us for event in before if isinstance(event, Captured))
    assert lost.reason == "gone"
    again, _ = following(CaptureStarted)
    assert again.at_us == 2_000_000
    assert source.opened == 2


def test_a_source_that_cannot_be_opened_is_tried_again_and_again(scene):
    made, source, following = scene
    source.refuse = [SourceError("not there") for _ in range(3)]
    made.start()
    _, before = following(CaptureStarted)
    assert [event.reason for event in before] == ["not there"] * 3


def test_a_flapping_adapter_is_tried_ever_less_often_until_it_is_stable(scene, monkeypatch):
    made, source, following = scene
    waits = []
    monkeypatch.setattr(made._stopping, "wait", waits.append)
    for lasted_us in (1000, 1000, 1000, 20_000_000, 1000):
        for _ in range(lasted_us // 4_000_000):
            source.then(Intake(frames()), 4_000_000)
        source.then(SourceError("gone"), 1000)
    made.start()
    for _ in range(5):
        following(CaptureLost, lambda event: event.reason == "gone")
    assert waits[:5] == [0.01, 0.02, 0.04, 0.01, 0.02]


def test_frames_that_the_engine_has_no_room_for_are_owned_up_to_with_their_span(scene, monkeypatch):
    made, source, following = scene
    monkeypatch.setattr(capture, "MOST_UNPROCESSED", 3)
    made.start()
    source.then(Intake(frames(1, 2, 3)))
    following(Captured, some)
    source.then(Intake(frames(4, 5), 1))
    until = time.monotonic() + DEADLINE_S
    while made._dropped is None and time.monotonic() < until:
        time.sleep(0.001)
    source.then(Intake(frames(6)))
    made.processed(3)
    overflow, before = following(Overflowed)
    assert overflow.count in (3, 4)  # unreadable ones count too; the last may have come before room was made
    assert overflow.start_us == 1_100_000
    assert not any(some(event) for event in before if isinstance(event, Captured))
    assert overflow.end_us <= following(Captured)[0].until_us


def test_frames_dropped_just_before_the_end_are_owned_up_to(scene, monkeypatch):
    made, source, following = scene
    monkeypatch.setattr(capture, "MOST_UNPROCESSED", 0)
    made.start()
    source.then(Intake(frames(1, 2)))
    until = time.monotonic() + DEADLINE_S
    while made._dropped is None and time.monotonic() < until:
        time.sleep(0.001)
    monkeypatch.setattr(capture, "MOST_UNPROCESSED", -1)
    made.stop()
    assert following(Overflowed)[0].count == 2


def test_frames_dropped_just_before_an_adapter_went_away_are_owned_up_to_before_the_loss(scene, monkeypatch):
    made, source, following = scene
    monkeypatch.setattr(capture, "MOST_UNPROCESSED", -1)
    made.start()
    source.then(Intake(frames(1, 2)))
    source.then(SourceError("gone"))
    lost, before = following(CaptureLost)
    (overflow,) = (event for event in before if isinstance(event, Overflowed))
    assert overflow.count == 2
    assert overflow.end_us <= lost.at_us


def test_a_machine_that_slept_did_not_listen_meanwhile(scene):
    made, source, following = scene
    made.start()
    source.then(Intake(frames(1_050_000)))
    following(Captured, some)
    source.then(Intake(frames(1_000_000 + 3600 * 10**6)), 3600 * 10**6)
    lost, _ = following(CaptureLost)
    started, _ = following(CaptureStarted)
    assert (lost.at_us, started.at_us) == (1_100_000, 1_100_000 + 3600 * 10**6)
    assert "nobody listened for 3600 s" in lost.reason
    assert len(following(Captured)[0].intake.frames) == 1


def test_an_error_that_no_adapter_explains_is_a_loss_like_any_other_and_the_capture_goes_on(scene):
    made, source, following = scene
    made.start()
    for _ in range(7):
        source.then(ZeroDivisionError("a surprise of the driver"))
        lost, _ = following(CaptureLost)
        assert lost.reason == "ZeroDivisionError: a surprise of the driver"
        source.then(Intake(frames(1_050_000)))
        following(Captured, some)
    assert made.alive


def test_a_source_that_cannot_even_be_closed_is_opened_again(scene):
    made, _, following = scene

    class Stuck(ScriptedSource):
        def close(self):
            raise ZeroDivisionError("in close")

    made._source = stuck = Stuck()
    made.start()
    stuck.then(SourceError("gone"))
    following(CaptureLost)
    following(CaptureStarted)
    assert stuck.opened == 2


def test_an_adapter_that_opens_only_after_the_stop_begins_no_capture(scene):
    made, _, _ = scene
    opening, opened = threading.Event(), threading.Event()

    class Slow(ScriptedSource):
        def open(self):
            opening.set()
            opened.wait(DEADLINE_S)

    made._source = Slow()
    made.start()
    assert opening.wait(DEADLINE_S)
    made.stop(0.01)
    opened.set()
    made.stop()
    assert not made.alive
    assert made._emit.__self__.qsize() == 0


def test_a_capture_that_breaks_again_and_again_says_of_what_and_lets_go_of_its_source(scene):
    made, source, following = scene
    made.start()
    following(CaptureStarted)
    for _ in range(capture.MOST_BREAKS):
        source.then(ZeroDivisionError("a bug"))
    until = time.monotonic() + DEADLINE_S
    while made.alive and time.monotonic() < until:
        time.sleep(0.001)
    assert isinstance(made.failure, ZeroDivisionError)
    assert source.closed >= 1


def test_a_capture_that_was_never_started_can_be_stopped(scene):
    made, _, _ = scene
    made.stop()
    assert not made.alive


def test_after_stop_everything_read_is_in_the_inbox(scene):
    made, source, following = scene
    made.start()
    following(CaptureStarted)
    for at in range(5):
        source.then(Intake(frames(at)))
    made.stop()
    left = source.steps.qsize()
    seen = 0
    with contextlib.suppress(AssertionError):
        while seen < 5 - left:
            seen += len(following(Captured, some)[0].intake.frames)
    assert seen == 5 - left


def missed(*times_us, lost, until_us):
    return Intake(frames(*times_us), lost=lost, until_us=until_us)


def test_frames_that_the_kernel_dropped_are_owned_up_to_between_what_came_before_and_after_them(scene):
    made, source, following = scene
    made.start()
    source.then(Intake(frames(1_010_000), until_us=1_010_000))
    source.then(missed(1_090_000, lost=7, until_us=1_100_000))
    overflow, before = following(Overflowed)
    after, _ = following(Captured, some)
    assert [event.until_us for event in before if isinstance(event, Captured) and some(event)] == [1_010_000]
    assert (overflow.count, overflow.start_us, overflow.end_us, overflow.gap) == (7, 1_010_000, 1_090_000, KERNEL)
    assert len(after.intake.frames) == 1
    assert after.until_us >= 1_100_000


def test_losses_that_no_frame_has_followed_reach_to_the_reading(scene):
    made, source, following = scene
    made.start()
    source.then(missed(lost=3, until_us=1_070_000))
    overflow, _ = following(Overflowed)
    assert (overflow.count, overflow.start_us, overflow.end_us) == (3, 1_000_000, 1_070_000)


def test_a_kernel_that_drops_again_and_again_makes_one_gap_until_it_is_calm(scene):
    made, source, following = scene
    made.start()
    at_us, sent = 1_000_000, 0
    for _ in range(20):
        at_us += 100_000
        source.then(missed(at_us, lost=10, until_us=at_us))
        sent += 11
    for _ in range(12):
        at_us += 100_000
        source.then(missed(at_us, lost=0, until_us=at_us))
        sent += 1
    told, taken = [], 0
    while sum(each.count for each in told) + taken < sent:
        event, _ = following((Overflowed, Captured))
        if isinstance(event, Overflowed):
            told.append(event)
        else:
            taken += len(event.intake.frames)
    assert len(told) == 2
    assert told[1].count >= 200  # all that came in between went with it
    assert told[1].end_us >= 3_000_000


def test_a_controller_off_the_bus_makes_a_gap_of_that_reason(scene):
    made, source, following = scene
    made.start()
    source.then(BusOff("off"))
    lost, _ = following(CaptureLost)
    assert lost.gap == BUS_OFF
    source.then(SourceError("gone"))
    lost, _ = following(CaptureLost)
    assert lost.gap == INTERFACE_DOWN


def test_a_capture_that_had_no_time_missed_nothing_where_the_kernel_listened_on_and_counted(scene):
    made, _, following = scene

    class Attentive(ScriptedSource):
        def read(self, timeout_s):
            intake = super().read(timeout_s)
            return Intake(intake.frames, until_us=self.now_us)

    made._source = source = Attentive()
    made._clock_us = lambda: source.now_us
    made.start()
    following(CaptureStarted)
    source.then(Intake(frames(2_000_000, 60_000_000)), 60 * 10**6)
    late, before = following(Captured, some)
    assert (len(late.intake.frames), late.until_us) == (2, 61_000_000)
    assert not any(isinstance(event, CaptureLost) for event in before)
