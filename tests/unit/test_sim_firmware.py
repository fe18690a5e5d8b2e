import math
from dataclasses import replace

import numpy as np
import pytest

from firmware_sim.bms.contactors import Stage
from firmware_sim.bms.firmware import BOARDS_KEPT, Bms
from firmware_sim.bms.identity import Identity
from firmware_sim.bms.power import BOOT_S, LOOK_S, SLEEP_AFTER_S, WAKE_EVERY_S
from firmware_sim.bms.sensors import ERRORS
from firmware_sim.car.demand import Demand, Mode
from firmware_sim.cells.spec import PackSpec
from firmware_sim.simulated_pack import SimulatedPack
from tests.bench_pack import BenchPack, firmware

COUNTERS = ("charged_kwh", "discharged_kwh", "charged_ah", "discharged_ah", "cycles", "uptime_s", "resets")


def driven(seconds: float = 2.0, **other) -> tuple[BenchPack, Bms]:
    pack = BenchPack.of()
    bms = firmware(pack, **other)
    pack.live(bms, Mode.DRIVE, seconds, -50.0)
    return pack, bms


def test_the_slow_task_falls_on_whole_tenths_of_a_second_and_the_step_says_so():
    pack = BenchPack.of()
    bms, at = firmware(pack), []
    for step in range(1, 101):
        scan = bms.report().scan
        slow = bms.step(pack.truth(), Mode.PARKED, 0.01)
        assert bms.report().scan - scan == slow
        if slow:
            at.append(step)
    assert at == list(range(10, 101, 10))


def test_the_slow_task_keeps_its_tenths_through_sleep_and_reset():
    pack = BenchPack.of()
    bms = firmware(pack)
    pack.live(bms, Mode.PARKED, 130.0, dt_s=0.1)
    bms.doze(1_800.0, pack.truth())
    for step in range(1, 31):
        if step == 13:
            bms.reset(clear_counters=False)
        assert bms.step(pack.truth(), Mode.DRIVE, 0.01) is (step % 10 == 0)


def test_cells_are_asked_for_only_when_they_are_scanned():
    pack = BenchPack.of()
    bms, asked = firmware(pack), []
    truth = pack.truth()._replace(cell_volts=lambda: asked.append(1) or pack.cell_volts())
    for _ in range(100):
        bms.step(truth, Mode.PARKED, 0.01)
    assert len(asked) == 10


def test_a_report_is_what_the_sensors_touched_within_their_errors_and_does_not_change_afterwards():
    pack, bms = driven()
    report = bms.report()
    assert abs(report.pack_volts - float(pack.cell_volts().sum())) <= ERRORS.pack_bound(report.pack_volts)
    assert np.abs(np.array(report.cell_volts) - pack.cell_volts()).max() <= ERRORS.cell_bound()
    assert abs(report.raw_current_a + 50.0) <= ERRORS.current_bound(50.0, 22.0)
    assert abs(report.current_a + 50.0) <= ERRORS.current_bound(50.0, 22.0)
    assert report.link_volts == pack.link_volts
    assert report.mode is Mode.DRIVE
    assert report.awake
    assert report.contactors.stage is Stage.CLOSED
    assert report.limits == bms.limits
    assert report.soc == bms.charge
    assert report.identity == bms.identity
    assert (report.cooling, report.heating) == (bms.cooling, bms.heating)
    before = tuple(report)
    pack.live(bms, Mode.PARKED, 2.0)
    assert tuple(report) == before


def test_the_fast_part_of_a_report_moves_every_step_and_the_slow_one_every_tenth():
    pack, bms = driven()
    fast, slow = [], []
    pack.live(bms, Mode.DRIVE, 1.0, -50.0, see=lambda r: (fast.append(r.raw_current_a), slow.append(r.cell_volts)))
    assert len(set(fast)) > 10
    assert len(set(slow)) == pytest.approx(10, abs=1)


