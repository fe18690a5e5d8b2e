"""The BMS's senses: shunt, pack voltage, cell taps and thermistors, each wrong in its own way. Pure and seeded.

Errors that stay (offset, gain) are drawn once and cut at three standard deviations, noise at four: `SensorErrors` can
therefore say how far a healthy reading may be from the truth. A stuck sensor repeats its last reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from packseal.program import ConfigurationError

Readings = NDArray[np.float64]

SENSORS = 8
STAYING_LIMIT = 3.0
NOISE_LIMIT = 4.0
SMOOTHING_S = 0.08
REFERENCE_C = 25.0
KINDS = ("current", "pack-voltage", "cell", "temperature")
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class SensorErrors:
    """Standard deviations of what is drawn, and the steps of the converters: amperes, volts, degC, fractions."""

    shunt_offset_a: float = 0.12
    shunt_drift_a_per_k: float = 0.002
    shunt_gain: float = 0.002
    shunt_noise_a: float = 0.15
    shunt_step_a: float = 0.05
    pack_gain: float = 0.000_2
    pack_noise_v: float = 0.03
    tap_offset_v: float = 0.000_4
    tap_noise_v: float = 0.000_3
    tap_step_v: float = 0.000_1
    thermistor_offset_c: float = 0.4
    thermistor_noise_c: float = 0.05

    def current_bound(self, current_a: float, shunt_c: float = REFERENCE_C) -> float:
        """The furthest that a raw reading may be from this true current, with the shunt at this temperature."""
        staying = self.shunt_offset_a + self.shunt_drift_a_per_k * abs(shunt_c - REFERENCE_C)
        staying += self.shunt_gain * abs(current_a)
        return STAYING_LIMIT * staying + NOISE_LIMIT * self.shunt_noise_a + self.shunt_step_a / 2

    def pack_bound(self, pack_volts: float) -> float:
        """The furthest that a reading may be from this true pack voltage."""
        return STAYING_LIMIT * self.pack_gain * abs(pack_volts) + NOISE_LIMIT * self.pack_noise_v

    def cell_bound(self) -> float:
        """The furthest that a cell's reading may be from its true voltage."""
        return STAYING_LIMIT * self.tap_offset_v + NOISE_LIMIT * self.tap_noise_v + self.tap_step_v / 2

    def temperature_bound(self) -> float:
        """The furthest that a thermistor's reading may be from its module's true temperature."""
        return STAYING_LIMIT * self.thermistor_offset_c + NOISE_LIMIT * self.thermistor_noise_c


ERRORS = SensorErrors()


def normal_numbers(generator: np.random.Generator) -> Iterator[float]:
    """Standard normal numbers without end, cut at `NOISE_LIMIT`; drawn in blocks, because one alone costs as much."""
    while True:
        yield from np.clip(generator.standard_normal(_BLOCK), -NOISE_LIMIT, NOISE_LIMIT).tolist()


