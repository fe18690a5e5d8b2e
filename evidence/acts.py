"""Registry acts: what parties and the ledger itself sign about packs, keys and time (DESIGN 2.4).

Same envelope as statements; the payload is `{4: kind, 10: body, 12: after}`, where `after` is the entry of the last act
in the pack's strand, so that nobody acts on a state that has changed behind their back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from evidence import cbor, envelope, names, sign1
from evidence.envelope import Envelope
from evidence.errors import FormatError
from evidence.keys import PublicKey, SigningKey
from evidence.merkle import Digest
from evidence.statement import MAX_BYTES, entry_of

_KIND, _BODY, _AFTER = 4, 10, 12
ROLES: Final = frozenset({"maker", "lessor", "lessee", "bank", "operator", "archive"})
MAX_ATTRIBUTES: Final = 64


@dataclass(frozen=True, slots=True)
class Policy:
    """Entry 0: what the log is called, who names things in it, its key, and whose keys may admit parties."""

    origin: str
    registrar: str
    ledger_key: PublicKey
    root_keys: tuple[PublicKey, ...]


@dataclass(frozen=True, slots=True)
class Time:
    """The log's time: Unix ms, never decreasing. Signed by the ledger."""

    unix_ms: int


@dataclass(frozen=True, slots=True)
class Party:
    """A party with its key and roles. Signed by a root key of the policy."""

    key: PublicKey
    algorithm: int
    title: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PackRegister:
    """A pack comes into the register with its attributes; who signs it, a maker, holds its title."""

    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class GatewayBind:
    """A gateway may speak for the pack. Signed by the titleholder."""

    gateway: str


@dataclass(frozen=True, slots=True)
class KeyBind:
    """A key of (pack, gateway). Signed by the titleholder; in force from the key's own first `open`."""

    gateway: str
    key: PublicKey
    algorithm: int


@dataclass(frozen=True, slots=True)
class Heads:
    """Where every pack's strand and chains stood when the log had `covered` entries (see evidence.heads)."""

    covered: int
    root: Digest
    packs: int


ActBody: TypeAlias = Policy | Time | Party | PackRegister | GatewayBind | KeyBind | Heads


@dataclass(frozen=True, slots=True)
class Act:
    """A parsed act with its exact bytes and their entry. Not yet verified, nor allowed."""

    envelope: Envelope
    body: ActBody
    after: Digest | None
    message: sign1.Sign1
    encoded: bytes
    entry: Digest

    @property
    def kind(self) -> str:
        """The act's kind, which its content type and payload agree on."""
        return self.envelope.kind


def sign(key: SigningKey, frame: Envelope, body: ActBody, after: Digest | None = None) -> Act:
    """Sign one act."""
    payload: dict[int, cbor.Value] = {_KIND: frame.kind, _BODY: _value(body), _AFTER: after}
    return read(sign1.sign(key, frame.header(), cbor.encode(payload)).encode())


def read(encoded: bytes) -> Act:
    """The act of exactly these bytes; FormatError for anything else."""
    return of_message(sign1.parse(encoded, max_bytes=MAX_BYTES), encoded)


def of_message(message: sign1.Sign1, encoded: bytes) -> Act:
    """The act of a parsed message whose bytes are `encoded`."""
    if message.unprotected:
        raise FormatError("the unprotected header of an act is not empty")
    frame = envelope.read(message)
    if frame.kind not in _BODIES:
        raise FormatError(f"{frame.kind!r} is not a kind of act")
    if frame.expires is not None:
        raise FormatError(f"a {frame.kind} does not expire")
    payload = cbor.as_map(
        cbor.decode(message.payload or b"", max_bytes=MAX_BYTES), "payload", frozenset({_KIND, _BODY, _AFTER})
    )
    if payload[_KIND] != frame.kind:
        raise FormatError("content type and payload disagree on the kind")
    after = payload[_AFTER]
    return Act(
        envelope=frame,
        body=_BODIES[frame.kind](payload[_BODY]),
        after=None if after is None else Digest(cbor.as_bytes(after, "after", 32)),
        message=message,
        encoded=encoded,
        entry=entry_of(encoded),
    )


