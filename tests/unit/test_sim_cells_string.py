"""Charge, voltage and resistance of strings of cells, against closed forms and against a naive integrator."""

import math
import random

import numpy as np
import pytest

from firmware_sim.cells.chemistry import GRID, LFP, NMC
from firmware_sim.cells.physics import PackPhysics
from firmware_sim.cells.spec import CellDesign, PackSpec
from firmware_sim.cells.strings import CellStrings
from tests.naive_string import NaiveString

# So heavy that it stays at its temperature, at which resistances are as specified.
ISOTHERMAL = CellDesign(0.5e-3, 0.1e-3, 0.2e-3, heat_j_per_k=1e9, loss_w_per_k=0.0, fast_s=2.0, slow_s=30.0)
UNIFORM = {"capacity_spread": 0.0, "resistance_spread": 0.0, "soc_spread": 0.0, "leakage_spread": 0.0}
STILL = {"ageing_acceleration": 0.0, "self_discharge_per_month": 0.0}


def carry(physics, current_a, seconds, dt_s=0.01, settle_every=10):
    for step in range(1, round(seconds / dt_s) + 1):
        physics.step(current_a, dt_s)
        if step % settle_every == 0:
            physics.settle()
    physics.settle()


def wandering_currents(seconds, seed=7):
    """A drive of sorts: (current, seconds) that push, brake, charge and rest."""
    source, left = random.Random(seed), seconds
    while left > 0:
        length = min(left, source.choice((0.2, 0.5, 1.3, 4.0)))
        yield source.choice((0.0, source.uniform(-400, 50), source.uniform(-60, 200))), length
        left = round(left - length, 6)


def naive_of(physics):
    return NaiveString(
        curve=(GRID, physics.spec.chemistry.grid_volts),
        soc=physics.soc.copy(),
        capacity_as=physics.capacity_as,
        ohmic=physics.resistances.ohmic,
        fast=physics.resistances.fast,
        slow=physics.resistances.slow,
        fast_s=physics.spec.cell.fast_s,
        slow_s=physics.spec.cell.slow_s,
    )


@pytest.mark.parametrize("chemistry", [NMC, LFP])
def test_every_cell_follows_the_differential_equations_as_a_naive_integrator_does(chemistry):
    spec = PackSpec(chemistry=chemistry, cells=5, soc=0.55, ambient_c=25.0, design=ISOTHERMAL, **STILL)
    physics = PackPhysics(spec, 3)
    naive, begin = naive_of(physics), physics.stored_j()
    for current, seconds in wandering_currents(30.0):
        naive.carry(current, seconds)
        carry(physics, current, seconds)
        assert np.allclose(physics.cell_volts(), naive.volts(), atol=1e-4)
        assert physics.pack_volts() == pytest.approx(float(naive.volts().sum()), abs=5e-4)
    assert np.allclose(physics.soc, naive.soc, atol=1e-9)
    energy = physics.energy
    assert energy.delivered == pytest.approx(naive.terminal_j, rel=2e-5)
    assert energy.ohmic == pytest.approx(naive.ohmic_j, rel=1e-7)
    assert energy.branch == pytest.approx(naive.branch_j, rel=1e-3)
    assert energy.delivered == pytest.approx(physics.stored_j() - begin + energy.heat, rel=1e-9)


def test_how_time_is_cut_into_blocks_does_not_matter():
    ends = []
    for settle_every in (1, 10, 1_000_000):
        physics = PackPhysics(PackSpec(cells=6, soc=0.5, ambient_c=25.0, design=ISOTHERMAL, **STILL), 3)
        for current, seconds in wandering_currents(20.0):
            carry(physics, current, seconds, settle_every=settle_every)
        ends.append((physics.pack_volts(), physics.stored_j(), physics.energy.delivered_out, physics.energy.branch))
    assert ends[1] == pytest.approx(ends[0], rel=1e-7)
    assert ends[2] == pytest.approx(ends[0], rel=1e-6)


