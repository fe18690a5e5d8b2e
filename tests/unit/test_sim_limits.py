import numpy as np
import pytest

from firmware_sim.bms.balancing import PARKED_AT_MOST_S, START_V, Balancing
from firmware_sim.bms.limits import CAR, STORAGE, Condition, limits_for
from firmware_sim.bms.thermal import conditioning
from firmware_sim.car.demand import Mode
from firmware_sim.cells.chemistry import LFP, NMC
from tests.bench_pack import BenchPack, firmware


def limits(soc, volts, coldest, hottest, chemistry=NMC, rating=CAR, current=0.0):
    return limits_for(Condition(96, soc, volts, volts, coldest, hottest, current), chemistry, 230.0, rating)


def test_limits_fall_to_nothing_when_empty_full_or_hot_and_cold_spares_the_anode():
    usual = limits(0.6, 3.8, 20, 25)
    assert limits(0.0, 3.0, 20, 25).discharge_kw == 0
    assert limits(0.1, 2.6, 20, 25).discharge_kw == 0
    assert limits(0.8, 4.2, 20, 25).charge_a == 0
    assert limits(0.6, 3.8, 55, 60).discharge_kw == 0
    assert limits(0.6, 3.8, 55, 60).charge_a == 0
    assert limits(0.6, 3.8, -10, -8).regen_kw < 0.1 * usual.regen_kw
    assert 200 < usual.discharge_kw <= 96 * 15.65 * 230 / 1_000
    assert usual.regen_kw == pytest.approx(96 * 3.87 * 230 / 1_000)


def test_a_hard_acceleration_does_not_take_the_regeneration_that_follows_it():
    rested = limits(0.6, 3.83, 20, 25)
    accelerating = limits(0.6, 3.83 - 400 * 0.65e-3, 20, 25, current=-400.0)
    assert accelerating.regen_kw == pytest.approx(rested.regen_kw, rel=0.1)
    braking = limits(0.1, 3.3 + 200 * 0.65e-3, 20, 25, current=200.0)
    assert braking.discharge_a == pytest.approx(limits(0.1, 3.3, 20, 25).discharge_a, rel=0.1)


def test_iron_phosphate_is_not_charged_below_freezing_at_all():
    assert limits(0.6, 3.3, -0.5, 5, LFP).charge_a == 0
    assert limits(0.6, 3.3, -0.5, 5, LFP).regen_kw == 0
    assert limits(0.6, 3.8, -0.5, 5, NMC).charge_a > 0
    assert limits(0.6, 3.3, -0.5, 5, LFP).discharge_kw > 0


@pytest.mark.parametrize("chemistry", [NMC, LFP])
def test_below_ten_degrees_of_frost_nothing_is_charged_nor_regenerated(chemistry):
    cold = limits(0.6, 3.3, -10.5, -8, chemistry)
    assert (cold.charge_a, cold.regen_kw) == (0.0, 0.0)
    assert cold.discharge_kw > 0


def test_a_warm_car_takes_the_power_of_a_quick_charge_by_its_state_of_charge():
    volts = {0.05: 3.4, 0.2: 3.6, 0.3: 3.65, 0.4: 3.7, 0.5: 3.77, 0.6: 3.85, 0.7: 3.94, 0.8: 4.03}
    asked = {0.05: 250, 0.2: 250, 0.3: 200, 0.4: 160, 0.5: 125, 0.6: 100, 0.7: 80, 0.8: 58}
    for soc, kilowatts in asked.items():
        flowing = kilowatts * 1_000 / volts[soc] / 96
        now = Condition(96, soc, volts[soc], volts[soc], 40, 42, flowing)
        given = limits_for(now, NMC, 226.5).charge_a * volts[soc] * 96 / 1_000
        assert given == pytest.approx(kilowatts, rel=0.02)
        half = (
            limits_for(now._replace(cells=48, current_a=flowing / 2), NMC, 226.5 / 2).charge_a * volts[soc] * 48 / 1_000
        )
        assert half == pytest.approx(kilowatts / 4, rel=0.02)
    for coldest, at_most in ((20, 170), (10, 75), (0, 20)):
        assert limits_for(Condition(96, 0.2, 3.6, 3.6, coldest, 25, 0.0), NMC, 226.5).charge_a * 345 < at_most * 1_000


def test_a_deeply_discharged_brick_is_charged_gently_until_its_voltage_is_up():
    currents = [limits(0.0, volts, 30, 32).charge_a for volts in (2.4, 2.6, 2.7, 3.0)]
    assert currents[:3] == sorted(currents[:3])
    assert 0 < currents[0] < 0.25 * 230
    assert currents[1] < 0.7 * currents[2]