def _value(body: ActBody) -> cbor.Value:
    match body:
        case Policy():
            roots: list[cbor.Value] = [bytes(key) for key in body.root_keys]
            return {1: body.origin, 2: body.registrar, 3: bytes(body.ledger_key), 4: roots}
        case Time():
            return {1: body.unix_ms}
        case Party():
            return {1: bytes(body.key), 2: body.algorithm, 3: body.title, 4: list(body.roles)}
        case PackRegister():
            return {1: [list(attribute) for attribute in body.attributes]}
        case GatewayBind():
            return {1: body.gateway}
        case KeyBind():
            return {1: body.gateway, 2: bytes(body.key), 3: body.algorithm}
        case Heads():
            return {1: body.covered, 2: bytes(body.root), 3: body.packs}


def _policy(value: cbor.Value) -> Policy:
    body = cbor.as_map(value, "policy", frozenset(range(1, 5)))
    roots = tuple(_key(key) for key in cbor.as_list(body[4], "root keys"))
    if not 1 <= len(roots) <= 16 or len(set(roots)) != len(roots):
        raise FormatError("a policy names 1 to 16 different root keys")
    registrar = names.Registrar(cbor.as_text(body[2], "registrar"))
    return Policy(names.origin(cbor.as_text(body[1], "origin")), registrar.authority, _key(body[3]), roots)


def _time(value: cbor.Value) -> Time:
    return Time(cbor.as_int(cbor.as_map(value, "time", frozenset({1}))[1], "time"))


def _party(value: cbor.Value) -> Party:
    body = cbor.as_map(value, "party", frozenset(range(1, 5)))
    roles = tuple(cbor.as_text(role, "role", 32) for role in cbor.as_list(body[4], "roles"))
    if list(roles) != sorted(set(roles)) or not set(roles) <= ROLES:
        raise FormatError(f"roles are not some of {', '.join(sorted(ROLES))}, sorted, each once")
    return Party(_key(body[1]), _algorithm(body[2]), cbor.as_text(body[3], "title", 200), roles)


def _pack_register(value: cbor.Value) -> PackRegister:
    rows = cbor.as_list(cbor.as_map(value, "pack-register", frozenset({1}))[1], "attributes")
    pairs = [cbor.as_list(row, "attribute", 2) for row in rows]
    attributes = tuple(
        (cbor.as_text(name, "attribute name", 64), cbor.as_text(text, "attribute")) for name, text in pairs
    )
    if len(rows) > MAX_ATTRIBUTES or [name for name, _ in attributes] != sorted({name for name, _ in attributes}):
        raise FormatError("attributes are not sorted by name, each once")
    return PackRegister(attributes)


def _gateway_bind(value: cbor.Value) -> GatewayBind:
    return GatewayBind(_gateway(cbor.as_map(value, "gateway-bind", frozenset({1}))[1]))


def _key_bind(value: cbor.Value) -> KeyBind:
    body = cbor.as_map(value, "key-bind", frozenset(range(1, 4)))
    return KeyBind(_gateway(body[1]), _key(body[2]), _algorithm(body[3]))


def _heads(value: cbor.Value) -> Heads:
    body = cbor.as_map(value, "heads", frozenset(range(1, 4)))
    root = Digest(cbor.as_bytes(body[2], "root", 32))
    return Heads(cbor.as_int(body[1], "covered size", 1), root, cbor.as_int(body[3], "packs"))


def _key(value: cbor.Value) -> PublicKey:
    return PublicKey(cbor.as_bytes(value, "public key", 32))


def _algorithm(value: cbor.Value) -> int:
    algorithm = cbor.as_int(value, "algorithm", -64, -1)
    if algorithm not in sign1.ALGORITHMS:
        raise FormatError("the algorithm is not Ed25519")
    return algorithm


def _gateway(value: cbor.Value) -> str:
    text = cbor.as_text(value, "gateway")
    names.parse_uri(text, "gw")
    return text


_BODIES: Final[dict[str, Callable[[cbor.Value], ActBody]]] = {
    "policy": _policy,
    "time": _time,
    "party": _party,
    "pack-register": _pack_register,
    "gateway-bind": _gateway_bind,
    "key-bind": _key_bind,
    "heads": _heads,
}
ACT_KINDS: Final = frozenset(_BODIES)
LEDGER_ACTS: Final = frozenset({"policy", "time", "heads"})
"""Acts that only the ledger signs."""
