"""The made drive cycles against the published figures of those that they are like."""

import itertools

import pytest

from firmware_sim.car.cycles import CYCLES, trace

# UN GTR 15, annex 1, table of class 3b; ARTEMIS urban as published by Andre (2004): seconds, metres, top km/h, mean
# km/h, share of standing.
PUBLISHED = {
    "wltc-low": (589, 3_095, 56.5, 18.9, 0.265),
    "wltc-medium": (433, 4_756, 76.6, 39.5, 0.111),
    "wltc-high": (455, 7_162, 97.4, 56.7, 0.068),
    "wltc-extra-high": (323, 8_254, 131.3, 92.0, 0.022),
    "city": (993, 4_874, 57.3, 17.7, 0.29),
}
SEEDS = (1, 2, 17, 4_711)
# Relative positive acceleration of class 3b: the integral of speed times positive acceleration, by the distance, m/s2.
PUBLISHED_RPA = {"wltc-low": 0.207, "wltc-medium": 0.199, "wltc-high": 0.134, "wltc-extra-high": 0.125}


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_phase_has_the_published_duration_distance_top_speed_and_share_of_standing(name, seed):
    seconds, metres, top, mean, standing = PUBLISHED[name]
    made = trace(name, seed)
    pairs = list(zip(made.speeds, made.speeds[1:], strict=False))
    driven = sum((a + b) / 2 for a, b in pairs)
    assert len(pairs) == made.seconds == seconds
    assert driven == pytest.approx(metres, rel=0.01)
    assert made.metres == pytest.approx(driven)
    assert max(made.speeds) * 3.6 == pytest.approx(top, abs=1.0)
    assert driven / seconds * 3.6 == pytest.approx(mean, rel=0.015)
    assert sum(a == b == 0.0 for a, b in pairs) / seconds == pytest.approx(standing, abs=0.03)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_accelerates_or_brakes_harder_than_the_published_cycle(name, seed):
    (phase,) = CYCLES[name]
    speeds = trace(name, seed).speeds
    changes = [b - a for a, b in itertools.pairwise(speeds)]
    assert max(changes) <= phase.acceleration + 1e-9
    assert -min(changes) <= phase.braking + 1e-9
    assert min(speeds) == speeds[0] == speeds[-1] == 0.0


@pytest.mark.parametrize("name", PUBLISHED_RPA)
@pytest.mark.parametrize("seed", [*SEEDS, *range(30, 38)])
def test_a_phase_is_as_lively_as_the_published_one(name, seed):
    made, fine = trace(name, seed), 0.0
    for moment in range(made.seconds * 20):
        speed, acceleration = made.at(moment / 20 + 0.025)
        fine += speed * max(0.0, acceleration) / 20
    assert fine / made.metres == pytest.approx(PUBLISHED_RPA[name], rel=0.1)
    assert made.rpa == pytest.approx(fine / made.metres, rel=1e-3)


def test_the_whole_cycle_is_its_four_phases_1800_seconds_and_23_kilometres():
    made = trace("wltc", 3)
    assert made.seconds == 1_800
    assert made.metres == pytest.approx(23_266, rel=0.01)
    assert [made.speeds[at] for at in (589, 589 + 433, 589 + 433 + 455)] == [0.0, 0.0, 0.0]


def test_the_same_seed_drives_the_same_trace_and_another_seed_another():
    trace.cache_clear()
    first = trace("city", 5)
    trace.cache_clear()
    assert trace("city", 5) == first != trace("city", 6)


def test_between_two_seconds_the_speed_goes_straight():
    made = trace("wltc-low", 1)
    second = next(at for at, speed in enumerate(made.speeds) if speed > 3.0)
    speed, acceleration = made.at(second + 0.25)
    assert acceleration == pytest.approx(made.speeds[second + 1] - made.speeds[second])
    assert speed == pytest.approx(0.75 * made.speeds[second] + 0.25 * made.speeds[second + 1])
    assert made.at(made.seconds)[0] == pytest.approx(0.0)