def test_the_same_seed_gives_the_same_reports_and_another_seed_others():
    runs = []
    for seed in (7, 7, 8):
        pack, seen = BenchPack.of(), []
        pack.live(firmware(pack, seed), Mode.DRIVE, 3.0, -80.0, see=seen.append)
        runs.append(seen)
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_counters_never_go_back_and_follow_what_flowed_within_the_shunts_error():
    pack, bms = driven()
    first = last = bms.report()
    out_j = in_j = 0.0
    for second in range(600):
        current = -120.0 if second % 5 else 60.0
        before = pack.soc.copy()
        report = pack.live(bms, Mode.DRIVE, 1.0, current, 0.1)
        energy = float(np.sum(pack.cell_volts())) * current
        assert np.sign(pack.soc - before).min() == np.sign(current)
        out_j, in_j = out_j + max(0.0, -energy), in_j + max(0.0, energy)
        for name in COUNTERS:
            assert getattr(report, name) >= getattr(last, name)
        last = report
    assert last.discharged_kwh - first.discharged_kwh == pytest.approx(out_j / 3.6e6, rel=0.02)
    assert last.charged_kwh - first.charged_kwh == pytest.approx(in_j / 3.6e6, rel=0.02)
    assert last.discharged_ah - first.discharged_ah == pytest.approx(480 * 120 / 3_600, rel=0.02)
    assert last.charged_ah - first.charged_ah == pytest.approx(120 * 60 / 3_600, rel=0.02)
    turned = (last.charged_ah - first.charged_ah + last.discharged_ah - first.discharged_ah) / 2 / 230
    assert last.cycles - first.cycles == pytest.approx(turned)
    assert last.uptime_s - first.uptime_s == pytest.approx(600.0)


def test_with_the_contactors_open_nothing_is_counted_whatever_the_shunts_offset_says():
    pack = BenchPack.of()
    bms = firmware(pack, sleeps=False)
    first, last = bms.report(), pack.live(bms, Mode.PARKED, 600.0, dt_s=0.1)
    for name in ("charged_kwh", "discharged_kwh", "charged_ah", "discharged_ah"):
        assert getattr(first, name) == getattr(last, name)


def test_a_used_pack_has_counted_what_a_car_of_its_age_has_and_a_new_one_next_to_nothing():
    for seed in range(20):
        used = firmware(BenchPack.of(96), seed, soh=0.9, age_years=5.0).report()
        assert 5 * 33 * 0.69 < used.cycles < 5 * 33 * 1.4 + 2.1
        assert 0.9 < used.discharged_kwh / used.charged_kwh < 1.0
        assert 8_000 < used.charged_kwh < 24_000
        assert used.uptime_s == pytest.approx(5 * 365.25 * 86_400, abs=1)
        new = firmware(BenchPack.of(96), seed, soh=0.9).report()
        assert 0.5 < new.cycles < 3
        assert new.resets == 0


def test_the_counters_of_a_simulated_pack_are_of_its_age():
    old, new = (SimulatedPack(PackSpec(cells=4, age_years=age), 3).report().cycles for age in (4.0, 0.0))
    assert 4 * 33 * 0.69 < old < 4 * 33 * 1.4 + 2.1
    assert new < 3


def test_a_frozen_charge_stays_while_the_battery_empties_and_comes_back_right_when_it_thaws():
    pack, bms = driven()
    bms.soc_frozen = True
    before = pack.live(bms, Mode.DRIVE, 0.2, -50.0)
    frozen = pack.live(bms, Mode.DRIVE, 600.0, -200.0, 0.5)
    assert frozen.soc == before.soc
    assert frozen.energy.remaining_kwh == pytest.approx(before.energy.remaining_kwh)
    assert min(frozen.cell_volts) < min(before.cell_volts) - 0.1
    bms.soc_frozen = False
    thawed = pack.live(bms, Mode.DRIVE, 0.5, -50.0)
    assert thawed.soc.mean == pytest.approx(float(pack.soc.mean()), abs=0.01)


def test_a_health_of_zero_is_reported_with_no_energy_when_full_and_nothing_else_changes():
    pack, bms = driven()
    before = bms.report()
    bms.soh_zero = True
    report = pack.live(bms, Mode.DRIVE, 0.2, -50.0)
    assert report.soh == 0.0
    assert report.capacity_ah == before.capacity_ah
    assert report.energy.full_kwh == 0.0
    assert report.energy.begin_of_life_kwh == before.energy.begin_of_life_kwh
    assert report.energy.remaining_kwh == pytest.approx(before.energy.remaining_kwh, rel=0.01)
    bms.soh_zero = False
    assert pack.live(bms, Mode.DRIVE, 0.2, -50.0).soh == before.soh == pytest.approx(0.98)