def test_a_charge_is_slowed_before_the_pack_is_so_hot_that_it_must_warn():
    cool, warm, hot = (limits(0.2, 3.6, 40, hottest, current=700.0).charge_a for hottest in (44, 49, 54))
    assert (warm, hot) == (pytest.approx(0.5 * cool, rel=0.05), 0.0)


@pytest.mark.parametrize("chemistry", [NMC, LFP])
def test_voltage_limits_are_the_chemistrys_for_the_whole_string(chemistry):
    now = limits(0.6, 3.3, 20, 25, chemistry)
    assert (now.min_volts, now.max_volts) == (96 * chemistry.empty_v, 96 * chemistry.full_v)


def test_a_storage_pack_is_rated_for_half_its_capacity_an_hour():
    assert limits(0.5, 3.3, 20, 25, LFP, STORAGE).charge_a == pytest.approx(115.0)
    assert limits(0.5, 3.3, 20, 25, LFP, STORAGE).discharge_a <= 230.0


@pytest.mark.soak
@pytest.mark.parametrize(("chemistry", "dt_s"), [(NMC, 0.1), (LFP, 0.1), (NMC, 20.0)])
def test_a_charge_is_constant_current_then_constant_voltage_and_ends_below_a_twentieth_of_the_capacity(chemistry, dt_s):
    pack = BenchPack.of(soc=0.975 if dt_s < 1 else 0.7, chemistry=chemistry, capacity_ah=23.0, ohm=5e-3)
    bms = firmware(pack, rated_ah=23.0, soh=1.0)
    pack.live(bms, Mode.CHARGE_AC, 2.0)
    currents, highest = [], 0.0
    for _ in range(round(14_400 / max(dt_s, 1.0))):
        report = pack.live(bms, Mode.CHARGE_AC, max(dt_s, 1.0), lambda: min(bms.limits.charge_a, 2.5), dt_s)
        currents.append(pack.current_a)
        highest = max(highest, float(pack.cell_volts().max()))
        if report.charge_complete:
            break
    assert report.charge_complete
    assert currents[3] == pytest.approx(2.5)
    assert currents[-1] < 23.0 / 20 + 1.0
    assert chemistry.full_v - 0.02 < highest < chemistry.full_v + (0.005 if dt_s < 1 else 0.03)
    assert pack.live(bms, Mode.CHARGE_AC, 1.0).limits.charge_a == 0
    assert float(pack.soc.max()) > 0.97
    assert not pack.live(bms, Mode.PARKED, 1.0).charge_complete


def test_a_charge_that_has_ended_begins_again_only_when_charge_has_been_taken_out():
    pack = BenchPack.of(soc=0.999, capacity_ah=23.0)
    bms = firmware(pack, rated_ah=23.0, soh=1.0)
    report = pack.live(bms, Mode.CHARGE_AC, 30.0, lambda: min(bms.limits.charge_a, 5.0))
    assert report.charge_complete
    report = pack.live(bms, Mode.CHARGE_AC, 60.0, -10.0)
    assert report.charge_complete
    pack.live(bms, Mode.CHARGE_AC, 150.0, -10.0)
    report = pack.live(bms, Mode.CHARGE_AC, 2.0)
    assert not report.charge_complete
    assert report.limits.charge_a > 0


def test_the_limit_does_not_swing_when_a_brick_resists_far_more_than_the_firmware_reckons():
    pack = BenchPack.of(soc=0.95, ohm=6e-3)
    bms = firmware(pack)
    pack.live(bms, Mode.CHARGE_DC, 1.0)
    highest, currents = 0.0, [0.0]
    for _ in range(3_000):
        pack.step(bms, Mode.CHARGE_DC, min(bms.limits.charge_a, currents[-1] + 0.2), 0.01)
        highest = max(highest, float(pack.cell_volts().max()))
        currents.append(pack.current_a)
    assert highest < 4.215
    assert not bms.alerts.active
    assert min(currents[500:]) > 0.0
    assert float(np.ptp(currents[500:])) < 15.0


@pytest.mark.parametrize(
    ("mode", "coldest", "hottest", "cooling", "heating"),
    [
        (Mode.DRIVE, 20, 25, 0.0, 0.0),
        (Mode.DRIVE, 20, 37, 0.5, 0.0),
        (Mode.DRIVE, 20, 50, 1.0, 0.0),
        (Mode.CHARGE_DC, 5, 8, 0.0, 1.0),
        (Mode.CHARGE_DC, 35, 38, 0.0, 0.5),
        (Mode.CHARGE_AC, 16, 18, 0.0, 0.0),
        (Mode.CHARGE_AC, 4, 6, 0.0, 0.5),
        (Mode.DRIVE, -15, -10, 0.0, 1.0),
        (Mode.PARKED, -15, -10, 0.0, 0.0),
        (Mode.PARKED, 40, 42, 0.0, 0.0),
        (Mode.PARKED, 50, 50, 0.5, 0.0),
        (Mode.CHARGE_DC, 5, 45, 0.5, 0.0),
    ],
)
def test_the_coolant_is_asked_to_heat_a_cold_pack_before_it_is_charged_and_to_cool_a_hot_one(
    mode, coldest, hottest, cooling, heating
):
    assert conditioning(mode, coldest, hottest) == pytest.approx((cooling, heating))


