"""Frames to samples: every mapped integer of every frame, as columns in canonical units. Pure numpy: no files, no clocks.

It never fabricates: a frame too short for a field gives no sample of it, and a remote or error frame gives none at all.
Work is per message and field, never per frame, and messages that are not in a batch cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.extract import Extractor, Payloads
from agent.frames import CLASSIC_BYTES, ERROR, EXTENDED, MAX_STANDARD_ID, REMOTE, Frames, IntArray
from agent.profile import Bits, Field, Message, Profile, Signal

_NO_PAYLOAD: Final = REMOTE | ERROR


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """Samples of one signal in order: `rows` are the frames' positions in the batch, ascending; `elements` for arrays only."""

    rows: IntArray
    values: IntArray
    elements: NDArray[np.int16] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What a batch of frames said, by signal index; signals without a sample are absent.

    A field's "not available" gives no sample either. `short` frames lacked bytes that some mapped field of their message
    needs; `unmapped` ones are in no message, or carry nothing.
    """

    columns: Mapping[int, Column]
    short: int
    unmapped: int


class Decoder:
    """Decodes batches of frames by one profile."""

    def __init__(self, profile: Profile) -> None:
        self._layouts = tuple(_Layout(message, profile.signals) for message in profile.messages)
        self._standard = np.full(MAX_STANDARD_ID + 2, -1, np.int16)  # the last one takes whatever is too large
        self._extended: dict[int, int] = {}
        for position, message in enumerate(profile.messages):
            if message.extended:
                self._extended[message.id] = position
            else:
                self._standard[message.id] = position

    def decode(self, frames: Frames) -> Samples:
        """Samples in canonical units."""
        return self._samples(frames, affine=True)

    def decode_raw(self, frames: Frames) -> Samples:
        """The same samples as raw integers, before multiplier and addend: what the bits say."""
        return self._samples(frames, affine=False)

    def _samples(self, frames: Frames, *, affine: bool) -> Samples:
        count = len(frames)
        if not count:
            return Samples({}, 0, 0)
        positions = self._positions(frames)
        order = np.argsort(positions, kind="stable")
        sizes = np.bincount(positions.astype(np.intp) + 1, minlength=len(self._layouts) + 1)
        ends = np.cumsum(sizes).tolist()
        pieces: dict[int, list[Column]] = {}
        short = 0
        for position in np.flatnonzero(sizes[1:]).tolist():
            rows = order[ends[position] : ends[position + 1]]
            short += self._layouts[position].decode(frames, rows, pieces, affine)
        columns = {signal: parts[0] if len(parts) == 1 else _merged(parts) for signal, parts in pieces.items()}
        return Samples(columns, short, int(sizes[0]))

    def _positions(self, frames: Frames) -> NDArray[np.int16]:
        """Position of each frame's message in the profile, or -1."""
        positions = self._standard.take(frames.ids, mode="clip")
        if frames.flags.any():
            extended = (frames.flags & EXTENDED) != 0
            positions[extended] = -1
            if self._extended:
                at = np.flatnonzero(extended)
                found = [self._extended.get(number, -1) for number in frames.ids[at].tolist()]
                positions[at] = found
            positions[(frames.flags & _NO_PAYLOAD) != 0] = -1
        return positions


class _Group:
    """Fields of one signal that lie in the same bits under different selector values: extracted in one go."""

    __slots__ = (
        "absent",
        "addend",
        "bits",
        "element",
        "elements",
        "is_array",
        "lookup",
        "multiplier",
        "muxes",
        "need",
        "signal",
    )

    def __init__(self, fields: list[Field], selector: Bits | None, is_array: bool) -> None:
        first = fields[0]
        self.signal = first.signal
        self.bits = Extractor(first.bits)
        self.need = first.bits.bytes_needed
        self.multiplier, self.addend, self.absent = first.multiplier, first.addend, first.absent
        self.is_array = is_array
        self.element = first.element
        self.muxes = tuple(sorted(item.mux for item in fields if item.mux is not None))
        self.lookup: NDArray[np.int16] | None = None
        if self.muxes and selector is not None:
            self.lookup = np.full(1 << selector.length, -1, np.int16)
            for item in fields:
                self.lookup[item.mux] = item.element


