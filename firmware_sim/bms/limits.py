"""How much the pack allows now, by charge, brick voltage and temperature. Pure.

A charger that follows `charge_a` charges with constant current, then with constant voltage, and ends by
`charge_complete`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from firmware_sim.cells.chemistry import Chemistry

FULL_MARGIN_V = (
    0.005  # constant voltage is held this much below the brick's limit, and a charge may end as much below that
)
EMPTY_MARGIN_V = 0.05
BRICK_OHM_AH = 0.24  # resistance times capacity, somewhat more than a brick has: the limit is approached from below
AT_LEAST = 0.55  # of that resistance a brick has at once
RESISTANCE_K = 2_000.0
REFERENCE_K = 298.15
HOT_C, HOTTEST_C = 44.0, 54.0  # between these a charge is slowed
# A nearly empty brick is charged gently until its voltage is up: the margin below the chemistry's limit, that above it.
DEEP_V = {"NMC": (0.2, 0.3), "LFP": (0.3, 0.2)}
DEEP_LEFT = 0.05
BRIEF = 2.0  # regeneration lasts seconds, a charge an hour
RISE_C_PER_S = 0.3  # how fast a current limit comes back, as a multiple of the capacity; down it goes at once
END_C = 1 / 20
END_S = 10.0
AGAIN_SOC = 0.02


@dataclass(frozen=True, slots=True)
class Rating:
    """What a pack is built for, for every ampere hour of its capacity: watts of a brick, and amperes.

    `warns_of_current`: it warns of a current beyond its limit before it opens the contactors.
    """

    discharge_w: float
    regen_w: float
    charge_w: float
    discharge_c: float
    charge_c: float
    charge_curve: tuple[tuple[float, float], ...]  # of the charging power: (state of charge, share), rising in charge
    warns_of_current: bool = False

    def charge_share(self, soc: float) -> float:
        """How much of `charge_w` the pack takes at this state of charge."""
        left, below = self.charge_curve[0]
        for right, above in self.charge_curve:
            if soc < right:
                return below + (above - below) * max(0.0, soc - left) / max(1e-9, right - left)
            left, below = right, above
        return below


# The car's charging power: 250 kW for 96 bricks of 226.5 Ah.
CAR = Rating(
    discharge_w=15.65,
    regen_w=3.87,
    charge_w=11.5,
    discharge_c=5.2,
    charge_c=3.4,
    charge_curve=(
        (0.0, 0.36), (0.05, 1.0), (0.2, 1.0), (0.3, 0.8), (0.4, 0.64), (0.5, 0.5), (0.6, 0.4), (0.7, 0.32), (0.8, 0.232),
        (0.9, 0.14), (1.0, 0.02),
    ),
)  # fmt: skip
STORAGE = Rating(
    discharge_w=3.4,
    regen_w=1.8,
    charge_w=1.8,
    discharge_c=1.0,
    charge_c=0.5,
    charge_curve=((0.8, 1.0), (0.97, 0.12)),
    warns_of_current=True,
)


class Limits(NamedTuple):
    """What may be asked of the pack: kW for driving, volts and amperes for whoever charges or loads it."""

    discharge_kw: float
    regen_kw: float
    charge_a: float
    discharge_a: float
    min_volts: float
    max_volts: float


class Condition(NamedTuple):
    """What limits follow from: charge as a fraction, extreme bricks and sensors, amperes into the battery."""

    cells: int
    soc: float
    brick_min_v: float
    brick_max_v: float
    coldest_c: float
    hottest_c: float
    current_a: float


@dataclass(slots=True)
class PowerLimits:
    """The limits of one pack, and whether its charge is complete; `step` with every slow task."""

    chemistry: Chemistry
    rated_ah: float
    rating: Rating = CAR
    complete: bool = False
    now: Limits | None = None
    _ending_s: float = 0.0
    _complete_soc: float = 0.0

    def step(self, condition: Condition, charging: bool, dt_s: float) -> Limits:
        """The limits for the time until the next step."""
        wanted = limits_for(condition, self.chemistry, self.rated_ah, self.rating)
        self._end_of_charge(condition, charging, dt_s)
        if self.complete and charging:
            wanted = wanted._replace(charge_a=0.0, regen_kw=0.0)
        if self.now is not None:
            wanted = self._gently(self.now, wanted, dt_s)
        self.now = wanted
        return wanted

    def _gently(self, before: Limits, wanted: Limits, dt_s: float) -> Limits:
        # A brick of more resistance than the firmware reckons with would else make the limit swing.
        rise_a = RISE_C_PER_S * self.rated_ah * dt_s
        charge_a = min(wanted.charge_a, before.charge_a + rise_a)
        discharge_a = min(wanted.discharge_a, before.discharge_a + rise_a)
        if charge_a == wanted.charge_a and discharge_a == wanted.discharge_a:
            return wanted
        regen_kw = wanted.regen_kw * charge_a / max(wanted.charge_a, 1e-9)
        discharge_kw = wanted.discharge_kw * discharge_a / max(wanted.discharge_a, 1e-9)
        return wanted._replace(charge_a=charge_a, discharge_a=discharge_a, regen_kw=regen_kw, discharge_kw=discharge_kw)

    def _end_of_charge(self, condition: Condition, charging: bool, dt_s: float) -> None:
        if not charging or (self.complete and condition.soc < self._complete_soc - AGAIN_SOC):
            self.complete, self._ending_s = False, 0.0
            return
        high = condition.brick_max_v >= self.chemistry.full_v - 2 * FULL_MARGIN_V
        ends = high and condition.current_a < END_C * self.rated_ah
        self._ending_s = self._ending_s + dt_s if ends else 0.0
        if self._ending_s >= END_S and not self.complete:
            self.complete, self._complete_soc = True, condition.soc


def limits_for(now: Condition, chemistry: Chemistry, rated_ah: float, rating: Rating = CAR) -> Limits:
    """The limits in this condition.

    Towards a brick's voltage limit the current is limited to what would just reach it, from the voltage and current of
    the same moment: a charger that follows is then in constant voltage without swinging. While the current flows the
    other way, the brick is first taken back to rest, by no more than it surely resists.
    """
    full_v, empty_v = chemistry.full_v - FULL_MARGIN_V, chemistry.empty_v + EMPTY_MARGIN_V
    volts = max(1.0, now.cells * (now.brick_min_v + now.brick_max_v) / 2)
    whole_ah = rated_ah * now.cells
    cooler = RESISTANCE_K * (1.0 / (max(-40.0, now.coldest_c) + 273.15) - 1.0 / REFERENCE_K)
    ohm = BRICK_OHM_AH / rated_ah * math.exp(max(0.0, cooler))
    hot = _ramp(now.hottest_c, 60.0, 45.0)
    cold = _cold_charge(chemistry, now.coldest_c)
    # The cold and the full anode each let so much through: the lower of them counts.
    share = min(cold, rating.charge_share(now.soc)) * _ramp(now.hottest_c, HOTTEST_C, HOT_C)
    charge_w = rating.charge_w * whole_ah * share
    below, above = DEEP_V[chemistry.name]
    deep = DEEP_LEFT + (1.0 - DEEP_LEFT) * _ramp(now.brick_min_v, chemistry.empty_v - below, chemistry.empty_v + above)
    in_a, out_a = max(0.0, now.current_a), max(0.0, -now.current_a)
    rise_a = max(0.0, (full_v - now.brick_max_v) / ohm + in_a - AT_LEAST * out_a)
    charge_a = min(charge_w / volts, rise_a, rating.charge_c * rated_ah * deep)
    stiff = 0.35 + 0.65 * _ramp(now.coldest_c, -20.0, 10.0)
    discharge_w = rating.discharge_w * whole_ah * hot * _ramp(now.soc, 0.0, 0.12) * stiff
    fall_a = max(0.0, (now.brick_min_v - empty_v) / ohm + out_a - AT_LEAST * in_a)
    discharge_a = min(discharge_w / volts, fall_a, rating.discharge_c * rated_ah)
    return Limits(
        discharge_kw=min(discharge_w, fall_a * empty_v * now.cells) / 1_000.0,
        regen_kw=min(rating.regen_w * whole_ah, BRIEF * charge_w, rise_a * volts) / 1_000.0,
        charge_a=charge_a,
        discharge_a=discharge_a,
        min_volts=chemistry.empty_v * now.cells,
        max_volts=chemistry.full_v * now.cells,
    )


def _cold_charge(chemistry: Chemistry, coldest_c: float) -> float:
    # Lithium plates on a cold anode; against iron phosphate nothing at all is allowed below freezing.
    if chemistry.name == "LFP":
        return _ramp(coldest_c, 0.0, 18.0)
    return _ramp(coldest_c, -10.0, 28.0) ** 2


def _ramp(value: float, zero_at: float, one_at: float) -> float:
    return min(1.0, max(0.0, (value - zero_at) / (one_at - zero_at)))
