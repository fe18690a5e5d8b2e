import pytest

from firmware_sim.bms.contactors import AGREED_S, ATTEMPTS, COOL_DOWN_S, Coil, Contactors, Stage
from firmware_sim.bus.tesla_states import bms_state
from firmware_sim.car.demand import Mode
from tests.bench_pack import BenchPack, firmware


def step(pair: Contactors, seconds: float = 0.01, *, link: float = 0.0, current: float = 0.0, **other) -> None:
    """Steps of 10 ms with auxiliary contacts that obey, unless `positive` or `negative` says otherwise."""
    for _ in range(round(seconds / 0.01)):
        pair.step(
            0.01,
            wanted=other.get("wanted", True),
            forbidden=other.get("forbidden", False),
            link_fraction=link,
            current_a=current,
            positive_closed=other.get("positive", pair.closed_positive),
            negative_closed=other.get("negative", pair.closed_negative),
        )


def closed_pair() -> Contactors:
    pair = Contactors()
    step(pair, 0.5, link=1.0)
    assert pair.stage is Stage.CLOSED
    return pair


def test_the_contactors_close_only_after_the_link_has_come_up():
    pair, seen = Contactors(), []
    for count in range(100):
        step(pair, link=min(1.0, count / 40))
        seen.append(pair.stage)
    assert seen[0] is Stage.PRECHARGE
    assert seen.index(Stage.CLOSED) == 38
    assert pair.report().positive is Coil.ECONOMIZED


def test_the_negative_coil_is_told_to_close_for_precharge_and_the_positive_only_after_it():
    pair = Contactors()
    assert (pair.precharging, pair.closed_negative, pair.closed_positive) == (False, False, False)
    step(pair)
    assert (pair.precharging, pair.closed_negative, pair.closed_positive) == (True, True, False)
    step(pair, 0.2, link=1.0)
    assert (pair.precharging, pair.closed_negative, pair.closed_positive) == (False, True, True)
    assert Contactors(Stage.CLOSED).closed_positive


def test_a_link_that_does_not_come_up_blocks_the_contactors_until_nobody_wants_them():
    pair = Contactors()
    step(pair, 2.0, link=0.3)
    assert pair.stage is Stage.BLOCKED
    step(pair, link=0.3, wanted=False)
    assert pair.stage is Stage.OPEN


def test_a_failed_precharge_is_tried_again_after_the_resistor_has_cooled_and_not_more_than_three_times():
    pair, attempts = Contactors(), []
    for count in range(3_000):
        before = pair.stage
        step(pair, link=0.3)
        if before is not Stage.PRECHARGE and pair.stage is Stage.PRECHARGE:
            attempts.append(count * 0.01)
    assert len(attempts) == ATTEMPTS
    assert attempts[1] - attempts[0] == pytest.approx(1.0 + COOL_DOWN_S, abs=0.05)
    assert pair.stage is Stage.BLOCKED
    step(pair, 0.05, wanted=False)
    step(pair, 0.5, link=1.0)
    assert pair.stage is Stage.CLOSED, "wanted anew, it begins anew"
    assert pair.failures == 0


def test_asking_anew_does_not_spare_the_resistor_its_rest():
    pair = Contactors()
    step(pair, 1.5, link=0.3)
    step(pair, 0.05, wanted=False)
    step(pair, 2.0, link=0.3)
    assert pair.stage is Stage.OPEN


@pytest.mark.parametrize("why", [{"forbidden": True}, {"wanted": False}])
def test_precharge_is_given_up_at_once(why):
    pair = Contactors()
    step(pair, 0.05, link=0.3)
    step(pair, link=0.3, **why)
    assert pair.stage is Stage.OPEN


def test_opening_waits_for_the_current_to_fall_but_not_for_ever():
    for current, steps in ((0.0, 2), (300.0, 52)):
        pair, count = closed_pair(), 0
        while pair.stage is not Stage.OPEN:
            step(pair, link=1.0, current=current, wanted=False)
            assert pair.closed_positive is (pair.stage is Stage.OPENING)
            count += 1
        assert count == pytest.approx(steps, abs=1)


def test_a_link_that_stays_live_after_opening_is_two_welded_contactors():
    pair = closed_pair()
    step(pair, 1.9, link=1.0, wanted=False, positive=True, negative=True)
    assert pair.stage is Stage.OPEN
    step(pair, 0.2, link=1.0, wanted=False, positive=True, negative=True)
    assert pair.stage is Stage.WELDED
    assert (pair.report().positive, pair.report().negative) == (Coil.WELDED, Coil.WELDED)
    assert not pair.closed_positive
    step(pair, 1.0, link=1.0, positive=True, negative=True)
    assert pair.stage is Stage.WELDED, "it does not close what it cannot open"
    step(pair, 0.05, link=0.2, wanted=False)
    assert pair.stage is Stage.OPEN


