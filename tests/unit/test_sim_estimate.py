import numpy as np
import pytest

from firmware_sim.bms.believed import BelievedCurve
from firmware_sim.bms.estimate import RESERVE, EnergyScale
from firmware_sim.bms.sensors import ERRORS
from firmware_sim.car.demand import Mode
from firmware_sim.cells.chemistry import CHEMISTRIES, LFP, NMC
from tests.bench_pack import BenchPack, firmware

HOUR = 3_600.0


def test_the_shunt_is_imperfect_so_the_estimate_drifts_from_the_truth_but_not_far():
    drifts = []
    for seed in range(12):
        pack = BenchPack.of(soc=0.7)
        bms = firmware(pack, seed, soh=1.0)
        pack.live(bms, Mode.DRIVE, 1.0)
        began = bms.charge.mean - float(pack.soc.mean())
        report = pack.live(bms, Mode.DRIVE, HOUR, -60.0, 10.0)
        drift = report.soc.mean - float(pack.soc.mean()) - began
        bound = ERRORS.current_bound(60.0, 22.0) * HOUR / (230 * 3_600)
        assert 1e-6 < abs(drift) <= bound
        drifts.append(drift)
    assert min(drifts) < 0 < max(drifts), "boards err either way"


@pytest.mark.parametrize("dt_s", [1.0, 30.0])
def test_a_long_rest_draws_the_count_to_the_rested_voltage(dt_s):
    pack = BenchPack.of(soc=0.7)
    bms = firmware(pack, soh=1.0, sleeps=False)
    pack.soc = pack.soc - 0.05
    assert abs(bms.charge.mean - float(pack.soc.mean())) > 0.04, "it has not been told"
    report = pack.live(bms, Mode.PARKED, 50.0, dt_s=dt_s)
    assert abs(report.soc.mean - float(pack.soc.mean())) > 0.04, "a short rest proves nothing"
    for _ in range(60):
        report = pack.live(bms, Mode.PARKED, 30.0, dt_s=dt_s)
    assert report.soc.mean == pytest.approx(float(pack.soc.mean()), abs=0.015)


def test_a_small_current_is_no_rest():
    pack = BenchPack.of(soc=0.7)
    bms = firmware(pack, soh=1.0)
    pack.live(bms, Mode.DRIVE, 1.0)
    pack.soc = pack.soc - 0.05
    pack.live(bms, Mode.DRIVE, HOUR, -3.0, 10.0)
    assert abs(bms.charge.mean - float(pack.soc.mean())) > 0.04


def test_on_the_plateau_of_iron_phosphate_a_rest_says_nothing_and_at_its_ends_it_does():
    for true, told in ((0.45, False), (0.85, False), (0.08, True), (0.985, True)):
        pack = BenchPack.of(soc=true, chemistry=LFP)
        bms = firmware(pack, soh=1.0)
        pack.live(bms, Mode.DRIVE, 1.0)
        believed = bms.charge.mean
        pack.soc = pack.soc - 0.03
        report = pack.live(bms, Mode.PARKED, 2 * HOUR, dt_s=10.0)
        if told:
            assert report.soc.mean == pytest.approx(true - 0.03, abs=0.01)
        else:
            assert report.soc.mean == pytest.approx(believed, abs=0.003)


def test_a_complete_charge_tells_iron_phosphate_that_it_is_full():
    pack = BenchPack.of(soc=0.97, chemistry=LFP, capacity_ah=23.0)
    bms = firmware(pack, rated_ah=23.0, soh=1.0)
    pack.live(bms, Mode.CHARGE_AC, 1.0, dt_s=0.1)
    bms._estimate.soc = bms._estimate.soc - 0.2
    while not bms.charge_complete:
        report = pack.live(bms, Mode.CHARGE_AC, 10.0, lambda: min(bms.limits.charge_a, 5.0), 0.5)
    assert report.soc.mean == pytest.approx(float(pack.soc.mean()), abs=0.02)


def test_the_shown_charge_is_empty_with_the_emptiest_brick_and_full_with_the_fullest():
    for low, high, usable in ((0.5, 0.5, 0.5), (0.0, 0.3, 0.0), (0.7, 1.0, 1.0), (0.4, 0.6, 0.5)):
        pack = BenchPack(np.array([low, high]))
        shown = firmware(pack).report().soc.shown
        assert shown == pytest.approx(max(0.0, (usable - RESERVE) / (1 - RESERVE)), abs=0.025)


