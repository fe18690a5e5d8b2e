"""The board that a BMS runs on: what is soldered to it, and travels with it into another pack. Pure and seeded."""

from __future__ import annotations

import random
from typing import NamedTuple

from firmware_sim.bms.counters import LifetimeCounters, counters_of_age
from firmware_sim.bms.isolation import IsolationMonitor
from firmware_sim.bms.sensors import Sensors


class Board(NamedTuple):
    """Sensors with errors of their own, and the memory of lifetime counters."""

    sensors: Sensors
    isolation: IsolationMonitor
    counters: LifetimeCounters


def used_board(seed: int, years: float, rated_ah: float, cells: int, rested_volts: float) -> Board:
    """A board that has been so many years in a car with a pack of such cells and volts."""
    source = random.Random(f"counters {seed}")  # noqa: S311 - a simulation, not a secret
    counters = counters_of_age(source, years, rated_ah, rested_volts)
    return Board(Sensors(seed, cells), IsolationMonitor(seed), counters)