def balanced(volts, seconds=30.0, current=0.0, parked=True, chemistry="NMC", seen=None):
    balancing, volts = Balancing(chemistry, 230.0), np.array(volts)
    for _ in range(round(seconds / 0.1)):
        balancing.step(volts, current, parked, 0.1)
        if seen is not None:
            seen.append(balancing.count)
    return balancing


def test_bricks_well_above_the_lowest_are_bled_near_the_top_with_pauses_to_measure_in():
    seen: list[int] = []
    balancing = balanced([4.1, 4.104, 4.106, 4.12], seconds=60.0, seen=seen)
    assert balancing.wants
    assert set(seen) == {0, 2}
    assert np.array_equal(balancing._chosen, [False, False, True, True])
    assert 0.75 < sum(count > 0 for count in seen) / len(seen) < 0.9


@pytest.mark.parametrize(
    ("volts", "current", "chemistry"),
    [
        ([3.8, 3.85], 0.0, "NMC"),
        ([4.1, 4.104], 0.0, "NMC"),
        ([4.1, 4.2], 100.0, "NMC"),
        ([4.1, 4.2], -20.0, "NMC"),
        ([3.33, 3.345], 0.0, "LFP"),
    ],
)
def test_nothing_is_bled_far_from_the_top_nor_for_little_nor_under_a_current_that_tells_nothing(
    volts, current, chemistry
):
    balancing = balanced(volts, current=current, chemistry=chemistry)
    assert balancing.bleed is None
    assert not balancing.wants


def test_one_low_brick_has_all_those_bled_that_are_near_the_top():
    volts = np.full(96, 4.1)
    volts[3], volts[10:14] = 3.9, 3.99
    balancing = balanced(volts)
    assert np.array_equal(np.flatnonzero(~balancing._chosen), [3, 10, 11, 12, 13])
    few = balanced([3.34] + 12 * [3.36] + 2 * [3.45], chemistry="LFP")
    assert np.array_equal(np.flatnonzero(few._chosen), [13, 14])


def test_what_was_chosen_near_the_top_is_bled_below_it_too_but_only_a_thousandth_of_the_capacity():
    balancing, bled_as = balanced([4.1, 4.12]), 0.0
    below = np.array([3.8, 3.82])
    for _ in range(40_000):
        balancing.step(below, -100.0, False, 0.5)
        bled = balancing.bled_as(below, 0.5)
        bled_as += 0.0 if bled is None else float(bled[1])
    assert bled_as == pytest.approx(0.001 * 230 * 3_600, rel=0.1)
    assert not balancing.wants


def test_a_brick_is_bled_until_it_is_closer_than_it_must_be_to_begin():
    balancing = balanced([4.1, 4.107])
    for above, bled in ((0.004, True), (0.0015, False), (0.004, False), (START_V + 0.001, True)):
        volts = np.array([4.1, 4.1 + above])
        for _ in range(200):
            balancing.step(volts, 0.0, False, 0.1)
        assert balancing.wants is bled


def test_a_parked_pack_does_not_stay_awake_for_balancing_for_ever():
    assert balanced([4.1, 4.15], seconds=PARKED_AT_MOST_S - 5).wants
    assert not balanced([4.1, 4.15], seconds=PARKED_AT_MOST_S + 15).wants
    assert balanced([4.1, 4.15], seconds=PARKED_AT_MOST_S + 15, current=5.0, parked=False).wants


def test_balancing_brings_the_cells_together_and_the_estimate_knows_what_was_bled():
    pack = BenchPack(np.array([0.9, 0.9, 0.915]), capacity_ah=2.3)
    bms = firmware(pack, rated_ah=2.3, soh=1.0)
    for _ in range(4):
        pack.live(bms, Mode.DRIVE, 1.0)
        pack.live(bms, Mode.PARKED, 1_100.0, dt_s=0.5)
    assert float(np.ptp(pack.soc)) < 0.006
    assert bms.charge.high - bms.charge.low == pytest.approx(float(np.ptp(pack.soc)), abs=0.006)
