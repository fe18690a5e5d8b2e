"""Reads the layout part of a DBC file: messages, signals, their bits, scales and pages. Pure; text in, table out.

The simulator's own reader, independent of the agent's: what a profile says is understood twice. `BO_`, `SG_` and
`SIG_VALTYPE_` are read, strictly and bounded; all other sections of a DBC are passed over.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from packseal.program import ConfigurationError

MAX_CHARACTERS = 4_000_000
MAX_MESSAGES = 4_096
MAX_SIGNALS = 1_024  # of one message
EXTENDED_BIT = 1 << 31

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_MESSAGE = re.compile(r"BO_\s+(\d{1,10})\s+(\w{1,128})\s*:\s*(\d{1,4})\s+\w+\s*")
_SIGNAL = re.compile(
    rf"SG_\s+(\w{{1,128}})\s+(?:(M)|m(\d{{1,5}})(M)?)?\s*:\s*(\d{{1,3}})\|(\d{{1,3}})@([01])([+-])\s*"
    rf"\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)\s*\[[^\]]*\]\s*\"[^\"]*\"\s*.*"
)
_FLOAT = re.compile(r"SIG_VALTYPE_\s+(\d{1,10})\s+(\w{1,128})\s*:?\s*([123])\s*;\s*")


@dataclass(frozen=True, slots=True)
class Signal:
    """Where a DBC puts a signal. `page` is the value of the selector with which it is there; None: always."""

    name: str
    start: int
    length: int
    big_endian: bool
    signed: bool
    scale: float
    offset: float
    page: int | None = None
    selector: bool = False


@dataclass(slots=True)
class Layout:
    """One message of a DBC, its signals by name."""

    identifier: int
    name: str
    length: int
    signals: dict[str, Signal] = field(default_factory=dict)
    floats: set[str] = field(default_factory=set)

    @property
    def selector(self) -> Signal | None:
        """The signal that says which page a frame holds."""
        return next((signal for signal in self.signals.values() if signal.selector), None)


def read_dbc(text: str, where: str) -> Mapping[str, Layout]:
    """The messages of a DBC by their names. ConfigurationError names `where` (the file) and the line."""
    if len(text) > MAX_CHARACTERS:
        raise ConfigurationError(f"{where}: longer than {MAX_CHARACTERS} characters; that is no profile")
    layouts: dict[str, Layout] = {}
    by_number: dict[int, Layout] = {}
    present: Layout | None = None
    for count, line in enumerate(text.splitlines(), 1):
        words, place = line.strip(), f"{where}:{count}"
        if words.startswith("BO_ "):
            present = _message(words, place)
            if present.name in layouts or len(layouts) >= MAX_MESSAGES:
                raise ConfigurationError(
                    f"{place}: {present.name} is there twice, or more than {MAX_MESSAGES} messages"
                )
            layouts[present.name] = by_number[present.identifier] = present
        elif words.startswith("SG_ "):
            if present is None:
                raise ConfigurationError(f"{place}: a signal (SG_) that belongs to no message (BO_)")
            _add(present, _signal(words, place), place)
        elif words.startswith("SIG_VALTYPE_ ") and (found := _FLOAT.fullmatch(words)) and found[3] != "3":
            if int(found[1]) in by_number:
                by_number[int(found[1])].floats.add(found[2])
        elif words[:1].isupper():
            present = None
    if not layouts:
        raise ConfigurationError(f"{where}: no message (BO_) in it; that is no DBC")
    return layouts


def _message(words: str, place: str) -> Layout:
    match = _MESSAGE.fullmatch(words)
    if match is None:
        raise ConfigurationError(f"{place}: not a message: {words[:60]!r}; give BO_ <id> <name>: <length> <sender>")
    return Layout(int(match[1]), match[2], int(match[3]))


def _signal(words: str, place: str) -> Signal:
    match = _SIGNAL.fullmatch(words)
    if match is None:
        raise ConfigurationError(f"{place}: not a signal: {words[:60]!r}; it is not written as a DBC writes one")
    name, selector, page, both, start, length, order, sign, scale, offset = match.groups()
    if both:
        raise ConfigurationError(f"{place}: {name}: selectors within selectors are not spoken")
    if float(scale) == 0.0 or not 1 <= int(length) <= 64:
        raise ConfigurationError(f"{place}: {name}: a scale of 0, or a length other than 1 to 64 bits")
    if not (_ordinary(float(scale)) and _ordinary(float(offset))):
        raise ConfigurationError(f"{place}: {name}: a scale or offset that is too large or too small to count with")
    return Signal(
        name,
        int(start),
        int(length),
        big_endian=order == "0",
        signed=sign == "-",
        scale=float(scale),
        offset=float(offset),
        page=None if page is None else int(page),
        selector=selector is not None,
    )


def _ordinary(number: float) -> bool:
    return number == 0.0 or sys.float_info.min <= abs(number) < math.inf


def _add(layout: Layout, signal: Signal, place: str) -> None:
    if signal.name in layout.signals or len(layout.signals) >= MAX_SIGNALS:
        raise ConfigurationError(f"{place}: {signal.name} is there twice, or more than {MAX_SIGNALS} signals")
    if signal.selector and layout.selector is not None:
        raise ConfigurationError(f"{place}: {signal.name}: {layout.name} has a second selector; one is spoken")
    layout.signals[signal.name] = signal
