"""Drive cycles made to published figures: a speed for every second, the same for the same seed.

Only a cycle's figures are taken over (duration, distance, highest speed, share of standing, strongest acceleration and
braking, relative positive acceleration); the trace itself is our own: seeded micro-trips of knots between which the
desired speed runs straight, limited by what the phase's figures allow, scaled until the distance is the published one,
and as restless as makes the relative positive acceleration that of the cycle. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

KM_H = 3.6
CRAWL_M_S = 1.5
RESTLESS_KM_H = 60.0  # in phases that are slower than this the desire changes every few seconds
BISECTIONS = 32
ROUGHLY = 14  # bisections, where only the restlessness is sought
WANDERS = 9
WANDER = 0.5  # of the desired speed, where no figure tells: from half of the mood to all of it
MOST_WANDER = 2.0
ALIKE = 0.07  # to the published relative positive acceleration
DRAWS = 40
FADING = 0.6  # of the strongest acceleration is gone at the top speed
SOFTLY = 0.9  # of the strongest braking is what trips are made with


@dataclass(frozen=True, slots=True)
class Phase:
    """Published figures of one phase of a cycle: seconds, metres, km/h, fraction of time standing, m/s2.

    `rpa` is the relative positive acceleration: speed times positive acceleration over time, by distance.
    """

    seconds: int
    metres: float
    top_km_h: float
    standing: float
    acceleration: float
    braking: float
    trips: int
    rpa: float | None = None


# UN Global Technical Regulation No. 15, annex 1, class 3b.
WLTC_LOW = Phase(589, 3_095, 56.5, 0.265, 1.47, 1.47, 6, 0.207)
WLTC_MEDIUM = Phase(433, 4_756, 76.6, 0.111, 1.57, 1.49, 3, 0.199)
WLTC_HIGH = Phase(455, 7_162, 97.4, 0.068, 1.58, 1.49, 2, 0.134)
WLTC_EXTRA_HIGH = Phase(323, 8_254, 131.3, 0.022, 1.03, 1.21, 1, 0.125)
# Andre, The ARTEMIS European driving cycles for measuring car pollutant emissions, 2004: urban.
ARTEMIS_URBAN = Phase(993, 4_874, 57.3, 0.29, 2.4, 2.6, 18)

CYCLES: Mapping[str, tuple[Phase, ...]] = {
    "wltc": (WLTC_LOW, WLTC_MEDIUM, WLTC_HIGH, WLTC_EXTRA_HIGH),
    "wltc-low": (WLTC_LOW,),
    "wltc-medium": (WLTC_MEDIUM,),
    "wltc-high": (WLTC_HIGH,),
    "wltc-extra-high": (WLTC_EXTRA_HIGH,),
    "city": (ARTEMIS_URBAN,),
}


@dataclass(frozen=True, slots=True)
class Trace:
    """Speed in m/s at every whole second from 0 to `seconds`, straight in between; it begins and ends standing."""

    speeds: tuple[float, ...]

    @property
    def seconds(self) -> int:
        """How long it takes."""
        return len(self.speeds) - 1

    @property
    def metres(self) -> float:
        """How far it goes."""
        return sum(self.speeds)

    @property
    def rpa(self) -> float:
        """Its relative positive acceleration, m/s2."""
        return _rpa(self.speeds)

    def at(self, time_s: float) -> tuple[float, float]:
        """Speed in m/s and acceleration in m/s2 at a time of this trace."""
        second = min(int(time_s), self.seconds - 1)
        begin = self.speeds[second]
        acceleration = self.speeds[second + 1] - begin
        return begin + acceleration * (time_s - second), acceleration


@cache
def trace(cycle: str, seed: int) -> Trace:
    """The trace of one of CYCLES: every phase has its published duration, distance and highest speed."""
    rnd = random.Random(f"cycle {cycle} {seed}")  # noqa: S311 - a simulation, not a secret
    speeds = [0.0]
    for phase in CYCLES[cycle]:
        speeds += _fitted(phase, rnd)[1:]
    return Trace(tuple(speeds))


def _fitted(phase: Phase, rnd: random.Random) -> list[float]:
    """The phase's speeds at 0..seconds; days on which it cannot be driven as published are drawn anew."""
    best: list[float] = []
    for _ in range(DRAWS):
        stops, trips = _timetable(phase, rnd)
        longest = max(range(len(trips)), key=lambda index: trips[index])
        driven = [_trip(phase, seconds, rnd, to_the_top=index == longest) for index, seconds in enumerate(trips)]
        speeds = _as_far(phase, stops, driven, _restlessness(phase, stops, driven), BISECTIONS)
        if not best or _unlike(phase, speeds) < _unlike(phase, best):
            best = speeds
        if _unlike(phase, best) < ALIKE:
            break
    return best


def _unlike(phase: Phase, speeds: Sequence[float]) -> float:
    return 0.0 if phase.rpa is None else abs(_rpa(speeds) / phase.rpa - 1.0)


def _rpa(speeds: Sequence[float]) -> float:
    gained = sum((after**2 - before**2) / 2 for before, after in pairwise(speeds) if after > before)
    return gained / max(1e-9, sum(speeds))


def _restlessness(phase: Phase, stops: Sequence[int], trips: Sequence[_Trip]) -> float:
    """How far the desired speed wanders, so that the positive accelerations are the phase's: they grow with it."""
    if phase.rpa is None:
        return WANDER
    low, high = 0.0, MOST_WANDER
    for _ in range(WANDERS):
        wander = (low + high) / 2
        speeds = _as_far(phase, stops, trips, wander, ROUGHLY)
        low, high = (wander, high) if _rpa(speeds) < phase.rpa else (low, wander)
    return (low + high) / 2


