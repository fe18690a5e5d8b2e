import itertools
from collections import defaultdict

import pytest

from firmware_sim.bus.schedule import FRAME_US, JITTER, Cycle, Schedule
from firmware_sim.bus.simulation import Simulation
from firmware_sim.bus.tesla_model3 import messages
from firmware_sim.cells.physics import PackSpec
from firmware_sim.simulated_pack import SimulatedPack


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
