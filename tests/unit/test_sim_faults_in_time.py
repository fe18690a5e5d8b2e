"""Faults on a loaded bus, on a pack that sleeps, and where time is leaped over: when, and the same however asked for."""

import pytest

from firmware_sim.bus.simulation import Simulation
from firmware_sim.bus.tesla_model3 import messages
from firmware_sim.bus.traffic import traffic
from firmware_sim.car.cycles import trace
from firmware_sim.car.errand import Drive, Parked
from firmware_sim.car.scenario_driver import Outing, ScenarioDriver
from firmware_sim.car.vehicle import Road, Vehicle
from firmware_sim.cells.spec import PackSpec
from firmware_sim.faults import catalogue
from firmware_sim.faults.apply import PackFaults
from firmware_sim.faults.on_bus import FaultyFeed
from firmware_sim.faults.tally import FaultTally
from firmware_sim.faults.timeline import Timeline
from firmware_sim.pack_feed import PackFeed
from firmware_sim.simulated_pack import SimulatedPack

S = 1_000_000
EVERYTHING_US = 1 << 62
SPEC = PackSpec(cells=12, modules=4, soc=0.6)
FLOOD = 0x050


class Around:
    """A mild day; the pack never says that it is full."""

    ambient_c = 21.0
    powered = True
    charge_complete = False


def wltc(seconds):
    return Drive(trace("wltc-low", 1), seconds, Vehicle(), Road("1"), Around())


class Run:
    """A pack that does (errand, leap) after errand, and faults (start_s, end_s, table), asked for in pieces."""

    def __init__(self, *outings, faults=(), duration_s=None, load=0.0):
        driver = ScenarioDriver(iter([Outing(errand, leap) for errand, leap in outings]))
        self.pack = SimulatedPack(SPEC, 5, driver, ends=lambda: driver.over)
        own = messages(12)
        simulation = Simulation(
            self.pack, (*own, *traffic(load, own, 5)), None if duration_s is None else round(duration_s * S)
        )
        self.asked_to_stop = False
        self.timeline, self.tally = Timeline(), FaultTally()
        for start_s, end_s, table in faults:
            self.add(start_s, end_s, **table)
        inner = PackFeed(simulation, self.pack, lambda: self.asked_to_stop, lambda: None)
        sent = frozenset(message.identifier for message in own)
        self.feed = FaultyFeed(inner, self.timeline, 5, self.tally, PackFaults(self.pack), own=sent)

    def add(self, start_s, end_s, **table):
        fault = catalogue.read(table, "here")
        self.timeline.add(fault, round(start_s * S), None if end_s is None else round(end_s * S))

    def until(self, time_s, limit=512):
        frames = []
        while piece := self.feed.until(round(time_s * S), limit):
            frames += piece
        return frames

    def all(self, chunk_us=EVERYTHING_US, limit=2_048):
        frames, now = [], 0
        while not self.feed.finished():
            now = min(EVERYTHING_US, now + chunk_us)
            while piece := self.feed.until(now, limit):
                frames += piece
        return frames


def times(frames, identifier):
    return [frame.time_us / S for frame in frames if frame.frame.identifier == identifier]


CROWDS = [
    pytest.param([(2, 4, {"kind": "frame-burst", "hold_ms": 300})], id="burst"),
    pytest.param([(2, None, {"kind": "frame-flood", "rate": 500})], id="flood without an end"),
    pytest.param([(2, 3.5, {"kind": "frame-flood", "rate": 3_900})], id="flood that fills the bus"),
    pytest.param([(2, 4, {"kind": "replayed-log", "past_s": 1.5})], id="replay"),
    pytest.param(
        [
            (1.816, 3.581, {"kind": "frame-flood", "rate": 500, "id": 1}),
            (2.081, 2.515, {"kind": "frame-flood", "rate": 900, "id": 0x300}),
            (1.5, 4.339, {"kind": "frame-burst", "hold_ms": 250}),
            (2.4, 3.9, {"kind": "frame-burst", "hold_ms": 70}),
            (3, 3.7, {"kind": "bus-off"}),
        ],
        id="several",
    ),
]


@pytest.mark.parametrize("load", [0.6, 0.9])
@pytest.mark.parametrize("faults", CROWDS)
def test_on_a_loaded_bus_the_frames_are_the_same_however_they_are_asked_for(faults, load):
    def run(chunk_us=EVERYTHING_US, limit=2_048):
        made = Run((Parked(0.5), False), (wltc(4.5), False), faults=faults, load=load)
        return made.all(chunk_us, limit), made.tally

    whole = run()
    assert len(whole[0]) > 9_000
    for chunk_us, limit in ((5_000, 2_048), (16_000, 7), (777_000, 2_048)):
        assert run(chunk_us, limit) == whole


