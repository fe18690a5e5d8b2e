"""Faults of the pack and its firmware: each reaches what it breaks, and its end undoes it."""

import pytest

from firmware_sim.bus.simulation import Simulation
from firmware_sim.bus.tesla_model3 import messages
from firmware_sim.cells.spec import PackSpec
from firmware_sim.faults import catalogue
from firmware_sim.faults.apply import PackFaults
from firmware_sim.faults.catalogue import KINDS
from firmware_sim.faults.on_bus import FaultyFeed
from firmware_sim.faults.tally import FaultTally
from firmware_sim.faults.timeline import Timeline
from firmware_sim.simulated_pack import SimulatedPack

SECOND = 1_000_000


def fault(kind, **parameters):
    return catalogue.read({"kind": kind, **parameters}, "here")


@pytest.fixture
def broken():
    pack = SimulatedPack(PackSpec(cells=12), 1)
    pack.advance_to(2 * SECOND)
    return PackFaults(pack)


def later(broken, seconds):
    broken.pack.advance_to(broken.pack.time_us + round(seconds * SECOND))
    return broken.pack.report()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].place == "pack"])
def test_every_fault_of_the_pack_can_begin_and_end_and_the_pack_lives_on(broken, kind):
    one = fault(kind)
    broken.begin(one)
    later(broken, 1.0)
    if not KINDS[kind].momentary:
        broken.end(one)
    assert later(broken, 1.0).cell_volts


def test_a_shorted_cell_loses_what_ohms_law_takes_from_it_and_the_others_do_not(broken):
    physics = broken.pack.physics
    before = physics.soc.copy()
    broken.begin(fault("cell-short", cell=7, ohm=0.05))
    later(broken, 30.0)
    physics.settle()
    lost = before - physics.soc
    others = [lost[index] for index in range(12) if index != 6]
    taken = physics.cell_volts()[6] / 0.05 * 30.0 / physics.capacity_as[6]
    assert lost[6] - sum(others) / 11 == pytest.approx(taken, rel=0.05)
    assert max(others) - min(others) < taken / 10
    broken.end(fault("cell-short", cell=7, ohm=0.05))
    physics.settle()
    mended = physics.soc.copy()
    later(broken, 5.0)
    physics.settle()
    assert (mended - physics.soc)[6] == pytest.approx((mended - physics.soc)[5], abs=2e-5)


def test_a_weak_cell_has_less_capacity_until_the_fault_ends(broken):
    physics, healthy = broken.pack.physics, broken.pack.physics.capacity_as.copy()
    weak = fault("weak-cell", cell=3, capacity_factor=0.5)
    broken.begin(weak)
    assert physics.capacity_as[2] == pytest.approx(healthy[2] / 2, rel=1e-6)
    broken.end(weak)
    assert physics.capacity_as == pytest.approx(healthy, rel=1e-6)


def test_heat_comes_up_in_one_module_and_two_events_in_it_add_up(broken):
    physics = broken.pack.physics
    one, two = fault("thermal-event", module=2, watts=2_000.0), fault("thermal-event", module=2, watts=3_000.0)
    broken.begin(one)
    broken.begin(two)
    later(broken, 20.0)
    assert physics.module_c[1] == max(physics.module_c)
    both_c = float(physics.module_c[1])
    broken.end(two)
    later(broken, 20.0)
    assert both_c < physics.module_c[1] < 2 * both_c
    broken.end(one)
    warm_c = float(physics.module_c[1])
    later(broken, 20.0)
    assert physics.module_c[1] <= warm_c


def test_isolation_is_lost_and_comes_back_as_it_was_even_after_a_second_loss(broken):
    physics, sound = broken.pack.physics, broken.pack.physics.isolation_kohm
    first, second = fault("isolation-loss", kohm=50.0), fault("isolation-loss", kohm=5.0)
    broken.begin(first)
    broken.begin(second)
    assert physics.isolation_kohm == 5.0
    broken.end(second)
    assert physics.isolation_kohm == 50.0
    broken.end(first)
    assert physics.isolation_kohm == sound


def test_a_stuck_sensor_repeats_itself_and_reads_again_afterwards(broken):
    stuck = fault("sensor-stuck", sensor="cell", number=5)
    broken.begin(stuck)
    begin = later(broken, 0.1).cell_volts
    end = later(broken, 20.0).cell_volts
    assert begin[4] == end[4]
    assert begin[3] != end[3]
    broken.end(stuck)
    assert later(broken, 1.0).cell_volts[4] != begin[4]


