"""Deterministic CBOR (RFC 8949 section 4.2.1) and the gate through which every signed byte enters.

Our profile of values: int within 64 bits and never a bool, bstr, tstr, nil, array, map with strictly ascending integer
keys. No floats, no booleans, no tags but 18 outermost. The walk with exact types matters: byte equality alone lets
`{true: 7}` and `{1.0: 7}` through, and Python's `m[1]` would answer for both.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

import cbor2

from evidence.errors import FormatError

Value: TypeAlias = "int | bytes | str | list[Value] | dict[int, Value] | None"

MAX_BYTES: Final = 64 * 1024  # a statement is about 400 bytes; the largest act is far below this
MAX_DEPTH: Final = 16  # our deepest format nests 8; a parser's recursion must not be the peer's to choose
MAX_ITEMS: Final = 200_000  # a segment document of 900 windows of 30 signals and 108 cells stays below
COSE_SIGN1_TAG: Final = 18
_MAX_INT: Final = 2**64 - 1
_MIN_INT: Final = -(2**64)
_UNBOUNDED: Final = 2**62
_MAX_KEYS: Final = 64  # our widest map has 11; a dict of hostile keys takes quadratic time to build
_SCANNED_FROM: Final = 4096  # bytes; below, the walk finds hostile keys soon enough
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


def encode(value: Value) -> bytes:
    """Bytes of a value of our profile; FormatError for anything else (a programming error made loud)."""
    _walk(value, [_UNBOUNDED, _UNBOUNDED], 0)
    return _dumps(value)


def encode_sign1(parts: list[Value]) -> bytes:
    """Bytes of `parts` under tag 18 (COSE_Sign1, RFC 9052 section 4.2)."""
    return b"\xd2" + encode(parts)


def decode(encoded: bytes, *, max_bytes: int = MAX_BYTES, max_items: int = MAX_ITEMS) -> Value:
    """The value of exactly these bytes, if they are its deterministic encoding; else FormatError."""
    value = _loads(encoded, max_bytes)
    _walk(value, [max_items, len(encoded)], 0)
    if _dumps(value) != encoded:
        raise FormatError("not the deterministic CBOR encoding of its value")
    return value


def decode_sign1(encoded: bytes, *, max_bytes: int = MAX_BYTES) -> list[Value]:
    """The array under an outermost tag 18, by the same rules as `decode`."""
    if encoded[:1] != b"\xd2":
        raise FormatError("not a tagged COSE_Sign1 (tag 18)")
    value = decode(encoded[1:], max_bytes=max_bytes)
    if not isinstance(value, list):
        raise FormatError("COSE_Sign1 is not an array")
    return value


def as_map(
    value: Value, what: str, required: frozenset[int], optional: frozenset[int] = frozenset()
) -> dict[int, Value]:
    """`value` as a map that has all `required` keys and none beside `optional`; else FormatError naming `what`."""
    if not isinstance(value, dict):
        raise FormatError(f"{what} is not a map")
    keys = value.keys()
    if not required <= keys or not keys <= required | optional:
        raise FormatError(f"{what} has keys {sorted(keys)[:16]}, expected {sorted(required)}")
    return value


def as_list(value: Value, what: str, length: int | None = None) -> list[Value]:
    """`value` as an array, of `length` if given; else FormatError."""
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise FormatError(f"{what} is not an array" + (f" of {length}" if length is not None else ""))
    return value


def as_int(value: Value, what: str, low: int = 0, high: int = 2**63 - 1) -> int:
    """`value` as an int within [low, high]; else FormatError."""
    if type(value) is not int or not low <= value <= high:
        raise FormatError(f"{what} is not an integer from {low} to {high}")
    return value


def as_bytes(value: Value, what: str, length: int | None = None) -> bytes:
    """`value` as a bstr, of `length` bytes if given; else FormatError."""
    if not isinstance(value, bytes) or (length is not None and len(value) != length):
        raise FormatError(f"{what} is not a byte string" + (f" of {length}" if length is not None else ""))
    return value


def as_text(value: Value, what: str, longest: int = 1024) -> str:
    """`value` as a tstr of 1 to `longest` characters, no control character among them; else FormatError.

    Texts end up on terminals and in one-line logs, which their signer must not be able to steer.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= longest or _CONTROLS.search(value):
        raise FormatError(f"{what} is not a text of 1 to {longest} characters without control characters")
    return value