@pytest.mark.soak
@pytest.mark.parametrize("duration_s", [None, 190.0, 190.0073])
def test_a_flood_on_a_sleeping_pack_ends_with_the_run_however_it_is_asked_for(duration_s):
    def run(chunk_us=EVERYTHING_US):
        return Run((Parked(200.0), False), faults=[(150, None, FLOODING)], duration_s=duration_s).all(chunk_us)

    whole = run()
    end_s = duration_s or 200.0
    flood = times(whole, FLOOD)
    assert flood[0] == 150.0
    assert flood[-1] == pytest.approx(end_s, abs=0.03)
    assert len(flood) == pytest.approx((end_s - 150.0) * 50, abs=2)
    for chunk_us in (16_000, 61_000_000):
        assert run(chunk_us) == whole


FLOODING = {"kind": "frame-flood", "id": FLOOD, "rate": 50}


def test_a_flood_on_a_pack_that_is_driven_ends_with_the_run_however_it_is_asked_for():
    for seconds in (2.0, 2.35):
        whole = Run((wltc(seconds), False), faults=[(1, None, FLOODING)]).all()
        for chunk_us in (1_000, 4_999, 16_000):
            assert Run((wltc(seconds), False), faults=[(1, None, FLOODING)]).all(chunk_us) == whole


def test_while_time_is_leaped_over_floods_and_replays_are_silent_and_go_on_afterwards(tmp_path):
    log = tmp_path / "x.log"
    log.write_text("(0.000000) can0 051#00\n(0.100000) can0 051#01\n")
    replaying = {"kind": "replayed-log", "log": str(log)}

    def run(chunk_us=EVERYTHING_US):
        outings = ((Parked(20.0), False), (Parked(3_600.0), True), (wltc(10.0), False))
        return Run(*outings, faults=[(10, None, FLOODING), (1_000, None, replaying)]).all(chunk_us)

    whole = run()
    flood, replay = times(whole, FLOOD), times(whole, 0x051)
    assert len([time for time in flood if 10 <= time < 20.02]) == pytest.approx(500, abs=1)
    assert not [time for time in (*flood, *replay) if 20.02 < time < 3_620.0]
    assert len([time for time in flood if time >= 3_620]) == pytest.approx(500, abs=1)
    assert replay[0] == pytest.approx(3_620.0, abs=0.02)
    counted = [frame.frame.payload[0] for frame in whole if frame.frame.identifier == FLOOD]
    assert counted == [number % 256 for number in range(len(counted))]
    for chunk_us in (9_000_000, 3_333_333):
        assert run(chunk_us) == whole


@pytest.mark.parametrize("chunk_us", [EVERYTHING_US, 16_000_000])
def test_a_duration_that_ends_in_sleep_or_in_a_leap_is_lived_through(chunk_us):
    for leap in (False, True):
        run = Run((Parked(3_600.0), leap), duration_s=425.5)
        run.all(chunk_us)
        assert run.pack.time_us == 425_500_000


def test_a_fault_that_is_asked_for_while_the_pack_sleeps_acts_then_and_not_at_the_end_of_a_stride():
    run = Run((Parked(400.0), False))
    run.until(231.04)
    assert not run.pack.awake
    run.add(231.04, None, kind="bms-reset")
    frames = run.until(240.0)
    assert run.pack.report().resets == Run((Parked(400.0), False)).pack.report().resets + 1
    assert 231.2 < frames[0].time_us / S < 231.5, "it boots, and then it is there"
    assert frames == sorted(frames, key=lambda frame: frame.time_us)


@pytest.mark.soak
def test_a_short_in_a_sleeping_pack_lasts_as_long_as_it_was_asked_for():
    lost = []
    for seconds in (0, 25, 50):
        run = Run((Parked(400.0), False))
        run.until(205.0)
        if seconds:
            run.add(205.0, 205.0 + seconds, kind="cell-short", cell=5, ohm=0.02)
        run.until(390.0)
        run.pack.physics.settle()
        lost.append(float(run.pack.physics.soc[4]))
    assert lost[0] - lost[1] > 1e-4
    assert lost[0] - lost[2] == pytest.approx(2 * (lost[0] - lost[1]), rel=0.03)


def test_who_stops_a_run_does_not_wait_for_its_faults():
    run = Run((Parked(1e7), False), faults=[(9e6, None, {"kind": "soc-frozen"})])
    run.until(10.0)
    run.asked_to_stop = True
    run.feed.until(EVERYTHING_US, 2_048)
    assert run.feed.finished()
    assert run.pack.time_us < 200 * S
