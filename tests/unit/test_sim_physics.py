import math

import numpy as np
import pytest

from firmware_sim.car.driving import DrivePattern, Mode
from firmware_sim.cells.physics import (
    OCV_SOC,
    OCV_VOLTS,
    DcLink,
    PackPhysics,
    PackSpec,
    open_circuit_volts,
    stored_volt_fraction,
)
from packseal.program import ConfigurationError


def stored_by_quadrature(physics: PackPhysics) -> float:
    """Chemical energy by brute force: the published curve, sampled finely, from empty to each cell's charge."""
    total = 0.0
    for soc, coulombs in zip(physics.soc, physics.capacity_as, strict=True):
        points = np.linspace(0.0, soc, 20_001)
        volts = np.interp(points, OCV_SOC, OCV_VOLTS)
        total += float(np.sum((volts[1:] + volts[:-1]) / 2) * soc / 20_000) * coulombs
    return total


def branch_energy(physics: PackPhysics, spec: PackSpec, seed: int) -> float:
    """Half C v squared with the capacitances of the specification, without asking the physics for energy."""
    fresh = PackPhysics(PackSpec(cells=spec.cells, ambient_c=25.0), seed)
    return float(np.sum(spec.branch_s / fresh.branch_ohm * physics.branch_volts**2) / 2)


def drive(physics: PackPhysics, seconds: float, seed: int = 5, step_s: float = 0.01) -> tuple[float, float]:
    """Drive and brake; returns the terminal energy and the heat, integrated from outside."""
    pattern, terminal, heat = DrivePattern(seed), 0.0, 0.0
    for _ in range(round(seconds / step_s)):
        demand = pattern.advance(step_s, 0.5)
        current = demand.power_w * physics.spec.cells / 96 / physics.pack_volts()
        before = physics.pack_volts() + (current - physics.current_a) * float(physics.ohmic_ohm.sum())
        ohms, branch_before = physics.ohmic_ohm, physics.branch_volts
        physics.step(current, step_s)
        terminal += (before + physics.pack_volts()) / 2 * current * step_s
        middle = (branch_before + physics.branch_volts) / 2
        heat += float(np.sum(ohms * current**2 + middle**2 / physics.branch_ohm)) * step_s
    return terminal, heat


def test_over_a_drive_what_is_delivered_is_what_is_stored_and_what_is_heat_within_a_thousandth():
    spec = PackSpec(cells=24, soc=0.6, ambient_c=10.0)
    physics = PackPhysics(spec, 3)
    before = stored_by_quadrature(physics)
    terminal, heat = drive(physics, 300.0)
    change = stored_by_quadrature(physics) + branch_energy(physics, spec, 3) - before
    turnover = physics.energy.delivered_in + physics.energy.delivered_out
    assert physics.energy.delivered_in > 0.02 * physics.energy.delivered_out, "the drive must regenerate"
    assert abs(terminal - change - heat) < 0.001 * turnover
    assert heat == pytest.approx(physics.energy.ohmic + physics.energy.branch, rel=0.001)
    assert terminal == pytest.approx(physics.energy.delivered_in - physics.energy.delivered_out, rel=1e-3)
    assert physics.stored_j() - before == pytest.approx(change, rel=1e-3)


def test_the_heat_warms_the_pack_by_its_heat_capacity_and_the_surroundings_cool_it():
    spec = PackSpec(cells=8, ambient_c=25.0, loss_w_per_k=0.0)
    physics = PackPhysics(spec, 1)
    for _ in range(6_000):
        physics.step(-200.0, 0.01)
    heat = physics.energy.ohmic + physics.energy.branch
    assert physics.temperature_c - 25.0 == pytest.approx(heat / 8 / spec.heat_j_per_k, rel=1e-6)
    cooling = PackPhysics(PackSpec(cells=8, ambient_c=0.0), 1)
    cooling.temperature_c = 40.0
    for _ in range(600):
        cooling.step(0.0, 1.0)
    assert cooling.temperature_c == pytest.approx(40.0 * math.exp(-600 * 0.25 / 4_200), rel=0.01)


