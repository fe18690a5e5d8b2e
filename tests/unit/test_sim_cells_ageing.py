"""Ageing: the published formulae in closed form, a plausible car, and which way everything points."""

import math
from itertools import pairwise

import numpy as np
import pytest

from firmware_sim.cells.ageing import LAWS, Wear
from firmware_sim.cells.chemistry import CHEMISTRIES, LFP, NMC
from firmware_sim.cells.half_cycles import HYSTERESIS, HalfCycles
from firmware_sim.cells.physics import PackPhysics
from firmware_sim.cells.spec import PackSpec

ONE = np.ones(1)
EVERY = pytest.mark.parametrize("chemistry", CHEMISTRIES.values(), ids=CHEMISTRIES)


def stood(chemistry, days, celsius=25.0, soc=0.5, steps=1):
    wear = Wear(chemistry, ONE)
    for _ in range(steps):
        wear.stand(days / steps, (celsius + 273.15) * ONE, soc * ONE, chemistry.open_circuit_volts(soc * ONE))
    return float(wear.loss()[0]), float(wear.growth()[0])


def cycled(chemistry, cycles, volts=3.7, depth=0.5, c_rate=0.5, steps=1):
    wear = Wear(chemistry, ONE)
    for _ in range(steps):
        wear.cycle(cycles / steps * ONE, volts * ONE, depth * ONE, c_rate * ONE)
    return float(wear.loss()[0]), float(wear.growth()[0])


@pytest.mark.parametrize("steps", [1, 7, 400])
def test_standing_at_constant_conditions_is_the_published_formula_however_it_is_cut(steps):
    volts, days = 3.74, 400.0
    loss = (7.543 * volts - 23.75) * 1e6 * math.exp(-6976 / 298.15) * days**0.75
    growth = 1 + (5.270 * volts - 16.32) * 1e5 * math.exp(-5986 / 298.15) * days**0.75
    assert stood(NMC, days, steps=steps) == pytest.approx((loss, growth), rel=1e-9)
    seconds, kelvin, soc = days * 86_400, 308.15, 0.8
    warmer = (1 / kelvin - 1 / 298.15) / 8.3144626
    loss = 1.2571e-5 * math.exp(-17126 * warmer) * (2.8575 * (soc - 0.5) ** 3 + 0.60225) * seconds**0.5
    growth = 1 + 3.4194e-10 * math.exp(-71827 * warmer) * (-3.3903 * (soc - 0.5) ** 3 + 1.5604) * seconds
    assert stood(LFP, days, 35.0, 0.8, steps) == pytest.approx((loss, growth), rel=1e-9)


@pytest.mark.parametrize("steps", [1, 7, 400])
def test_cycling_at_constant_conditions_is_the_published_formula_however_it_is_cut(steps):
    throughput_ah = 300 * 2 * 2.05
    loss = (7.348e-3 * (3.7 - 3.667) ** 2 + 7.6e-4 + 4.081e-3 * 0.5) * throughput_ah**0.5
    growth = 1 + (2.153e-4 * (3.7 - 3.725) ** 2 - 1.521e-5 + 2.798e-4 * 0.5) * throughput_ah
    assert cycled(NMC, 300, steps=steps) == pytest.approx((loss, growth), rel=1e-9)
    loss = (0.063 * 0.5 + 0.0971) * (4.0253 * (0.5 - 0.6) ** 3 + 1.0923) / 100 * 300**0.5
    growth = 1 + (-0.002 * 0.5 + 0.0021) * 0.91882 / 100 * 300
    assert cycled(LFP, 300, steps=steps) == pytest.approx((loss, growth), rel=1e-9)


def test_after_a_hot_summer_a_cool_cell_goes_on_from_where_it_is():
    wear, volts = Wear(NMC, ONE), NMC.open_circuit_volts(0.6 * ONE)
    wear.stand(100.0, 313.15 * ONE, 0.6 * ONE, volts)
    hot = float(wear.loss()[0])
    wear.stand(100.0, 283.15 * ONE, 0.6 * ONE, volts)
    cool_rate = (7.543 * float(volts[0]) - 23.75) * 1e6 * math.exp(-6976 / 283.15)
    equivalent_days = (hot / cool_rate) ** (1 / 0.75)
    assert float(wear.loss()[0]) == pytest.approx(cool_rate * (equivalent_days + 100) ** 0.75)


@EVERY
def test_hotter_fuller_longer_and_more_all_age_faster(chemistry):
    usual = stood(chemistry, 300)[0]
    assert stood(chemistry, 300, celsius=40)[0] > usual > stood(chemistry, 300, celsius=10)[0]
    assert stood(chemistry, 300, soc=0.95)[0] > usual > stood(chemistry, 300, soc=0.1)[0]
    assert stood(chemistry, 600)[0] > usual
    assert cycled(chemistry, 600)[0] > cycled(chemistry, 300)[0]
    assert cycled(chemistry, 300, depth=0.9)[0] > cycled(chemistry, 300, depth=0.3)[0]


