"""TOML files read strictly into tables of known keys; what is wrong with one is one line: the key, what it is, what to write.

Nothing is bent into shape: a text is no number, true is no number, 5.0 is no whole number. 5 does for 5.0.
"""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, dataclass_transform

import msgspec
from msgspec import inspect as types

from evidence.errors import FormatError

_TIMES = (datetime.datetime, datetime.date, datetime.time)
_PLACE = re.compile(r".* - at `(\$[^`]*)`", re.DOTALL)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_LONGEST_SHOWN = 200
_DEEPEST = 32


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a file. What its types cannot say, `__post_init__` checks: with `hold`, or by raising a ValueError."""


class Complaint(ValueError):
    """What is wrong with a file, in one line that names the key and lacks only the file's name."""


class Broken(ValueError):
    """A table breaks a rule of its own; names the key within the table."""

    def __init__(self, key: str, said: str) -> None:
        super().__init__(said)
        self.key = key


_T = TypeVar("_T", bound=Table)


def parsed(content: bytes) -> dict[str, Any]:
    """The tables of a TOML file; Complaint if it is none, or holds what is too large or too deep to be worked with."""
    try:
        values = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as problem:  # not TOML, not UTF-8, a number of 5,000 digits, 5,000 brackets
        raise Complaint(f"not TOML: {problem}") from None
    _check_size(values)
    return values


def read(values: Mapping[str, Any], kind: type[_T], folder: Path = Path()) -> _T:
    """`values` as a table of `kind`, paths relative to `folder`; Complaint about the first unknown key, else the first mistake.

    A type that TOML does not know has a `from_toml`, which takes a value or raises a ValueError.
    """

    def made(unknown: Any, value: object) -> object:  # noqa: ANN401 - any type with a from_toml
        return _path(folder, value) if unknown is Path else unknown.from_toml(value)

    try:
        return msgspec.convert(values, kind, builtin_types=_TIMES, dec_hook=made)
    except msgspec.ValidationError as problem:
        raise Complaint(_complaint(problem, list(_spots(types.type_info(kind), values)))) from None


def hold(table: Table, rule: Callable[[str], object], *keys: str) -> None:
    """Broken unless `rule` takes the text of each of these keys; keys that were left out are not looked at."""
    for key in keys:
        text = getattr(table, key)
        if text is not None:
            try:
                rule(text)
            except (FormatError, ValueError) as problem:
                raise Broken(key, str(problem)) from None


def path(text: str) -> Path:
    """The path that a text says, `~` being a home folder; ValueError if no system can have it."""
    if "\0" in text:
        raise ValueError("a path cannot contain a NUL")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("there is no such home folder; write the path without ~") from None


def _path(folder: Path, value: object) -> Path:
    if not isinstance(value, str):
        raise ValueError("write a path")
    return folder / path(value)


def _check_size(value: object, key: str = "", depth: int = 0) -> None:
    """Complaint about whole numbers that TOML does not promise to hold, and that Python may not show; so for depth."""
    if depth > _DEEPEST:
        raise Complaint(
            f"{key:.{_LONGEST_SHOWN}}: more than {_DEEPEST} tables or lists in each other; write it flatter"
        )
    if isinstance(value, dict | list):
        for name, each in value.items() if isinstance(value, dict) else enumerate(value, 1):
            _check_size(each, _joined(key, str(name)), depth + 1)
    elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise Complaint(f"{key}: a whole number of more than 64 bits; write a smaller one")


class _Spot(NamedTuple):
    """A value of a file: where msgspec and where people say it is, what belongs there, what is there.

    A key that nobody knows has no place for msgspec, and the table that it was written in.
    """

    place: str
    key: str
    wanted: types.Type
    value: object


def _spots(wanted: types.Type, value: object, place: str = "$", key: str = "") -> Iterator[_Spot]:
    """This spot, all below it that have a type, and the keys that nobody knows."""
    wanted = _meant(wanted, value)
    yield _Spot(place, key, wanted, value)
    match wanted, value:
        case types.StructType(fields=fields), dict():
            known = {field.encode_name: field.type for field in fields}
            for name, each in value.items():
                if name in known:
                    yield from _spots(known[name], each, f"{place}.{name}", _joined(key, name))
                elif wanted.forbid_unknown_fields:
                    yield _Spot("", _joined(key, name), wanted, each)
        case ((types.VarTupleType(item_type=item) | types.ListType(item_type=item)), list()):
            for number, each in enumerate(value):
                yield from _spots(item, each, f"{place}[{number}]", _joined(key, str(number + 1)))
        case types.DictType(value_type=item), dict():
            # msgspec does not say which key it means: most likely one that holds more than a number or a text.
            for name, each in sorted(value.items(), key=lambda pair: isinstance(pair[1], str | int | float)):
                yield from _spots(item, each, f"{place}[...]", _joined(key, name))


