"""What the register and the chains say of a pack, each line with the log index that proves it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from evidence import acts, names
from evidence.acts import Time
from evidence.keys import KeyId, NamedKey
from evidence.register import BoundKey, KnownPack
from ledger import founding
from ledger.chains import whole_chain
from ledger.errors import ActRefused
from ledger.log import Log
from ledger.store import Reader


@dataclass(frozen=True, slots=True)
class Placed:
    """A fact with the index of the entry that proves it."""

    what: str
    index: int


@dataclass(frozen=True, slots=True)
class KeyShown:
    """A bound key with what the log has of its chain; `reachable` of `statements` follow from its open unbroken."""

    kid: str
    gateway: str
    binder: str
    index: int
    statements: int
    reachable: int
    last_index: int | None
    last_heard_ms: int | None
    fork: str | None


@dataclass(frozen=True, slots=True)
class PackShown:
    """One pack. Times are log times, Unix ms."""

    pack: str
    index: int
    registered_ms: int | None
    titleholder: str
    attributes: dict[str, str]
    gateways: tuple[Placed, ...]
    keys: tuple[KeyShown, ...]

    def as_json(self) -> dict[str, object]:
        """All of it by name."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """All of it for a person."""
        yield f"{self.pack}  [{self.index}]"
        yield f"  registered   {_moment(self.registered_ms)}  [{self.index}]"
        yield f"  titleholder  {self.titleholder}  [{self.index}]"
        for name, text in self.attributes.items():
            yield f"  {name:<12} {text}  [{self.index}]"
        for gateway in self.gateways:
            yield f"  gateway      {gateway.what}  [{gateway.index}]"
        for key in self.keys:
            yield f"  key          {key.kid} at {key.gateway}, bound by {key.binder}  [{key.index}]"
            if key.fork is not None:
                yield f"  FORK         two statements of key {key.kid} follow, or replace, entry {key.fork}"
            missing = "" if key.reachable == key.statements else f", {key.statements - key.reachable} behind a hole"
            heard = f", last heard {_moment(key.last_heard_ms)}  [{key.last_index}]" if key.statements else ""
            yield f"  statements   {key.statements}{missing}{heard}"


def packs(reader: Reader, pack: str | None) -> list[PackShown]:
    """All packs, or the one of this identifier or URI; ActRefused if it is not registered."""
    with reader.snapshot():
        return _packs(reader, pack)


def _packs(reader: Reader, pack: str | None) -> list[PackShown]:
    policy = founding.read_policy(reader)
    log = Log(reader, NamedKey(policy.origin, policy.ledger_key))
    size = reader.size()
    log.replay_register(size)
    if pack is not None:
        pack = pack if ":" in pack else names.Registrar(policy.registrar).pack(pack)
        if pack not in log.register.packs:
            raise ActRefused(f"{pack} is not registered here")
    wanted = [known for uri, known in sorted(log.register.packs.items()) if pack in (None, uri)]
    return [_show(reader, log, known, size) for known in wanted]


def _show(reader: Reader, log: Log, pack: KnownPack, size: int) -> PackShown:
    return PackShown(
        pack.uri,
        pack.index,
        time_before(reader, pack.index),
        pack.titleholder,
        dict(pack.attributes),
        tuple(Placed(gateway, index) for gateway, index in pack.gateways.items()),
        tuple(_show_key(reader, kid, key, size) for kid, key in log.register.keys.items() if key.pack == pack.uri),
    )


def _show_key(reader: Reader, kid: KeyId, key: BoundKey, size: int) -> KeyShown:
    links = reader.links_of(kid, size)
    last = links[-1].at if links else None
    chain, fork = whole_chain(links)
    return KeyShown(
        kid.hex(),
        key.gateway,
        key.binder,
        key.index,
        len(links),
        len(chain),
        last,
        None if last is None else time_before(reader, last),
        None if fork is None else fork.hex(),
    )


def time_before(reader: Reader, at: int) -> int | None:
    """The log's time at index `at`: the last one logged before it, Unix ms."""
    found = reader.last_act("time", at)
    body = None if found is None else acts.read(found[1]).body
    return body.unix_ms if isinstance(body, Time) else None


def _moment(unix_ms: int | None) -> str:
    if unix_ms is None:
        return "at an unknown time"
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
