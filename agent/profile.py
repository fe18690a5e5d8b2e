"""A vehicle profile, compiled: which bits of which frames are which signals of the pack, in whole canonical units.

Pure. The same deterministic bytes are the tables that the service loads, the `schema` that an epoch's first statement
carries, and, hashed, the profile digest that every segment names: what a reader is told is what was used.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from agent.errors import ConfigError
from evidence import cbor
from evidence.bodies import MAX_COUNTERS
from evidence.errors import EvidenceError
from evidence.window import LARGEST

Kind: TypeAlias = Literal["scalar", "state", "array", "counter"]
KINDS: Final[tuple[Kind, ...]] = ("scalar", "state", "array", "counter")

SCHEMA_VERSION: Final = 1
MAX_ELEMENTS: Final = 1024
MAX_SELECTOR_BITS: Final = 16
MAX_SIGNALS: Final = 512
MAX_SCHEMA_BYTES: Final = 20 * 1024  # it travels in an open, of at most 32 KiB, beside 64 counters and 64 chains
_LOW: Final = -(2**63)
_HIGH: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Signal:
    """One canonical signal: VSS path below Vehicle.Powertrain.TractionBattery, unit, kind, 1 element or an array's count."""

    name: str
    unit: str
    kind: Kind
    elements: int


