"""Compiles a vehicle's DBC and mapping into tables: `python -m agent.profile_compile NAME --profile-dir DIR --out FILE`.

The only importer of cantools, and a process of its own, because cantools and a large DBC would cost the service tens of
megabytes for as long as it runs. Nothing here rounds: a unit that cannot hold a signal exactly is refused.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import cantools.database
from cantools.database.can import Database
from cantools.database.can import Message as DbcMessage
from cantools.database.can import Signal as DbcSignal

from agent.errors import ConfigError
from agent.profile import MAX_ELEMENTS, MAX_SCHEMA_BYTES, Bits, Field, Kind, Message, Profile, Signal, check
from agent.profile_units import exact_conversion
from packseal import tables
from packseal.program import run
from packseal.tables import Table

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
_SPAN: Final = re.compile(r"(.*)\{(\d{1,4})\.\.(\d{1,4})\}(.*)")


class ProfileSection(Table):
    """`[profile]`: what the profile is for. `bus` is a note for people."""

    name: str
    title: str
    variant: str
    dbc: str
    bus: str = ""


class SignalSection(Table):
    """`[[signal]]`: one canonical signal from one DBC signal, or from several as an array."""

    name: str
    message: str
    unit: str
    kind: Kind = "scalar"
    signal: str | None = None
    signals: str | list[str] | None = None
    invert: bool = False
    absent: int | None = None


class Mapping(Table):
    """A mapping file, NAME.toml."""

    profile: ProfileSection
    signal: tuple[SignalSection, ...]


def compile_profile(name: str, folder: Path) -> Profile:
    """The profile of NAME.toml and its DBC in `folder`; ConfigError names the file, the key and what to do."""
    path = folder / f"{name}.toml"
    mapping = _read_mapping(path)
    section = mapping.profile
    if section.name != name or not _NAME.fullmatch(name):
        raise ConfigError(
            f"{path}: profile.name {section.name!r} must be the file's name, of a-z, 0-9 and -, at most 48 characters"
        )
    if Path(section.dbc).name != section.dbc:
        raise ConfigError(f"{path}: profile.dbc {section.dbc!r} must be a file beside the mapping, without a folder")
    dbc = _read_dbc(path, folder / section.dbc)
    builder = _Builder(path, folder / section.dbc, dbc)
    for position, entry in enumerate(mapping.signal, 1):
        builder.add(position, entry)
    profile = Profile(name, section.title, section.variant, tuple(builder.signals), builder.messages())
    check(profile)
    if len(profile.schema) > MAX_SCHEMA_BYTES:
        raise ConfigError(
            f"{path}: compiles to {len(profile.schema)} bytes, at most {MAX_SCHEMA_BYTES}; map fewer signals"
        )
    return profile


class _Builder:
    """Collects signals and, by message, the fields that they are read from."""

    def __init__(self, path: Path, dbc_path: Path, dbc: Database) -> None:
        self.signals: list[Signal] = []
        self._path, self._dbc_path = path, dbc_path
        self._dbc = {message.name: message for message in dbc.messages}
        self._fields: dict[str, list[Field]] = {}

    def add(self, position: int, entry: SignalSection) -> None:
        """Add one `[[signal]]`, the position-th of its file."""
        where = f"{self._path}: signal {position} ({entry.name})"
        if any(signal.name == entry.name for signal in self.signals):
            raise ConfigError(f"{where}: its name is there twice; give each signal one entry")
        message = self._dbc.get(entry.message)
        if message is None:
            raise ConfigError(
                f"{where}: message {entry.message!r} is not in {self._dbc_path}; correct the name or the DBC"
            )
        sources = _sources(where, entry)
        self.signals.append(Signal(entry.name, entry.unit, entry.kind, len(sources)))
        for element, source in enumerate(sources):
            self._add_field(where, entry, message, element, source)

    def messages(self) -> tuple[Message, ...]:
        """The messages that are mapped, by identifier, each with its fields."""
        made = []
        for name, fields in self._fields.items():
            source = self._dbc[name]
            needs_selector = any(item.mux is not None for item in fields)
            selector = next((signal for signal in source.signals if signal.is_multiplexer), None)
            made.append(
                Message(
                    source.frame_id,
                    source.is_extended_frame,
                    name,
                    source.length,
                    _bits(selector) if needs_selector and selector is not None else None,
                    tuple(fields),
                )
            )
        return tuple(sorted(made, key=lambda message: (message.extended, message.id)))

    def _add_field(self, where: str, entry: SignalSection, message: DbcMessage, element: int, source: str) -> None:
        found = next((signal for signal in message.signals if signal.name == source), None)
        if found is None:
            raise ConfigError(
                f"{where}: signal {source!r} is not in message {entry.message} of {self._dbc_path};"
                " correct the name or the DBC"
            )
        bits = _bits(found)
        if found.is_float:
            raise ConfigError(f"{where}: {source} is a floating-point signal; only integers are signed")
        if bits.raw_range[1] >= 2**63:
            raise ConfigError(f"{where}: {source} is unsigned with 64 bits, which 64 bits with a sign cannot hold")
        multiplier, addend = _conversion(where, entry, found)
        if entry.absent is not None and not bits.raw_range[0] <= entry.absent <= bits.raw_range[1]:
            raise ConfigError(
                f"{where}: absent {entry.absent} is no raw value of {source}, which has {bits.length} bits"
            )
        fields = self._fields.setdefault(message.name, [])
        for mux in _muxes(where, message, found):
            field = Field(len(self.signals) - 1, element, mux, bits, multiplier, addend, entry.absent, source)
            if not field.fits:
                raise ConfigError(
                    f"{where}: {source} in {entry.unit} does not fit 62 bits and a sign; take a coarser unit"
                )
            fields.append(field)


def _read_mapping(path: Path) -> Mapping:
    try:
        return tables.read(tables.parsed(path.read_bytes()), Mapping)
    except OSError as problem:
        raise ConfigError(f"{path}: cannot be read: {problem.strerror}") from None
    except tables.Complaint as problem:
        raise ConfigError(f"{path}: {problem}") from None


def _read_dbc(mapping: Path, path: Path) -> Database:
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise ConfigError(
            f"{path}: cannot be read: {problem.strerror}; put the DBC there or correct profile.dbc in {mapping}"
        ) from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")
    try:
        # Published DBCs overlap signals that we do not map; the ones that we do are checked by themselves.
        loaded: Any = cantools.database.load_string(text, "dbc", strict=False)
    except Exception as problem:  # noqa: BLE001 - cantools raises errors of its parsers, and KeyErrors, on malformed files
        said = " ".join(str(problem).split())
        raise ConfigError(f"{path}: not a DBC that can be read: {said}") from None
    assert isinstance(loaded, Database)  # noqa: S101 - what "dbc" gives
    return loaded


def _sources(where: str, entry: SignalSection) -> list[str]:
    """DBC signals of an entry, in the order of elements."""
    if (entry.kind == "array") != (entry.signals is not None) or (entry.signal is None) == (entry.signals is None):
        raise ConfigError(f'{where}: give `signals` for kind = "array", else `signal`, and only one of them')
    if entry.signals is None:
        return [entry.signal or ""]
    sources = entry.signals if isinstance(entry.signals, list) else _expanded(where, entry.signals)
    if not 0 < len(sources) <= MAX_ELEMENTS or len(set(sources)) != len(sources):
        raise ConfigError(f"{where}: signals must be 1 to {MAX_ELEMENTS} names, each once")
    return sources


def _expanded(where: str, pattern: str) -> list[str]:
    match = _SPAN.fullmatch(pattern)
    if match is None:
        raise ConfigError(f'{where}: signals {pattern!r} is neither a list nor a pattern such as "Cell{{0..107}}"')
    before, first, last, after = match.groups()
    return [f"{before}{number}{after}" for number in range(int(first), int(last) + 1)]


def _bits(signal: DbcSignal) -> Bits:
    return Bits(signal.start, signal.length, signal.byte_order == "big_endian", signal.is_signed)


def _muxes(where: str, message: DbcMessage, signal: DbcSignal) -> Sequence[int | None]:
    """The selector values under which a signal is there, or None for always."""
    if signal.multiplexer_ids is None:
        return [None]
    selectors = [each for each in message.signals if each.is_multiplexer]
    if len(selectors) > 1 or selectors[0].is_signed:
        raise ConfigError(f"{where}: {message.name} has nested or signed selectors; only one unsigned selector is read")
    return list(signal.multiplexer_ids)


def _conversion(where: str, entry: SignalSection, signal: DbcSignal) -> tuple[int, int]:
    sign = -1 if entry.invert else 1
    # DBC scales are decimal texts; repr of the float that cantools makes of one gives the text's value back.
    scale, offset = Fraction(repr(signal.scale)) * sign, Fraction(repr(signal.offset)) * sign
    return exact_conversion(where, signal.name, scale, offset, signal.unit or "", entry.unit)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile one profile and write its tables."""
    parser = argparse.ArgumentParser(prog="python -m agent.profile_compile", description="Compile a vehicle profile.")
    parser.add_argument("name", help="the profile; NAME.toml and its DBC lie in the profile folder")
    parser.add_argument("--profile-dir", type=Path, required=True, help="folder of the profile")
    parser.add_argument("--out", type=Path, required=True, help="file to write the tables to")
    options = parser.parse_args(arguments)
    options.out.write_bytes(compile_profile(options.name, options.profile_dir).to_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(run("profile_compile", main))
