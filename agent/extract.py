"""Integers out of payloads: one shift and mask per column for classic CAN, byte by byte beyond. Pure numpy."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.frames import CLASSIC_BYTES, Frames, IntArray
from agent.profile import Bits

Words: TypeAlias = NDArray[np.uint64]


class Payloads:
    """Payloads of some frames of one message, as 64-bit words for classic CAN, as bytes beyond."""

    __slots__ = ("_big", "bytes", "little")

    def __init__(self, frames: Frames, rows: IntArray, wide: bool) -> None:
        self.bytes: NDArray[np.uint8] | None = None
        self.little: Words | None = None
        self._big: Words | None = None
        if wide:
            self.bytes = frames.payload[rows]
        elif frames.payload.shape[1] == CLASSIC_BYTES:
            self.little = frames.payload.view("<u8").ravel()[rows]
        else:
            self.little = np.ascontiguousarray(frames.payload[rows, :CLASSIC_BYTES]).view("<u8").ravel()

    def big(self) -> Words:
        """The words read most significant byte first."""
        if self._big is None:
            assert self.little is not None  # noqa: S101 - wide messages take the way of bytes
            self._big = self.little.byteswap()
        return self._big

    def part(self, at: IntArray) -> Payloads:
        """The payloads at some positions."""
        part = object.__new__(Payloads)
        part.bytes = None if self.bytes is None else self.bytes[at]
        part.little = None if self.little is None else self.little[at]
        part._big = None
        return part


class Extractor:
    """One integer's way out of a payload: a shift and a mask of a word, or byte by byte beyond classic CAN."""

    __slots__ = ("_big_endian", "_bytes", "_left", "_mask", "_right", "_shift", "_signed")

    def __init__(self, bits: Bits) -> None:
        self._signed = bits.signed
        self._big_endian = bits.big_endian
        first = 8 * (bits.start // 8) + 7 - bits.start % 8 if bits.big_endian else bits.start
        shift = 64 - (first + bits.length) if bits.big_endian else first
        self._mask = np.uint64((1 << bits.length) - 1)
        self._right = np.uint64(64 - bits.length)
        classic = bits.bytes_needed <= CLASSIC_BYTES
        self._shift = np.uint64(shift if classic else 0)
        self._left = np.uint64(64 - bits.length - shift if classic else 0)
        self._bytes = _byte_steps(bits, first)

    def raw(self, words: Payloads) -> IntArray:
        """The raw integers, one per payload."""
        if words.bytes is not None:
            return self._by_bytes(words.bytes)
        word = words.big() if self._big_endian else words.little
        assert word is not None  # noqa: S101 - one of the two is always there
        if self._signed:
            return (word << self._left).view(np.int64) >> self._right.view(np.int64)
        return ((word >> self._shift) & self._mask).view(np.int64)

    def _by_bytes(self, payload: NDArray[np.uint8]) -> IntArray:
        total = np.zeros(len(payload), np.uint64)
        for index, right, mask, left in self._bytes:
            total |= ((payload[:, index].astype(np.uint64) >> right) & mask) << left
        if self._signed:
            return (total << self._right).view(np.int64) >> self._right.view(np.int64)
        return total.view(np.int64)


def _byte_steps(bits: Bits, first: int) -> list[tuple[int, np.uint64, np.uint64, np.uint64]]:
    """(byte, shift right, mask, shift left) of every payload byte that holds a part of the integer."""
    steps = []
    taken = 0
    while taken < bits.length:
        at = first + taken
        part = min(8 - at % 8, bits.length - taken)
        # Little-endian counts bits from the least significant end of each byte, big-endian from the most.
        right = 8 - at % 8 - part if bits.big_endian else at % 8
        left = bits.length - taken - part if bits.big_endian else taken
        steps.append((at // 8, np.uint64(right), np.uint64((1 << part) - 1), np.uint64(left)))
        taken += part
    return steps