def _meant(wanted: types.Type, value: object) -> types.Type:
    """A type without "or nothing"; for a list the list; of tables that a tag tells apart the one there, else the tag alone."""
    if not isinstance(wanted, types.UnionType):
        return wanted
    several = tuple(each for each in wanted.types if not isinstance(each, types.NoneType))
    tables = [each for each in several if isinstance(each, types.StructType)]
    if len(tables) < 2:
        fitting = [each for each in several if isinstance(each, types.ListType | types.VarTupleType)]
        if isinstance(value, list) and fitting:
            return fitting[0]
        return several[0] if len(several) == 1 else types.UnionType(several)
    tag = str(tables[0].tag_field)
    choices = types.LiteralType(tuple(sorted(str(each.tag) for each in tables)))
    one_of = types.StructType(Table, (types.Field(tag, tag, choices),))
    given = value.get(tag) if isinstance(value, dict) else None
    found = next((each for each in tables if each.tag == given), one_of)
    return found if found is one_of else msgspec.structs.replace(found, fields=one_of.fields + found.fields)


def _joined(key: str, name: str) -> str:
    shown = name if _BARE_KEY.fullmatch(name) else _shown(name)
    return f"{key}.{shown}" if key else shown


def _complaint(problem: msgspec.ValidationError, spots: list[_Spot]) -> str:
    # A mistyped key shows twice, as one that is missing and one that is unknown: what was typed says more.
    for spot in spots:
        if not spot.place and isinstance(spot.wanted, types.StructType):
            known = ", ".join(sorted(field.encode_name for field in spot.wanted.fields))
            return f"{spot.key}: unknown key; remove it or correct its spelling; there are {known}"
    cause = problem.__cause__
    said = "" if cause is None else str(cause)
    match = _PLACE.fullmatch(str(problem).removeprefix(said))
    place = match[1] if match else "$"
    # Where the types' own walk has not come as far as msgspec's: the nearest above.
    spot = next((spot for spot in spots if spot.place == place), None) or max(
        (spot for spot in spots if spot.place and place.startswith(spot.place)), key=lambda spot: len(spot.place)
    )
    if cause is None:
        return _mistake(spot)
    key, value = spot.key, spot.value
    if isinstance(cause, Broken) and isinstance(value, dict):
        key, value = _joined(key, cause.key), value.get(cause.key)
    shown = "" if isinstance(value, dict | list) else _shown(value)
    return f"{key or 'the file'}: {said}" if shown in said else f"{key}: {said}, not {shown}"


def _mistake(spot: _Spot) -> str:
    """What msgspec itself found."""
    match spot.wanted, spot.value:
        case types.StructType(fields=fields), dict(given):
            missing = next(each for each in fields if each.required and each.encode_name not in given)
            cure = f"write {_described(missing.type)}" if isinstance(missing.type, types.LiteralType) else "add it"
            return f"{_joined(spot.key, missing.encode_name)}: missing; {cure}"
        case types.VarTupleType(min_length=int()), []:
            return f"{spot.key}: there must be at least one"
        case types.VarTupleType(item_type=types.StructType() | types.UnionType()), _:
            header = re.sub(r"\.\d+", "", spot.key)
            return f"{spot.key}: write [[{header}]], in double brackets, once for each"
        case _:
            return f"{spot.key}: write {_described(spot.wanted)}, not {_shown(spot.value)}"


def _described(wanted: types.Type) -> str:
    """What is to be written, in words."""
    match wanted:
        case types.Metadata(extra_json_schema={"description": str(words)}):
            return words
        case types.IntType() | types.FloatType():
            low = f" above {wanted.gt}" if wanted.gt is not None else "" if wanted.ge is None else f" from {wanted.ge}"
            high = "" if wanted.le is None else f"{' and up' if wanted.gt is not None else ''} to {wanted.le}"
            return f"a {'whole ' if isinstance(wanted, types.IntType) else ''}number{low}{high}"
        case types.BoolType():
            return "true or false"
        case types.StrType():
            return "a text"
        case types.DateTimeType():
            return "a date and time, as in 2026-03-10T06:30:00Z"
        case types.LiteralType(values=words) | types.UnionType(types=words):
            said = [_described(each) if isinstance(each, types.Type) else _shown(each) for each in words]
            return f"{', '.join(said[:-1])} or {said[-1]}" if len(said) > 1 else said[0]
        case types.StructType() | types.DictType():
            return "a table"
        case _:
            return "a list"


def _shown(value: object) -> str:
    """A value much as the file has it, or what it is."""
    match value:
        case bool():
            return str(value).lower()
        case dict() | list():
            return "a table" if isinstance(value, dict) else "a list"
        case datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            return f"{value!r:.{_LONGEST_SHOWN}}"
