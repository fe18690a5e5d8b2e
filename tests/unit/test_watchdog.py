"""The service manager is fed by progress of every part, and a part that hangs is named before the service is ended."""

from __future__ import annotations

import logging

import pytest

from agent.pulse import Pulse
from agent.watchdog import UNWATCHED_S, Watchdog


class Service:
    """A service manager that counts, with the period that it has set."""

    def __init__(self, watchdog_s: float | None) -> None:
        self.watchdog_s = watchdog_s
        self.fed: list[float] = []
        self.clock: list[float] = [0.0]

    def feed(self) -> None:
        self.fed.append(self.clock[0])


class Scene:
    """An engine and a capture on one clock, looked at in the watchdog's own rhythm."""

    def __init__(self, watchdog_s: float | None = 60.0) -> None:
        self.service = Service(watchdog_s)
        self.clock = self.service.clock
        self.engine = Pulse("the engine", lambda: self.clock[0])
        self.capture = Pulse("the capture of pack-1", lambda: self.clock[0])
        self.watchdog = Watchdog(self.service, [self.engine, self.capture], lambda: self.clock[0])  # type: ignore[arg-type]

    def run(self, seconds: float, *beating: Pulse) -> None:
        until = self.clock[0] + seconds
        while self.clock[0] < until:
            for pulse in beating:
                pulse.beat("working")
            self.clock[0] += self.watchdog.every_s / 4
            for pulse in beating:
                pulse.beat("working")
            self.clock[0] += self.watchdog.every_s * 3 / 4
            self.watchdog.look()


@pytest.fixture
def scene():
    return Scene()


def errors(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


def test_as_long_as_all_progress_the_manager_is_fed_several_times_a_period(scene, caplog):
    scene.run(600, scene.engine, scene.capture)
    assert len(scene.service.fed) == 60
    assert errors(caplog) == []


@pytest.mark.parametrize("hung", ["the engine", "the capture of pack-1"])
def test_one_part_that_hangs_is_enough_not_to_be_fed_and_is_named_once_before_the_end(scene, caplog, hung):
    scene.run(100, scene.engine, scene.capture)
    alive = scene.capture if hung == "the engine" else scene.engine
    stuck = scene.engine if hung == "the engine" else scene.capture
    stuck.beat("keeping what pack-1 has sealed")
    since_s = scene.clock[0]
    scene.run(59, alive)
    assert scene.service.fed[-1] <= since_s + scene.watchdog.every_s
    (line,) = errors(caplog)
    assert line == f"{hung} does not progress: 40 s, since it began with keeping what pack-1 has sealed"


def test_a_part_that_gets_on_again_is_fed_for_and_may_be_named_again(scene, caplog):
    scene.run(20, scene.engine, scene.capture)
    scene.run(50, scene.engine)
    scene.run(20, scene.engine, scene.capture)
    assert scene.service.fed[-1] == scene.clock[0]
    assert "progresses again" in caplog.text
    scene.run(50, scene.engine)
    assert len(errors(caplog)) == 2


def test_a_rest_that_was_announced_is_progress_even_if_it_is_longer_than_the_period(caplog):
    scene = Scene(3.0)
    scene.run(3, scene.engine, scene.capture)
    scene.capture.beat("waiting for the next try", rest_s=10.0)
    fed = len(scene.service.fed)
    scene.run(10, scene.engine)
    assert len(scene.service.fed) == fed + 20
    assert errors(caplog) == []
    scene.run(3, scene.engine)
    assert errors(caplog)


def test_a_part_that_has_not_begun_or_has_ended_in_order_is_not_expected(scene, caplog):
    scene.run(100, scene.engine)
    scene.capture.beat("reading")
    scene.capture.end()
    scene.run(100, scene.engine)
    assert len(scene.service.fed) == 20
    assert errors(caplog) == []


def test_after_the_whole_process_stood_still_nobody_is_accused_before_having_had_a_turn(scene, caplog):
    scene.run(60, scene.engine, scene.capture)
    scene.clock[0] += 55
    scene.watchdog.look()
    scene.run(60, scene.engine, scene.capture)
    assert errors(caplog) == []
    assert scene.service.fed[-1] == scene.clock[0]


def test_without_a_watchdog_a_part_that_hangs_is_named_all_the_same(caplog):
    scene = Scene(None)
    scene.run(UNWATCHED_S, scene.engine, scene.capture)
    scene.run(UNWATCHED_S, scene.engine)
    assert len(errors(caplog)) == 1


def test_the_thread_ends_when_it_is_told_and_may_be_stopped_before_it_began(scene):
    scene.watchdog.stop()
    other = Scene().watchdog
    other.start()
    other.stop()
    assert not other._thread.is_alive()