def _errors_of_scans(generator: np.random.Generator, staying: Readings, noise: float) -> Iterator[Readings]:
    """For every scan the errors of all its readings: those that stay, and normal ones of this width."""
    while True:
        rows = generator.standard_normal((_BLOCK // 8, len(staying)))
        yield from staying + noise * np.clip(rows, -NOISE_LIMIT, NOISE_LIMIT)


@dataclass(slots=True)
class Sensors:
    """All sensors of one board. `sense` reads the fast ones, `scan` the others; the last readings stay in the fields.

    Two boards with different seeds are wrong in different ways.
    """

    seed: int
    cells: int
    errors: SensorErrors = ERRORS
    raw_a: float = 0.0
    smooth_a: float = 0.0
    pack_volts: float = 0.0
    cell_volts: Readings = field(init=False)
    temperatures_c: tuple[float, ...] = ()
    _shunt_noise: Iterator[float] = field(init=False)
    _pack_noise: Iterator[float] = field(init=False)
    _tap_errors: Iterator[Readings] = field(init=False)
    _thermistor_errors: Iterator[Readings] = field(init=False)
    _shunt_gain: float = field(init=False)
    _shunt_zero_a: float = field(init=False)
    _shunt_offset_a: float = field(init=False)
    _shunt_drift: float = field(init=False)
    _pack_gain: float = field(init=False)
    _current_stuck: bool = False
    _pack_stuck: bool = False
    _stuck_cells: dict[int, float] = field(default_factory=dict)
    _stuck_temperatures: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        errors = self.errors
        once = np.random.default_rng([self.seed, 2, 0])

        def staying(width: float, count: int) -> Readings:
            return np.clip(once.standard_normal(count), -STAYING_LIMIT, STAYING_LIMIT) * width

        offset, drift, gain, pack_gain = (float(value) for value in staying(1.0, 4))
        self._shunt_zero_a = self._shunt_offset_a = offset * errors.shunt_offset_a
        self._shunt_drift = drift * errors.shunt_drift_a_per_k
        self._shunt_gain = 1.0 + gain * errors.shunt_gain
        self._pack_gain = 1.0 + pack_gain * errors.pack_gain
        tap_offsets = staying(errors.tap_offset_v, self.cells)
        thermistor_offsets = staying(errors.thermistor_offset_c, SENSORS)
        self.cell_volts = np.zeros(self.cells)
        shunt, pack, taps, thermistors = (np.random.default_rng([self.seed, 2, part]) for part in range(1, 5))
        self._shunt_noise, self._pack_noise = normal_numbers(shunt), normal_numbers(pack)
        self._tap_errors = _errors_of_scans(taps, tap_offsets, errors.tap_noise_v)
        self._thermistor_errors = _errors_of_scans(thermistors, thermistor_offsets, errors.thermistor_noise_c)

    def sense(self, current_a: float, pack_volts: float, dt_s: float) -> None:
        """Read the shunt and the pack voltage: sets `raw_a`, the low-pass `smooth_a` and `pack_volts`."""
        errors = self.errors
        if not self._current_stuck:
            noise = next(self._shunt_noise) * errors.shunt_noise_a
            reading = current_a * self._shunt_gain + self._shunt_offset_a + noise
            self.raw_a = round(reading / errors.shunt_step_a) * errors.shunt_step_a
        self.smooth_a += (self.raw_a - self.smooth_a) * (dt_s / SMOOTHING_S if dt_s < SMOOTHING_S else 1.0)
        if not self._pack_stuck:
            self.pack_volts = pack_volts * self._pack_gain + next(self._pack_noise) * errors.pack_noise_v

    def scan(self, cell_volts: Readings, modules_c: Readings) -> None:
        """Read every cell's tap and every thermistor: two of these to a module when there are four modules."""
        step = self.errors.tap_step_v
        self.cell_volts = np.rint((cell_volts + next(self._tap_errors)) / step) * step
        for cell, volts in self._stuck_cells.items():
            self.cell_volts[cell] = volts
        true_c: list[float] = modules_c.tolist()
        error_c: list[float] = next(self._thermistor_errors).tolist()
        modules = len(true_c)
        felt = [true_c[place * modules // SENSORS] + error_c[place] for place in range(SENSORS)]
        for place, celsius in self._stuck_temperatures.items():
            felt[place] = celsius
        self.temperatures_c = tuple(felt)
        warmer = sum(felt) / SENSORS - REFERENCE_C
        self._shunt_offset_a = self._shunt_zero_a + self._shunt_drift * warmer

    def stick(self, name: str, index: int | None = None) -> None:
        """Let a sensor repeat its last reading; `index` is the cell or thermistor from 0, None means all of them."""
        if name == "current":
            self._current_stuck = True
        elif name == "pack-voltage":
            self._pack_stuck = True
        elif name == "cell":
            self._stuck_cells |= {at: float(self.cell_volts[at]) for at in _places(name, index, self.cells)}
        else:
            self._stuck_temperatures |= {at: self.temperatures_c[at] for at in _places(name, index, SENSORS)}

    def free(self, name: str, index: int | None = None) -> None:
        """Let it read again; one that was not stuck stays as it is."""
        if name == "current":
            self._current_stuck = False
        elif name == "pack-voltage":
            self._pack_stuck = False
        else:
            stuck, count = {"cell": (self._stuck_cells, self.cells)}.get(name, (self._stuck_temperatures, SENSORS))
            for at in _places(name, index, count):
                stuck.pop(at, None)


def _places(name: str, index: int | None, count: int) -> range:
    if name not in KINDS:
        raise ConfigurationError(f"sensor {name!r}: there are {', '.join(KINDS)}")
    if index is None:
        return range(count)
    if not 0 <= index < count:
        raise ConfigurationError(f"{name} sensor {index}: this board has 0 to {count - 1}")
    return range(index, index + 1)
