"""Cells, firmware, circuit and driver together, as time passes on the bus, asleep and in leaps."""

import itertools

import pytest

from firmware_sim.bms.contactors import Stage
from firmware_sim.car.cycles import trace
from firmware_sim.car.demand import Demand, Mode
from firmware_sim.car.driving import DrivePattern
from firmware_sim.car.errand import Drive, Parked, ac_charge, dc_charge
from firmware_sim.car.scenario_driver import Outing, ScenarioDriver
from firmware_sim.car.vehicle import Road, Vehicle
from firmware_sim.cells.spec import PackSpec
from firmware_sim.simulated_pack import NEVER_US, SimulatedPack

S = 1_000_000
SMALL = PackSpec(cells=96, modules=4, soc=0.6)


class Around:
    """A mild day; the pack never says that it is full."""

    ambient_c = 21.0
    powered = True
    charge_complete = False


def wltc(seconds):
    return Drive(trace("wltc-low", 1), seconds, Vehicle(), Road("1"), Around())


def planned(*errands, leap=False, spec=SMALL, **settings):
    driver = ScenarioDriver(iter([Outing(each, leap) for each in errands]))
    return SimulatedPack(spec, 5, driver, ends=lambda: driver.over, **settings)


def fingerprint(pack):
    row = pack.truth()
    return (row, pack.report())


def test_the_current_is_the_power_asked_for_over_the_voltage_and_positive_into_the_battery():
    pack = planned(Parked(1.0), wltc(300.0))
    before, signs = 0.0, set()
    for block in range(1, 3_000):
        pack.advance_to(block * 100_000)
        asked = pack.demand.power_w - pack.physics.heating_w - pack.physics.cooling_w / 2.5
        if pack.bms.contactors.stage is Stage.CLOSED and pack.bms.contactors.in_stage_s > 0.2:
            power = pack.physics.current_a * pack.physics.pack_volts()
            # The last step of a block is a twentieth before its end on the straight line between two demands.
            assert power == pytest.approx(asked + (before - asked) / 20, rel=0.03, abs=60.0)
            signs.add(power > 0)
        before = asked
    assert signs == {True, False}


def test_nothing_flows_before_the_contactors_have_closed_but_what_charges_the_link():
    pack = planned(Parked(0.5), wltc(20.0))
    charge = 0.0
    for step in range(1, 200):
        pack.advance_to(step * 10_000)
        if pack.bms.contactors.stage is not Stage.CLOSED:
            charge += pack.physics.current_a * 0.01
    assert pack.bms.contactors.stage is Stage.CLOSED
    assert charge == pytest.approx(-0.6e-3 * pack.physics.pack_volts(), rel=0.06)


def test_the_history_is_the_same_however_it_is_asked_for():
    def pack():
        return planned(Parked(200.0), wltc(30.0), Parked(4_000.0), wltc(10.0))

    whole, pieces = pack(), pack()
    whole.advance_to(4_300 * S)
    time_us = 0
    while time_us < 4_300 * S:
        time_us += 7_777_777
        pieces.advance_to(min(time_us, 4_300 * S))
    assert whole.over
    assert fingerprint(whole) == fingerprint(pieces)


@pytest.mark.soak
def test_whether_the_truth_is_watched_changes_nothing():
    seen = []

    def watch(pack):
        seen.append(pack.truth())
        return pack.time_us + 10_000

    plain, watched = planned(wltc(20.0), Parked(400.0)), planned(wltc(20.0), Parked(400.0))
    watched.watch, watched.watch_us = watch, 0
    for pack in (plain, watched):
        pack.advance_to(500 * S)
    assert len(seen) > 2_000
    assert fingerprint(plain) == fingerprint(watched)


def test_two_minutes_after_parking_the_firmware_sleeps_and_time_passes_in_leaps_to_the_next_look():
    pack = planned(Parked(8 * 3_600.0))
    pack.advance_to(119 * S)
    assert pack.awake
    pack.advance_to(125 * S)
    assert not pack.awake
    looks = []
    while not pack.over:
        was = pack.awake
        pack.advance_to(pack.time_us + S if was else pack.next_event_us())
        if pack.awake and not was:
            looks.append(pack.time_us / S)
    assert looks[0] == pytest.approx(3_720.0, abs=61.0)
    assert len(looks) == 7
    assert pack.time_us == 8 * 3_600 * S


def test_a_sleeping_pack_is_awake_at_once_when_the_car_wants_to_drive():
    pack = planned(Parked(1_000.0), wltc(10.0))
    pack.advance_to(990 * S)
    assert not pack.awake
    pack.advance_to(1_000 * S + 10_000)
    assert pack.awake
    assert pack.demand.mode is Mode.DRIVE


def test_a_leap_never_passes_an_appointment():
    pack = planned(Parked(8_000.0))
    pack.appointments_us = (1_234_500_000, 5_000_000_000)
    pack.advance_to(1_234_500_000)
    assert pack.time_us == 1_234_500_000
    pack.advance_to(5_000_000_000)
    assert pack.time_us == 5_000_000_000