def test_nothing_that_is_reported_leaves_the_range_from_0_to_1():
    for soc in (-0.05, 1.04):
        charge = firmware(BenchPack.of(soc=soc)).report().soc
        assert all(0.0 <= value <= 1.0 for value in charge)


def day(pack: BenchPack, bms, depth: float = 0.5) -> None:
    """Drive, rest, charge back, rest: in steps of a minute, rests as a car has at night."""
    hours = depth * pack.capacity_ah / 45.0
    pack.live(bms, Mode.DRIVE, 120.0, dt_s=60.0)
    pack.live(bms, Mode.DRIVE, hours * HOUR, -45.0, 60.0)
    pack.live(bms, Mode.PARKED, HOUR, dt_s=60.0)
    pack.live(bms, Mode.CHARGE_AC, 120.0, dt_s=60.0)
    pack.live(bms, Mode.CHARGE_AC, hours * HOUR, 45.0, 60.0)
    pack.live(bms, Mode.PARKED, 2 * HOUR, dt_s=60.0)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_capacity_is_learned_slowly_from_one_rest_to_the_next_and_follows_ageing_with_an_error(seed):
    pack = BenchPack.of(soc=0.8, capacity_ah=230.0)
    bms = firmware(pack, seed, soh=1.0)
    pack.capacity_ah = 195.0
    day(pack, bms)
    assert 0.86 < bms.report().soh < 0.99, "one day does not convince it"
    for _ in range(14):
        day(pack, bms)
    learned = bms.report()
    assert learned.soh == pytest.approx(195 / 230, abs=0.02)
    assert learned.soh != pytest.approx(195 / 230, abs=1e-6)
    assert learned.capacity_ah == pytest.approx(learned.soh * 230.0)
    assert learned.energy.full_kwh == pytest.approx(learned.energy.begin_of_life_kwh * learned.soh)


def test_shallow_days_teach_nothing():
    pack = BenchPack.of(soc=0.8, capacity_ah=195.0)
    bms = firmware(pack, soh=1.0)
    for _ in range(6):
        day(pack, bms, depth=0.06)
    assert bms.report().soh == 1.0


def test_a_weak_brick_is_found_to_be_weak_and_the_others_not():
    pack = BenchPack(np.full(4, 0.8))
    bms = firmware(pack, soh=1.0)
    strong, weak = 230.0, 160.0
    pack.capacity_ah = np.array([strong, strong, weak, strong])
    for _ in range(16):
        for current in (-45.0, 45.0):
            mode = Mode.DRIVE if current < 0 else Mode.CHARGE_AC
            pack.live(bms, mode, 120.0, dt_s=60.0)
            pack.live(bms, mode, 1.5 * HOUR, current, 60.0)
            pack.live(bms, Mode.PARKED, HOUR, dt_s=60.0)
    capacities = bms._estimate.capacity_as / 3_600.0
    assert capacities == pytest.approx([strong, strong, weak, strong], rel=0.04)
    report = bms.report()
    pack.live(bms, Mode.DRIVE, 60.0 + HOUR, -45.0, 60.0)
    assert bms.charge.low == pytest.approx(float(pack.soc.min()), abs=0.02)
    assert report.soh == pytest.approx((3 * strong + weak) / 4 / 230, abs=0.02)


@pytest.mark.parametrize("name", CHEMISTRIES)
def test_energy_is_the_area_below_the_rested_voltage_curve(name):
    cell = CHEMISTRIES[name]
    scale = EnergyScale(cell, 96, 230.0)
    for soc in (0.0, 0.1234, 0.5, 0.99951, 1.0):
        points = np.linspace(0.0, soc, 50_001)
        volts = cell.open_circuit_volts(points)
        area = float(np.sum((volts[1:] + volts[:-1]) / 2)) * soc / 50_000
        energy = scale.energy(200.0, soc)
        assert energy.remaining_kwh == pytest.approx(area * 96 * 0.2, abs=1e-3)
        assert energy.full_kwh / energy.begin_of_life_kwh == pytest.approx(200 / 230)
        assert energy.to_charged_kwh == pytest.approx(energy.full_kwh - energy.remaining_kwh)


def test_a_new_firmware_on_nmc_reads_the_charge_off_the_rested_cells():
    soc = np.array([0.2, 0.45, 0.7, 0.9])
    charge = firmware(BenchPack(soc, chemistry=NMC)).charge
    assert (charge.low, charge.mean, charge.high) == pytest.approx((0.2, float(soc.mean()), 0.9), abs=0.02)


