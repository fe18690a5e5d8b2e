"""Where a chain stands between two statements, and the bytes in which the outbox keeps it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from evidence import cbor
from evidence.bodies import Counters, Moment
from evidence.merkle import Digest


@dataclass(frozen=True, slots=True)
class ChainState:
    """Where the chain of a pack's key stands, as the last committed statement left it.

    `ledger` is the origin of the log that it was begun for. `covered` is how far the pack's time is accounted for; None if
    only recordings were sealed under this key.
    """

    pack: str
    ledger: str
    epoch: int
    seq: int
    entry: Digest
    covered: Moment | None
    counters: Counters


def read(
    pack: str, ledger: str, epoch: int, seq: int, entry: bytes, covered: bytes | None, counters: bytes
) -> ChainState:
    """The state of its columns; FormatError if the two encoded ones are not what was written."""
    return ChainState(pack, ledger, epoch, seq, Digest(entry), _read_moment(covered), _read_counters(counters))


def moment_bytes(moment: Moment) -> bytes:
    """The column of a moment."""
    return cbor.encode([moment.boot_id, moment.boot_ms, moment.wall_ms, moment.quality])


def counters_bytes(counters: Counters) -> bytes:
    """The column of lifetime counters."""
    return cbor.encode([[name, value] for name, value in counters])


def _read_moment(encoded: bytes | None) -> Moment | None:
    if encoded is None:
        return None
    boot_id, boot_ms, wall_ms, quality = cbor.as_list(cbor.decode(encoded), "moment", 4)
    return Moment(
        cbor.as_bytes(boot_id, "boot id", 16),
        cbor.as_int(boot_ms, "boot"),
        cbor.as_int(wall_ms, "wall"),
        cbor.as_int(quality, "quality", 0, 3),
    )


def _read_counters(encoded: bytes) -> Counters:
    pairs = (cbor.as_list(pair, "counter", 2) for pair in cbor.as_list(cbor.decode(encoded), "counters"))
    return tuple((cbor.as_text(name, "name"), cbor.as_int(value, "counter")) for name, value in pairs)
