"""How a table of fields becomes the bytes of a CAN frame: little-endian bit packing with saturation.

Pure and written for the simulator alone: it must never import the agent's decoder or a DBC library, because the two
check each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from firmware_sim.bms.firmware import BmsReport
from firmware_sim.bus.frame import CanFrame


@dataclass(frozen=True, slots=True)
class Field:
    """Bits `start` to `start + length - 1`, Intel order, of a quantity: physical = raw * scale + offset."""

    name: str
    start: int
    length: int
    value: Callable[[BmsReport], float]
    scale: float = 1.0
    offset: float = 0.0
    signed: bool = False

    def bits(self, report: BmsReport) -> int:
        """The field's bits in place; a value beyond the field's range is sent as the nearest that fits."""
        raw = round((self.value(report) - self.offset) / self.scale)
        top = 1 << self.length
        low, high = (-(top >> 1), (top >> 1) - 1) if self.signed else (0, top - 1)
        return (min(high, max(low, raw)) & (top - 1)) << self.start


@dataclass(frozen=True, slots=True)
class Message:
    """A frame layout with its period; a multiplexed one has several pages, sent in turn."""

    identifier: int
    name: str
    length: int
    period_us: int
    pages: tuple[tuple[Field, ...], ...]

    def encode(self, turn: int, report: BmsReport) -> CanFrame:
        """The frame of the message's `turn`-th occurrence."""
        bits = 0
        for field in self.pages[turn % len(self.pages)]:
            bits |= field.bits(report)
        return CanFrame(self.identifier, bits.to_bytes(self.length, "little"))
