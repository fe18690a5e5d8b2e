import math
import re
from pathlib import Path

import pytest

from firmware_sim.bms.alerts import RULES_OF, STORE_RULES, AlertMonitor, Opens, Vitals
from firmware_sim.bms.contactors import Stage
from firmware_sim.car.demand import Mode
from firmware_sim.cells.chemistry import CHEMISTRIES
from tests.bench_pack import BenchPack, firmware

ROOT = Path(__file__).resolve().parents[2]
HEALTHY = Vitals(
    brick_min_v=3.3,
    brick_max_v=3.32,
    brick_mean_v=3.31,
    over_limit_c=-2.0,
    inward=False,
    temperature_min_c=20.0,
    temperature_max_c=22.0,
    isolation_ohm_per_v=11_000.0,
    soc=0.6,
    soc_spread=0.01,
    charging=False,
    closed=True,
    precharge_failed=False,
    forced_open=False,
    interlock_open=False,
    mismatch=False,
    welded=False,
    memory_lost=False,
    watchdog_bit=False,
)
ILL = {
    7: {"temperature_min_c": -8.0, "charging": True},
    17: {"brick_max_v": 4.3},
    18: {"brick_min_v": 2.2},
    19: {"temperature_max_c": 61.0},
    22: {"over_limit_c": 0.3},
    23: {"brick_mean_v": 4.24},
    35: {"isolation_ohm_per_v": 499.0},
    36: {"interlock_open": True},
    41: {"memory_lost": True},
    43: {"watchdog_bit": True},
    62: {"brick_max_v": 3.65},
    64: {"soc_spread": 0.12},
    69: {"soc": 0.04},
    82: {"forced_open": True},
    83: {"precharge_failed": True},
    123: {"isolation_ohm_per_v": 99.0, "closed": False},
    136: {"temperature_max_c": 53.0},
    137: {"brick_min_v": 2.55},
    138: {"brick_max_v": 4.22},
    146: {"brick_min_v": 1.9},
    151: {"isolation_ohm_per_v": 99.0},
    163: {"mismatch": True},
    166: {"welded": True},
}


@pytest.mark.parametrize("number", ILL)
@pytest.mark.parametrize("chemistry", RULES_OF)
def test_an_alert_waits_out_its_debounce_and_clears_only_below_its_hysteresis(number, chemistry):
    rule = next(rule for rule in RULES_OF[chemistry] if rule.number == number)
    monitor, ill = AlertMonitor(RULES_OF[chemistry]), HEALTHY._replace(**ILL[number])
    steps = 0
    while number not in monitor.active:
        monitor.step(ill, 0.1)
        steps += 1
        assert steps < 1_000
    assert steps * 0.1 == pytest.approx(max(0.1, rule.raise_s), abs=0.11)
    if rule.clear_s:
        monitor.step(HEALTHY, 0.1)
        monitor.step(ill, 0.1)
        assert number in monitor.active, "a moment of health does not clear it"
    well = HEALTHY._replace(closed=number != 123)
    for _ in range(700):
        monitor.step(well, 0.1)
    if rule.stays:
        assert monitor.active == {number}, "it stays until somebody clears it"
        monitor.clear()
    assert monitor.active == frozenset()
    monitor.step(well, 0.1)
    assert monitor.active == frozenset()


def test_only_alerts_of_welded_contacts_stay_when_their_cause_is_gone():
    assert {rule.number for rule in RULES_OF["NMC"] if rule.stays} == {163, 166}


def test_every_alert_of_the_shipped_profile_can_be_raised_by_something():
    named = re.findall(r"SG_ BMS_a(\d{3})_", (ROOT / "config/profiles/tesla-model3.dbc").read_text())
    assert {int(number) for number in named} <= ILL.keys()
    for rules in RULES_OF.values():
        assert {rule.number for rule in rules} == ILL.keys()


@pytest.mark.parametrize("chemistry", RULES_OF)
def test_a_healthy_pack_raises_nothing_anywhere_in_its_range(chemistry):
    cell = CHEMISTRIES[chemistry]
    monitor = AlertMonitor(RULES_OF[chemistry])
    for low in (cell.empty_v + 0.6, 3.3, cell.full_v - 0.02):
        for _ in range(200):
            monitor.step(HEALTHY._replace(brick_min_v=low, brick_max_v=low + 0.01, brick_mean_v=low), 0.1)
        assert not monitor.active


def test_a_spike_shorter_than_the_debounce_raises_nothing():
    monitor = AlertMonitor()
    for _ in range(20):
        monitor.step(HEALTHY._replace(brick_max_v=4.3), 0.1)
        monitor.step(HEALTHY, 0.1)
    assert not monitor.active


