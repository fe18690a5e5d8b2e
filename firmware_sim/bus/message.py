"""How a table of fields becomes the bytes of a CAN frame: bit packing in Intel and Motorola order, with saturation.

Pure and written for the simulator alone: it must never import the agent's decoder or a DBC library, because the two
check each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from firmware_sim.bms.report import BmsReport
from firmware_sim.bus.frame import CanFrame


class Sendable(Protocol):
    """Whatever has a place in the timetable of the bus and becomes a frame when its time has come."""

    @property
    def identifier(self) -> int:
        """The 11-bit identifier."""

    @property
    def period_us(self) -> int:
        """Microseconds from one frame to the next."""

    def encode(self, turn: int, report: BmsReport) -> CanFrame:
        """The frame of the `turn`-th occurrence."""


@dataclass(frozen=True, slots=True)
class Field:
    """Bits of a quantity: physical = raw * scale + offset.

    `start` counts as a DBC does: the least significant bit in Intel order, the most significant one in Motorola order
    (`big_endian`). `value` is asked of every report, or is one number for ever. What is not a number (nan) is sent as
    the raw value `absent`. A field that is not `needed` is sent only where a profile leaves room for it.
    """

    name: str
    start: int
    length: int
    value: Callable[[BmsReport], float] | float
    scale: float = 1.0
    offset: float = 0.0
    signed: bool = False
    big_endian: bool = False
    needed: bool = True
    absent: int | None = None

    def range(self) -> tuple[int, int]:
        """The lowest and the highest raw value."""
        top = 1 << self.length
        return (-(top >> 1), (top >> 1) - 1) if self.signed else (0, top - 1)

    def raw(self, value: float) -> int:
        """The nearest raw value that fits, as the unsigned number that is put into the frame."""
        low, high = self.range()
        if isinstance(value, int) and (self.scale, self.offset) == (1.0, 0.0):
            return min(high, max(low, value)) & ((1 << self.length) - 1)  # exact beyond the 53 bits of a float
        counted = (value - self.offset) / self.scale
        if math.isnan(counted):
            nearest = high if self.absent is None else self.absent
        elif math.isinf(counted):  # also of a scale so small that the quotient knows no number
            nearest = high if counted > 0 else low
        else:
            nearest = min(high, max(low, round(counted)))
        return nearest & ((1 << self.length) - 1)

    def bits(self, report: BmsReport) -> int:
        """The field's raw value where it stands in an Intel frame."""
        return self.raw(self.value(report) if callable(self.value) else self.value) << self.start

    def shift(self, frame_length: int) -> int:
        """How far the raw value is shifted in the frame read as one number, in the field's own byte order."""
        if not self.big_endian:
            return self.start
        before = self.start // 8 * 8 + 7 - self.start % 8
        return 8 * frame_length - before - self.length

    def mask(self, frame_length: int) -> int:
        """The bits that it occupies, in the frame read as one little-endian number; ValueError if it does not fit."""
        shift = self.shift(frame_length)
        if shift < 0 or shift + self.length > 8 * frame_length or not 1 <= self.length <= 64:
            raise ValueError(f"{self.name} does not fit into {frame_length} bytes")
        mask = ((1 << self.length) - 1) << shift
        return _swapped(mask, frame_length) if self.big_endian else mask


class _Step(NamedTuple):
    """One field, prepared: everything that `encode` needs, without looking anything up."""

    value: Callable[[BmsReport], float]
    offset: float
    scale: float
    low: int
    high: int
    mask: int
    shift: int
    field: Field


class _Page(NamedTuple):
    """One page, prepared: bits that never change, and the fields of either byte order."""

    constant: int
    intel: tuple[_Step, ...]
    motorola: tuple[_Step, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A frame layout with its period; a multiplexed one has several pages, sent in turn."""

    identifier: int
    name: str
    length: int
    period_us: int
    pages: tuple[tuple[Field, ...], ...]
    _prepared: tuple[_Page, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_prepared", tuple(_prepare(page, self.length) for page in self.pages))

    def encode(self, turn: int, report: BmsReport) -> CanFrame:
        """The frame of the message's `turn`-th occurrence."""
        prepared, length = self._prepared, self.length
        bits, intel, motorola = prepared[turn % len(prepared)]
        bits |= _packed(intel, report)
        if motorola:
            bits |= _swapped(_packed(motorola, report), length)
        return CanFrame(self.identifier, bits.to_bytes(length, "little"))


def _packed(steps: tuple[_Step, ...], report: BmsReport) -> int:
    bits = 0
    for value, offset, scale, low, high, mask, shift, field_ in steps:
        try:
            raw = round((value(report) - offset) / scale)
        except (ValueError, OverflowError):  # not a number, or without end
            raw = field_.raw(value(report))
        else:
            if raw < low:
                raw = low
            elif raw > high:
                raw = high  # written out: it is the innermost loop of all
            raw &= mask
        bits |= raw << shift
    return bits


def _prepare(fields: Sequence[Field], length: int) -> _Page:
    constant = 0
    steps: dict[bool, list[_Step]] = {False: [], True: []}
    for each in fields:
        shift = each.shift(length)
        if not callable(each.value):
            place = each.raw(each.value) << shift
            constant |= _swapped(place, length) if each.big_endian else place
            continue
        low, high = each.range()
        step = _Step(each.value, each.offset, each.scale, low, high, (1 << each.length) - 1, shift, each)
        steps[each.big_endian].append(step)
    return _Page(constant, tuple(steps[False]), tuple(steps[True]))


def _swapped(bits: int, length: int) -> int:
    return int.from_bytes(bits.to_bytes(length, "big"), "little")
