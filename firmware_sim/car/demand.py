"""The words in which a car asks something of its pack: a mode, a power, a speed, and whoever chooses them.

Pure. Power is positive into the battery.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol


class Mode(enum.Enum):
    """What the car wants from the pack."""

    PARKED = "parked"
    DRIVE = "drive"
    CHARGE_AC = "charge-ac"
    CHARGE_DC = "charge-dc"
    LOAD = "load"  # vehicle-to-load: the pack feeds something outside the car


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked for now: the mode, and the power into the battery in watts (negative when driving).

    `steady_s` promises for how long the driver need not be asked again, so that time may pass in one leap.
    `leap` says that nobody listens to the bus meanwhile: time may pass in coarse steps even under load.
    A demand for a long time may have a `course`: the powers of its equal parts, of which `power_w` is the mean, with
    `course_m` the metres that are driven.
    """

    mode: Mode
    power_w: float
    speed_m_s: float = 0.0
    steady_s: float = 0.0
    leap: bool = False
    course: tuple[float, ...] = ()
    course_m: float = 0.0


class Driver(Protocol):
    """Whoever asks something of the pack."""

    def advance(self, dt_s: float, soc: float) -> Demand:
        """The demand for the next `dt_s`, knowing the state of charge that the car shows (fraction).

        `dt_s` is 0.1, or more if the last demand's `steady_s` allows it: then the power is the mean over it.
        """