def test_between_settlings_the_terminal_voltage_is_already_the_one_after():
    physics = PackPhysics(PackSpec(cells=96, soc=0.5), 1)
    for _ in range(10):
        physics.step(-250.0, 0.01)
    early = physics.pack_volts()
    physics.settle()
    assert early == pytest.approx(physics.pack_volts(), abs=1e-5)
    assert physics.pack_volts() == pytest.approx(float(physics.cell_volts().sum()), abs=1e-9)


def test_a_current_step_shows_the_ohmic_drop_at_once_and_the_branches_after_their_time_constants():
    spec = PackSpec(cells=1, soc=0.5, ambient_c=25.0, design=ISOTHERMAL, capacity_ah=1_000.0, **UNIFORM, **STILL)
    physics = PackPhysics(spec, 1)
    rested = physics.pack_volts()
    physics.step(100.0, 1e-6)
    assert physics.pack_volts() - rested == pytest.approx(100 * 0.5e-3, rel=1e-3)
    carry(physics, 100.0, 2.0)
    branches = float(physics.cell_volts()[0] - NMC.open_circuit_volts(physics.soc)[0]) - 100 * 0.5e-3
    slow = 100 * 0.2e-3 * (1 - math.exp(-2 / 30))
    assert branches - slow == pytest.approx(100 * 0.1e-3 * (1 - math.exp(-1)), rel=1e-5)


@pytest.mark.parametrize("dt_s", [0.01, 0.1, 1.0, 10.0, 60.0])
def test_after_a_pulse_the_voltage_relaxes_by_two_exponentials_however_long_the_steps(dt_s):
    spec = PackSpec(cells=2, soc=0.6, ambient_c=25.0, design=ISOTHERMAL, **UNIFORM, **STILL)
    physics = PackPhysics(spec, 1)
    carry(physics, -200.0, 600.0, dt_s=60.0, settle_every=1)
    carry(physics, 0.0, 60.0, dt_s=dt_s)
    rested = 2 * float(NMC.open_circuit_volts(physics.soc)[0])
    left = -200.0 * 2 * (0.1e-3 * math.exp(-30) + 0.2e-3 * math.exp(-2) * (1 - math.exp(-20)))
    assert physics.pack_volts() - rested == pytest.approx(left, rel=1e-6)


def test_charge_is_counted_against_each_cells_own_capacity():
    physics = PackPhysics(PackSpec(cells=12, soc=0.5, **STILL), 9)
    before = physics.soc.copy()
    carry(physics, 50.0, 360.0, dt_s=0.1)
    assert np.allclose((physics.soc - before) * physics.capacity_as, 50.0 * 360.0)
    assert len(set(np.round(physics.capacity_as))) == 12


def test_a_long_step_ends_where_many_short_ones_do():
    ends = []
    for dt_s, every in ((0.1, 1), (60.0, 1), (1_800.0, 1)):
        physics = PackPhysics(PackSpec(cells=8, soc=0.2, ambient_c=5.0), 4)
        carry(physics, 100.0, 1_800.0, dt_s=dt_s, settle_every=every)
        energy = physics.energy
        ends.append((physics.stored_j(), float(physics.module_c[0]) + 273.15, physics.pack_volts(), energy.heat))
    for coarse in ends[1:]:
        assert coarse[:2] == pytest.approx(ends[0][:2], rel=1e-4)
        assert coarse[2:] == pytest.approx(ends[0][2:], rel=3e-3), "resistances follow only between steps"


def test_resistance_doubles_between_25_and_0_degrees_or_nearly():
    warm = PackPhysics(PackSpec(ambient_c=25.0), 1)
    cold = PackPhysics(PackSpec(ambient_c=0.0), 1)
    assert 1.6 < float(cold.resistances.ohmic[0] / warm.resistances.ohmic[0]) < 2.2


def test_resistance_follows_the_temperature_of_the_cells_own_module():
    physics = PackPhysics(PackSpec(cells=8, ambient_c=25.0, **UNIFORM), 1)
    physics.heat_module(3, 20_000.0)
    carry(physics, 0.0, 60.0, dt_s=1.0)
    ohmic = physics.resistances.ohmic
    assert ohmic[6] == pytest.approx(float(ohmic[7]), rel=1e-3)
    assert ohmic[6] < 0.9 * ohmic[0]
    assert physics.module_c[3] > physics.module_c[0] + 20


