"""Heat: closed forms and a naive integrator against the modules' exact solution."""

import math
from itertools import pairwise

import numpy as np
import pytest

from firmware_sim.cells.conduction import KEPT_STEPS, Conduction
from firmware_sim.cells.coolant import CEILING_C, FLOOR_C
from firmware_sim.cells.physics import PackPhysics
from firmware_sim.cells.spec import CellDesign, PackSpec
from firmware_sim.cells.strings import CellStrings

STILL = {"ageing_acceleration": 0.0, "self_discharge_per_month": 0.0}
HEAT, LOSS, LINK = np.array([900.0, 1_000.0, 1_000.0, 1_300.0]), np.array([2.0, 0.5, 0.5, 1.0]), 3.0


def naive(above, power_w, seconds, dt_s=0.01):
    """Euler's method, module by module."""
    above = list(above)
    for _ in range(round(seconds / dt_s)):
        flow = [LINK * (left - right) for left, right in pairwise(above)]
        gain = [power_w[k] - LOSS[k] * above[k] for k in range(4)]
        for k, between in enumerate(flow):
            gain[k] -= between
            gain[k + 1] += between
        above = [above[k] + dt_s * gain[k] / HEAT[k] for k in range(4)]
    return above


def rest(physics, seconds, dt_s):
    for _ in range(round(seconds / dt_s)):
        physics.step(0.0, dt_s)
        physics.settle()


@pytest.mark.parametrize("dt_s", [0.1, 7.0, 700.0])
def test_modules_exchange_and_lose_heat_as_a_naive_integrator_says_however_long_the_steps(dt_s):
    conduction = Conduction(HEAT, LOSS, LINK)
    above, power = np.array([30.0, -5.0, 0.0, 2.0]), np.array([0.0, 40.0, 5.0, -8.0])
    for _ in range(round(700 / dt_s)):
        above = conduction.advance(above, power, dt_s)
    assert above.tolist() == pytest.approx(naive([30.0, -5.0, 0.0, 2.0], power, 700.0), abs=2e-3)


def test_without_loss_the_heat_stays_in_the_pack():
    conduction = Conduction(HEAT, np.zeros(4), LINK)
    above, power = np.array([10.0, 0.0, 0.0, -3.0]), np.array([50.0, 0.0, 0.0, 0.0])
    after = conduction.advance(above, power, 3_600.0)
    assert float(HEAT @ (after - above)) == pytest.approx(50.0 * 3_600.0, rel=1e-9)
    settled = conduction.advance(after, np.zeros(4), 1e7)
    assert np.ptp(settled) < 1e-6
    assert settled[0] == pytest.approx(float(HEAT @ after / HEAT.sum()))


def test_steps_of_many_lengths_do_not_pile_up_in_memory():
    conduction = Conduction(HEAT, LOSS, LINK)
    for step in range(1, 200):
        conduction.advance(np.zeros(4), np.ones(4), step / 7)
    assert len(conduction._kept) <= KEPT_STEPS


@pytest.mark.parametrize("dt_s", [0.1, 60.0, 3_600.0])
def test_a_warm_pack_cools_by_newtons_law(dt_s):
    physics = PackPhysics(PackSpec(cells=9, ambient_c=0.0, **STILL), 1)
    physics.module_c[:] = 40.0
    rest(physics, 7_200.0 if dt_s > 1 else 60.0, dt_s)
    seconds = 7_200.0 if dt_s > 1 else 60.0
    design = physics.spec.cell
    left = 40.0 * math.exp(-seconds * design.loss_w_per_k / design.heat_j_per_k)
    assert physics.module_c.tolist() == pytest.approx([left] * 4, rel=1e-9)


def test_the_heat_of_the_current_warms_the_pack_by_its_heat_capacity():
    design = CellDesign(0.5e-3, 0.1e-3, 0.2e-3, heat_j_per_k=900.0, loss_w_per_k=0.0)
    physics = PackPhysics(PackSpec(cells=10, soc=0.9, ambient_c=25.0, design=design), 1)
    for step in range(1, 6_001):
        physics.step(-200.0, 0.01)
        if step % 10 == 0:
            physics.settle()
    gained = float((physics.module_c - 25.0) @ np.array([3, 2, 3, 2])) * 900.0
    assert physics.module_c[0] > 26
    assert gained == pytest.approx(physics.energy.heat, rel=1e-9)


def test_the_coolant_takes_and_gives_as_much_as_the_owner_says_from_all_cells_of_equal_warmth_alike():
    design = CellDesign(0.5e-3, 0.1e-3, 0.2e-3, heat_j_per_k=1_000.0, loss_w_per_k=0.0, coolant_w_per_k=20.0)
    for heating, cooling in ((100.0, 0.0), (0.0, 100.0), (300.0, 200.0)):
        physics = PackPhysics(PackSpec(cells=10, design=design, **STILL), 1)
        physics.heating_w, physics.cooling_w = heating, cooling
        rest(physics, 600.0, 60.0)
        gain = (heating - cooling) * 600.0 / 10_000.0
        assert physics.module_c.tolist() == pytest.approx([20.0 + gain] * 4, rel=1e-9)


