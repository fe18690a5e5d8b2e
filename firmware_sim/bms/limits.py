"""How much power the pack allows now, by charge, brick voltage and temperature. Pure."""

from __future__ import annotations

from dataclasses import dataclass

DISCHARGE_W = 3_600.0  # per brick: 346 kW for 96
REGEN_W = 890.0  # per brick: 85 kW for 96
CHARGE_W = 1_770.0  # per brick: 170 kW for 96
MAX_DISCHARGE_A = 1_200.0
MAX_CHARGE_A = 600.0
FULL_V = 4.195
EMPTY_V = 2.7
BRICK_OHM = 1.0e-3  # somewhat more than a brick has, so that the limit is approached from below


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be asked of the pack: kW for driving, volts and amperes for whoever charges or loads it."""

    discharge_kw: float
    regen_kw: float
    charge_a: float
    discharge_a: float
    min_volts: float
    max_volts: float


@dataclass(frozen=True, slots=True)
class Condition:
    """What limits follow from: charge as a fraction, extreme bricks and sensors, amperes into the battery."""

    cells: int
    soc: float
    brick_min_v: float
    brick_max_v: float
    coldest_c: float
    hottest_c: float
    current_a: float


def limits_for(now: Condition) -> Limits:
    """The limits in this condition.

    Towards a brick's voltage limit the current is limited to what would just reach it, from the voltage and current of
    the same moment: a charger that follows is then in constant voltage without swinging.
    """
    volts = max(1.0, now.cells * (now.brick_min_v + now.brick_max_v) / 2)
    hot = _ramp(now.hottest_c, 60.0, 45.0)
    cold = 0.04 + 0.96 * _ramp(now.coldest_c, -5.0, 18.0)
    charge_w = CHARGE_W * now.cells * cold * hot * _ramp(now.soc, 1.0, 0.85)
    rise_a = max(0.0, now.current_a + (FULL_V - now.brick_max_v) / BRICK_OHM)
    charge_a = min(charge_w / volts, rise_a, MAX_CHARGE_A)
    stiff = 0.35 + 0.65 * _ramp(now.coldest_c, -20.0, 10.0)
    discharge_w = DISCHARGE_W * now.cells * hot * _ramp(now.soc, 0.0, 0.12) * stiff
    fall_a = max(0.0, (now.brick_min_v - EMPTY_V) / BRICK_OHM - now.current_a)
    discharge_a = min(discharge_w / volts, fall_a, MAX_DISCHARGE_A)
    return Limits(
        discharge_kw=min(discharge_w, fall_a * EMPTY_V * now.cells) / 1_000.0,
        regen_kw=min(REGEN_W * now.cells, charge_a * volts) / 1_000.0,
        charge_a=charge_a,
        discharge_a=discharge_a,
        min_volts=2.5 * now.cells,
        max_volts=4.2 * now.cells,
    )


def _ramp(value: float, zero_at: float, one_at: float) -> float:
    return min(1.0, max(0.0, (value - zero_at) / (one_at - zero_at)))
