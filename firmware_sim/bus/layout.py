"""Puts a firmware's own table of messages into the places that a profile's DBC gives them.

Pure but for `load`, which reads the file. The firmware knows what it has to say, its pages and its periods; the DBC
knows where each value stands, so that a variant with other identifiers, positions, scales or pages is spoken too.
What the DBC does not name stays where the firmware's table has it, unless that place is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from firmware_sim.bus import pylontech, tesla_model3
from firmware_sim.bus.message import Field, Message
from firmware_sim.bus.profile import EXTENDED_BIT, MAX_CHARACTERS, Layout, Signal, read_dbc
from packseal.program import ConfigurationError, InputOutputError
from packseal.shipped import config_dir

Pages = dict[int, list[Field]]


@dataclass(frozen=True, slots=True)
class Firmware:
    """A kind of BMS by what it says: its messages for a number of cells, and the names of its page selectors."""

    messages: Callable[[int], tuple[Message, ...]]
    selectors: frozenset[str] = frozenset()


FIRMWARES: Mapping[str, Firmware] = {
    "tesla-model3": Firmware(tesla_model3.messages, tesla_model3.SELECTORS),
    "pylontech": Firmware(pylontech.messages),
}


def compile_messages(firmware: str, profile: str | Path | None, cells: int) -> tuple[Message, ...]:
    """What a pack of `cells` sends under `firmware`, laid out by `profile` (a file, a shipped name, None: its own).

    ConfigurationError names the file and the message or signal that it lacks.
    """
    if firmware not in FIRMWARES:
        raise ConfigurationError(f"firmware {firmware!r}: there are {', '.join(FIRMWARES)}")
    messages = FIRMWARES[firmware].messages(cells)
    if profile is None:
        return messages
    path, text = load(profile)
    return arranged(firmware, messages, read_dbc(text, path), path)


def arranged(
    firmware: str, messages: tuple[Message, ...], layouts: Mapping[str, Layout], where: str
) -> tuple[Message, ...]:
    """The same messages in the places of `layouts`."""
    selectors = FIRMWARES[firmware].selectors
    placed = tuple(_arrange(message, layouts.get(message.name), selectors, firmware, where) for message in messages)
    by_identifier: dict[int, str] = {}
    for message in placed:
        if message.identifier in by_identifier:
            other = by_identifier[message.identifier]
            raise ConfigurationError(f"{where}: {message.name} and {other} share one identifier")
        by_identifier[message.identifier] = message.name
    return placed


def located(profile: str | Path) -> Path:
    """Where the DBC of this path or shipped name is, if it is anywhere."""
    name = str(profile)
    return Path(name) if name.endswith(".dbc") or "/" in name else config_dir() / "profiles" / f"{name}.dbc"


def load(profile: str | Path) -> tuple[str, str]:
    """Path and text of a DBC that is named by a path (`x.dbc`, `a/b`) or as a shipped profile (`tesla-model3`)."""
    name, path = str(profile), located(profile)
    if path.parent == config_dir() / "profiles" and not path.exists():
        shipped = ", ".join(sorted(each.stem for each in path.parent.glob("*.dbc")))
        raise ConfigurationError(f"profile {name!r}: not shipped; there are {shipped}, or give a file NAME.dbc")
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return str(path), file.read(MAX_CHARACTERS + 1)
    except OSError as problem:
        raise InputOutputError(f"{path}: {problem.strerror}") from problem


def _arrange(message: Message, layout: Layout | None, selectors: frozenset[str], firmware: str, where: str) -> Message:
    if layout is None and not any(field.needed for page in message.pages for field in page):
        return message
    if layout is None:
        raise ConfigurationError(f"{where}: message {message.name} is missing; the {firmware} firmware sends it")
    if layout.identifier & EXTENDED_BIT or layout.identifier > 0x7FF or not 1 <= layout.length <= 8:
        raise ConfigurationError(f"{where}: {layout.name}: only classic frames with 11-bit identifiers are spoken")
    place = f"{where}: {layout.name}"
    pages = _named(message, layout, selectors, firmware, place)
    if layout.selector is not None:
        for page, fields in pages.items():
            fields.insert(0, _selector(layout.selector, page, place))
    for index, page in enumerate(sorted(pages)):
        _check(pages[page], layout.length, place)
        for extra in _extras(message, layout, selectors, page if layout.selector else index):
            if _fits(extra, pages[page], layout):
                pages[page].append(extra)
    ordered = tuple(tuple(pages[page]) for page in sorted(pages))
    return Message(layout.identifier, message.name, layout.length, message.period_us, ordered)


def _named(message: Message, layout: Layout, selectors: frozenset[str], firmware: str, place: str) -> Pages:
    """The fields that the DBC names, each moved to its place, by pages; those of no page are on all of them."""
    pages: Pages = {}
    everywhere: list[Field] = []
    for field in dict.fromkeys(field for page in message.pages for field in page if field.name not in selectors):
        signal = layout.signals.get(field.name)
        if signal is None:
            if field.needed:
                raise ConfigurationError(f"{place}: signal {field.name} is missing; the {firmware} firmware sends it")
            continue
        if field.name in layout.floats:
            raise ConfigurationError(f"{place}: {field.name}: floating-point signals are not spoken")
        moved = _moved(field, signal)
        if signal.page is None:
            everywhere.append(moved)
        else:
            pages.setdefault(signal.page, []).append(moved)
    if pages and layout.selector is None:
        raise ConfigurationError(f"{place}: has pages and no signal (M) that selects them")
    for fields in pages.values():
        fields.extend(everywhere)
    return pages or {0: everywhere}


def _moved(field: Field, signal: Signal) -> Field:
    return replace(
        field,
        start=signal.start,
        length=signal.length,
        scale=signal.scale,
        offset=signal.offset,
        signed=signal.signed,
        big_endian=signal.big_endian,
    )


def _selector(signal: Signal, page: int, place: str) -> Field:
    # The selector counts pages: scale and offset, should a DBC give it any, are for its readers.
    field = Field(signal.name, signal.start, signal.length, page, signed=signal.signed, big_endian=signal.big_endian)
    low, high = field.range()
    if not low <= page <= high:
        raise ConfigurationError(f"{place}: there is a page m{page}, but {signal.name} can only say {low} to {high}")
    return field


def _extras(message: Message, layout: Layout, selectors: frozenset[str], page: int) -> list[Field]:
    if page >= len(message.pages):
        return []
    return [each for each in message.pages[page] if each.name not in layout.signals and each.name not in selectors]


def _check(fields: list[Field], length: int, place: str) -> None:
    taken = 0
    for field in fields:
        try:
            mask = field.mask(length)
        except ValueError as wrong:
            raise ConfigurationError(f"{place}: {wrong}") from None
        if taken & mask:
            raise ConfigurationError(f"{place}: {field.name} overlaps another signal that the firmware sends")
        taken |= mask


def _fits(extra: Field, fields: list[Field], layout: Layout) -> bool:
    try:
        mask = extra.mask(layout.length)
    except ValueError:
        return False
    return not any(mask & field.mask(layout.length) for field in fields)
