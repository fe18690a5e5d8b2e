"""The car as forces on the road and loads on board. Pure; it knows no cell.

Defaults are a mid-size electric saloon with two people in it.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

GRAVITY = 9.81
COMFORT_C = 21.0
POST_M = 20.0  # of the road, between two places whose slope is drawn


@dataclass(frozen=True, slots=True)
class Vehicle:
    """Mass, rolling and drag (coefficient times frontal area), losses between battery and road, loads on board."""

    mass_kg: float = 1_900.0
    rotating: float = 1.04  # wheels and rotors add to the mass that is accelerated
    rolling: float = 0.009
    drag_m2: float = 0.51
    air_kg_m3: float = 1.2
    drivetrain: float = 0.91  # battery to road; the same back in regeneration
    regeneration_w: float = 75_000.0
    fade_m_s: float = 4.0  # below this speed the brakes take over from the motor
    auxiliary_w: float = 350.0
    cabin_w_per_k: float = 55.0
    cabin_max_w: float = 3_500.0

    def power_w(self, speed_m_s: float, acceleration: float, grade: float = 0.0) -> float:
        """Power into the battery (so negative when driving) at this speed on a slope, without loads on board."""
        if speed_m_s <= 0.0:
            return 0.0
        force = (
            self.mass_kg * (self.rotating * acceleration + GRAVITY * (self.rolling + grade))
            + self.air_kg_m3 * self.drag_m2 * speed_m_s**2 / 2
        )
        road_w = force * speed_m_s
        if road_w >= 0:
            return -road_w / self.drivetrain
        share = min(1.0, speed_m_s / self.fade_m_s)
        return min(self.regeneration_w, -road_w * self.drivetrain * share)

    def on_board_w(self, ambient_c: float) -> float:
        """What lights, computers and the cabin's heat pump draw at this ambient temperature, in watts."""
        away = abs(ambient_c - COMFORT_C)
        return self.auxiliary_w + min(self.cabin_max_w, self.cabin_w_per_k * max(0.0, away - 2.0))


@dataclass(slots=True)
class Road:
    """Slope of the road as it passes: seeded hills that come and go, about level in the mean.

    The same seed is the same road, in however long pieces it passes.
    """

    seed: str
    steepness: float = 0.012
    length_m: float = 400.0
    _random: random.Random = field(init=False)
    _before: float = 0.0
    _after: float = 0.0
    _metres: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(f"road {self.seed}")  # noqa: S311 - a simulation, not a secret

    def pass_by(self, metres: float) -> float:
        """The slope (rise over run) after `metres` more of road."""
        self._metres += metres
        while self._metres >= POST_M:
            self._metres -= POST_M
            kept = math.exp(-POST_M / self.length_m)
            swing = self.steepness * math.sqrt(1.0 - kept * kept)
            self._before, self._after = self._after, self._after * kept + swing * self._random.gauss(0.0, 1.0)
        return self._before + (self._after - self._before) * (self._metres / POST_M)