def test_a_new_firmware_on_iron_phosphate_takes_the_mean_where_single_bricks_tell_too_little():
    charge = firmware(BenchPack.of(96, 0.5, chemistry=LFP)).charge
    assert charge.high - charge.low < 0.02
    assert charge.mean == pytest.approx(0.5, abs=0.15)


def rested_opinions(chemistry, levels):
    errors = []
    for seed in range(12):
        for soc in levels:
            pack = BenchPack.of(soc=soc, chemistry=chemistry)
            bms = firmware(pack, seed, soh=1.0)
            pack.live(bms, Mode.DRIVE, 5.0, -20.0, dt_s=0.1)
            report = pack.live(bms, Mode.PARKED, 3 * HOUR, dt_s=60.0)
            errors.append(report.soc.mean - float(pack.soc.mean()))
    return np.array(errors)


def test_the_firmwares_voltage_curve_is_not_the_cells_own_so_that_a_rest_leaves_an_error_of_a_point_or_two():
    errors = np.abs(rested_opinions(NMC, (0.3, 0.45, 0.6, 0.8)))
    assert 0.004 < float(np.sqrt(np.mean(errors**2))) < 0.02
    assert 0.01 < errors.max() < 0.025


def test_on_the_plateau_of_iron_phosphate_the_first_opinion_is_several_points_off():
    errors = np.abs(rested_opinions(LFP, (0.3, 0.45, 0.55, 0.8)))
    assert 0.03 < float(np.sqrt(np.mean(errors**2))) < 0.15


def test_a_rest_after_a_charge_and_one_after_a_discharge_read_the_same_voltage_differently():
    opinions = []
    for current in (30.0, -30.0):
        pack = BenchPack.of(soc=0.5)
        bms = firmware(pack, soh=1.0)
        pack.live(bms, Mode.CHARGE_AC, 5.0, current, dt_s=0.1)
        opinions.append(pack.live(bms, Mode.PARKED, 3 * HOUR, dt_s=60.0).soc.mean - float(pack.soc.mean()))
    assert 0.002 < opinions[0] - opinions[1] < 0.01


@pytest.mark.parametrize("chemistry", CHEMISTRIES.values())
@pytest.mark.parametrize("seed", range(6))
def test_a_believed_curve_rises_everywhere_and_errs_by_some_millivolts(chemistry, seed):
    curve = BelievedCurve(chemistry, seed)
    soc = np.linspace(0.0, 1.0, 401)
    assert np.all(np.diff(curve.soc_at(chemistry.open_circuit_volts(soc))) >= 0)
    assert 0.000_5 < float(np.abs(curve.error_v).max()) < 0.008_1
    assert np.array_equal(curve.error_v, BelievedCurve(chemistry, seed).error_v)


def test_a_brick_that_lost_its_charge_unseen_by_the_shunt_is_believed_empty_once_its_voltage_is():
    pack = BenchPack(np.array([0.3, 0.3, 0.0]))
    bms = firmware(pack, soh=1.0)
    bms._estimate.soc = np.full(3, 0.3)
    pack.live(bms, Mode.DRIVE, 1.0)
    report = pack.live(bms, Mode.DRIVE, 200.0, -20.0, 0.1)
    assert float(pack.cell_volts().min()) < 3.0
    assert report.soc.low < 0.06
    assert report.soc.shown < 0.03
    assert bms._estimate.soc[:2] == pytest.approx(pack.soc[:2], abs=0.02)


def test_a_hard_acceleration_that_dips_a_brick_to_its_limit_does_not_make_it_empty():
    pack = BenchPack.of(soc=0.4, ohm=1.3e-3)
    bms = firmware(pack, soh=1.0)
    pack.live(bms, Mode.DRIVE, 1.0)
    report = pack.live(bms, Mode.DRIVE, 5.0, -700.0, 0.1)
    assert float(pack.cell_volts().min()) < 2.8
    assert report.soc.low == pytest.approx(float(pack.soc.min()), abs=0.02)


def test_twenty_points_a_day_teach_a_worn_capacity_with_lag():
    pack = BenchPack.of(soc=0.8)
    bms = firmware(pack, 2, soh=1.0)
    pack.capacity_ah, healths = 200.0, [1.0]
    for _ in range(3):
        for _ in range(15):
            day(pack, bms, depth=0.2)
        healths.append(bms.report().soh)
    assert healths == sorted(healths, reverse=True)
    assert healths[1] > 200 / 230 + 0.01, "it follows slowly"
    assert healths[-1] == pytest.approx(200 / 230, abs=0.04)