def _as_far(phase: Phase, stops: Sequence[int], trips: Sequence[_Trip], wander: float, bisections: int) -> list[float]:
    """The speeds with the level of desire at which the distance is right."""
    low, high = 0.0, 4.0
    speeds: list[float] = []
    for _ in range(bisections):
        level = (low + high) / 2
        speeds = list(_assembled(phase, stops, trips, level, wander))
        # The end of the last trip closes the phase; the distance grows with the level, whatever is limited by it.
        low, high = (level, high) if sum(speeds) < phase.metres else (low, level)
    return speeds


def _timetable(phase: Phase, rnd: random.Random) -> tuple[list[int], list[int]]:
    """Seconds of every stop (one more than trips) and of every trip; together exactly the phase.

    Trips differ in length; the longest has the time to reach the highest speed, hold it and stop again.
    """
    standing = round(phase.seconds * phase.standing)
    stops = _shares(standing, [rnd.uniform(0.3, 1.0) for _ in range(phase.trips + 1)], 1)
    weights = [rnd.uniform(0.5, 1.2) for _ in range(phase.trips)]
    weights[rnd.randrange(phase.trips)] = 2.0
    return stops, _shares(phase.seconds - standing, weights, 12)


def _shares(whole: int, weights: Sequence[float], least: int) -> list[int]:
    """`whole` seconds cut by weights into whole parts of at least `least`."""
    free = whole - least * len(weights)
    edges, total, run = [0], sum(weights), 0.0
    for weight in weights:
        run += weight
        edges.append(round(free * run / total))
    return [least + end - begin for begin, end in pairwise(edges)]


@dataclass(frozen=True, slots=True)
class _Trip:
    """How fast the driver would like to go at every second, from 0 to 1 about the mood, and how eagerly (0 to 1)."""

    desire: tuple[float, ...]
    mood: float
    eagerness: float
    to_the_top: bool


def _trip(phase: Phase, seconds: int, rnd: random.Random, to_the_top: bool) -> _Trip:
    # The faster the road, the steadier the traffic.
    calm = max(1.0, phase.top_km_h / RESTLESS_KM_H)
    mood = rnd.uniform(0.55, 1.0)
    knots = [(0, rnd.uniform(0.4, 1.0))]
    while knots[-1][0] < seconds:
        knots.append((knots[-1][0] + round(calm * rnd.randint(4, 16)), rnd.uniform(0.0, 1.0)))
    desire: list[float] = []
    for (begin, before), (end, after) in pairwise(knots):
        desire += [before + (after - before) * step / (end - begin) for step in range(end - begin)]
    return _Trip(tuple(desire[:seconds]), mood, 1.0 if to_the_top else rnd.uniform(0.6, 1.0), to_the_top)


def _assembled(
    phase: Phase, stops: Sequence[int], trips: Sequence[_Trip], level: float, wander: float
) -> Iterator[float]:
    # A trip's first moving second is its second 1, so that stops and trips together have seconds + 1 samples.
    yield 0.0
    for stop, trip in zip(stops, trips, strict=False):
        yield from [0.0] * stop
        yield from _driven(phase, trip, level, wander)
    yield from [0.0] * stops[-1]


def _driven(phase: Phase, trip: _Trip, level: float, wander: float) -> list[float]:
    """Speeds of a trip: what is desired, as far as acceleration from standing and braking to the end allow it."""
    top = phase.top_km_h / KM_H
    # A calm driver's trips are like each other too.
    fast = level * top * (1.0 - (1.0 - trip.mood) * min(1.0, wander / WANDER))
    slowest, span = fast * (1.0 - (WANDER + wander) / 2), fast * wander
    wanted = [min(top, max(CRAWL_M_S, slowest + share * span)) for share in trip.desire]
    if trip.to_the_top:
        wanted = [max(pair) for pair in zip(wanted, _ascent(phase, len(wanted)), strict=True)]
    speeds, speed = [], 0.0
    for each in wanted:
        speed = min(each, speed + (_faster(phase, speed) - speed) * trip.eagerness)
        speeds.append(speed)
    limit = 0.0
    for second in range(len(speeds) - 1, -1, -1):
        limit = speeds[second] = min(speeds[second], limit + SOFTLY * phase.braking * trip.eagerness)
    return speeds


def _faster(phase: Phase, speed: float) -> float:
    """The speed a second later when the driver does what the phase's strongest acceleration allows."""
    return speed + phase.acceleration * (1.0 - FADING * speed * KM_H / phase.top_km_h)


def _ascent(phase: Phase, seconds: int) -> list[float]:
    """The least speeds of a trip that reaches the phase's top speed once, in the middle of the time it has for that."""
    top = phase.top_km_h / KM_H
    climb = [0.0]
    while climb[-1] < top:
        climb.append(min(top, _faster(phase, climb[-1])))
    fall = [top - SOFTLY * phase.braking * step for step in range(int(top / (SOFTLY * phase.braking)) + 1)]
    spare = max(0, seconds - len(climb) + 1 - len(fall))
    before = spare // 2
    held = [top] * min(3, spare - before)
    rest = seconds - before - len(climb) + 1 - len(held)
    return ([0.0] * before + climb[1:] + held + fall + [0.0] * seconds)[:seconds] if rest > 0 else [top] * seconds
