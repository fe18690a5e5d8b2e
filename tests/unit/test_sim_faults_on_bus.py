"""What faults do to frames: counted against the undisturbed feed, and the same however the frames are asked for."""

from collections import Counter
from itertools import pairwise

import pytest

from firmware_sim.bus.frame import CanFrame, TimedFrame
from firmware_sim.bus.schedule import FRAME_US
from firmware_sim.faults import catalogue
from firmware_sim.faults.adapter import FaultyOutput
from firmware_sim.faults.on_bus import FaultyFeed
from firmware_sim.faults.tally import FaultTally
from firmware_sim.faults.timeline import Timeline
from firmware_sim.outputs.candump_log import CandumpLog

IDS = {0x100: 8, 0x200: 8, 0x300: 8, 0x400: 4, 0x500: 4, 0x600: 2}
EVERYTHING_US = 1 << 62
SECOND = 1_000_000


class Numbered:
    """A feed of frames that carry identifier and number, every 1.5 ms (`apart_us`) in turn, for `seconds`."""

    def __init__(self, seconds, apart_us=1_500):
        self.frames, self.at = [], 0
        for number in range(round(seconds * 1e6 / apart_us)):
            identifier, length = list(IDS.items())[number % len(IDS)]
            payload = (identifier << 20 | number).to_bytes(8, "little")[:length]
            self.frames.append(TimedFrame(1_000 + number * apart_us, CanFrame(identifier, payload)))

    def finished(self):
        return self.at >= len(self.frames)

    def end_us(self):
        return self.frames[-1].time_us + 1

    def next_us(self):
        return self.frames[self.at].time_us if not self.finished() else EVERYTHING_US

    def until(self, time_us, limit):
        taken = []
        while len(taken) < limit and self.next_us() <= time_us and not self.finished():
            taken.append(self.frames[self.at])
            self.at += 1
        return taken


def disturbed(
    *faults, seconds=6.0, seed=1, chunk_us=EVERYTHING_US, limit=1 << 20, adapter=None, own=None, apart_us=1_500
):
    """Frames and tally of a run with (start_s, end_s, table) faults."""
    timeline, tally = Timeline(), FaultTally()
    for start_s, end_s, table in faults:
        end_us = None if end_s is None else round(end_s * 1e6)
        timeline.add(catalogue.read(table, "here"), round(start_s * 1e6), end_us)
    feed = FaultyFeed(Numbered(seconds, apart_us), timeline, seed, tally, adapter=adapter, own=own)
    frames, now = [], 0
    while not feed.finished():
        now = min(EVERYTHING_US, now + chunk_us)
        while piece := feed.until(now, limit):
            frames += piece
            if adapter is not None:
                adapter.offer(piece)
    return frames, tally


def sound(seconds=6.0, apart_us=1_500):
    return Numbered(seconds, apart_us).frames


def within(frames, begin_s, end_s):
    return [frame for frame in frames if begin_s * 1e6 <= frame.time_us < end_s * 1e6]


def outside(frames, begin_s, end_s):
    return [frame for frame in frames if not begin_s * 1e6 <= frame.time_us < end_s * 1e6]


def test_without_a_fault_nothing_is_changed():
    frames, tally = disturbed()
    assert frames == sound()
    assert tally.summary() == {}


def test_dropped_frames_are_missing_and_counted_and_the_others_are_untouched():
    frames, tally = disturbed((1, 5, {"kind": "frames-dropped", "share": 0.25, "ids": [0x100, 0x200]}))
    lost = [frame for frame in sound() if frame not in set(frames)]
    assert [frame for frame in sound() if frame in set(frames)] == frames
    assert within(lost, 1, 5) == lost
    assert {frame.frame.identifier for frame in lost} == {0x100, 0x200}
    assert tally.summary() == {"frames-dropped": {"begun": 1, "frames": len(lost)}}
    concerned = [frame for frame in within(sound(), 1, 5) if frame.frame.identifier in (0x100, 0x200)]
    assert len(lost) / len(concerned) == pytest.approx(0.25, abs=0.06)
    assert not within(disturbed((1, 5, {"kind": "frames-dropped", "share": 1.0}))[0], 1, 5)