def test_at_any_moment_a_pack_of_its_age_and_kind_is_believable():
    physics = PackPhysics(PackSpec(), 1)
    volts = physics.cell_volts()
    assert 3.8 < volts.min() < volts.max() < 3.9
    assert 1e-4 < np.ptp(volts) < 0.02
    assert physics.pack_volts() == pytest.approx(370, abs=5)
    assert physics.stored_j() / 3.6e6 == pytest.approx(0.6 * 80, rel=0.05)
    drop = physics.pack_volts()
    carry(physics, -300.0, 10.0)
    assert 0.04 < (drop - physics.pack_volts()) / 300 < 0.08, "ohms of the whole pack after ten seconds"


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_pack():
    def lived(seed):
        physics = PackPhysics(PackSpec(cells=20), seed)
        for current, seconds in wandering_currents(70.0):
            carry(physics, current, seconds)
        arrays = physics.soc, physics.cell_volts(), physics.capacity_as, physics.module_c
        return b"".join(array.tobytes() for array in arrays), physics.energy

    assert lived(5) == lived(5)
    assert lived(5)[0] != lived(6)[0]


def test_many_packs_at_once_are_the_same_as_each_alone():
    seeds = [4, 8, 15]
    spec = PackSpec(cells=10, soc=0.97, age_years=2.0)
    many, alone = CellStrings(spec, seeds), [PackPhysics(spec, seed) for seed in seeds]
    share = np.array([1.0, -0.4, 2.0])
    many.ambient_c = np.array([20.0, -5.0, 35.0])
    many.bleed[1, 3] = alone[1].bleed[3] = True
    for pack, ambient in zip(alone, many.ambient_c, strict=True):
        pack.ambient_c = float(ambient)
    for current, seconds in wandering_currents(65.0):
        carry(many, current * share, seconds, dt_s=0.1)
        for pack, part in zip(alone, share, strict=True):
            carry(pack, float(current * part), seconds, dt_s=0.1)
    for row, pack in enumerate(alone):
        for mine, its in ((many.soc, pack.soc), (many.module_c, pack.module_c), (many.cell_volts(), pack.cell_volts())):
            assert np.allclose(mine[row], its, rtol=1e-12)
        assert np.allclose(many.capacity_as[row], pack.capacity_as, rtol=1e-12)
        assert many.pack_volts()[row] == pytest.approx(pack.pack_volts(), rel=1e-12)
        assert many.energy.delivered_out[row] == pytest.approx(pack.energy.delivered_out, rel=1e-9)
        assert many.energy.heat[row] == pytest.approx(pack.energy.heat, rel=1e-9)
        assert many.health()[row] == pytest.approx(pack.health(), rel=1e-12)


def test_settling_twice_or_without_a_step_changes_nothing():
    physics = PackPhysics(PackSpec(cells=6), 2)
    carry(physics, -30.0, 1.0)
    before = physics.soc.tobytes(), physics.module_c.tobytes(), physics.stored_j(), physics.energy.heat
    physics.settle()
    assert before == (physics.soc.tobytes(), physics.module_c.tobytes(), physics.stored_j(), physics.energy.heat)


@pytest.mark.parametrize("dt_s", [0.0, -1.0, math.nan])
def test_time_goes_forward_only(dt_s):
    with pytest.raises(ValueError, match="a step of"):
        PackPhysics(PackSpec(cells=1), 1).step(1.0, dt_s)


def test_the_heat_within_the_cells_is_told_apart_by_current_and_by_rest():
    physics = PackPhysics(PackSpec(cells=4, ambient_c=25.0, design=ISOTHERMAL, **STILL), 1)
    carry(physics, -100.0, 10.0)
    ohmic, branch = physics.energy.ohmic, physics.energy.branch
    assert ohmic == pytest.approx(100**2 * 10 * float(physics.resistances.ohmic.sum()))
    carry(physics, 0.0, 300.0, dt_s=0.1)
    assert physics.energy.ohmic == ohmic
    assert physics.energy.branch > branch, "the branches give off what they hold"