def test_a_link_that_bleeds_down_is_no_weld():
    pair, link = closed_pair(), 1.0
    for _ in range(1_000):
        step(pair, link=link, wanted=False)
        link *= 0.995
        assert pair.stage is not Stage.WELDED


def test_one_welded_pole_is_found_by_its_auxiliary_contact_and_forbids_closing():
    pair = closed_pair()
    step(pair, 0.5, link=0.3, wanted=False, positive=True)
    assert pair.stage is Stage.OPEN
    assert pair.mismatch
    assert (pair.report().positive, pair.report().negative) == (Coil.WELDED, Coil.OPEN)
    step(pair, 1.0, link=0.3, positive=True)
    assert pair.stage is Stage.OPEN
    step(pair, AGREED_S + 0.1, link=0.3, wanted=False)
    assert not pair.mismatch
    step(pair, 0.5, link=1.0)
    assert pair.stage is Stage.CLOSED


def test_a_contactor_that_was_told_to_close_and_did_not_is_opened_again():
    pair = closed_pair()
    step(pair, 0.5, link=1.0, positive=False)
    assert pair.mismatch
    assert pair.stage in (Stage.OPENING, Stage.OPEN)


def test_a_contact_that_takes_a_moment_to_follow_is_no_mismatch():
    pair = Contactors()
    step(pair, 0.2, link=1.0)
    step(pair, 0.1, link=1.0, positive=False)
    step(pair, 0.5, link=1.0)
    assert pair.stage is Stage.CLOSED
    assert not pair.mismatch


def test_coils_without_supply_drop_whatever_flows():
    pair = closed_pair()
    pair.drop()
    assert pair.stage is Stage.OPEN
    assert (pair.closed_negative, pair.closed_positive) == (False, False)


@pytest.mark.parametrize(
    ("poles", "alerts", "stage"),
    [(("positive_welded",), {163}, Stage.OPEN), (("positive_welded", "negative_welded"), {166}, Stage.WELDED)],
)
def test_the_firmware_tells_one_welded_pole_from_two(poles, alerts, stage):
    pack = BenchPack.of()
    bms = firmware(pack)
    pack.live(bms, Mode.DRIVE, 2.0)
    for pole in poles:
        setattr(pack, pole, True)
    report = pack.live(bms, Mode.PARKED, 5.0)
    assert report.alerts & {163, 166} == alerts
    assert report.contactors.stage is stage
    assert report.faulted
    pack.positive_welded = pack.negative_welded = False
    report = pack.live(bms, Mode.DRIVE, 20.0)
    assert report.alerts & {163, 166} == alerts, "contacts that have welded once are not trusted again"
    assert report.contactors.stage is Stage.OPEN
    if len(poles) == 1:
        bms.clear_faults()
    else:
        bms.reset(clear_counters=False)
    report = pack.live(bms, Mode.DRIVE, 40.0)
    assert not report.alerts
    assert report.contactors.stage is Stage.CLOSED


def test_a_weld_that_is_cleared_and_still_there_is_found_again():
    pack = BenchPack.of()
    bms = firmware(pack)
    pack.live(bms, Mode.DRIVE, 2.0)
    pack.positive_welded = pack.negative_welded = True
    pack.live(bms, Mode.PARKED, 5.0)
    bms.clear_faults()
    assert 166 in pack.live(bms, Mode.PARKED, 1.0).alerts


@pytest.mark.parametrize("poles", [("positive_welded",), ("negative_welded",), ("positive_welded", "negative_welded")])
def test_the_bus_says_weld_and_not_just_fault(poles):
    pack = BenchPack.of()
    bms = firmware(pack)
    assert bms_state(pack.live(bms, Mode.DRIVE, 2.0)) == 1
    for pole in poles:
        setattr(pack, pole, True)
    assert bms_state(pack.live(bms, Mode.PARKED, 5.0)) == 7
    bms.interlock_open, pack.positive_welded, pack.negative_welded = True, False, False
    pack.live(bms, Mode.PARKED, 20.0)
    bms.reset(clear_counters=False)
    assert bms_state(pack.live(bms, Mode.PARKED, 5.0)) == 6


def test_a_link_that_cannot_come_up_raises_the_alert_of_a_failed_closing():
    pack = BenchPack.of(link_broken=True)
    report = pack.live(firmware(pack), Mode.DRIVE, 3.0)
    assert report.contactors.stage is Stage.BLOCKED
    assert 83 in report.alerts


def test_a_contactor_may_be_worked_in_coarse_steps_too():
    pack = BenchPack.of()
    bms = firmware(pack)
    assert pack.live(bms, Mode.DRIVE, 180.0, dt_s=60.0).contactors.stage is Stage.CLOSED
    assert pack.live(bms, Mode.PARKED, 180.0, dt_s=60.0).contactors.stage is Stage.OPEN
