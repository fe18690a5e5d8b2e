import math

import numpy as np
import pytest

from firmware_sim.bms.isolation import SETTLE_S, IsolationMonitor, isolation_bound
from firmware_sim.bms.sensors import ERRORS, SENSORS, Sensors
from packseal.program import ConfigurationError

CELLS = np.linspace(3.6, 3.8, 12)
MODULES = np.array([20.0, 22.0, 24.0, 30.0])


def board(seed: int = 1) -> Sensors:
    sensors = Sensors(seed, len(CELLS))
    sensors.scan(CELLS, MODULES)
    return sensors


@pytest.mark.parametrize("current", [0.0, -400.0, 250.0])
def test_no_reading_of_a_healthy_shunt_is_further_from_the_truth_than_its_errors_allow(current):
    means = []
    for seed in range(40):
        sensors, readings = board(seed), []
        for _ in range(500):
            sensors.sense(current, 350.0, 0.01)
            readings.append(sensors.raw_a)
            assert abs(sensors.raw_a - current) <= ERRORS.current_bound(current, 24.0)
            assert math.isclose(sensors.raw_a, round(sensors.raw_a / 0.05) * 0.05, abs_tol=1e-9)
        means.append(sum(readings) / len(readings) - current)
    spread = math.sqrt(sum(mean**2 for mean in means) / len(means))
    expected = math.hypot(ERRORS.shunt_offset_a, ERRORS.shunt_gain * current)
    assert 0.6 * expected < spread < 1.5 * expected, "the boards differ by offset and gain as published"


def test_the_smoothed_current_follows_a_step_with_its_time_constant_and_coarse_steps_do_not_overshoot():
    sensors = board()
    for _ in range(8):
        sensors.sense(100.0, 350.0, 0.01)
    assert sensors.smooth_a == pytest.approx(100 * (1 - (1 - 0.01 / 0.08) ** 8), abs=2.0)
    sensors.sense(-300.0, 350.0, 60.0)
    assert sensors.smooth_a == pytest.approx(sensors.raw_a)


def test_the_shunts_offset_drifts_with_temperature():
    sensors, means = board(3), []
    for celsius in (0.0, 60.0):
        sensors.scan(CELLS, np.full(4, celsius))
        readings = []
        for _ in range(4_000):
            sensors.sense(0.0, 350.0, 0.01)
            readings.append(sensors.raw_a)
        means.append(sum(readings) / len(readings))
    assert 0.01 < abs(means[1] - means[0]) < 3 * ERRORS.shunt_drift_a_per_k * 62


def test_cells_pack_and_thermistors_read_the_truth_within_their_published_errors_and_not_exactly():
    for seed in range(20):
        sensors, felt = board(seed), np.repeat(MODULES, 2)
        for _ in range(50):
            sensors.scan(CELLS, MODULES)
            sensors.sense(0.0, 350.0, 0.01)
            assert np.abs(sensors.cell_volts - CELLS).max() <= ERRORS.cell_bound()
            assert np.abs(sensors.temperatures_c - felt).max() <= ERRORS.temperature_bound()
            assert abs(sensors.pack_volts - 350.0) <= ERRORS.pack_bound(350.0)
        assert np.abs(sensors.cell_volts - CELLS).max() > 1e-4
        assert len(sensors.temperatures_c) == SENSORS
        assert np.allclose(sensors.cell_volts * 1e4, np.rint(sensors.cell_volts * 1e4), atol=1e-6), "steps of 0.1 mV"


@pytest.mark.parametrize(("modules", "places"), [(1, [0] * 8), (2, [0] * 4 + [1] * 4), (8, list(range(8)))])
def test_eight_thermistors_are_shared_among_the_modules_in_order(modules, places):
    sensors = Sensors(1, 3)
    sensors.scan(np.full(3, 3.7), np.arange(modules) * 10.0)
    assert [round(celsius / 10) for celsius in sensors.temperatures_c] == places