def test_a_parked_pack_falls_asleep_and_says_nothing_until_the_car_wants_something():
    pack, bms = driven()
    awake = 0.0
    while pack.live(bms, Mode.PARKED, 0.1).awake:
        awake += 0.1
    assert awake == pytest.approx(SLEEP_AFTER_S, abs=1.0)
    assert not bms.awake
    assert bms.next_wake_s() == pytest.approx(WAKE_EVERY_S, abs=0.2)
    bms.step(pack.truth(), Mode.DRIVE, 0.01)
    assert bms.awake
    assert bms.report().awake
    assert pack.live(bms, Mode.DRIVE, 0.5).contactors.stage is Stage.CLOSED


@pytest.mark.parametrize("stride", [60.0, 700.0, 3_600.0])
def test_asleep_it_wakes_every_hour_for_half_a_minute(stride):
    pack = BenchPack.of()
    bms = firmware(pack)
    pack.live(bms, Mode.PARKED, SLEEP_AFTER_S + 0.1, dt_s=0.1)
    assert not bms.awake
    up = bms.report().uptime_s
    for _ in range(3):
        slept = awake = 0.0
        while not bms.awake:
            leap = min(stride, bms.next_wake_s())
            bms.doze(leap, pack.truth())
            slept += leap
        while bms.awake:
            pack.step(bms, Mode.PARKED, 0.0, 0.1)
            awake += 0.1
        assert slept == pytest.approx(WAKE_EVERY_S, abs=0.2)
        assert awake == pytest.approx(LOOK_S, abs=0.2)
    assert bms.report().uptime_s - up == pytest.approx(3 * (WAKE_EVERY_S + LOOK_S), abs=1.0), "counters go on asleep"


def test_while_it_sleeps_it_measures_nothing_and_on_waking_it_sees_what_has_become_of_the_cells():
    pack = BenchPack.of(soc=0.7)
    bms = firmware(pack)
    pack.live(bms, Mode.PARKED, SLEEP_AFTER_S + 0.1, dt_s=0.1)
    before = bms.report()
    pack.soc = pack.soc - 0.04
    bms.doze(bms.next_wake_s() - 60.0, pack.truth())
    asleep = bms.report()
    assert (asleep.cell_volts, asleep.soc) == (before.cell_volts, before.soc)
    assert not asleep.awake
    bms.doze(bms.next_wake_s(), pack.truth())
    assert bms.report().soc.mean == pytest.approx(0.66, abs=0.01)


def test_a_pack_on_a_charger_or_told_not_to_sleep_stays_awake():
    pack = BenchPack.of()
    bms = firmware(pack)
    pack.live(bms, Mode.CHARGE_AC, 600.0, dt_s=0.5)
    assert bms.awake
    sleepless = firmware(pack, sleeps=False)
    pack.live(sleepless, Mode.PARKED, 600.0, dt_s=0.5)
    assert sleepless.awake


def test_balancing_keeps_a_parked_pack_awake_for_a_while():
    pack = BenchPack(np.array([0.9, 0.95]))
    bms = firmware(pack)
    assert pack.live(bms, Mode.PARKED, 600.0, dt_s=0.5).balancing in (0, 1)
    assert bms.awake
    pack.live(bms, Mode.PARKED, 1_200.0, dt_s=0.5)
    assert not bms.awake


@pytest.mark.parametrize("rated_ah", [230.0, 2.3])
def test_a_large_pack_bleeds_asleep_too_and_the_estimate_knows_it_and_a_small_one_does_not(rated_ah):
    pack = BenchPack(np.array([0.9, 0.9, 0.95]), capacity_ah=230.0)
    bms = firmware(pack, rated_ah=rated_ah, soh=1.0)
    while bms.awake:
        pack.step(bms, Mode.PARKED, 0.0, 0.5)
    began, believed = pack.soc.copy(), bms._estimate.soc.copy()
    for _ in range(59):
        pack.step(bms, Mode.PARKED, 0.0, 60.0)
    bled = began - pack.soc
    assert (bms.bleed is not None) is (rated_ah > 100)
    if bms.bleed is not None:
        assert bled[2] == pytest.approx(4.13 / 40 / 230, rel=0.05)
        assert (believed - bms._estimate.soc)[2] == pytest.approx(bled[2], rel=0.1)
    else:
        assert bled[2] < 4.13 / 40 / 230 / 20
    assert bled[:2] == pytest.approx(0.0, abs=1e-6)