def _loads(encoded: bytes, max_bytes: int) -> Value:
    if type(encoded) is not bytes:
        raise FormatError("not bytes")
    if not 0 < len(encoded) <= max_bytes:
        raise FormatError(f"{len(encoded)} bytes, allowed are 1 to {max_bytes}")
    if len(encoded) > _SCANNED_FROM:
        _scan(encoded)
    try:
        return cbor2.loads(encoded)  # type: ignore[no-any-return]
    except Exception as problem:  # noqa: BLE001 - whatever a decoder raises on hostile bytes is this one error
        raise FormatError(f"not CBOR: {type(problem).__name__}") from None


def _dumps(value: Value) -> bytes:
    try:
        return cbor2.dumps(value)
    except Exception as problem:  # noqa: BLE001 - lone surrogates and the like
        raise FormatError(f"not encodable as CBOR: {type(problem).__name__}") from None


def _width(head: int) -> int:
    """Bytes from this head to the next one: of integers, nil, short strings and heads of arrays; 0 for all others."""
    major, form = head >> 5, head & 0x1F
    if head == 0xF6:
        return 1
    if major in (2, 3) and form < 0x18:
        return 1 + form
    if major in (0, 1, 4) and form < 0x1C:
        return 1 + (1 << (form - 0x18) if form >= 0x18 else 0)
    return 0


_WIDTHS: Final = bytes(_width(head) for head in range(256))


def _scan(encoded: bytes) -> None:
    """Refuse wide maps, tags, floats and indefinite lengths by their heads, before a decoder builds anything of them.

    Hostile keys make a dict quadratic: 380 kB of them take 4 s to decode.
    """
    at, end = 0, len(encoded)
    while at < end:
        head = encoded[at]
        width = _WIDTHS[head]
        if width:
            at += width
            continue
        major, form = head >> 5, head & 0x1F
        if form > 0x1B or major not in (2, 3, 5):
            raise FormatError("a tag, float or indefinite length is outside the profile")
        start = at + 1
        at = start + (1 << (form - 0x18) if form >= 0x18 else 0)
        argument = int.from_bytes(encoded[start:at], "big") if form >= 0x18 else form
        if major == 5 and argument > _MAX_KEYS:
            raise FormatError(f"a map has more than {_MAX_KEYS} keys")
        at += argument if major in (2, 3) else 0


def _walk(value: object, budget: list[int], depth: int) -> None:
    """Refuse anything outside the profile. `budget` counts down the items and string bytes of the whole walk.

    The bytes are counted because a decoder's shared references (tags 25 and 29) would let 60 kB stand for 300 MB.
    """
    kind = type(value)
    if kind is int:
        if not _MIN_INT <= value <= _MAX_INT:  # type: ignore[operator]
            raise FormatError("integer beyond 64 bits")
        return
    if kind is bytes or kind is str:
        budget[1] -= len(value)  # type: ignore[arg-type]
        if budget[1] < 0:
            raise FormatError("strings are longer than their encoding")
        return
    if value is None:
        return
    if depth >= MAX_DEPTH:
        raise FormatError(f"nested deeper than {MAX_DEPTH}")
    if kind is list:
        budget[0] -= len(value)  # type: ignore[arg-type]
        if budget[0] < 0:
            raise FormatError("too many items")
        for item in value:  # type: ignore[attr-defined]
            _walk(item, budget, depth + 1)
        return
    if kind is not dict:
        raise FormatError(f"a value of type {kind.__name__} is outside the profile")
    budget[0] -= len(value)  # type: ignore[arg-type]
    if budget[0] < 0:
        raise FormatError("too many items")
    _check_keys(list(value))  # type: ignore[call-overload]
    for item in value.values():  # type: ignore[attr-defined]
        _walk(item, budget, depth + 1)


def _check_keys(keys: list[object]) -> None:
    """Integer keys in strictly ascending order of their encoding: 0, 1, 2, ... and then -1, -2, ..."""
    previous: tuple[int, int] | None = None
    for key in keys:
        if type(key) is not int or not _MIN_INT <= key <= _MAX_INT:
            raise FormatError("a map key is not an integer")
        order = (0, key) if key >= 0 else (1, -1 - key)
        if previous is not None and order <= previous:
            raise FormatError("map keys are not strictly ascending")
        previous = order