def test_corrupted_frames_differ_in_exactly_as_many_bits_as_asked_for():
    frames, tally = disturbed((2, 3, {"kind": "corrupted-payload", "share": 0.5, "bits": 3}))
    flipped = Counter()
    for was, now in zip(sound(), frames, strict=True):
        assert (was.time_us, was.frame.identifier) == (now.time_us, now.frame.identifier)
        pair = (int.from_bytes(frame.frame.payload, "little") for frame in (was, now))
        bits = (next(pair) ^ next(pair)).bit_count()
        flipped[bits] += 1
        assert not bits or 2 * SECOND <= now.time_us < 3 * SECOND
    assert flipped.keys() == {0, 3}
    assert tally.frames["corrupted-payload"] == flipped[3] == pytest.approx(len(within(sound(), 2, 3)) / 2, rel=0.15)


def test_with_wrong_ids_payloads_swap_places_among_those_of_one_length():
    frames, tally = disturbed((1, 4, {"kind": "wrong-ids"}))
    wrong = 0
    for was, now in zip(sound(), frames, strict=True):
        assert was.frame.payload == now.frame.payload
        assert was.time_us == now.time_us
        wrong += was.frame.identifier != now.frame.identifier
        assert IDS[now.frame.identifier] == len(now.frame.payload)
    settled = {}
    for was, now in zip(within(sound(), 2, 4), within(frames, 2, 4), strict=True):
        settled.setdefault(was.frame.identifier, set()).add(now.frame.identifier)
    assert settled == {0x100: {0x200}, 0x200: {0x300}, 0x300: {0x100}, 0x400: {0x500}, 0x500: {0x400}, 0x600: {0x600}}
    assert tally.frames["wrong-ids"] == wrong > 0
    assert outside(frames, 1, 4) == outside(sound(), 1, 4)
    chosen, _ = disturbed((1, 4, {"kind": "wrong-ids", "ids": [0x100, 0x300]}))
    assert {f.frame.identifier for f, g in zip(sound(), chosen, strict=True) if f != g} == {0x100, 0x300}


def test_a_burst_withholds_frames_and_sends_them_back_to_back_without_losing_one():
    frames, tally = disturbed((1, 3, {"kind": "frame-burst", "hold_ms": 400}))
    assert [frame.frame for frame in frames] == [frame.frame for frame in sound()]
    assert all(later.time_us - sooner.time_us >= FRAME_US for sooner, later in pairwise(frames))
    assert outside(frames, 1, 3.2) == outside(sound(), 1, 3.2)
    for hold in range(5):
        held = [
            (f, g) for f, g in zip(sound(), frames, strict=True) if 1 + 0.4 * hold <= f.time_us / 1e6 < 1.4 + 0.4 * hold
        ]
        release_us = round((1.4 + 0.4 * hold) * 1e6)
        assert [g.time_us for _, g in held] == [release_us + n * FRAME_US for n in range(len(held))]
    assert tally.frames["frame-burst"] == len(within(sound(), 1, 3))


def test_what_a_burst_holds_at_the_end_of_the_run_is_still_sent():
    frames, _ = disturbed((1, None, {"kind": "frame-burst", "hold_ms": 10_000}))
    assert [frame.frame for frame in frames] == [frame.frame for frame in sound()]


def test_a_flood_comes_at_its_rate_and_delays_the_others_by_little():
    frames, tally = disturbed((1, 3, {"kind": "frame-flood", "id": 0x050, "rate": 1_000}))
    flood = [frame for frame in frames if frame.frame.identifier == 0x050]
    assert len(flood) == tally.frames["frame-flood"] == 2_000
    assert within(flood, 1, 3.001) == flood
    assert [frame.frame for frame in frames if frame not in set(flood)] == [frame.frame for frame in sound()]
    assert all(later.time_us - sooner.time_us >= FRAME_US for sooner, later in pairwise(within(frames, 1, 3)))
    rest = [frame for frame in frames if frame.frame.identifier != 0x050]
    assert max(now.time_us - was.time_us for was, now in zip(sound(), rest, strict=True)) <= 2 * FRAME_US


def test_a_flood_that_fills_the_bus_starves_higher_identifiers_of_newer_frames_but_not_lower_ones():
    frames, _ = disturbed(
        (1, 3, {"kind": "frame-flood", "id": 0x250, "rate": 4_000}), (1, 3, {"kind": "frame-flood", "id": 0x251})
    )
    inside = Counter(frame.frame.identifier for frame in within(frames, 1, 3))
    usual = Counter(frame.frame.identifier for frame in within(sound(), 1, 3))
    assert inside[0x100] == pytest.approx(usual[0x100], abs=1)
    assert inside[0x200] == pytest.approx(usual[0x200], abs=1)
    assert inside[0x600] < usual[0x600] / 10
    assert outside(frames, 1, 3.01) == outside(sound(), 1, 3.01)


