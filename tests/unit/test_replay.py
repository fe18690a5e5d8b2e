"""A recording replayed in process: its own time, its own holes, and its bad rows counted where they lie."""

from __future__ import annotations

import contextlib
import queue

import pytest

from agent.clock import RecordedClock
from agent.outbox import Outbox
from agent.recorder import HOLE, REPLAY
from agent.replay import Replay
from agent.sources.recorded import RecordedSource
from evidence import chain, segment, statement
from evidence.bodies import Gap, Segment
from tests.agent_world import PACK, recorder

ROW = "({time:.6f}) can0 100#0401000304000000\n"


@pytest.fixture
def outbox(tmp_path):
    with contextlib.closing(Outbox(tmp_path / "state")) as opened:
        yield opened


@pytest.fixture
def replay(outbox, tmp_path):
    """Replays text as a candump log: what it came to, and what was said."""

    def done(*texts, batch=20_000):
        paths = []
        for number, text in enumerate(texts):
            paths.append(tmp_path / f"{number}.log")
            paths[-1].write_text(text)
        source = RecordedSource(paths, None, batch=batch)
        source.open()
        with contextlib.closing(source):
            clock = RecordedClock(source.first_time_us)
            made = Replay(PACK, source, clock, recorder(outbox), outbox, None, queue.SimpleQueue())
            made.seal("test", REPLAY, ())
        rows = outbox.pending(PACK, 10_000)
        return made.prove(0.0), [statement.read(outbox.body(row)) for row in rows], rows

    return done


def rows(*times, start=100.0):
    return "".join(ROW.format(time=start + time) for time in times)


def told(said):
    lines = []
    for each in said:
        match each.body:
            case Segment() as body:
                lines.append(("segment", body.frames, each.stamp.t0_ms, each.stamp.t1_ms))
            case Gap() as body:
                lines.append(("gap", body.reason, body.start.boot_ms, body.end.boot_ms))
            case _:
                lines.append((each.kind,))
    return lines


def test_a_recording_is_sealed_from_its_first_row_to_its_last_partial_segment(replay):
    done, said, _ = replay(rows(0, 1, 4.9, 5.2, 6.3))
    assert told(said) == [("open",), ("segment", 3, 0, 5000), ("segment", 2, 5000, 6301), ("close",)]
    assert (done.frames, done.segments, done.statements, done.pending, done.span_ms) == (5, 2, 4, 4, 6300)
    assert done.windows == 7
    assert chain.in_order(said) == said


def test_a_recording_without_unix_times_has_no_wall_clock(replay):
    _, said, _ = replay(rows(0, 1))
    assert {(each.stamp.wall_ms, each.stamp.quality, each.envelope.issued_at) for each in said} == {(0, 0, 0)}


def test_a_recording_with_unix_times_claims_them_with_no_quality(replay):
    _, said, _ = replay(rows(0, 7, start=1_700_000_000.5))
    assert [each.stamp.wall_ms for each in said if each.kind == "segment"] == [1_700_000_000_500, 1_700_000_005_500]
    assert {each.stamp.quality for each in said} == {0}


def test_a_hole_is_a_gap_and_not_hours_of_listening(replay):
    done, said, _ = replay(rows(0, 1, 3601, 3602))
    assert told(said)[1:] == [
        ("segment", 2, 0, 1001),
        ("gap", HOLE, 1001, 3_601_000),
        ("segment", 2, 3_601_000, 3_602_001),
        ("close",),
    ]
    assert done.windows == 4


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 100])
def test_what_is_said_does_not_depend_on_how_the_rows_were_batched(replay, batch):
    times = [0, 0.5, 70, 70.1, 140, 141, 146.5, 300]
    _, said, _ = replay(rows(*times), batch=batch)
    assert sum(each.body.frames for each in said if isinstance(each.body, Segment)) == len(times)
    assert [line for line in told(said) if line[0] == "gap"] == [
        ("gap", HOLE, 501, 70_000),
        ("gap", HOLE, 70_101, 140_000),
        ("gap", HOLE, 146_501, 300_000),
    ]


def test_corrupt_rows_are_counted_in_the_segment_that_they_lie_in_and_named(replay, caplog):
    text = rows(0, 1) + "(101.5) garbage\n\x00\xff\n" + rows(6) + "(106.500000) can0 100#04"
    done, said, _ = replay(text, batch=2)
    assert done.frames + done.malformed == sum(1 for line in text.splitlines() if line)
    assert sum(each.body.malformed for each in said if isinstance(each.body, Segment)) == done.malformed >= 2
    assert "0.log:3: " in caplog.text


def test_rows_that_cross_backwards_are_all_kept(replay):
    done, said, _ = replay(rows(0, 2, 1, 3, -1, 6))
    assert done.frames == 6
    assert sum(each.body.frames for each in said if isinstance(each.body, Segment)) == 6
    assert all(each.stamp.t0_ms >= 0 for each in said)


def test_a_recording_of_other_buses_only_is_an_open_and_a_close(outbox, tmp_path):
    path = tmp_path / "other.log"
    path.write_text(rows(0, 1).replace("can0", "can1"))
    source = RecordedSource([path], "can0")
    source.open()
    made = Replay(PACK, source, RecordedClock(None), recorder(outbox), outbox, None, queue.SimpleQueue())
    made.seal("test", REPLAY, ())
    done = made.prove(0.0)
    assert (done.frames, done.segments, done.statements) == (0, 0, 2)


def test_two_files_of_one_recording_are_one_epoch(replay):
    _, said, _ = replay(rows(0, 1), rows(2, 3))
    assert told(said) == [("open",), ("segment", 4, 0, 3001), ("close",)]


def test_the_documents_are_those_of_the_statements_and_hold_what_the_rows_said(replay, outbox):
    _, said, _ = replay(rows(0, 1, 2))
    body = said[1].body
    document = segment.check(outbox.document(1), body)
    assert [window.records[0] for window in document.windows] == [(1, 40, 40, 40, 40)] * 3


def test_the_same_recording_twice_is_two_epochs_of_one_chain(outbox, tmp_path):
    path = tmp_path / "drive.log"
    path.write_text(rows(0, 1))
    for epoch in (1, 2):
        source = RecordedSource([path], None)
        source.open()
        made = Replay(
            PACK, source, RecordedClock(None), recorder(outbox, epoch=epoch), outbox, None, queue.SimpleQueue()
        )
        made.seal("test", REPLAY, ())
    said = [statement.read(outbox.body(row)) for row in outbox.pending(PACK, 100)]
    assert chain.in_order(said) == said
    assert [each.kind for each in said] == ["open", "segment", "close"] * 2
