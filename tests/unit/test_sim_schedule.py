import itertools
from collections import defaultdict
from dataclasses import dataclass

import pytest

from firmware_sim.bus.schedule import FRAME_US, JITTER, Cycle, Schedule
from firmware_sim.bus.simulation import Simulation
from firmware_sim.bus.tesla_model3 import messages
from firmware_sim.bus.traffic import load_of, traffic
from firmware_sim.cells.spec import PackSpec
from firmware_sim.simulated_pack import SimulatedPack
from packseal.program import ConfigurationError


def simulate(seed=1, seconds=3.0, chunk_us=1 << 40, cells=96):
    feed = Simulation(SimulatedPack(PackSpec(cells=cells), seed), messages(cells), round(seconds * 1e6))
    frames, now = [], 0
    while not feed.finished():
        now += chunk_us
        frames += feed.until(now, 1_000_000)
    return frames


def test_every_message_keeps_its_period_and_its_jitter_does_not_add_up():
    times = defaultdict(list)
    for frame in simulate(seconds=20.0):
        times[frame.frame.identifier].append(frame.time_us)
    assert len(times) == 12
    for message in messages(96):
        due = times[message.identifier]
        assert len(due) == pytest.approx(20e6 / message.period_us, abs=1)
        drift = due[-1] - due[0] - (len(due) - 1) * message.period_us
        assert abs(drift) <= 2 * JITTER * message.period_us + 12 * FRAME_US
        assert len({later - sooner for sooner, later in itertools.pairwise(due)}) > 1, "jitter"


def test_the_bus_carries_one_frame_at_a_time_and_215_a_second():
    times = [frame.time_us for frame in simulate(seconds=10.0)]
    assert min(later - sooner for sooner, later in itertools.pairwise(times)) >= FRAME_US
    assert len(times) == pytest.approx(2_150, abs=12)


def test_on_an_overloaded_bus_the_lowest_identifier_loses_nothing_and_the_others_wait():
    schedule = Schedule([Cycle(0x300, 2 * FRAME_US), Cycle(0x100, 2 * FRAME_US), Cycle(0x200, 2 * FRAME_US)], 1)
    sent = [schedule.pop().identifier for _ in range(1_000)]
    assert sent.count(0x100) == pytest.approx(500, abs=5)
    assert sent.count(0x200) == pytest.approx(500, abs=5)
    assert sent.count(0x300) < 10


def test_the_same_seed_gives_the_same_bytes_however_they_are_asked_for():
    assert simulate(seed=7) == simulate(seed=7, chunk_us=3_700)


def test_another_seed_gives_another_pack():
    assert simulate(seed=7, seconds=0.5) != simulate(seed=8, seconds=0.5)