@EVERY
def test_no_condition_makes_a_cell_younger(chemistry):
    kelvin, soc, depth = np.meshgrid([233.15, 298.15, 353.15], [-0.1, 0.0, 0.5, 1.1], [0.0, 0.5, 1.0])
    law, volts = LAWS[chemistry.name], chemistry.open_circuit_volts(soc)
    for rate in (0.0, 1.0, 4.0):
        for coefficient in (*law.by_time(kelvin, soc, volts), *law.by_cycle(volts, depth, rate * np.ones_like(soc))):
            assert np.all(coefficient >= 0)
            assert np.all(np.isfinite(coefficient))


def test_half_cycles_run_from_turn_to_turn_and_small_swings_belong_to_them():
    follow, found = HalfCycles(np.asarray(0.5)), []
    path = [0.5, 0.45, 0.46, 0.4, 0.3, 0.31, 0.8, 0.79, 0.8, 0.6, 0.7]
    for before, after in pairwise(path):
        half = follow.follow(np.asarray(after), abs(after - before) * 100, abs(after - before) * 100 * 20)
        if half:
            found.append(tuple(round(float(each), 6) for each in half))
    assert found == [
        (0.0, 0.5, 5.0, 20.0),  # the first swing was down, which is seen only now
        (0.2, 0.4, 67.0, 20.0),
        (0.5, 0.55, 22.0, 20.0),
        (0.2, 0.7, 10.0, 20.0),
    ]
    assert HYSTERESIS == 0.02


def lived(years, acceleration, celsius=20.0, chemistry=NMC, trips=2, target=0.8):
    """A car of 7,500 km a year for every trip of the day, charged at home below 60 %, in coarse steps."""
    spec = PackSpec(
        chemistry=chemistry, cells=4, soc=0.75, ambient_c=celsius, ageing_acceleration=acceleration, leakage_spread=0.0
    )
    physics = PackPhysics(spec, 1)

    def go(current_a, seconds, dt_s):
        for _ in range(round(seconds / dt_s)):
            physics.step(current_a, dt_s)
            physics.settle()

    for _ in range(round(365.25 * years / acceleration)):
        go(0.0, 8 * 3_600, 3_600)
        for _ in range(trips):
            go(-20.3, 1_800, 300)  # 20 km in half an hour
            go(0.0, 4 * 3_600, 3_600)
        if physics.soc.mean() < 0.6:
            go(25.0, (target - float(physics.soc.mean())) * 226.5 / 25 * 3_600, 300)
        go(0.0, 3 * 3_600, 3_600)
    return physics


@pytest.mark.soak
@EVERY
def test_a_plausible_car_has_kept_86_to_94_per_cent_after_five_years(chemistry):
    car = lived(5.0, 20.0, chemistry=chemistry)
    assert 0.86 < car.health() < 0.94
    assert 1.02 < car.resistance_growth() < 1.3
    kilometres = car.energy.delivered_out / 3.6e6 * 96 / 4 * 20 / 0.17
    assert 65_000 < kilometres < 85_000


@pytest.mark.soak
def test_a_life_in_a_hurry_ends_about_where_the_same_life_in_full_does():
    full, quick = lived(0.5, 1.0), lived(0.5, 10.0)
    assert 1 - quick.health() == pytest.approx(1 - full.health(), rel=0.05)
    assert quick.resistance_growth() == pytest.approx(full.resistance_growth(), rel=0.01)


@pytest.mark.soak
def test_a_car_in_the_heat_or_always_full_or_driven_more_ages_faster():
    usual = lived(2.0, 40.0).health()
    assert lived(2.0, 40.0, celsius=35.0).health() < usual - 0.02
    assert lived(2.0, 40.0, target=1.0).health() < usual
    assert lived(2.0, 40.0, trips=3).health() < usual


@EVERY
def test_a_pack_may_start_aged(chemistry):
    new, old = (PackPhysics(PackSpec(chemistry=chemistry, age_years=years), 1) for years in (0.0, 5.0))
    assert new.health() == new.resistance_growth() == 1.0
    assert 0.86 < old.health() < 0.94
    assert old.resistance_growth() > 1.02
    assert old.resistances.ohmic.mean() > new.resistances.ohmic.mean()
    assert len(set(np.round(old.capacity_as / new.capacity_as, 9))) > 90, "cells age each at its own pace"
    assert old.soc.tolist() == new.soc.tolist()


def test_ageing_can_be_switched_off():
    physics = PackPhysics(PackSpec(cells=4, ageing_acceleration=0.0), 1)
    for _ in range(1_000):
        physics.step(0.0, 3_600.0)
        physics.settle()
    assert physics.health() == 1.0
    assert physics.energy.aged == 0.0