def test_a_reset_drops_the_contactors_is_silent_while_it_boots_and_is_told_by_its_alert():
    pack, bms = driven()
    before = bms.report()
    bms.reset(clear_counters=False)
    silent, stages = 0.0, set()
    while not bms.awake:
        report = pack.live(bms, Mode.DRIVE, 0.01, -50.0)
        stages.add(report.contactors.stage)
        silent += 0.01
    assert silent == pytest.approx(BOOT_S, abs=0.011)
    assert Stage.CLOSED not in stages
    assert pack.current_a == 0.0
    report = pack.live(bms, Mode.DRIVE, 1.0, -50.0)
    assert report.alerts == {43}
    assert report.contactors.stage is Stage.CLOSED
    assert report.resets == before.resets + 1
    assert report.discharged_kwh >= before.discharged_kwh > 0
    assert report.soh == before.soh
    assert report.soc.mean == pytest.approx(before.soc.mean, abs=0.002), "a watchdog's reset remembers"
    assert not pack.live(bms, Mode.DRIVE, 40.0).alerts


def test_a_reset_that_clears_the_memory_forgets_counters_health_and_charge():
    pack, bms = driven(soh=0.9)
    pack.live(bms, Mode.DRIVE, 600.0, -200.0, 0.5)
    assert bms.report().discharged_kwh > 100 / 96
    bms.reset(clear_counters=True)
    report = pack.live(bms, Mode.DRIVE, 2.0)
    assert report.alerts & {41, 43} == {41}
    assert max(getattr(report, name) for name in COUNTERS if name not in ("uptime_s", "resets")) < 0.01
    assert report.uptime_s <= 2.001
    assert report.resets == 1
    assert report.soh == 1.0
    assert report.soc.mean == pytest.approx(float(pack.soc.mean()), abs=0.025)
    assert report.identity == Identity()


def test_a_swapped_board_has_another_name_other_counters_other_errors_and_begins_from_the_voltages():
    pack, bms = driven()
    bms.identity = replace(bms.identity, vin_answer=b"OSEV__ BMS")
    bms.sensors.stick("temperature", 3)
    before = bms.report()
    bms.swap_board("SIM-BOARD-2")
    assert not bms.awake
    report = pack.live(bms, Mode.DRIVE, 2.0, -50.0)
    assert report.identity == Identity(board_serial="SIM-BOARD-2", vin_answer=b"OSEV__ BMS")
    assert report.charged_kwh != before.charged_kwh
    assert report.charged_kwh > 0
    assert report.soc.mean == pytest.approx(float(pack.soc.mean()), abs=0.025)
    offsets = [np.array(r.temperatures_c) - 22.0 for r in (before, report)]
    assert np.abs(offsets[0] - offsets[1]).max() > 0.1
    other = BenchPack.of()
    again = firmware(other)
    other.live(again, Mode.DRIVE, 2.0, -50.0)
    again.swap_board("SIM-BOARD-2")
    assert other.live(again, Mode.DRIVE, 2.0, -50.0).charged_kwh == report.charged_kwh, "the same board again"


def test_a_board_that_comes_back_into_its_pack_goes_on_counting_where_it_was():
    pack, bms = driven()
    before = bms.report()
    bms.swap_board("SIM-BOARD-2")
    pack.live(bms, Mode.DRIVE, 60.0, -200.0)
    bms.swap_board(before.identity.board_serial)
    report = pack.live(bms, Mode.DRIVE, 1.0)
    assert report.identity == before.identity
    assert report.discharged_kwh == pytest.approx(before.discharged_kwh, abs=1e-4)
    assert np.allclose(report.temperatures_c, before.temperatures_c, atol=0.5)