def cooled(physics, seconds, dt_s):
    """The power that went into each module."""
    before = physics.module_c.copy()
    rest(physics, seconds, dt_s)
    return (physics.module_c - before) * physics._modules.heat_j_per_k / seconds


@pytest.mark.parametrize("dt_s", [0.1, 60.0, 3_600.0])
@pytest.mark.parametrize(("cooling", "heating"), [(50_000.0, 0.0), (0.0, 50_000.0)])
def test_no_module_is_cooled_below_the_floor_of_the_coolant_nor_heated_above_its_ceiling(cooling, heating, dt_s):
    physics = PackPhysics(PackSpec(cells=9, ambient_c=20.0, **STILL), 1)
    physics.module_c[:] = (200.0, 20.0, 20.0, 14.0) if cooling else (-30.0, 20.0, 40.0, 47.0)
    physics.cooling_w, physics.heating_w = cooling, heating
    for _ in range(5):
        rest(physics, max(dt_s, 60.0), dt_s)
        assert physics.module_c.min() >= (FLOOR_C - 0.01 if cooling else -30.0)
        assert cooling or physics.module_c.max() <= CEILING_C + 0.01


def test_a_hot_module_gets_most_of_the_cooling_and_healthy_ones_stay_above_the_floor():
    physics = PackPhysics(PackSpec(cells=96, ambient_c=20.0), 1)
    physics.heat_module(1, 20_000.0)
    physics.cooling_w = 4_800.0
    rest(physics, 1_800.0, 1.0)
    assert physics.module_c[1] > 100.0
    assert min(physics.module_c) > 12.0
    hot = physics.module_c[1] - 30.0
    physics.heat_module(1, 0.0)
    powers = cooled(physics, 1.0, 0.1)
    assert powers[1] < -4_800.0, "what the chiller takes, and what goes to the other modules"
    assert physics.coolant_w() == pytest.approx(-4_800.0)
    rest(physics, 3_600.0, 1.0)
    assert physics.module_c[1] < hot


def test_a_chiller_against_its_floor_takes_only_what_the_difference_drives():
    physics = PackPhysics(PackSpec(cells=10, ambient_c=14.0, **STILL), 1)
    physics.cooling_w = 4_800.0
    assert physics.coolant_w() == pytest.approx(-10 * physics.spec.cell.coolant_w_per_k * (14.0 - FLOOR_C), rel=0.01)
    physics.module_c[:] = 8.0
    assert physics.coolant_w() == pytest.approx(0.0)
    physics.cooling_w = 0.0
    assert physics.coolant_w() == 0.0


def test_many_packs_are_cooled_each_as_one_alone_is():
    spec = PackSpec(cells=9, ambient_c=40.0)
    many, powers = CellStrings(spec, [1, 2, 3]), np.array([0.0, 60.0, 9_000.0])
    many.cooling_w = powers
    singles = [PackPhysics(spec, seed) for seed in (1, 2, 3)]
    for pack, watts in zip(singles, powers, strict=True):
        pack.cooling_w = float(watts)
        rest(pack, 600.0, 10.0)
    for _ in range(60):
        many.step(np.zeros(3), 10.0)
        many.settle()
    assert np.allclose(many.module_c, [pack.module_c for pack in singles], rtol=1e-12)
    assert np.allclose(many.coolant_w(), [pack.coolant_w() for pack in singles])


def test_the_surroundings_may_change_at_any_time():
    physics = PackPhysics(PackSpec(cells=4, ambient_c=20.0), 1)
    physics.ambient_c = -10.0
    rest(physics, 100 * 3_600.0, 3_600.0)
    assert physics.module_c.tolist() == pytest.approx([-10.0] * 4, abs=0.1)


def test_heat_that_no_current_explains_stays_in_its_module_at_first_and_then_spreads():
    physics = PackPhysics(PackSpec(cells=96), 1)
    physics.heat_module(2, 5_000.0)
    rest(physics, 120.0, 1.0)
    assert physics.module_c[2] == pytest.approx(20 + 120 * 5_000 / (24 * physics.spec.cell.heat_j_per_k), rel=0.02)
    assert physics.module_c[0] == pytest.approx(20, abs=0.1)
    assert physics.energy.injected == pytest.approx(120 * 5_000.0)
    physics.heat_module(2, 0.0)
    hot = float(physics.module_c[2])
    rest(physics, 4 * 3_600.0, 600.0)
    assert physics.module_c[2] < hot - 1
    assert physics.module_c[3] > physics.module_c[1] > physics.module_c[0] > 20.01, "the one at the end keeps more"
    assert physics.energy.injected == pytest.approx(120 * 5_000.0)


def test_a_pack_of_fewer_cells_than_modules_has_a_module_for_each_cell():
    physics = PackPhysics(PackSpec(cells=2, modules=4), 1)
    assert physics.spec.modules == len(physics.module_c) == 2
