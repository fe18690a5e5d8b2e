"""The whole engine on a machine whose wall clock is wrong, jumps and becomes right: it captures from the first second, says
what its clock is worth, and rewrites nothing."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from itertools import pairwise

import pytest

from agent.machine_time import KernelTime
from agent.reading import NONE, NTP
from evidence import chain
from evidence.bodies import Clock, Close, Gap, Open, Segment
from tests.agent_world import PACK
from tests.pipeline.link_watch import eventually
from tests.pipeline.running_engine import NoBroker, Running
from tests.scripted_clock import DAY_MS, NOW_MS, ScriptedMachine

SYNCHRONIZED = KernelTime(unsynchronized=False, largest_error_us=500)


def boot_ns():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@pytest.fixture
def scene(tmp_path):
    """A running engine on a machine that has just booted in 1970, and how to wait for more segments of it."""
    machine = ScriptedMachine(3_000, boot_ns=boot_ns)
    running = Running(tmp_path / "state", NoBroker(), clock=machine.clock).start()

    def more():
        station = running.engine.stations[PACK]
        before = station.statements
        assert eventually(lambda: station.statements >= before + 2)

    yield running, machine, more
    if running._thread.is_alive():
        running.stop()


def kept(tmp_path):
    with contextlib.closing(sqlite3.connect(f"file:{tmp_path / 'state' / 'outbox.db'}?mode=ro", uri=True)) as reader:
        return reader.execute("SELECT id, entry, body FROM statements ORDER BY id").fetchall()


def clocks(said):
    return [each for each in said if isinstance(each.body, Clock)]


def whole(running):
    """Everything that was said after the stop: one chain without a hole, and every frame that was sent is in a segment."""
    running.stop()
    assert running.failure is None
    said = running.said[PACK]
    assert chain.in_order(said) == said
    assert sum(each.body.frames for each in said if isinstance(each.body, Segment)) == len(running.sources[PACK].sent)
    assert [each.body.reason for each in said if isinstance(each.body, Gap)] in ([], [0])
    spans = [each.stamp for each in said if isinstance(each.body, Segment)]
    assert all(before.t1_ms <= after.t0_ms for before, after in pairwise(spans))
    return said


def test_a_boot_in_1970_is_captured_from_the_start_and_said_to_be_worth_nothing(scene):
    running, _, more = scene
    more()
    said = whole(running)
    assert {each.stamp.quality for each in said} == {NONE}
    assert max(each.stamp.wall_ms for each in said) < DAY_MS
    assert {type(each.body) for each in said} <= {Open, Gap, Segment, Close}


def test_time_that_arrives_late_is_one_clock_statement_and_what_was_said_before_stays_as_it_was(scene, tmp_path):
    running, machine, more = scene
    more()
    before = kept(tmp_path)
    machine.said = SYNCHRONIZED
    machine.set(NOW_MS)
    more()
    said = whole(running)
    assert kept(tmp_path)[: len(before)] == before
    (change,) = clocks(said)
    assert (change.body.reason, change.body.quality) == (0, NTP)
    assert change.body.before_ms < DAY_MS < NOW_MS <= change.body.after_ms
    at = said.index(change)
    assert {each.stamp.quality for each in said[:at]} == {NONE}
    assert {each.stamp.quality for each in said[at + 1 :] if each.stamp.t0_ms >= change.stamp.t0_ms} == {NTP}


def test_each_step_is_said_with_both_times_and_costs_neither_a_frame_nor_a_gap(scene):
    running, machine, more = scene
    machine.said = SYNCHRONIZED
    machine.set(NOW_MS)
    more()
    for wall_ms in (NOW_MS + DAY_MS, NOW_MS - DAY_MS, 0):
        machine.said = KernelTime(unsynchronized=True, largest_error_us=16_000_000)
        machine.set(wall_ms)
        more()
        machine.said = SYNCHRONIZED
        machine.set(NOW_MS)
        more()
    said = whole(running)
    bodies = [each.body for each in clocks(said)][-6:]
    jumps = [round((body.after_ms - body.before_ms) / DAY_MS) for body in bodies]
    far = round(NOW_MS / DAY_MS)
    assert jumps == [1, -1, -1, 1, -far, far]
    assert [body.quality for body in bodies] == [NONE, NTP] * 3


def test_synchronization_without_a_step_is_said_once_however_long_it_lasts(scene):
    running, machine, more = scene
    machine.set(NOW_MS)
    more()
    machine.said = SYNCHRONIZED
    more()
    more()
    said = whole(running)
    assert [(each.body.reason, each.body.quality) for each in clocks(said)] == [(0, NONE), (1, NTP)]