def test_of_many_boards_that_have_been_in_a_pack_the_last_ones_are_remembered():
    _, bms = driven()
    counted = bms.counters
    for number in range(2 * BOARDS_KEPT):
        bms.swap_board(f"BOARD-{number}")
        bms.counters.resets = 1_000 + number
    assert len(bms._boards) == BOARDS_KEPT
    bms.swap_board(f"BOARD-{BOARDS_KEPT}")
    assert bms.counters.resets == 1_000 + BOARDS_KEPT
    bms.swap_board(Identity().board_serial)
    assert bms.counters is not counted


def test_a_stuck_thermistor_is_believed():
    pack, bms = driven()
    before = bms.report()
    bms.sensors.stick("temperature", 0)
    pack.modules_c = np.full(4, 58.0)
    report = pack.live(bms, Mode.DRIVE, 10.0)
    assert report.temperatures_c[0] == before.temperatures_c[0]
    assert 136 in report.alerts
    assert report.cooling == 1.0


@pytest.mark.parametrize("dt_s", [0.01, 0.1, 1.0, 60.0])
def test_steps_of_any_length_give_finite_and_nearly_equal_opinions(dt_s):
    pack = BenchPack.of(soc=0.8)
    bms = firmware(pack)
    pack.live(bms, Mode.DRIVE, 120.0, dt_s=60.0)
    report = pack.live(bms, Mode.DRIVE, 120.0, -300.0, dt_s)
    assert report.soc.mean == pytest.approx(0.8 - 300 * 120 / 3_600 / 230, abs=0.005)
    assert report.current_a == pytest.approx(-300.0, abs=3.0)
    flat = [value for value in report if isinstance(value, float)]
    assert all(math.isfinite(value) for value in [*flat, *report.soc, *report.energy, *report.limits])
    assert not report.alerts


class FastCharger:
    """A station that gives five kilowatts, which is much for four cells."""

    def advance(self, dt_s, soc):
        return Demand(Mode.CHARGE_DC, 5_000.0)


@pytest.mark.soak
def test_direct_current_charging_tapers_and_never_lifts_a_brick_beyond_its_limit():
    pack = SimulatedPack(PackSpec(cells=4, soc=0.88), 3, FastCharger())
    highest, currents = 0.0, []
    for second in range(1, 1_200):
        pack.advance_to(second * 1_000_000)
        highest = max(highest, float(pack.physics.cell_volts().max()))
        currents.append(pack.physics.current_a)
    assert max(currents) > 90
    assert 0 < currents[-1] < 0.6 * max(currents)
    assert 4.18 < highest < 4.2, "constant voltage, just below the limit"
    settled = np.array(currents[60:])
    assert np.abs(np.diff(settled)).max() < 0.1 * max(currents), "the taper must not swing"


@pytest.mark.soak
def test_a_charge_that_ends_by_itself_ends_below_a_twentieth_with_every_brick_within_its_limit():
    pack = SimulatedPack(PackSpec(cells=4, soc=0.97), 3, FastCharger())
    highest, last = 0.0, 0.0
    while not pack.bms.charge_complete:
        last = max(pack.physics.current_a, 0.0)
        pack.advance_to(pack.time_us + 1_000_000)
        highest = max(highest, float(pack.physics.cell_volts().max()))
        assert pack.time_us < 3_600_000_000
    assert 4.18 < highest < 4.2
    assert last < 230 / 20 + 1.0
    pack.advance_to(pack.time_us + 1_000_000)
    assert pack.physics.current_a == pytest.approx(0.0, abs=0.1)
    assert float(pack.physics.soc.mean()) > 0.98


def test_the_current_is_what_the_car_demands_and_is_positive_into_the_battery():
    pack, differences = SimulatedPack(PackSpec(cells=96), 1), []
    for block in range(1, 600):
        before = pack.demand.power_w
        pack.advance_to(block * 100_000)
        if pack.bms.contactors.stage is Stage.CLOSED and pack.bms.contactors.in_stage_s > 0.2:
            physics, steps = pack.physics, abs(pack.demand.power_w - before) / 10
            differences.append(abs(physics.current_a * physics.pack_volts() - pack.demand.power_w) - steps)
            assert physics.current_a < 0 or pack.demand.power_w > -1_000.0
    assert len(differences) > 500
    assert max(differences) < 200.0
