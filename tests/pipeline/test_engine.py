"""The running agent in one process: captures, outbox and a real broker, until it is asked to stop or cannot go on."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import threading
import time
from dataclasses import dataclass, field

import pytest

from agent.capture import Capture, Captured, CaptureLost, CaptureStarted, Overflowed
from agent.errors import StoreError
from agent.recorder import INTERFACE_DOWN
from agent.sources.source import Intake, boottime_us
from demo.broker import Broker
from evidence import chain
from evidence.bodies import Gap, Segment
from tests.agent_world import PACK, frames
from tests.pipeline.answering_ledger import AnsweringLedger, keep_silent
from tests.pipeline.link_watch import eventually
from tests.pipeline.running_engine import DEADLINE_S, Running
from tests.scripted_source import SteadySource


@dataclass(slots=True)
class Hanging(SteadySource):
    """A source whose close does not return."""

    let_go: threading.Event = field(default_factory=threading.Event)

    def close(self):
        self.let_go.wait(DEADLINE_S)


@pytest.fixture
def side(tmp_path):
    with Broker(tmp_path / "broker") as broker, AnsweringLedger(broker, store=tmp_path / "state" / "outbox.db") as made:
        assert eventually(lambda: made.step(0.05) or made.ready)
        yield made


@pytest.fixture
def agent(tmp_path, side):
    started = []

    def made(**settings):
        started.append(Running(tmp_path / "state", side, **settings))
        return started[-1]

    yield made
    for each in started:
        if each._thread.ident is not None:
            each.stop()


def ledger_until(side, fact):
    deadline = time.monotonic() + DEADLINE_S
    while not fact():
        assert time.monotonic() < deadline
        side.step(0.02)


def accounted(said, sent):
    """Frames in segments, and frames whose time lies in a gap; the chain is whole."""
    assert chain.in_order(said) == said
    frames = sum(each.body.frames for each in said if isinstance(each.body, Segment))
    gaps = [(each.body.start.boot_ms, each.body.end.boot_ms) for each in said if isinstance(each.body, Gap)]
    return frames, sum(any(start - 1 <= at / 1000 <= end + 1 for start, end in gaps) for at in sent)


def test_what_the_bus_said_is_sealed_to_the_last_frame_sent_live_and_proven(side, agent):
    running = agent(packs=(PACK, "pack-2")).start()
    ledger_until(side, lambda: side.statements.total() >= 8 and {"live", "health"} <= set(side.others))
    threads = {thread.name for thread in threading.enumerate()}
    assert {"capture-pack-1", "capture-pack-2", "link-agent"} <= threads
    running.stop()
    assert running.failure is None
    assert side.uncommitted == []
    for pack, source in running.sources.items():
        said = running.said[pack]
        assert [said[0].kind, said[-1].kind] == ["open", "close"]
        assert accounted(said, []) == (len(source.sent), 0)
        assert said[-2].stamp.t1_ms * 1000 <= running.engine.stations[pack].heard_us + 1000
        assert source.closed
        assert {each.entry for each in said} <= set(side.statements)
    assert not {thread.name for thread in threading.enumerate()} & threads - {"MainThread"} - {"link-ledger"}


def test_an_adapter_that_goes_away_and_comes_back_leaves_a_gap_and_no_frame_astray(side, agent):
    running = agent().start()
    source = running.sources[PACK]
    ledger_until(side, lambda: side.statements.total() >= 3)
    source.there = False
    ledger_until(side, lambda: running.engine.stations[PACK].bus == "down")
    ledger_until(side, lambda: sum(said.kind == "gap" for said in side.ledger.said.values()) >= 2)
    source.there = True
    count = side.statements.total()
    ledger_until(side, lambda: side.statements.total() >= count + 3)
    running.stop()
    said = running.said[PACK]
    assert INTERFACE_DOWN in {each.body.reason for each in said if isinstance(each.body, Gap)}
    frames, _ = accounted(said, source.sent)
    assert frames == len(source.sent)


def test_a_disk_that_takes_no_more_ends_the_agent_with_everything_committed_still_there(side, agent, tmp_path):
    running = agent()
    running.before_run = lambda outbox: outbox._connection.execute(
        f"PRAGMA max_page_count = {outbox._connection.execute('PRAGMA page_count').fetchone()[0] + 1}"
    )
    running.start()
    ledger_until(side, lambda: running.failure is not None)
    assert isinstance(running.failure, StoreError)
    assert "full" in str(running.failure)
    assert chain.in_order(running.said[PACK]) == running.said[PACK]
    assert running.sources[PACK].closed
    running.stop()
    again = agent().start()
    before = side.statements.total()
    ledger_until(side, lambda: side.statements.total() >= before + 3)
    again.stop()
    said = again.said[PACK]
    both = running.sources[PACK].sent + again.sources[PACK].sent
    frames, in_gaps = accounted(said, both)
    assert frames + in_gaps >= len(both)


def test_a_capture_thread_that_dies_takes_the_agent_down_rather_than_leave_it_deaf(side, agent):
    running = agent().start()
    running.sources[PACK].sent = None  # opens well, and breaks at every reading with what no adapter explains
    ledger_until(side, lambda: running.failure is not None)
    assert "the capture thread has died: TypeError" in str(running.failure)


def test_without_a_broker_it_captures_and_keeps_and_ends_in_order(agent, side, tmp_path):
    side.connection.stop()
    side.broker.kill()
    running = agent().start()
    time_out = time.monotonic() + DEADLINE_S
    while running.engine.stations[PACK].statements < 3:
        assert time.monotonic() < time_out
        time.sleep(0.02)
    running.stop()
    assert running.failure is None
    assert accounted(running.said[PACK], [])[0] == len(running.sources[PACK].sent)


def test_what_a_capture_brings_after_the_close_is_not_signed(side, agent, monkeypatch):
    monkeypatch.setattr("agent.engine._HANDED_OVER_S", 0.05)
    running = agent().start()
    ledger_until(side, lambda: side.statements.total() >= 3)
    side.to_statement = keep_silent  # so that the engine still waits for proofs while the events below come
    capture = running.engine.stations[PACK].capture
    stop = capture.stop

    def stop_and_bring_more(timeout_s=2.0):
        stop(timeout_s)
        threading.Timer(0.3, bring_more).start()

    def bring_more():
        now_us = boottime_us()
        for event in (
            CaptureLost(PACK, now_us, "gone"),
            CaptureStarted(PACK, now_us),
            Captured(PACK, Intake(frames(now_us)), now_us + 3_000_000),
            Overflowed(PACK, 7, now_us, now_us + 1),
        ):
            running.engine.inbox.put(event)
        brought.set()

    brought = threading.Event()
    monkeypatch.setattr(Capture, "stop", lambda _capture, timeout_s=2.0: stop_and_bring_more(timeout_s))
    running.stop()
    assert brought.wait(DEADLINE_S)
    assert running.failure is None
    said = running.said[PACK]
    assert said[-1].kind == "close"
    assert chain.in_order(said) == said


def test_captures_that_hang_and_a_broker_that_is_frozen_hold_up_neither_the_closes_nor_the_end(side, agent, tmp_path):
    packs = (PACK, "pack-2", "pack-3")
    running = agent(packs=packs)
    let_go = threading.Event()
    for pack in packs:
        running.sources[pack] = Hanging(boottime_us, let_go=let_go)
    running.start()
    ledger_until(side, lambda: side.statements.total() >= 6)
    broker = side.broker._process
    broker.send_signal(signal.SIGSTOP)
    try:
        asked_s = time.monotonic()
        running.engine.stop()
        reader = sqlite3.connect(f"file:{tmp_path / 'state' / 'outbox.db'}?mode=ro", uri=True)
        with contextlib.closing(reader):
            assert eventually(lambda: closes(reader) == len(packs))
        closed_s = time.monotonic() - asked_s
        running._thread.join(DEADLINE_S)
        ended_s = time.monotonic() - asked_s
    finally:
        broker.send_signal(signal.SIGCONT)
        let_go.set()
    assert closed_s < 2.0
    assert ended_s < 5.0
    assert running.failure is None


def closes(reader):
    return reader.execute("SELECT count(*) FROM statements WHERE kind = 'close'").fetchone()[0]


def test_a_stop_that_comes_before_the_start_is_an_orderly_end(agent, side):
    running = agent()
    running.engine = None
    running.start()
    running.engine.stop()
    running.stop()
    assert running.failure is None
    assert running.said[PACK][-1].kind == "close"