def test_state_of_charge_stands_still_and_health_reads_zero_until_the_faults_end(broken):
    frozen, sick = fault("soc-frozen"), fault("soh-zero")
    broken.begin(frozen)
    broken.begin(sick)
    first = later(broken, 1.0)
    second = later(broken, 60.0)
    assert first.soc == second.soc
    assert second.soh == 0.0
    broken.end(frozen)
    broken.end(sick)
    third = later(broken, 30.0)
    assert third.soc != second.soc
    assert 0.5 < third.soh <= 1.1


def test_a_reset_board_is_silent_for_a_moment_and_counts_it_and_may_lose_its_counters(broken):
    before = broken.pack.report()
    broken.begin(fault("bms-reset", clear_counters=False))
    assert not broken.pack.awake
    after = later(broken, 2.0)
    assert after.awake
    assert after.resets == before.resets + 1
    assert after.charged_kwh >= before.charged_kwh
    broken.begin(fault("bms-reset"))
    assert later(broken, 2.0).charged_kwh < 1.0


def test_another_board_has_another_name_and_other_counters_in_the_same_pack(broken):
    before = broken.pack.report()
    broken.begin(fault("board-swapped", board_serial="SIM-BOARD-77"))
    after = later(broken, 2.0)
    assert after.identity.board_serial == "SIM-BOARD-77"
    assert after.identity.pack_serial == before.identity.pack_serial
    assert after.charged_kwh != pytest.approx(before.charged_kwh, abs=0.1)


def test_a_mislabelled_vin_is_put_right_when_the_fault_ends(broken):
    right = broken.pack.report().identity.vin_answer
    wrong = fault("vin-mislabelled")
    broken.begin(wrong)
    assert later(broken, 0.5).identity.vin_answer == b"OSEV__ BMS"
    broken.end(wrong)
    assert later(broken, 0.5).identity.vin_answer == right


def test_a_welded_contactor_stays_closed_when_it_is_told_to_open(broken):
    circuit = broken.pack.circuit
    circuit.switch(positive_coil=True, negative_coil=True)
    broken.begin(fault("contactor-welded", pole="positive"))
    circuit.switch(positive_coil=False, negative_coil=False)
    assert (circuit.positive_closed, circuit.negative_closed) == (True, False)
    broken.end(fault("contactor-welded", pole="positive"))
    circuit.switch(positive_coil=False, negative_coil=False)
    assert not circuit.positive_closed


def run(chunk_us, *faults):
    pack = SimulatedPack(PackSpec(cells=12), 1)
    timeline, tally = Timeline(), FaultTally()
    for begin_s, end_s, each in faults:
        timeline.add(each, round(begin_s * SECOND), None if end_s is None else round(end_s * SECOND))
    feed = FaultyFeed(Simulation(pack, messages(12), 20 * SECOND), timeline, 1, tally, PackFaults(pack))
    frames, now = [], 0
    while not feed.finished():
        now += chunk_us
        while piece := feed.until(now, 512):
            frames += piece
    return frames, tally


def test_in_a_run_faults_begin_at_their_time_and_the_frames_are_the_same_however_they_are_asked_for():
    faults = [
        (3.0, 9.0, fault("sensor-stuck", sensor="pack-voltage")),
        (5.0, None, fault("bms-reset")),
        (7.0, 8.0, fault("frames-dropped", share=0.5)),
    ]
    whole, tally = run(1 << 40, *faults)
    assert run(5_000, *faults) == (whole, tally)
    assert tally.summary()["bms-reset"] == {"begun": 1, "frames": 0}
    silent = [frame.time_us for frame in whole if 5.0 <= frame.time_us / 1e6 < 5.25]
    assert not silent, "a board that boots says nothing"
    healthy, _ = run(1 << 40)
    assert [f for f in whole if f.time_us < 3 * SECOND] == [f for f in healthy if f.time_us < 3 * SECOND]
    volts = {f.frame.payload[:2] for f in whole if f.frame.identifier == 0x132 and 3.02 < f.time_us / 1e6 < 4.9}
    assert len(volts) == 1
