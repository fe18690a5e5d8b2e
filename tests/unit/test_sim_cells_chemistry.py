import math

import numpy as np
import pytest

from firmware_sim.cells.chemistry import CHEMISTRIES, GRID, LFP, NMC
from firmware_sim.cells.spec import CellDesign, PackSpec
from packseal.program import ConfigurationError

EVERY = pytest.mark.parametrize("chemistry", CHEMISTRIES.values(), ids=CHEMISTRIES)


@EVERY
def test_the_voltage_curve_rises_everywhere_beyond_its_ends_too(chemistry):
    volts = chemistry.open_circuit_volts(np.linspace(-0.7, 1.7, 10_001))
    assert np.all(np.diff(volts) > 0)


@EVERY
def test_the_curve_passes_through_its_published_points(chemistry):
    soc, volts = np.array(chemistry.points).T
    assert np.allclose(chemistry.open_circuit_volts(soc), volts, atol=1e-9)


@EVERY
def test_the_stored_energy_is_the_area_under_the_curve(chemistry):
    for end in (-0.6, -0.15, -0.03, 0.0, 0.1234, 0.5, 0.9999, 1.0, 1.07, 1.15, 1.6):
        points = np.linspace(0.0, end, 200_001)
        volts = chemistry.open_circuit_volts(points)
        area = float(np.sum((volts[1:] + volts[:-1]) / 2 * np.diff(points)))
        assert float(chemistry.stored_volt_fraction(np.array(end))) == pytest.approx(area, abs=1e-7)


@EVERY
def test_slope_and_integral_belong_to_the_same_straight_pieces(chemistry):
    middles = (GRID[1:] + GRID[:-1]) / 2
    volts, slope, area = chemistry.curve(middles)
    assert np.allclose(chemistry.open_circuit_volts(middles + 1e-3) - volts, slope * 1e-3)
    assert np.allclose(volts, np.interp(middles, GRID, chemistry.grid_volts))
    assert np.allclose(np.diff(area) / np.diff(middles), chemistry.grid_volts[1:-1], atol=0.02)


@EVERY
def test_the_charge_of_a_rested_cell_is_found_again_from_its_voltage(chemistry):
    soc = np.linspace(-0.5, 1.5, 997)
    assert np.allclose(chemistry.soc_at(chemistry.open_circuit_volts(soc)), soc, atol=1e-9)
    assert chemistry.soc_at(np.array([-9.0, 9.0])).tolist() == [GRID[0], GRID[-1]]


@EVERY
def test_one_cell_and_a_hundred_packs_are_looked_up_alike(chemistry):
    soc = np.random.default_rng(3).uniform(-0.1, 1.1, (100, 7))
    rows = np.stack([chemistry.open_circuit_volts(row) for row in soc])
    assert np.array_equal(chemistry.open_circuit_volts(soc), rows)


def test_an_lfp_cell_is_flat_from_15_to_95_per_cent_and_an_nmc_cell_is_not():
    ends = np.array([0.15, 0.95])
    assert np.all((LFP.open_circuit_volts(ends) > 3.2) & (LFP.open_circuit_volts(ends) < 3.35))
    assert float(np.ptp(LFP.open_circuit_volts(ends))) < 0.13
    assert float(np.ptp(NMC.open_circuit_volts(ends))) > 0.5


@EVERY
def test_a_cell_that_is_driven_far_beyond_its_ends_shows_a_voltage_that_cells_then_show(chemistry):
    reversed_v, over_v = chemistry.open_circuit_volts(np.array([-2.0, 2.0]))
    assert -2.0 < reversed_v < -0.8
    assert 4.8 < over_v < 6.0


def test_rested_cells_stay_within_the_operating_limits_from_empty_to_full():
    for chemistry in CHEMISTRIES.values():
        empty, full = chemistry.open_circuit_volts(np.array([0.0, 1.0]))
        assert chemistry.empty_v <= empty < full <= chemistry.full_v


def test_a_nearly_empty_cell_resists_more_and_one_in_the_middle_as_specified():
    factors = NMC.resistance_factor(np.array([-0.1, 0.0, 0.05, 0.2, 0.5, 0.9, 1.0]))
    assert factors.tolist() == [*sorted(factors.tolist()[:5], reverse=True), 1.0, 1.1]
    assert factors[1] == pytest.approx(1.9)
    assert factors[3] == factors[4] == 1.0


def test_both_chemistries_have_the_nominal_voltage_that_their_makers_print():
    full = {name: float(chemistry.stored_volt_fraction(np.ones(1))[0]) for name, chemistry in CHEMISTRIES.items()}
    assert full["NMC"] == pytest.approx(3.7, abs=0.1)
    assert full["LFP"] == pytest.approx(3.25, abs=0.06)


@pytest.mark.parametrize(
    "wrong",
    [
        {"cells": 0},
        {"cells": 109},
        {"modules": 0},
        {"modules": 17},
        {"soc": 1.1},
        {"soc": math.nan},
        {"ambient_c": 90},
        {"capacity_ah": 0.0},
        {"capacity_ah": math.inf},
        {"capacity_spread": 0.5},
        {"age_years": -1},
        {"ageing_acceleration": -1},
        {"self_discharge_per_month": 1},
        {"bleed_ohm": 0},
    ],
)
def test_a_pack_that_cannot_exist_is_refused_with_the_configurations_exit_code(wrong):
    with pytest.raises(ConfigurationError, match=r"give|has 1 to") as refused:
        PackSpec(**wrong)
    assert refused.value.exit_code == 78
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong", [{"ohmic_ohm": 0.0}, {"slow_ohm": math.nan}, {"fast_s": -1.0}, {"loss_w_per_k": -0.1}, {"heat_j_per_k": 0}]
)
def test_a_cell_that_cannot_exist_is_refused_likewise(wrong):
    usual = {"ohmic_ohm": 1e-3, "fast_ohm": 1e-4, "slow_ohm": 1e-4, "heat_j_per_k": 900.0, "loss_w_per_k": 0.1}
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        CellDesign(**{**usual, **wrong})


def test_a_bigger_cell_of_the_same_kind_resists_less_and_heats_slower():
    small, big = (CellDesign.typical(NMC, capacity) for capacity in (50.0, 100.0))
    assert small.ohmic_ohm == pytest.approx(2 * big.ohmic_ohm)
    assert 2 * small.heat_j_per_k == pytest.approx(big.heat_j_per_k)
    assert small.fast_s == big.fast_s