@dataclass(frozen=True, slots=True)
class Bits:
    """Where an integer lies in a payload, as a DBC says it: `start` is its least significant bit, or most if big-endian."""

    start: int
    length: int
    big_endian: bool
    signed: bool

    @property
    def bytes_needed(self) -> int:
        """Payload bytes that a frame must have for this integer to be in it."""
        if self.big_endian:
            return (8 * (self.start // 8) + 7 - self.start % 8 + self.length + 7) // 8
        return (self.start + self.length + 7) // 8

    @property
    def raw_range(self) -> tuple[int, int]:
        """Smallest and largest raw value."""
        if self.signed:
            return -(1 << (self.length - 1)), (1 << (self.length - 1)) - 1
        return 0, (1 << self.length) - 1


@dataclass(frozen=True, slots=True)
class Field:
    """One element of a signal in a message: value = raw x multiplier + addend, exact. `mux` is the selector's value or None.

    `absent` is the raw value that says "not available" and gives no sample; `source` is the DBC's name of the signal.
    """

    signal: int
    element: int
    mux: int | None
    bits: Bits
    multiplier: int
    addend: int
    absent: int | None
    source: str

    @property
    def value_range(self) -> tuple[int, int]:
        """Smallest and largest value that the bits can say."""
        low, high = (raw * self.multiplier + self.addend for raw in self.bits.raw_range)
        return min(low, high), max(low, high)

    @property
    def fits(self) -> bool:
        """Whether every raw value is an integer of 64 bits with a sign, and every canonical one within a window's bounds."""
        low, high = self.value_range
        return low >= -LARGEST and high <= LARGEST and self.bits.raw_range[1] <= _HIGH


@dataclass(frozen=True, slots=True)
class Message:
    """One message's layout: identifier, whether it has 29 bits, its DBC name, full length in bytes, selector, fields."""

    id: int
    extended: bool
    name: str
    length: int
    selector: Bits | None
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """A compiled profile. `schema` is its deterministic CBOR, `digest` the SHA-256 of that."""

    name: str
    title: str
    variant: str
    signals: tuple[Signal, ...]
    messages: tuple[Message, ...]
    schema: bytes = field(init=False)
    digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        schema = cbor.encode(_profile_value(self))
        object.__setattr__(self, "schema", schema)
        object.__setattr__(self, "digest", hashlib.sha256(schema).digest())

    def to_bytes(self) -> bytes:
        """The tables as they are stored: the schema itself."""
        return self.schema

    @staticmethod
    def from_bytes(tables: bytes) -> Profile:
        """The profile of exactly these tables; ConfigError if they are damaged or contradict themselves."""
        try:
            profile = _read_profile(cbor.decode(tables, max_bytes=MAX_SCHEMA_BYTES))
            check(profile)
        except EvidenceError as problem:
            raise ConfigError(f"profile tables are damaged: {problem}") from None
        return profile

    def index(self, name: str) -> int:
        """Position of a signal by its canonical name; KeyError if it is not mapped."""
        for position, signal in enumerate(self.signals):
            if signal.name == name:
                return position
        raise KeyError(name)


def check(profile: Profile) -> None:
    """ConfigError unless the decoder can trust every index, length and value range in the profile."""
    keys = {(message.id, message.extended) for message in profile.messages}
    names = {signal.name for signal in profile.signals}
    if len(keys) != len(profile.messages) or len(names) != len(profile.signals):
        raise ConfigError(f"profile {profile.name}: a message or a signal is there twice")
    if not 0 < len(profile.signals) <= MAX_SIGNALS:
        raise ConfigError(f"profile {profile.name}: {len(profile.signals)} signals, allowed are 1 to {MAX_SIGNALS}")
    for signal in profile.signals:
        if signal.elements != 1 and (signal.kind != "array" or signal.elements > MAX_ELEMENTS):
            raise ConfigError(f"profile {profile.name}: {signal.name} has {signal.elements} elements")
    counters = [f"{signal.name}_{signal.unit}" for signal in profile.signals if signal.kind == "counter"]
    if len(counters) > MAX_COUNTERS or not all(len(name) <= 128 and name.isprintable() for name in counters):
        raise ConfigError(f"profile {profile.name}: statements carry at most {MAX_COUNTERS} counters of short names")
    mapped = {(item.signal, item.element) for message in profile.messages for item in message.fields}
    if mapped != {(i, element) for i, signal in enumerate(profile.signals) for element in range(signal.elements)}:
        raise ConfigError(f"profile {profile.name}: an element of a signal has no place in any message")
    for message in profile.messages:
        _check_message(profile, message)


def _check_message(profile: Profile, message: Message) -> None:
    for bits in (message.selector, *(item.bits for item in message.fields)):
        if bits is not None and not (
            1 <= bits.length <= 64 and bits.start >= 0 and bits.bytes_needed <= message.length <= 64
        ):
            raise ConfigError(f"profile {profile.name}: {message.name} has bits outside its {message.length} bytes")
    if message.selector is not None and (message.selector.length > MAX_SELECTOR_BITS or message.selector.signed):
        raise ConfigError(f"profile {profile.name}: the selector of {message.name} is signed or longer than 16 bits")
    for item in message.fields:
        if not item.fits:
            raise ConfigError(f"profile {profile.name}: {item.source} does not fit 62 bits and a sign")
        if item.mux is not None and (message.selector is None or item.mux > message.selector.raw_range[1]):
            raise ConfigError(f"profile {profile.name}: {item.source} waits for a selector value that cannot come")


def _profile_value(profile: Profile) -> cbor.Value:
    signals: list[cbor.Value] = [
        [signal.name, signal.unit, KINDS.index(signal.kind), signal.elements] for signal in profile.signals
    ]
    messages: list[cbor.Value] = [_message_value(message) for message in profile.messages]
    return {1: SCHEMA_VERSION, 2: profile.name, 3: profile.title, 4: profile.variant, 5: signals, 6: messages}


def _message_value(message: Message) -> cbor.Value:
    selector: cbor.Value = None if message.selector is None else [*_bits_value(message.selector)]
    fields: list[cbor.Value] = [
        [
            item.signal,
            item.element,
            item.mux,
            *_bits_value(item.bits),
            item.multiplier,
            item.addend,
            item.absent,
            item.source,
        ]
        for item in message.fields
    ]
    return [message.id, int(message.extended), message.name, message.length, selector, fields]


def _bits_value(bits: Bits) -> tuple[int, int, int, int]:
    return bits.start, bits.length, int(bits.big_endian), int(bits.signed)


def _read_profile(value: cbor.Value) -> Profile:
    parts = cbor.as_map(value, "profile", frozenset(range(1, 7)))
    cbor.as_int(parts[1], "profile schema version", SCHEMA_VERSION, SCHEMA_VERSION)
    return Profile(
        cbor.as_text(parts[2], "profile name"),
        cbor.as_text(parts[3], "profile title"),
        cbor.as_text(parts[4], "profile variant"),
        tuple(_read_signal(item) for item in cbor.as_list(parts[5], "signals")),
        tuple(_read_message(item) for item in cbor.as_list(parts[6], "messages")),
    )


def _read_signal(value: cbor.Value) -> Signal:
    name, unit, kind, elements = cbor.as_list(value, "signal", 4)
    return Signal(
        cbor.as_text(name, "signal name"),
        cbor.as_text(unit, "unit", 32),
        KINDS[cbor.as_int(kind, "kind", 0, len(KINDS) - 1)],
        cbor.as_int(elements, "elements", 1, MAX_ELEMENTS),
    )


def _read_message(value: cbor.Value) -> Message:
    number, extended, name, length, selector, fields = cbor.as_list(value, "message", 6)
    return Message(
        cbor.as_int(number, "message id", 0, 2**29 - 1),
        cbor.as_int(extended, "extended", 0, 1) == 1,
        cbor.as_text(name, "message name"),
        cbor.as_int(length, "message length", 0, 64),
        None if selector is None else _read_bits(cbor.as_list(selector, "selector", 4)),
        tuple(_read_field(item) for item in cbor.as_list(fields, "fields")),
    )


def _read_field(value: cbor.Value) -> Field:
    parts = cbor.as_list(value, "field", 11)
    return Field(
        cbor.as_int(parts[0], "signal index"),
        cbor.as_int(parts[1], "element"),
        None if parts[2] is None else cbor.as_int(parts[2], "selector value"),
        _read_bits(parts[3:7]),
        cbor.as_int(parts[7], "multiplier", _LOW),
        cbor.as_int(parts[8], "addend", _LOW),
        None if parts[9] is None else cbor.as_int(parts[9], "absent value", _LOW),
        cbor.as_text(parts[10], "DBC signal"),
    )


def _read_bits(parts: list[cbor.Value]) -> Bits:
    start, length, big_endian, signed = parts
    return Bits(
        cbor.as_int(start, "start bit", 0, 511),
        cbor.as_int(length, "bit length", 1, 64),
        cbor.as_int(big_endian, "byte order", 0, 1) == 1,
        cbor.as_int(signed, "sign", 0, 1) == 1,
    )
