"""What the kinds of statement say: a dataclass per kind, with its exact form on the wire (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from evidence import cbor
from evidence.errors import FormatError
from evidence.merkle import Digest

Counters: TypeAlias = tuple[tuple[str, int], ...]

OPEN_REASONS: Final = {
    0: "first start",
    1: "restart",
    2: "store restored or replaced",
    3: "replay of a recording",
}
GAP_REASONS: Final = {
    0: "restart",
    1: "frames dropped by the kernel",
    2: "bus off",
    3: "interface down or removed",
    4: "adapter unplugged",
    5: "intake overflow",
    6: "evicted",
    7: "disk full",
    8: "store damaged",
    9: "hole in the recording",
}
CLOSE_REASONS: Final = {0: "stopped", 1: "end of recording"}
CLOCK_REASONS: Final = {0: "wall clock stepped", 1: "wall clock became trustworthy"}
MAX_COUNTERS: Final = 64
MAX_OTHER_CHAINS: Final = 64


@dataclass(frozen=True, slots=True)
class Moment:
    """One end of a span by the gateway's clocks."""

    boot_id: bytes
    boot_ms: int
    wall_ms: int
    quality: int


@dataclass(frozen=True, slots=True)
class Open:
    """An epoch begins. `schema` is the profile document whose SHA-256 the epoch's segments name."""

    version: str
    reason: int
    others: tuple[Digest, ...]
    schema: bytes
    counters: Counters = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """What was seen in a run of windows. `lost` frames are known to be lost within; `malformed` were unreadable."""

    windows: int
    window_ms: int
    root: Digest
    document: Digest
    raw: Digest
    frames: int
    lost: int
    profile: Digest
    malformed: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A span of which the agent knows that it did not see it or no longer has it; `count` frames where known."""

    reason: int
    start: Moment
    end: Moment
    count: int | None
    counters: Counters = ()


@dataclass(frozen=True, slots=True)
class Clock:
    """The wall clock stepped or became trustworthy; both readings belong to the statement's t0."""

    reason: int
    before_ms: int
    after_ms: int
    quality: int


@dataclass(frozen=True, slots=True)
class Close:
    """An epoch ends in order."""

    reason: int
    counters: Counters = ()


Body: TypeAlias = Open | Segment | Gap | Clock | Close


def body_value(body: Body) -> cbor.Value:
    """The wire form of a body."""
    match body:
        case Open():
            others: list[cbor.Value] = [bytes(entry) for entry in body.others]
            return {
                1: body.version,
                2: body.reason,
                3: others,
                4: body.schema,
                5: _counters_value(body.counters),
            }
        case Segment():
            return {
                1: body.windows,
                2: body.window_ms,
                3: bytes(body.root),
                4: bytes(body.document),
                5: bytes(body.raw),
                6: body.frames,
                7: body.lost,
                8: bytes(body.profile),
                9: body.malformed,
            }
        case Gap():
            value: dict[int, cbor.Value] = {
                1: body.reason,
                2: _moment_value(body.start),
                3: _moment_value(body.end),
            }
            if body.count is not None:
                value[4] = body.count
            value[5] = _counters_value(body.counters)
            return value
        case Clock():
            return {1: body.reason, 2: body.before_ms, 3: body.after_ms, 4: body.quality}
        case Close():
            return {1: body.reason, 2: _counters_value(body.counters)}


def read_body(kind: str, value: cbor.Value) -> Body:
    """The body of a statement of `kind`; FormatError if it is not exactly of its form."""
    return BODIES[kind](value)


def _open(value: cbor.Value) -> Open:
    body = cbor.as_map(value, "open", frozenset(range(1, 6)))
    others = cbor.as_list(body[3], "other chains")
    if len(others) > MAX_OTHER_CHAINS:
        raise FormatError("an open names too many other chains")
    return Open(
        cbor.as_text(body[1], "version", 64),
        cbor.as_int(body[2], "reason", 0, 255),
        tuple(_digest(entry, "other chain") for entry in others),
        cbor.as_bytes(body[4], "profile schema"),
        _counters(body[5]),
    )


def _segment(value: cbor.Value) -> Segment:
    body = cbor.as_map(value, "segment", frozenset(range(1, 10)))
    return Segment(
        windows=cbor.as_int(body[1], "window count", 1, 1_000_000),
        window_ms=cbor.as_int(body[2], "window length", 1, 3_600_000),
        root=_digest(body[3], "window root"),
        document=_digest(body[4], "document digest"),
        raw=_digest(body[5], "raw digest"),
        frames=cbor.as_int(body[6], "frames"),
        lost=cbor.as_int(body[7], "frames lost"),
        profile=_digest(body[8], "profile digest"),
        malformed=cbor.as_int(body[9], "malformed"),
    )


def _gap(value: cbor.Value) -> Gap:
    body = cbor.as_map(value, "gap", frozenset({1, 2, 3, 5}), frozenset({4}))
    return Gap(
        cbor.as_int(body[1], "reason", 0, 255),
        _moment(body[2]),
        _moment(body[3]),
        cbor.as_int(body[4], "count") if 4 in body else None,
        _counters(body[5]),
    )


def _clock(value: cbor.Value) -> Clock:
    body = cbor.as_map(value, "clock", frozenset(range(1, 5)))
    return Clock(
        cbor.as_int(body[1], "reason", 0, 255),
        cbor.as_int(body[2], "wall clock before"),
        cbor.as_int(body[3], "wall clock after"),
        cbor.as_int(body[4], "clock quality", 0, 3),
    )


def _close(value: cbor.Value) -> Close:
    body = cbor.as_map(value, "close", frozenset({1, 2}))
    return Close(cbor.as_int(body[1], "reason", 0, 255), _counters(body[2]))


def _digest(value: cbor.Value, what: str) -> Digest:
    return Digest(cbor.as_bytes(value, what, 32))


def _moment_value(moment: Moment) -> cbor.Value:
    return [moment.boot_id, moment.boot_ms, moment.wall_ms, moment.quality]


def _moment(value: cbor.Value) -> Moment:
    boot_id, boot_ms, wall_ms, quality = cbor.as_list(value, "moment", 4)
    return Moment(
        cbor.as_bytes(boot_id, "boot id", 16),
        cbor.as_int(boot_ms, "boot clock"),
        cbor.as_int(wall_ms, "wall clock"),
        cbor.as_int(quality, "clock quality", 0, 3),
    )


def _counters_value(counters: Counters) -> cbor.Value:
    return [[name, value] for name, value in sorted(counters)]


def _counters(value: cbor.Value) -> Counters:
    """The BMS's lifetime counters as (name with unit, value), sorted by name."""
    counters: list[tuple[str, int]] = []
    for item in cbor.as_list(value, "counters"):
        name, reading = cbor.as_list(item, "counter", 2)
        counters.append((cbor.as_text(name, "counter name", 128), cbor.as_int(reading, "counter")))
    if len(counters) > MAX_COUNTERS or [name for name, _ in counters] != sorted({name for name, _ in counters}):
        raise FormatError("counters are not sorted by name, each once")
    return tuple(counters)


BODIES: Final[dict[str, Callable[[cbor.Value], Body]]] = {
    "open": _open,
    "segment": _segment,
    "gap": _gap,
    "clock": _clock,
    "close": _close,
}