def test_a_current_step_shows_the_ohmic_drop_at_once_and_the_branch_after_its_time_constant():
    spec = PackSpec(cells=1, soc=0.5, ambient_c=25.0, resistance_spread=0.0)
    physics = PackPhysics(spec, 1)
    rested = physics.pack_volts()
    physics.step(100.0, 1e-6)
    assert physics.pack_volts() - rested == pytest.approx(100 * spec.ohmic_ohm, rel=1e-3)
    for _ in range(2_500):
        physics.step(100.0, 0.01)
    grown = float(physics.branch_volts[0])
    assert grown == pytest.approx(100 * spec.branch_ohm * (1 - math.exp(-1)), rel=2e-3)


def test_charge_is_counted_against_each_cells_own_capacity():
    physics = PackPhysics(PackSpec(cells=12, soc=0.5), 9)
    before = physics.soc.copy()
    for _ in range(3_600):
        physics.step(50.0, 0.1)
    assert np.allclose((physics.soc - before) * physics.capacity_as, 50.0 * 360.0)
    assert len(set(np.round(physics.capacity_as))) == 12


def test_resistance_doubles_between_25_and_0_degrees_or_nearly():
    warm = PackPhysics(PackSpec(ambient_c=25.0), 1)
    cold = PackPhysics(PackSpec(ambient_c=0.0), 1)
    assert 1.6 < float(cold.ohmic_ohm[0] / warm.ohmic_ohm[0]) < 2.2


def test_the_voltage_curve_rises_everywhere_and_its_integral_is_exact():
    points = np.linspace(-0.05, 1.05, 1_000)
    assert np.all(np.diff(open_circuit_volts(points)) > 0)
    slope = np.diff(stored_volt_fraction(points)) / np.diff(points)
    middle = (points[1:] + points[:-1]) / 2
    assert np.allclose(slope, open_circuit_volts(middle), atol=5e-3)
    assert float(stored_volt_fraction(np.zeros(1))[0]) == 0.0


@pytest.mark.parametrize("wrong", [{"cells": 0}, {"cells": 109}, {"soc": 1.1}, {"soc": math.nan}, {"ambient_c": 90}])
def test_a_pack_that_cannot_exist_is_refused_with_the_configurations_exit_code(wrong):
    with pytest.raises(ConfigurationError) as refused:
        PackSpec(**wrong)
    assert refused.value.exit_code == 78
    assert "\n" not in str(refused.value)


def test_precharge_brings_the_link_to_95_percent_in_three_time_constants_and_takes_its_charge_from_the_battery():
    link, charge = DcLink(), 0.0
    for _ in range(18):
        charge += link.precharge(400.0, 0.01) * 0.01
    assert link.volts == pytest.approx(400 * (1 - math.exp(-3)), rel=1e-6)
    assert charge == pytest.approx(-link.volts * link.farad)


def test_the_day_begins_in_standby_then_drives_parks_and_charges():
    pattern, order = DrivePattern(1, drive_s=60.0), []
    for _ in range(300_000):
        mode = pattern.advance(0.01, 0.6).mode
        if not order or order[-1] is not mode:
            order.append(mode)
    assert order[:5] == [Mode.PARKED, Mode.DRIVE, Mode.PARKED, Mode.CHARGE_AC, Mode.PARKED]


def test_a_drive_accelerates_cruises_brakes_and_stops():
    pattern, powers, speeds = DrivePattern(4), [], []
    for _ in range(60_000):
        demand = pattern.advance(0.01, 0.6)
        powers.append(demand.power_w)
        speeds.append(demand.speed_m_s)
    assert min(powers) < -30_000
    assert max(powers) > 10_000
    assert min(speeds) == 0.0
    assert 8 < max(speeds) < 40
