"""The statement: what a gateway signs for a pack, one link of a chain. Its entry is what the log holds.

`read` turns bytes into a statement without believing them; the caller verifies `message` under the key that the
register binds, never one that the message names.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from evidence import cbor, envelope, sign1
from evidence.bodies import BODIES, Body, body_value, read_body
from evidence.envelope import Envelope
from evidence.errors import FormatError
from evidence.keys import SigningKey
from evidence.merkle import Digest

MAX_BYTES: Final = 32 * 1024  # a receipt must fit beside it into the 64 KiB of a bundle's message
MAX_EPOCH: Final = 2**53 - 1
MAX_SEQUENCE: Final = 2**53 - 1
QUALITIES: Final = {0: "none", 1: "rtc", 2: "ntp", 3: "gnss"}

_EPOCH, _SEQ, _PREV, _KIND, _BOOT, _T0, _T1, _WALL, _QUALITY, _BODY, _CHECKPOINT = range(1, 12)
_REQUIRED: Final = frozenset(range(1, 11))


@dataclass(frozen=True, slots=True)
class Stamp:
    """When, by the gateway's clocks: the boot clock orders, the wall clock at t0 is a claim of the stated quality."""

    boot_id: bytes
    t0_ms: int
    t1_ms: int
    wall_ms: int
    quality: int


@dataclass(frozen=True, slots=True)
class Seen:
    """Size and root of the newest checkpoint that the gateway has verified."""

    size: int
    root: Digest


@dataclass(frozen=True, slots=True)
class Statement:
    """A parsed statement with its exact bytes (unprotected header empty) and their entry. Not yet verified."""

    envelope: Envelope
    epoch: int
    seq: int
    prev: Digest | None
    stamp: Stamp
    body: Body
    seen: Seen | None
    message: sign1.Sign1
    encoded: bytes
    entry: Digest

    @property
    def kind(self) -> str:
        """The statement's kind, which its content type and payload agree on."""
        return self.envelope.kind


def entry_of(encoded: bytes) -> Digest:
    """What the log holds for a message: SHA-256 of its bytes with an empty unprotected header."""
    return Digest(hashlib.sha256(encoded).digest())


def sign(
    key: SigningKey,
    frame: Envelope,
    *,
    epoch: int,
    seq: int,
    prev: Digest | None,
    stamp: Stamp,
    body: Body,
    seen: Seen | None = None,
) -> Statement:
    """Sign one statement. The caller makes sure that (key, epoch, seq) is used once and kept before it leaves."""
    payload: dict[int, cbor.Value] = {
        _EPOCH: epoch,
        _SEQ: seq,
        _PREV: prev,
        _KIND: frame.kind,
        _BOOT: stamp.boot_id,
        _T0: stamp.t0_ms,
        _T1: stamp.t1_ms,
        _WALL: stamp.wall_ms,
        _QUALITY: stamp.quality,
        _BODY: body_value(body),
    }
    if seen is not None:
        payload[_CHECKPOINT] = [seen.size, bytes(seen.root)]
    return read(sign1.sign(key, frame.header(), cbor.encode(payload)).encode())


def read(encoded: bytes) -> Statement:
    """The statement of exactly these bytes; FormatError for anything else, a known kind of another family included."""
    message = sign1.parse(encoded, max_bytes=MAX_BYTES)
    return of_message(message, encoded)


def of_message(message: sign1.Sign1, encoded: bytes) -> Statement:
    """The statement of a parsed message whose bytes are `encoded`."""
    if message.unprotected:
        raise FormatError("the unprotected header of a statement is not empty")
    frame = envelope.read(message)
    if frame.kind not in BODIES:
        raise FormatError(f"{frame.kind!r} is not a kind of statement")
    if frame.expires is not None:
        raise FormatError("a statement of a gateway does not expire")
    payload = cbor.as_map(
        cbor.decode(message.payload or b"", max_bytes=MAX_BYTES),
        "payload",
        _REQUIRED,
        frozenset({_CHECKPOINT}),
    )
    if payload[_KIND] != frame.kind:
        raise FormatError("content type and payload disagree on the kind")
    prev = payload[_PREV]
    return Statement(
        envelope=frame,
        epoch=cbor.as_int(payload[_EPOCH], "epoch", 0, MAX_EPOCH),
        seq=cbor.as_int(payload[_SEQ], "seq", 0, MAX_SEQUENCE),
        prev=None if prev is None else Digest(cbor.as_bytes(prev, "prev", 32)),
        stamp=_stamp(payload),
        body=read_body(frame.kind, payload[_BODY]),
        seen=_seen(payload.get(_CHECKPOINT)),
        message=message,
        encoded=encoded,
        entry=entry_of(encoded),
    )


def _stamp(payload: dict[int, cbor.Value]) -> Stamp:
    t0 = cbor.as_int(payload[_T0], "t0")
    return Stamp(
        boot_id=cbor.as_bytes(payload[_BOOT], "boot id", 16),
        t0_ms=t0,
        t1_ms=cbor.as_int(payload[_T1], "t1", t0),
        wall_ms=cbor.as_int(payload[_WALL], "wall clock"),
        quality=cbor.as_int(payload[_QUALITY], "clock quality", 0, max(QUALITIES)),
    )


def _seen(value: cbor.Value) -> Seen | None:
    if value is None:
        return None
    size, root = cbor.as_list(value, "checkpoint", 2)
    return Seen(cbor.as_int(size, "tree size", 1), Digest(cbor.as_bytes(root, "root", 32)))
