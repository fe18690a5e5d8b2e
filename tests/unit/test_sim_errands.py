"""What a car is out to do: driving, parking, charging, feeding a load."""

import itertools
from dataclasses import dataclass

import pytest

from firmware_sim.car.cycles import trace
from firmware_sim.car.demand import Mode
from firmware_sim.car.errand import INSULATION_TEST_S, Drive, Load, Parked, ac_charge, dc_charge
from firmware_sim.car.scenario_driver import Outing, ScenarioDriver
from firmware_sim.car.vehicle import Road, Vehicle


@dataclass
class Around:
    ambient_c: float = 21.0
    powered: bool = True
    charge_complete: bool = False


class Level:
    """A road without slopes."""

    def pass_by(self, metres):
        return 0.0


def drive(left_s, around=None, road=None):
    return Drive(trace("wltc-low", 1), left_s, Vehicle(), road or Level(), around or Around())


def lived(errand, soc=0.6, dt_s=0.1):
    """All demands of an errand."""
    demands = []
    while not errand.over(soc):
        demands.append(errand.advance(dt_s, soc))
        assert len(demands) < 1_000_000
    return demands


def test_the_power_at_constant_speed_is_the_textbooks_rolling_and_drag_over_the_drivetrain():
    speed, car = 30.0, Vehicle()
    rolling, drag = 1_900.0 * 9.81 * 0.009, 0.5 * 1.2 * 0.51 * speed**2
    assert car.power_w(speed, 0.0) == pytest.approx(-(rolling + drag) * speed / 0.91)
    assert car.power_w(0.0, 0.0) == 0.0
    uphill = 1_900.0 * 9.81 * 0.05 * speed / 0.91
    assert car.power_w(speed, 0.0, grade=0.05) == pytest.approx(car.power_w(speed, 0.0) - uphill)


def test_braking_gives_back_less_than_it_took_never_more_than_the_motor_can_and_nothing_at_a_crawl():
    car = Vehicle()
    assert 0.0 < car.power_w(20.0, -1.0) < 1_900.0 * 1.04 * 20.0
    assert car.power_w(35.0, -4.0) == car.regeneration_w
    assert car.power_w(1.0, -1.0) < 0.25 * 1_900.0 * 1.04


def test_cold_and_heat_cost_power_on_board_but_only_so_much():
    car = Vehicle()
    assert car.on_board_w(21.0) == car.auxiliary_w
    assert car.on_board_w(-7.0) > car.on_board_w(5.0) > car.on_board_w(21.0) < car.on_board_w(35.0)
    assert car.on_board_w(-40.0) <= car.auxiliary_w + car.cabin_max_w


def test_hills_come_and_go_and_are_level_in_the_mean():
    road = Road("7")
    grades = [road.pass_by(20.0) for _ in range(200_000)]
    assert sum(grades) / len(grades) == pytest.approx(0.0, abs=0.001)
    assert (sum(grade**2 for grade in grades) / len(grades)) ** 0.5 == pytest.approx(0.012, rel=0.05)
    assert Road("7").pass_by(0.0) == 0.0


def test_a_drive_takes_exactly_its_time_and_goes_as_far_as_its_trace():
    made = trace("wltc-low", 1)
    demands = lived(drive(float(made.seconds)))
    assert len(demands) == made.seconds * 10
    assert sum(each.speed_m_s for each in demands) * 0.1 == pytest.approx(made.metres, rel=1e-3)
    assert {each.mode for each in demands} == {Mode.DRIVE}


def test_a_drive_that_is_cut_short_brakes_to_a_standstill():
    demands = lived(drive(100.0))
    assert len(demands) == 1_000
    assert demands[-1].speed_m_s == pytest.approx(0.0, abs=0.01)
    speeds = [each.speed_m_s for each in demands]
    assert max(a - b for a, b in itertools.pairwise(speeds)) <= 0.15 + 1e-9


def test_a_car_without_power_rolls_to_the_roadside_and_goes_on_at_the_traces_next_stop():
    made, around = trace("wltc-low", 1), Around()
    errand, speeds = drive(float(made.seconds), around), []
    moving = next(second for second, speed in enumerate(made.speeds) if speed > 8.0)
    for tenth in range(made.seconds * 10):
        around.powered = not moving * 10 <= tenth < (moving + 60) * 10
        demand = errand.advance(0.1, 0.6)
        speeds.append(demand.speed_m_s)
        if demand.speed_m_s == 0.0:
            assert demand.power_w <= 0.0
    stopped = speeds.index(0.0, moving * 10)
    assert stopped < (moving + 15) * 10, "two seconds of patience, and then the brakes"
    again = next(tenth for tenth in range(stopped, len(speeds)) if speeds[tenth] > 0.0)
    assert again >= (moving + 60) * 10
    assert max(b - a for a, b in itertools.pairwise(speeds)) < 0.2, "it does not jump back into the traffic"
    assert speeds[-1] == pytest.approx(made.at(made.seconds)[0], abs=1e-6)