def test_every_page_of_the_cells_is_seen_within_a_second():
    for cells in (96, 108, 1):
        pages = {f.frame.payload[0] for f in simulate(seconds=1.0, cells=cells) if f.frame.identifier == 0x401}
        assert pages == set(range(-(-cells // 3)))


@dataclass
class Napper:
    """A pack that says the same for ever, and sleeps when it is told to: a stand-in for the bus's side of a pack."""

    naps: list[tuple[int, int]]
    known: object
    seed: int = 3
    time_us: int = 0

    @property
    def awake(self):
        return not any(begin <= self.time_us < end for begin, end in self.naps)

    def next_event_us(self):
        return next(end for begin, end in self.naps if begin <= self.time_us < end)

    def advance_to(self, time_us):
        before, self.time_us = self.time_us, max(self.time_us, time_us - time_us % 10_000)
        return self.time_us != before

    def meet(self, time_us):
        return self.advance_to(time_us)

    def report(self):
        return self.known


def naps(*begin_end_s, duration_s=None):
    pack = Napper(
        [(round(b * 1e6), round(e * 1e6)) for b, e in begin_end_s], SimulatedPack(PackSpec(cells=3), 1).report()
    )
    return pack, Simulation(pack, messages(3), None if duration_s is None else round(duration_s * 1e6))


def test_a_sleeping_pack_is_silent_and_its_timetable_begins_anew_when_it_wakes():
    _, feed = naps((2.0, 3_600.0), duration_s=3_602.0)
    frames = feed.until(1 << 62, 1 << 20)
    before = [f for f in frames if f.time_us < 2_000_000]
    after = [f for f in frames if f.time_us >= 3_600_000_000]
    assert len(before) + len(after) == len(frames)
    assert {f.frame for f in before} == {f.frame for f in after}, "every message and every page is there again"
    first = {}
    for frame in after:
        first.setdefault(frame.frame.identifier, (frame.time_us - 3_600_000_000, frame.frame.payload))
    for message in messages(3):
        time_us, payload = first[message.identifier]
        assert time_us < message.period_us + 12 * FRAME_US + 1_000
        assert payload == message.encode(0, feed.pack.known).payload, "the first page comes first"


def test_while_it_sleeps_the_next_frame_is_due_when_it_may_wake():
    _, feed = naps((0.0, 50.0))
    assert feed.next_us() == 50_000_000
    assert feed.until(49_000_000, 100) == []
    assert not feed.finished()
    assert feed.until(50_500_000, 1_000)[0].time_us > 50_000_000


def test_frames_and_silences_are_the_same_however_they_are_asked_for():
    def frames(chunk_us, limit):
        _, feed = naps((1.0, 5.0), (6.2, 6.5), duration_s=8.0)
        taken, now = [], 0
        while not feed.finished():
            now += chunk_us
            while piece := feed.until(now, limit):
                taken += piece
        return taken

    assert frames(1 << 40, 1 << 20) == frames(3_700, 2) == frames(500_000, 7)


def test_a_run_that_ends_asleep_is_finished_and_lived_through_to_its_end():
    pack, feed = naps((2.0, 1e6), duration_s=100.0)
    frames = feed.until(1 << 62, 1 << 20)
    assert frames[-1].time_us < 2_000_000
    assert feed.finished()
    assert pack.time_us == 100_000_000


def test_other_nodes_bring_the_bus_to_the_load_that_is_asked_for():
    own = messages(96)
    for load in (0.0, 0.03, 0.3, 0.6, 0.9):
        others = traffic(load, own, 1)
        assert load_of([*own, *others]) == pytest.approx(max(load, load_of(own)), abs=0.0003)
        identifiers = [message.identifier for message in (*own, *others)]
        assert len(set(identifiers)) == len(identifiers)
        assert traffic(load, own, 1) == others
    assert traffic(0.5, own, 2) != traffic(0.5, own, 1)
    for load in (-0.1, 0.96, float("nan")):
        with pytest.raises(ConfigurationError, match="bus load"):
            traffic(load, own, 1)


def test_the_frames_of_other_nodes_count_and_carry_a_checksum_over_themselves():
    for message in traffic(0.6, messages(96), 4):
        frames = [message.encode(turn, None) for turn in range(40)]
        assert [frame.payload[6] for frame in frames] == [turn % 16 for turn in range(40)]
        for frame in frames:
            assert (
                frame.payload[7]
                == (message.identifier % 256 + message.identifier // 256 + sum(frame.payload[:7])) % 256
            )
        assert len({frame.payload[:6] for frame in frames}) > 1


def test_a_bus_at_60_percent_load_carries_every_message_of_the_pack_at_its_period():
    pack = Napper([], SimulatedPack(PackSpec(cells=96), 1).report())
    own = messages(96)
    feed = Simulation(pack, [*own, *traffic(0.6, own, 1)], 5_000_000)
    frames = feed.until(1 << 62, 1 << 20)
    assert len(frames) == pytest.approx(5 * 2_500, rel=0.01)
    for message in own:
        times = [f.time_us for f in frames if f.frame.identifier == message.identifier]
        assert len(times) == pytest.approx(5e6 / message.period_us, abs=1)