def test_a_run_that_is_flooded_beyond_the_bus_ends_all_the_same():
    floods = [(1, None, {"kind": "frame-flood", "id": identifier, "rate": 4_000}) for identifier in (1, 2, 3)]
    frames, _ = disturbed(*floods, (1, None, {"kind": "frame-burst", "hold_ms": 300}), seconds=3.0)
    assert frames[-1].time_us < 3_400_000
    assert all(later.time_us - sooner.time_us >= FRAME_US for sooner, later in pairwise(within(frames, 1, 3)))
    assert disturbed(*floods, seconds=3.0, chunk_us=5_000, limit=50) == disturbed(*floods, seconds=3.0)


def test_a_replayed_log_is_sent_instead_of_the_pack_over_and_over(tmp_path):
    log = tmp_path / "healthy.log"
    log.write_text("".join(f"(0000000100.{n * 10_000:06d}) can0 123#{n:02X}\n" for n in range(20)))
    frames, tally = disturbed((1, 3, {"kind": "replayed-log", "log": str(log)}))
    inside = within(frames, 1, 3)
    assert {frame.frame.identifier for frame in inside} == {0x123}
    assert [frame.frame.payload[0] for frame in inside[:45]] == [*range(20), *range(20), *range(5)]
    assert inside[1].time_us - inside[0].time_us == 10_000
    assert outside(frames, 1, 3) == outside(sound(), 1, 3)
    assert tally.frames["replayed-log"] == len(inside)


def test_without_a_log_the_pack_hears_its_own_past():
    frames, _ = disturbed((3, 5, {"kind": "replayed-log", "past_s": 1.0}))
    past = [frame.frame for frame in within(sound(), 2, 3)]
    assert [frame.frame for frame in within(frames, 3, 3.99)] == past[: len(within(frames, 3, 3.99))]
    assert len(within(frames, 3, 5)) == pytest.approx(2 * len(past), abs=3)


def test_a_replay_takes_the_place_of_the_packs_own_frames_only_and_only_they_are_its_past():
    own = {0x100, 0x400}
    frames, _ = disturbed((3, 5, {"kind": "replayed-log", "past_s": 1.0}), own=own)
    others = [frame.frame for frame in sound() if frame.frame.identifier not in own]
    assert [frame.frame for frame in frames if frame.frame.identifier not in own] == others
    past = [frame.frame for frame in within(sound(), 2, 3) if frame.frame.identifier in own]
    again = [frame.frame for frame in within(frames, 3, 3.99) if frame.frame.identifier in own]
    assert again == past[: len(again)]
    assert len(again) == pytest.approx(len(past), abs=2)


def test_a_minute_of_the_fullest_bus_and_five_of_the_pack_are_remembered():
    frames, _ = disturbed((60, 61, {"kind": "replayed-log", "past_s": 60.0}), seconds=61.5, apart_us=250)
    assert within(frames, 60.0, 60.0005)[0].frame == sound(0.001, 250)[0].frame
    feed = FaultyFeed(Numbered(400.0), Timeline(), 1, FaultTally(), own={0x100})
    feed.until(399 * SECOND, 1 << 20)
    assert {timed.frame.identifier for timed in feed._past} == {0x100}
    assert feed._past[-1].time_us - feed._past[0].time_us == pytest.approx(300 * SECOND, abs=20_000)


