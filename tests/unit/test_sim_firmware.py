import numpy as np
import pytest

from firmware_sim.bms.alerts import RULES, AlertMonitor, Vitals
from firmware_sim.bms.contactors import Coil, Contactors, Stage
from firmware_sim.bms.firmware import Bms, Truth
from firmware_sim.bms.limits import Condition, limits_for
from firmware_sim.car.driving import DC_W, Demand, Mode
from firmware_sim.cells.physics import PackSpec
from firmware_sim.simulated_pack import SimulatedPack

HEALTHY = {
    "brick_min_v": 3.7,
    "brick_max_v": 3.72,
    "brick_mean_v": 3.71,
    "current_a": 0.0,
    "current_limit_a": 500.0,
    "temperature_min_c": 20.0,
    "temperature_max_c": 22.0,
    "isolation_kohm": 4_000.0,
    "soc": 0.6,
    "soc_spread": 0.01,
    "charging": False,
    "precharge_failed": False,
    "forced_open": False,
}


def truth(
    volts: float = 3.7, cells: int = 6, current_a: float = 0.0, link: float = 0.0, celsius: float = 20.0
) -> Truth:
    return Truth(current_a, volts * cells, lambda: np.full(cells, volts), link, celsius)


def test_the_contactors_close_only_after_the_link_has_come_up():
    pair = Contactors()
    seen = []
    for step in range(100):
        pair.step(0.01, wanted=True, forbidden=False, link_fraction=min(1.0, step / 40), current_a=0.0)
        seen.append(pair.stage)
    assert seen[0] is Stage.PRECHARGE
    assert seen.index(Stage.CLOSED) == 38
    assert pair.report().positive is Coil.ECONOMIZED


def test_a_link_that_does_not_come_up_blocks_the_contactors_until_nobody_wants_them():
    pair = Contactors()
    for _ in range(200):
        pair.step(0.01, wanted=True, forbidden=False, link_fraction=0.3, current_a=0.0)
    assert pair.stage is Stage.BLOCKED
    pair.step(0.01, wanted=False, forbidden=False, link_fraction=0.3, current_a=0.0)
    assert pair.stage is Stage.OPEN


def test_opening_waits_for_the_current_to_fall_but_not_for_ever():
    for current, steps in ((0.0, 2), (300.0, 52)):
        pair = Contactors(Stage.CLOSED)
        count = 0
        while pair.stage is not Stage.OPEN:
            pair.step(0.01, wanted=False, forbidden=False, link_fraction=1.0, current_a=current)
            count += 1
        assert count == pytest.approx(steps, abs=1)


@pytest.mark.parametrize(
    ("number", "vitals"),
    [
        (17, {"brick_max_v": 4.3}),
        (18, {"brick_min_v": 2.4}),
        (19, {"temperature_max_c": 61.0}),
        (22, {"current_a": -600.0}),
        (35, {"isolation_kohm": 150.0}),
        (62, {"brick_max_v": 3.9}),
        (69, {"soc": 0.04}),
        (83, {"precharge_failed": True}),
    ],
)
def test_an_alert_waits_out_its_debounce_and_clears_only_below_its_hysteresis(number, vitals):
    rule = next(rule for rule in RULES if rule.number == number)
    monitor, ill = AlertMonitor(), Vitals(**{**HEALTHY, **vitals})
    steps = 0
    while number not in monitor.active:
        monitor.step(ill, 0.1)
        steps += 1
        assert steps < 1_000
    assert steps * 0.1 == pytest.approx(max(0.1, rule.raise_s), abs=0.11)
    monitor.step(Vitals(**HEALTHY), 0.1)
    monitor.step(ill, 0.1)
    assert number in monitor.active, "a moment of health does not clear it"
    for _ in range(700):
        monitor.step(Vitals(**HEALTHY), 0.1)
    assert monitor.active == frozenset()


def test_a_spike_shorter_than_the_debounce_raises_nothing():
    monitor = AlertMonitor()
    for _ in range(20):
        monitor.step(Vitals(**{**HEALTHY, "brick_max_v": 4.3}), 0.1)
        monitor.step(Vitals(**HEALTHY), 0.1)
    assert not monitor.active