@pytest.mark.soak
def test_where_time_is_leaped_over_the_pack_is_not_on_the_bus_and_the_day_ends_as_if_it_had_been():
    spec = PackSpec(cells=96, soc=0.6, ambient_c=20.0)

    def day(leap):
        errands = (wltc(589.0), Parked(100.0), ac_charge(11_000.0, 0.9, 700.0, Around(), stays=True))
        pack = planned(*errands, leap=leap, spec=spec)
        awake = 0
        while not pack.over:
            pack.advance_to(max(pack.next_event_us(), pack.time_us + S))
            awake += pack.awake
        return pack, awake

    (fine, awake), (coarse, heard) = day(False), day(True)
    assert awake > 1_000
    assert heard == 0
    assert coarse.time_us == fine.time_us
    assert float(coarse.physics.soc.mean()) == pytest.approx(float(fine.physics.soc.mean()), abs=0.002)
    assert float(coarse.physics.module_c.mean()) == pytest.approx(float(fine.physics.module_c.mean()), abs=0.5)
    assert coarse.odometer_m == pytest.approx(fine.odometer_m, rel=1e-3)


@pytest.mark.parametrize("cycle", ["wltc-low", "city"])
@pytest.mark.soak
def test_a_drive_that_is_leaped_over_takes_gives_back_heats_and_goes_as_far_as_the_same_on_the_bus(cycle):
    def figures(leap):
        made = trace(cycle, 2)
        pack = planned(Drive(made, float(made.seconds), Vehicle(), Road("2"), Around()), leap=leap)
        begin = pack.report()
        while not pack.over:
            pack.advance_to(max(pack.next_event_us(), pack.time_us + S))
        books, end = pack.physics.energy, pack.report()
        counted = end.charged_kwh - begin.charged_kwh, end.discharged_kwh - begin.discharged_kwh
        return [books.delivered_in, books.delivered_out, books.heat, pack.odometer_m, *counted]

    fine, coarse = figures(leap=False), figures(leap=True)
    assert min(fine) > 0.1
    assert coarse == pytest.approx(fine, rel=0.025)


@pytest.mark.soak
def test_a_quick_charge_ramps_up_at_the_stations_pace_and_tapers_at_constant_voltage_below_the_limit():
    pack = planned(Parked(0.5), dc_charge(150_000.0, 0.97, 5_000.0, Around(), stays=False), spec=PackSpec(soc=0.75))
    currents, highest = [], 0.0
    while not pack.over:
        pack.advance_to(pack.time_us + S)
        currents.append(pack.physics.current_a)
        highest = max(highest, float(pack.physics.cell_volts().max()))
        assert len(currents) < 6_000
    rising = [b - a for a, b in itertools.pairwise(currents)]
    assert max(rising) <= 20.0 + 1e-6
    assert max(currents) > 150.0
    plugged = [each for each in currents if each > 1.0]
    assert plugged[-1] < 0.5 * max(currents)
    assert 4.17 < highest < 4.205
    assert float(pack.physics.soc.mean()) > 0.9


def test_when_everything_is_done_the_pack_is_over_and_nothing_can_wake_it():
    pack = planned(Parked(2.0))
    pack.advance_to(100 * S)
    assert pack.over
    assert pack.time_us == 2 * S
    assert not pack.awake
    assert pack.next_event_us() == NEVER_US
    assert not pack.advance_to(200 * S)


def test_the_endless_day_begins_in_standby_then_drives_parks_and_charges_and_never_falls_asleep():
    pattern, order, parked_s = DrivePattern(1, drive_s=60.0), [], 0.0
    for _ in range(30_000):
        mode = pattern.advance(0.1, 0.6).mode
        parked_s = parked_s + 0.1 if mode is Mode.PARKED else 0.0
        assert parked_s < 119.0
        if not order or order[-1] is not mode:
            order.append(mode)
    assert order[:5] == [Mode.PARKED, Mode.DRIVE, Mode.PARKED, Mode.CHARGE_AC, Mode.PARKED]


def test_without_a_scenario_powers_are_scaled_to_the_number_of_cells():
    small, large = SimulatedPack(PackSpec(cells=12), 1), SimulatedPack(PackSpec(cells=96), 1)
    for pack in (small, large):
        pack.advance_to(40 * S)
    assert small.physics.energy.delivered_out == pytest.approx(large.physics.energy.delivered_out / 8, rel=0.05)


class Immediately:
    """Asks for one thing for ever."""

    def __init__(self, demand):
        self.demand = demand

    def advance(self, dt_s, soc):
        return self.demand


def test_the_car_gets_no_more_than_the_firmware_allows():
    pack = SimulatedPack(PackSpec(cells=96, soc=0.5), 1, Immediately(Demand(Mode.DRIVE, -900_000.0)))
    most = 0.0
    for block in range(1, 100):
        pack.advance_to(block * 100_000)
        most = max(most, -pack.physics.current_a * pack.physics.pack_volts())
        assert most < 1.02 * max(pack.bms.limits.discharge_kw, 340.0) * 1_000.0
    assert most > 200_000.0


def test_a_pair_of_welded_contactors_keeps_the_link_live_and_the_firmware_says_so():
    pack = planned(wltc(30.0), Parked(60.0))
    pack.advance_to(20 * S)
    pack.circuit.weld("both")
    pack.advance_to(80 * S)
    assert pack.circuit.link_volts == pytest.approx(pack.physics.pack_volts(), rel=0.01)
    assert pack.report().contactors.stage is Stage.WELDED
    assert 166 in pack.report().alerts


@pytest.mark.soak
def test_the_odometer_is_the_traces_length():
    pack = planned(wltc(589.0))
    pack.advance_to(600 * S)
    assert pack.odometer_m == pytest.approx(trace("wltc-low", 1).metres, rel=1e-3)
