"""Whatever happens to a pack, in steps of whatever length: the firmware keeps its head, and its promises."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.bms.firmware import Bms
from firmware_sim.bms.report import BmsReport
from firmware_sim.car.demand import Mode
from firmware_sim.cells.chemistry import CHEMISTRIES
from tests.bench_pack import BenchPack, firmware

COUNTERS = ("charged_kwh", "discharged_kwh", "charged_ah", "discharged_ah", "cycles", "uptime_s", "resets")
EVENTS = {
    "nothing": lambda pack, bms: None,
    "cold": lambda pack, bms: setattr(pack, "modules_c", np.full(4, -30.0)),
    "hot": lambda pack, bms: setattr(pack, "modules_c", np.array([20.0, 95.0, 20.0, 20.0])),
    "leak": lambda pack, bms: setattr(pack, "isolation_kohm", 0.0),
    "dead cell": lambda pack, bms: pack.soc.__setitem__(0, -0.5),
    "weld": lambda pack, bms: setattr(pack, "positive_welded", True),
    "broken link": lambda pack, bms: setattr(pack, "link_broken", not pack.link_broken),
    "interlock": lambda pack, bms: setattr(bms, "interlock_open", not bms.interlock_open),
    "stuck cell": lambda pack, bms: bms.sensors.stick("cell", 1),
    "stuck current": lambda pack, bms: bms.sensors.stick("current"),
    "frozen": lambda pack, bms: setattr(bms, "soc_frozen", not bms.soc_frozen),
    "reset": lambda pack, bms: bms.reset(clear_counters=False),
    "swap": lambda pack, bms: bms.swap_board("OTHER"),
}
moments = st.tuples(
    st.sampled_from(list(Mode)),
    st.floats(-1_500.0, 800.0),
    st.sampled_from([0.01, 0.1, 0.35, 1.0, 17.0, 60.0]),
    st.integers(1, 25),
    st.sampled_from(list(EVENTS)),
)


def numbers(report: BmsReport) -> list[float]:
    """Everything in a report that is a number; isolation may be unknown."""
    plain = [value for value in report if isinstance(value, int | float)]
    known = [value for value in plain if value is not report.isolation_kohm]
    return [*known, *report.cell_volts, *report.temperatures_c, *report.soc, *report.energy, *report.limits]


def check(report: BmsReport, bms: Bms) -> None:
    assert all(math.isfinite(value) for value in numbers(report))
    assert report.isolation_kohm > 0
    assert all(0.0 <= value <= 1.0 for value in (*report.soc, report.soh, report.cooling, report.heating))
    assert min(report.limits) >= 0.0
    assert 0.0 <= report.energy.remaining_kwh <= report.energy.full_kwh * (1 + 1e-9)
    assert not (report.cooling and report.heating)
    assert report.contactors.stage is bms.contactors.stage
    assert not report.faulted or report.alerts
    assert bms.next_wake_s() >= 0.0
    assert bms.awake is (bms.next_wake_s() == 0.0)


@given(
    st.sampled_from(sorted(CHEMISTRIES)),
    st.floats(0.0, 1.0),
    st.integers(0, 50),
    st.lists(moments, min_size=1, max_size=8),
)
def test_no_life_makes_it_report_nonsense_or_count_backwards(chemistry, soc, seed, life):
    pack = BenchPack.of(5, soc, chemistry=CHEMISTRIES[chemistry])
    bms = firmware(pack, seed)
    for mode, current, dt_s, steps, event in life:
        EVENTS[event](pack, bms)
        last = bms.report()  # a swapped board has counted otherwise, and reports so with its next scan
        for _ in range(steps):
            pack.step(bms, mode, current, dt_s)
            report = bms.report()
            check(report, bms)
            if last.identity == report.identity:
                assert all(getattr(report, name) >= getattr(last, name) for name in COUNTERS)
            last = report


@given(st.lists(moments, min_size=1, max_size=6))
def test_the_same_life_gives_the_same_reports(life):
    runs = []
    for _ in range(2):
        pack = BenchPack.of(3, 0.7)
        bms, seen = firmware(pack, 9), []
        for mode, current, dt_s, steps, event in life:
            EVENTS[event](pack, bms)
            pack.live(bms, mode, steps * dt_s, current, dt_s, see=seen.append)
        runs.append(seen)
    assert runs[0] == runs[1]