@pytest.mark.parametrize(("inward", "number"), [(True, 201), (False, 202)])
def test_a_store_warns_of_a_current_that_stays_beyond_its_limit_and_not_of_one_that_follows_it(inward, number):
    monitor = AlertMonitor(STORE_RULES)
    for tenth in range(600):
        monitor.step(HEALTHY._replace(over_limit_c=0.05 if tenth % 20 else 0.1, inward=inward), 0.1)
        assert not monitor.active
    for _ in range(31):
        monitor.step(HEALTHY._replace(over_limit_c=0.1, inward=inward), 0.1)
    assert monitor.active == {number}
    for tenth in range(600):
        monitor.step(HEALTHY._replace(over_limit_c=0.02 if tenth % 20 else 0.09, inward=inward), 0.1)
    assert monitor.active == {number}, "about its thresholds it does not chatter"
    for _ in range(101):
        monitor.step(HEALTHY._replace(inward=inward), 0.1)
    assert not monitor.active
    assert not monitor.opening


def test_a_single_coarse_step_counts_for_as_long_as_it_is():
    monitor = AlertMonitor()
    monitor.step(HEALTHY._replace(soc=0.02), 60.0)
    assert monitor.active == {69}


def test_what_cannot_be_judged_stays_as_it_is():
    monitor = AlertMonitor()
    for _ in range(40):
        monitor.step(HEALTHY._replace(isolation_ohm_per_v=50.0), 0.1)
    assert monitor.active == {35, 151}
    for _ in range(300):
        monitor.step(HEALTHY._replace(closed=False), 0.1)
    assert monitor.active == {151}, "with the contactors open nothing can be said of what is outside"


def test_a_leak_outside_stops_a_charge_but_not_a_drive_and_one_inside_keeps_the_contactors_open():
    monitor = AlertMonitor()
    outside = HEALTHY._replace(isolation_ohm_per_v=50.0)
    for _ in range(40):
        monitor.step(outside, 0.1)
    assert not monitor.opening
    monitor.step(outside._replace(charging=True), 0.1)
    assert monitor.opening
    for _ in range(40):
        monitor.step(outside._replace(closed=False), 0.1)
    assert 123 in monitor.active
    assert monitor.opening


@pytest.mark.parametrize(("ohm_per_v", "active"), [(math.inf, set()), (501.0, set()), (499.0, {35}), (99.0, {35, 151})])
def test_isolation_is_judged_by_the_100_and_500_ohms_per_volt_of_the_regulation(ohm_per_v, active):
    monitor = AlertMonitor()
    for _ in range(40):
        monitor.step(HEALTHY._replace(isolation_ohm_per_v=ohm_per_v), 0.1)
    assert monitor.active == active


def test_each_alert_that_endangers_opens_and_each_warning_does_not():
    opening = {rule.number for rule in RULES_OF["NMC"] if rule.opens is Opens.ALWAYS}
    assert opening == {17, 18, 19, 22, 23, 36, 123, 146, 163, 166}


def test_a_dangerous_alert_opens_the_contactors_while_driving():
    pack = BenchPack.of()
    bms = firmware(pack)
    assert pack.live(bms, Mode.DRIVE, 0.6).contactors.stage is Stage.CLOSED
    pack.soc[2] = -0.06
    report = pack.live(bms, Mode.DRIVE, 2.0)
    assert report.contactors.stage is Stage.OPEN
    assert report.faulted
    assert {18, 82} <= report.alerts


def test_an_open_interlock_opens_the_contactors_and_closing_it_lets_them_close_again():
    pack = BenchPack.of()
    bms = firmware(pack)
    pack.live(bms, Mode.DRIVE, 1.0)
    bms.interlock_open = True
    report = pack.live(bms, Mode.DRIVE, 1.0)
    assert report.interlock_open
    assert {36, 82} <= report.alerts
    assert report.contactors.stage is Stage.OPEN
    bms.interlock_open = False
    report = pack.live(bms, Mode.DRIVE, 4.0)
    assert report.contactors.stage is Stage.CLOSED
    assert not report.alerts


def test_more_current_than_the_limit_allows_is_over_current():
    pack = BenchPack.of()
    bms = firmware(pack)
    pack.live(bms, Mode.DRIVE, 1.0)
    report = pack.live(bms, Mode.DRIVE, 2.0, current=-1_400.0)
    assert 22 in report.alerts
    assert report.contactors.stage is Stage.OPEN


@pytest.mark.parametrize(("kohm", "alerts"), [(8.0, {35}), (1.0, {35, 151})])
def test_the_firmware_sees_a_leak_while_driving_by_its_own_monitor(kohm, alerts):
    pack = BenchPack.of(isolation_kohm=kohm)
    bms = firmware(pack)
    report = pack.live(bms, Mode.DRIVE, 30.0)
    assert report.alerts == alerts
    assert report.contactors.stage is Stage.CLOSED


def test_a_leak_in_the_pack_itself_is_found_with_the_contactors_open_and_forbids_closing():
    pack = BenchPack.of(isolation_kohm=1.0)
    bms = firmware(pack)
    assert 123 in pack.live(bms, Mode.PARKED, 20.0).alerts
    assert pack.live(bms, Mode.DRIVE, 2.0).contactors.stage is Stage.OPEN
    pack.isolation_kohm = 4_000.0
    assert pack.live(bms, Mode.DRIVE, 60.0).contactors.stage is Stage.CLOSED