def test_a_drive_ends_where_the_battery_is_empty():
    assert drive(100.0).over(0.02)
    assert not drive(100.0).over(0.04)


def test_the_strides_of_a_leap_ask_for_the_energy_of_the_same_drive_in_blocks():
    seconds = float(trace("wltc-low", 1).seconds)
    fine = sum(each.power_w for each in lived(drive(seconds))) * 0.1
    outwards = sum(min(0.0, each.power_w) for each in lived(drive(seconds))) * 0.1
    errand, coarse, out, stride = drive(seconds), 0.0, 0.0, 0.1
    while not errand.over(0.6):
        demand = errand.advance(stride, 0.6)
        coarse += demand.power_w * stride
        course = demand.course or (demand.power_w,)
        assert sum(course) / len(course) == pytest.approx(demand.power_w)
        out += sum(min(0.0, power) for power in course) * stride / len(course)
        stride = max(0.1, demand.steady_s)
        assert stride <= 30.0
    assert coarse == pytest.approx(fine, rel=0.04)
    assert out == pytest.approx(outwards, rel=0.02)


def test_a_road_is_the_same_in_long_pieces_and_in_short_ones():
    long, short = Road("3"), Road("3")
    for _ in range(100):
        slope = long.pass_by(35.0)
        for _ in range(70):
            last = short.pass_by(0.5)
        assert last == pytest.approx(slope, abs=1e-12)


def test_parking_promises_the_rest_of_its_time_and_asks_for_nothing():
    errand = Parked(3_600.0)
    demand = errand.advance(0.1, 0.5)
    assert (demand.mode, demand.power_w) == (Mode.PARKED, 0.0)
    assert demand.steady_s == pytest.approx(3_599.9)
    errand.advance(demand.steady_s, 0.5)
    assert errand.over(0.5)


def test_alternating_current_reaches_the_battery_with_the_chargers_loss():
    demand = ac_charge(11_000.0, 0.8, 3_600.0, Around(), stays=False).advance(0.1, 0.5)
    assert demand.mode is Mode.CHARGE_AC
    assert 0.85 * 11_000.0 < demand.power_w < 0.93 * 11_000.0


def test_a_direct_current_station_tests_the_insulation_before_anything_flows():
    errand = dc_charge(150_000.0, 0.8, 3_600.0, Around(), stays=False)
    powers = [errand.advance(0.1, 0.5).power_w for _ in range(200)]
    assert set(powers) == {0.0, 150_000.0}
    assert powers.index(150_000.0) == pytest.approx(INSULATION_TEST_S * 10, abs=1)


@pytest.mark.parametrize(("soc", "complete", "over"), [(0.79, False, False), (0.8, False, True), (0.5, True, True)])
def test_a_charge_ends_at_its_target_or_when_the_pack_takes_no_more(soc, complete, over):
    errand = ac_charge(11_000.0, 0.8, 3_600.0, around := Around(), stays=False)
    for _ in range(100):
        errand.advance(0.1, 0.5)
    around.charge_complete = complete
    assert errand.over(soc) is over


def test_a_car_that_stays_plugged_in_is_parked_until_its_time_is_up():
    errand = ac_charge(11_000.0, 0.8, 60.0, Around(), stays=True)
    assert errand.advance(0.1, 0.79).mode is Mode.CHARGE_AC
    assert not errand.over(0.81)
    rest = lived(errand, 0.81)
    assert {each.mode for each in rest} == {Mode.PARKED}
    assert len(rest) == 599


def test_a_charge_that_gets_nowhere_ends_with_its_time():
    assert len(lived(dc_charge(150_000.0, 0.8, 30.0, Around(), stays=False), 0.5)) == 300


def test_a_load_draws_its_mean_with_the_inverters_loss_and_stops_at_its_floor():
    demands = lived(Load(1_000.0, 400_000.0, 0.2, "1"), 0.5, dt_s=10.0)
    mean = sum(each.power_w for each in demands) / len(demands)
    assert mean == pytest.approx(-1_000.0 / 0.93, rel=0.05)
    assert {each.mode for each in demands} == {Mode.LOAD}
    assert len({each.power_w for each in demands}) > 100
    assert Load(1_000.0, 100.0, 0.2, "1").over(0.2)


def test_a_driver_does_one_errand_after_the_other_and_is_then_over():
    driver = ScenarioDriver(iter([Outing(Parked(0.3), False), Outing(drive(0.2), True), Outing(Parked(0.1), False)]))
    demands = [driver.advance(0.1, 0.5) for _ in range(6)]
    assert [each.mode for each in demands] == [Mode.PARKED] * 3 + [Mode.DRIVE] * 2 + [Mode.PARKED]
    assert [each.leap for each in demands] == [False] * 3 + [True] * 2 + [False]
    assert not driver.over
    assert driver.advance(0.1, 0.5).mode is Mode.PARKED
    assert driver.over