class _Layout:
    """One message, ready to extract."""

    def __init__(self, message: Message, signals: tuple[Signal, ...]) -> None:
        self._wide = message.length > CLASSIC_BYTES
        self._selector = None if message.selector is None else Extractor(message.selector)
        self._selector_need = 0 if message.selector is None else message.selector.bytes_needed
        self._groups = tuple(_groups(message, signals))
        self._need = max([self._selector_need, *(group.need for group in self._groups)])

    def decode(self, frames: Frames, rows: IntArray, pieces: dict[int, list[Column]], affine: bool) -> int:
        """Add the samples of this message's frames to `pieces`; how many frames were too short for some field."""
        lengths = frames.lengths[rows]
        short = 0
        if int(lengths.min()) < self._need:
            short = int(np.count_nonzero(lengths < self._need))
            kept = lengths >= self._selector_need
            rows, lengths = rows[kept], lengths[kept]
        words = Payloads(frames, rows, self._wide)
        muxes = None if self._selector is None else self._selector.raw(words)
        whole = _Choice(rows, words, muxes)
        chosen: dict[tuple[tuple[int, ...], int], _Choice] = {}
        for group in self._groups:
            key = (group.muxes, group.need if short else 0)
            choice = chosen.get(key)
            if choice is None:
                at = _chosen(group, muxes, lengths if short else None)
                choice = chosen[key] = whole if at is None else whole.part(at)
            if len(choice.rows) and len((column := _column(group, choice, affine)).rows):
                pieces.setdefault(group.signal, []).append(column)
        return short


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """The frames to which a group applies."""

    rows: IntArray
    words: Payloads
    muxes: IntArray | None

    def part(self, at: IntArray) -> _Choice:
        """Those at some positions."""
        return _Choice(self.rows[at], self.words.part(at), None if self.muxes is None else self.muxes[at])


def _groups(message: Message, signals: tuple[Signal, ...]) -> Iterable[_Group]:
    """The message's fields in groups of one extraction each; only fields under different selector values can share one."""
    together: dict[tuple[object, ...], list[Field]] = {}
    for item in message.fields:
        alike = (item.signal, item.bits, item.multiplier, item.addend, item.absent)
        turn = 0
        while any(
            item.mux is None or other.mux is None or other.mux == item.mux for other in together.get((*alike, turn), ())
        ):
            turn += 1
        together.setdefault((*alike, turn), []).append(item)
    for fields in together.values():
        yield _Group(fields, message.selector, signals[fields[0].signal].kind == "array")


def _chosen(group: _Group, muxes: IntArray | None, lengths: NDArray[np.uint8] | None) -> IntArray | None:
    """Positions of the frames that hold the group's fields; None for all."""
    held: NDArray[np.bool_] | None = None
    if group.lookup is not None and muxes is not None:
        held = group.lookup[muxes] >= 0
    if lengths is not None:
        enough = lengths >= group.need
        held = enough if held is None else held & enough
    if held is None or held.all():
        return None
    return np.flatnonzero(held)


def _column(group: _Group, choice: _Choice, affine: bool) -> Column:
    values = group.bits.raw(choice.words)
    if affine:
        if group.absent is not None and not (present := values != group.absent).all():
            at = np.flatnonzero(present)
            values, choice = values[at], choice.part(at)
        if group.multiplier != 1:
            values = values * group.multiplier
        if group.addend:
            values = values + group.addend
    if not group.is_array:
        return Column(choice.rows, values)
    if group.lookup is not None and choice.muxes is not None:
        return Column(choice.rows, values, group.lookup[choice.muxes])
    return Column(choice.rows, values, np.full(len(values), group.element, np.int16))


def _merged(parts: list[Column]) -> Column:
    """One column of several, in the order of frames; within a frame in the order of the profile."""
    elements = None if parts[0].elements is None else [part.elements for part in parts if part.elements is not None]
    rows = parts[0].rows
    if all(part.rows is rows for part in parts):
        return Column(
            np.repeat(rows, len(parts)),
            np.stack([part.values for part in parts], axis=1).ravel(),
            None if elements is None else np.stack(elements, axis=1).ravel(),
        )
    joined = np.concatenate([part.rows for part in parts])
    order = np.argsort(joined, kind="stable")
    return Column(
        joined[order],
        np.concatenate([part.values for part in parts])[order],
        None if elements is None else np.concatenate(elements)[order],
    )