def test_a_dangerous_alert_opens_the_contactors_while_driving():
    bms = Bms(truth(), 1)
    for _ in range(60):
        bms.step(truth(link=22.2), Mode.DRIVE, 0.01)
    assert bms.report().contactors.stage is Stage.CLOSED
    for _ in range(200):
        bms.step(truth(volts=2.3, link=13.8), Mode.DRIVE, 0.01)
    report = bms.report()
    assert report.contactors.stage is Stage.OPEN
    assert report.faulted
    assert {18, 82} <= report.alerts


def test_the_shunt_is_imperfect_so_the_estimate_drifts_from_the_truth_but_not_far():
    pack = SimulatedPack(PackSpec(cells=6, soc=0.7), 11)
    pack.advance_to(250_000_000)
    true, believed = float(pack.physics.soc.mean()), pack.report().soc.mean
    assert true < 0.699
    assert 1e-6 < abs(true - believed) < 0.01


def test_lifetime_energy_never_goes_back_and_follows_the_terminals_within_the_shunts_error():
    pack = SimulatedPack(PackSpec(cells=6, soc=0.7), 2)
    first = last = pack.report()
    for second in range(1, 150):
        pack.advance_to(second * 1_000_000)
        report = pack.report()
        assert report.charged_kwh >= last.charged_kwh
        assert report.discharged_kwh >= last.discharged_kwh
        last = report
    out = pack.physics.energy.delivered_out / 3.6e6
    assert last.discharged_kwh - first.discharged_kwh == pytest.approx(out, rel=0.03)


def test_the_current_is_what_the_car_demands_and_is_positive_into_the_battery():
    pack = SimulatedPack(PackSpec(cells=96), 1)
    worst = 0.0
    for step in range(1, 6_000):
        pack.advance_to(step * 10_000)
        if pack.bms.contactors.stage is Stage.CLOSED and pack.bms.contactors.in_stage_s > 0.1:
            physics = pack.physics
            worst = max(worst, abs(physics.current_a * physics.pack_volts() - pack.demand.power_w))
            assert physics.current_a < 0 or pack.demand.power_w > 0
    assert worst < 4_000.0


def test_limits_fall_to_nothing_when_empty_full_or_hot_and_cold_spares_the_anode():
    def limits(soc, volts, coldest, hottest):
        return limits_for(Condition(96, soc, volts, volts, coldest, hottest, 0.0))

    usual = limits(0.6, 3.8, 20, 25)
    assert limits(0.0, 3.0, 20, 25).discharge_kw == 0
    assert limits(0.1, 2.6, 20, 25).discharge_kw == 0
    assert limits(1.0, 4.1, 20, 25).charge_a == 0
    assert limits(0.8, 4.2, 20, 25).charge_a == 0
    assert limits(0.6, 3.8, 55, 60).discharge_kw == 0
    assert limits(0.6, 3.8, -10, -8).regen_kw < 0.1 * usual.regen_kw
    assert usual.discharge_kw == pytest.approx(96 * 2.7 * 1.1)


def test_direct_current_charging_tapers_and_never_lifts_a_brick_beyond_its_limit():
    class FastCharger:
        def advance(self, dt_s, soc):
            return Demand(Mode.CHARGE_DC, DC_W)

    pack = SimulatedPack(PackSpec(cells=4, soc=0.88), 3, FastCharger())
    highest, currents = 0.0, []
    for second in range(1, 300):
        pack.advance_to(second * 1_000_000)
        highest = max(highest, float(pack.physics.cell_volts().max()))
        currents.append(pack.physics.current_a)
    assert max(currents) > 150
    assert 0 < currents[-1] < 0.6 * max(currents)
    assert 4.19 < highest < 4.2, "constant voltage, just below the limit"
    settled = np.array(currents[30:])
    assert np.abs(np.diff(settled)).max() < 0.1 * max(currents), "the taper must not swing"