def test_the_same_seed_is_the_same_board_and_another_seed_another():
    assert np.array_equal(board(5).cell_volts, board(5).cell_volts)
    assert not np.array_equal(board(5).cell_volts, board(6).cell_volts)


def test_a_stuck_sensor_repeats_its_last_reading_until_it_is_freed_and_the_others_go_on():
    sensors = board()
    sensors.sense(-50.0, 350.0, 0.01)
    for name, index in (("current", None), ("pack-voltage", None), ("cell", 4), ("temperature", 7)):
        sensors.stick(name, index)
    before = (sensors.raw_a, sensors.pack_volts, sensors.cell_volts[4], sensors.temperatures_c[7])
    sensors.sense(200.0, 300.0, 0.01)
    sensors.scan(CELLS - 0.5, MODULES + 30.0)
    assert (sensors.raw_a, sensors.pack_volts, sensors.cell_volts[4], sensors.temperatures_c[7]) == before
    assert abs(sensors.cell_volts[3] - (CELLS[3] - 0.5)) <= ERRORS.cell_bound()
    assert abs(sensors.temperatures_c[6] - 60.0) <= ERRORS.temperature_bound()
    for name, index in (("current", None), ("pack-voltage", None), ("cell", 4), ("temperature", None)):
        sensors.free(name, index)
    sensors.sense(200.0, 300.0, 0.01)
    sensors.scan(CELLS - 0.5, MODULES + 30.0)
    assert abs(sensors.raw_a - 200.0) <= ERRORS.current_bound(200.0, 54.0)
    assert abs(sensors.pack_volts - 300.0) <= ERRORS.pack_bound(300.0)
    assert abs(sensors.cell_volts[4] - (CELLS[4] - 0.5)) <= ERRORS.cell_bound()
    assert abs(sensors.temperatures_c[7] - 60.0) <= ERRORS.temperature_bound()


def test_all_cells_of_a_board_can_be_stuck_at_once():
    sensors = board()
    sensors.stick("cell")
    before = sensors.cell_volts.copy()
    sensors.scan(CELLS + 0.3, MODULES)
    assert np.array_equal(sensors.cell_volts, before)


@pytest.mark.parametrize(("name", "index"), [("colour", None), ("cell", 12), ("cell", -1), ("temperature", 8)])
def test_a_sensor_that_is_not_there_cannot_be_stuck(name, index):
    with pytest.raises(ConfigurationError) as refused:
        board().stick(name, index)
    assert "\n" not in str(refused.value)


def settled(monitor: IsolationMonitor, kohm: float, closed: bool, seconds: float = 60.0) -> float:
    for _ in range(round(seconds / 0.1)):
        monitor.step(kohm, closed, 0.1)
    return monitor.kohm


def test_isolation_is_unknown_for_the_first_seconds_after_closing_and_then_measured_every_two():
    monitor, readings = IsolationMonitor(4), []
    assert settled(monitor, 4_000.0, closed=False) < math.inf
    for _ in range(200):
        monitor.step(4_000.0, True, 0.1)
        readings.append(monitor.kohm)
    absent = sum(math.isinf(kohm) for kohm in readings)
    assert absent * 0.1 == pytest.approx(SETTLE_S, abs=0.2)
    assert len(set(readings[absent:])) == 7, "14 seconds are left, and a reading takes two"


def test_settled_isolation_readings_are_within_their_bound_and_a_leak_shows_within_two_readings():
    for seed in range(30):
        monitor = IsolationMonitor(seed)
        assert abs(settled(monitor, 4_000.0, closed=True) - 4_000.0) <= isolation_bound(4_000.0)
        assert settled(monitor, 20.0, closed=True, seconds=4.2) < 50.0
        assert abs(settled(monitor, 20.0, closed=True) - 20.0) <= isolation_bound(20.0)


def test_a_coarse_step_holds_many_readings():
    monitor = IsolationMonitor(1)
    monitor.step(4_000.0, True, 60.0)
    monitor.step(20.0, True, 60.0)
    assert abs(monitor.kohm - 20.0) <= isolation_bound(20.0)
