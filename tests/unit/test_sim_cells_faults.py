"""What can befall single cells: leaks, shorts, weakness; and what the firmware can do about them."""

import math

import numpy as np
import pytest

from firmware_sim.cells.individuals import MONTH_S
from firmware_sim.cells.physics import PackPhysics
from firmware_sim.cells.spec import CellDesign, PackSpec
from packseal.program import ConfigurationError

STILL = {"ageing_acceleration": 0.0, "self_discharge_per_month": 0.0}
UNIFORM = {"capacity_spread": 0.0, "resistance_spread": 0.0, "soc_spread": 0.0, "leakage_spread": 0.0}


def carry(physics, current_a, seconds, dt_s=0.1):
    for _ in range(round(seconds / dt_s)):
        physics.step(current_a, dt_s)
        physics.settle()


def test_a_resting_pack_loses_its_share_a_month_and_twice_as_much_ten_kelvins_warmer():
    lost = {}
    for celsius in (25.0, 35.0):
        physics = PackPhysics(
            PackSpec(cells=4, self_discharge_per_month=0.02, ambient_c=celsius, ageing_acceleration=0.0, **UNIFORM), 1
        )
        carry(physics, 0.0, MONTH_S, dt_s=3_600.0)
        lost[celsius] = 0.62 - float(physics.soc.mean())
    assert lost[25.0] == pytest.approx(0.02, rel=0.01)
    assert 1.8 < lost[35.0] / lost[25.0] < 2.1


def test_a_pack_that_nobody_charges_for_thirty_years_is_empty_and_no_more_than_that():
    physics = PackPhysics(PackSpec(cells=4, self_discharge_per_month=0.02), 1)
    carry(physics, 0.0, 30 * 365 * 86_400.0, dt_s=30 * 86_400.0)
    assert np.all((physics.soc > -0.05) & (physics.soc < 0.0))
    assert np.all(physics.cell_volts() > 2.0)
    assert 0.5 < physics.health() < 1.0


def test_a_module_that_burns_ends_in_numbers_still():
    physics = PackPhysics(PackSpec(cells=8, self_discharge_per_month=0.5), 1)
    physics.heat_module(1, 50_000.0)
    carry(physics, -10.0, 7_200.0, dt_s=60.0)
    assert physics.module_c.max() > 500
    assert np.all((physics.cell_volts() > -3) & (physics.cell_volts() < 5))
    assert 0.0 < physics.health() < 1.0


def test_a_bleed_resistor_takes_ohms_law_from_its_cell_and_from_no_other():
    physics = PackPhysics(PackSpec(cells=6, soc=0.7, **STILL), 1)
    before, volts = physics.soc.copy(), float(physics.cell_volts()[2])
    physics.bleed[2] = True
    carry(physics, 0.0, 1.0)  # the resistor is on from the next settling
    begin = physics.soc.copy()
    carry(physics, 0.0, 3_600.0, dt_s=1.0)
    taken = (begin - physics.soc) * physics.capacity_as
    assert taken[2] == pytest.approx(volts / physics.spec.bleed_ohm * 3_600.0, rel=2e-3)
    assert np.delete(taken, 2).tolist() == [0.0] * 5
    assert physics.energy.bleed == pytest.approx(volts**2 / physics.spec.bleed_ohm * 3_601.0, rel=2e-3)
    physics.bleed = np.zeros(6, bool)
    carry(physics, 0.0, 1.0)
    still = physics.soc.copy()
    carry(physics, 0.0, 100.0)
    assert physics.soc.tolist() == still.tolist()
    assert before[2] > still[2]


@pytest.mark.parametrize("ohm", [0.02, 1.0, 100.0])
def test_a_short_pulls_its_cell_down_by_its_own_resistance_at_once(ohm):
    physics = PackPhysics(PackSpec(cells=6, soc=0.7, ambient_c=25.0, **STILL), 1)
    before, pack = physics.cell_volts(), physics.pack_volts()
    physics.short(3, ohm)
    after = physics.cell_volts()
    inner = float(physics.resistances.whole()[3])
    assert after[3] == pytest.approx(float(before[3]) * ohm / (ohm + inner), rel=1e-9)
    assert np.delete(after - before, 3).tolist() == [0.0] * 5
    assert physics.pack_volts() == pytest.approx(pack - float(before[3] - after[3]))
    physics.short(3, None)
    assert physics.cell_volts().tolist() == before.tolist()