@pytest.mark.parametrize("spoiled", ["deleted", "emptied", "a folder"])
def test_a_log_that_can_be_read_no_more_ends_its_fault_and_not_the_run(tmp_path, spoiled):
    log, timeline, tally = tmp_path / "x.log", Timeline(), FaultTally()
    log.write_text("(0.000000) can0 123#00\n(0.100000) can0 123#01\n")
    timeline.add(catalogue.read({"kind": "replayed-log", "log": str(log)}, "here"), SECOND, 5 * SECOND)
    feed = FaultyFeed(Numbered(6.0), timeline, 1, tally)
    frames = feed.until(2 * SECOND, 1 << 20)
    while piece := feed.until(2 * SECOND, 1 << 20):
        frames += piece
    log.unlink()
    if spoiled == "emptied":
        log.write_text("")
    elif spoiled == "a folder":
        log.mkdir()
    for now_us in range(2 * SECOND, 7 * SECOND, 10_000):
        while piece := feed.until(now_us, 1 << 20):
            frames += piece
    assert feed.finished()
    replayed = [frame for frame in frames if frame.frame.identifier == 0x123]
    assert 18 <= len(replayed) <= 23
    assert within(frames, 2.3, 6) == within(sound(), 2.3, 6)
    (complaint,) = tally.complaints
    assert complaint.startswith(f"replayed-log has ended: {log}: ")


FAULTS = (
    (0.5, 5.5, {"kind": "frames-dropped", "share": 0.2}),
    (1, 3, {"kind": "wrong-ids"}),
    (1.5, 4, {"kind": "corrupted-payload", "share": 0.3, "bits": 2}),
    (2, 2.7, {"kind": "frame-burst", "hold_ms": 90}),
    (3.1, 4.4, {"kind": "frame-flood", "rate": 3_000}),
    (4.6, 5.2, {"kind": "replayed-log", "past_s": 2.0}),
)


def test_all_faults_together_give_the_same_frames_however_they_are_asked_for():
    whole = disturbed(*FAULTS)
    for chunk_us, limit in ((1 << 40, 1 << 20), (5_000, 2_048), (16_000, 3), (7_777, 1)):
        assert disturbed(*FAULTS, chunk_us=chunk_us, limit=limit) == whole
    assert disturbed(*FAULTS, seed=2) != whole
    times = [frame.time_us for frame in whole[0]]
    assert times == sorted(times)


def lines(path):
    return [float(line[1:18]) for line in path.read_text().splitlines()]


def logged(tmp_path, *faults, start_s=1_000):
    """Times in the log of a run into a file, and its tallies."""
    log = CandumpLog(str(tmp_path / "x.log"), "can0", start_s * SECOND)
    tally = FaultTally()
    adapter = FaultyOutput(log, tally)
    adapter.open()
    timeline = Timeline()
    for begin_s, end_s, table in faults:
        timeline.add(catalogue.read(table, "here"), begin_s * SECOND, None if end_s is None else end_s * SECOND)
    feed = FaultyFeed(Numbered(6.0), timeline, 1, tally, adapter=adapter)
    while not feed.finished():
        adapter.offer(feed.until(EVERYTHING_US, 2_048))
    adapter.close()
    return lines(tmp_path / "x.log"), tally, log.tally


@pytest.mark.parametrize("kind", ["bus-off", "adapter-unplugged"])
def test_what_falls_into_a_silence_is_not_written_and_is_counted(tmp_path, kind):
    times, tally, written = logged(tmp_path, (2, 4, {"kind": kind}))
    kept = [1_000 + frame.time_us / 1e6 for frame in outside(sound(), 2, 4)]
    assert times == pytest.approx(kept, abs=1e-6)
    missing = len(within(sound(), 2, 4))
    assert tally.frames[kind] == written.unheard == missing
    assert written.written == len(kept)


@pytest.mark.parametrize("seconds", [3_600.0, -500.0])
def test_a_clock_jump_moves_the_written_times_from_then_on_and_back_at_its_end(tmp_path, seconds):
    times, tally, _ = logged(tmp_path, (2, 4, {"kind": "clock-jump", "seconds": seconds}))
    expected = [1_000 + frame.time_us / 1e6 + (seconds if 2 <= frame.time_us / 1e6 < 4 else 0.0) for frame in sound()]
    assert times == pytest.approx(expected, abs=2e-6)
    assert tally.frames["clock-jump"] == len(within(sound(), 2, 4))


def test_a_clock_set_back_beyond_1970_stands_at_it(tmp_path):
    times, _, _ = logged(tmp_path, (1, None, {"kind": "clock-jump", "seconds": -1e9}))
    assert set(times[len(within(sound(), 0, 1)) :]) == {0.0}


def test_two_silences_end_with_the_second(tmp_path):
    times, _, _ = logged(tmp_path, (1, 3, {"kind": "bus-off"}), (2, 4, {"kind": "adapter-unplugged"}))
    assert not [time for time in times if 1_001 <= time < 1_004]
    assert [time for time in times if time >= 1_004]