def test_a_short_empties_its_cell_and_heats_its_module_by_the_energy_that_was_in_it():
    physics = PackPhysics(PackSpec(cells=8, soc=0.5, ambient_c=25.0, **STILL), 1)
    begin = physics.stored_j()
    physics.short(5, 0.05)
    carry(physics, 0.0, 3 * 3_600.0, dt_s=60.0)
    assert physics.soc[5] < 0.1
    assert physics.soc[4] > 0.49
    assert physics.module_c[2] > physics.module_c[0] + 2 > 50
    assert physics.energy.short == pytest.approx(begin - physics.stored_j(), rel=1e-9)


def test_a_shorted_cell_ends_dead_and_not_reversed_in_long_strides_too():
    ends = []
    for dt_s in (10.0, 60.0, 3_600.0):
        physics = PackPhysics(PackSpec(cells=4, soc=0.02, capacity_ah=20.0, **STILL), 1)
        physics.short(1, 0.02)
        carry(physics, 0.0, 4 * 3_600.0, dt_s=dt_s)
        ends.append(float(physics.cell_volts()[1]))
    assert ends == pytest.approx([0.0] * 3, abs=0.05)


def test_under_load_the_books_balance_with_a_short_and_bleeding_cells():
    physics = PackPhysics(PackSpec(cells=8, soc=0.5), 1)
    begin = physics.stored_j()
    physics.short(2, 0.5)
    physics.bleed[4:] = True
    for current in (-200.0, 0.0, 150.0, -80.0):
        carry(physics, current, 65.0)
    books = physics.energy
    assert min(books.bleed, books.short, books.ohmic, books.branch, books.self_discharge) > 0
    assert books.delivered == pytest.approx(physics.stored_j() - begin + books.heat + books.aged, abs=1e-3)


def test_a_weak_cell_swings_further_sags_deeper_and_is_well_again_when_the_fault_ends():
    physics = PackPhysics(PackSpec(cells=6, soc=0.6, ambient_c=25.0, **STILL, **UNIFORM), 1)
    begin = physics.stored_j()
    physics.weaken(1, 0.7, 3.0)
    assert physics.capacity_as[1] == pytest.approx(0.7 * float(physics.capacity_as[0]))
    assert physics.energy.aged == pytest.approx(begin - physics.stored_j())
    carry(physics, -100.0, 600.0)
    fallen = 0.6 - physics.soc
    assert fallen[1] == pytest.approx(float(fallen[0]) / 0.7)
    volts = physics.cell_volts()
    assert volts[0] - volts[1] > 100 * 2 * physics.spec.cell.ohmic_ohm
    physics.weaken(1, 1.0, 1.0)
    assert physics.capacity_as[1] == physics.capacity_as[0]
    assert float(physics.resistances.ohmic[1]) == pytest.approx(float(physics.resistances.ohmic[0]), rel=0.02)


def test_a_cell_that_is_driven_beyond_its_ends_shows_it():
    design = CellDesign(0.5e-3, 0.1e-3, 0.2e-3, heat_j_per_k=1e9, loss_w_per_k=0.0)
    physics = PackPhysics(PackSpec(cells=4, soc=0.1, design=design, capacity_ah=100.0), 1)
    physics.weaken(0, 0.4, 1.0)
    carry(physics, -60.0, 400.0, dt_s=1.0)
    volts = physics.cell_volts()
    assert volts[0] < 2.0
    assert volts[1] > 3.0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda pack: pack.short(8, 1.0),
        lambda pack: pack.short(-1, 1.0),
        lambda pack: pack.short(0, 0.0),
        lambda pack: pack.short(0, math.nan),
        lambda pack: pack.weaken(0, 0.0, 1.0),
        lambda pack: pack.weaken(8, 0.5, 1.0),
        lambda pack: pack.weaken(0, 0.5, math.inf),
        lambda pack: pack.heat_module(4, 100.0),
        lambda pack: pack.heat_module(0, math.nan),
    ],
)
def test_what_cannot_befall_a_pack_is_refused_and_changes_nothing(wrong):
    physics = PackPhysics(PackSpec(cells=8), 1)
    before = physics.cell_volts().tobytes(), physics.capacity_as.tobytes()
    with pytest.raises(ConfigurationError):
        wrong(physics)
    assert before == (physics.cell_volts().tobytes(), physics.capacity_as.tobytes())


def test_the_insulation_is_as_the_specification_says_until_a_fault_takes_it():
    physics = PackPhysics(PackSpec(cells=2, isolation_kohm=3_000.0), 1)
    assert physics.isolation_kohm == 3_000.0
    physics.isolation_kohm = 15.0
    carry(physics, 0.0, 1.0)
    assert physics.isolation_kohm == 15.0
