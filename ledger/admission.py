"""Whether one message enters the log: a pure decision over its bytes, the register and the chains (DESIGN 2.5).

1. Form: the bytes are one statement in its one encoding.
2. Topic: issuer and subject are the gateway and pack of the topic it came by, which is all that a broker's ACL holds.
3. Known: its place is taken by the same entry. It is answered, not admitted twice, and its signature was checked then.
4. Register: it is for this ledger, by a bound key, for that key's pack and gateway, validly signed.
5. Seen: it does not name a checkpoint (key 11) of more entries than the log has, which no verifier would accept.
6. Place: (kid, epoch, seq) is free and at most 2^20 ahead. Taken by another payload, it is equivocation.

It never requires the predecessor, since two lanes and shared subscriptions deliver out of order. `permanent` is said only
of what no later act can change about these very bytes: a refusal is signed and outlives its occasion.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol, TypeAlias

from evidence import names, statement
from evidence.errors import FormatError, SignatureError
from evidence.keys import KeyId
from evidence.merkle import Digest
from evidence.register import Register, RuleError
from evidence.statement import Statement
from ledger.chains import Chains
from ledger.errors import Erased

PERMANENT: Final = frozenset({
    "malformed", "too-large", "bad-signature", "wrong-ledger", "wrong-binding", "equivocation", "place-taken",
})  # fmt: skip
"""Rules that refuse these bytes for ever; every other one may be mended by a later act or another topic."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as it came in, with the gateway and pack of its topic."""

    payload: bytes
    gateway: str
    pack: str


@dataclass(frozen=True, slots=True)
class Admit:
    """It may be appended."""

    statement: Statement


@dataclass(frozen=True, slots=True)
class Known:
    """The same entry is in the log at `index`."""

    entry: Digest
    index: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """It may not be appended; `subject` is the pack's URI, None when the bytes do not say."""

    entry: Digest
    rule: str
    reason: str
    subject: str | None

    @property
    def permanent(self) -> bool:
        """Whether trying again is of no use."""
        return self.rule in PERMANENT


@dataclass(frozen=True, slots=True)
class Equivocation:
    """A second statement, validly signed, in the place of `first`."""

    statement: Statement
    first: Digest


Decision: TypeAlias = Admit | Known | Refuse | Equivocation


class View(Protocol):
    """What admission looks at: the log as it stands, what is about to be appended included."""

    @property
    def register(self) -> Register:
        """The register of packs and keys."""

    @property
    def chains(self) -> Chains:
        """Which places are taken."""

    @property
    def size(self) -> int:
        """How many entries the log has: the next one's index, or below it."""

    def slot(self, kid: KeyId, epoch: int, seq: int) -> tuple[int, Digest]:
        """Index and entry of a statement in a place that `chains` says is taken."""

    def message_at(self, index: int) -> bytes:
        """The signed bytes of an entry; Erased."""


def decide(arrival: Arrival, view: View) -> Decision:
    """What is to be done with a message; no state changes, nothing is raised for anything that a peer can send."""
    if len(arrival.payload) > statement.MAX_BYTES:
        reason = f"a statement has at most {statement.MAX_BYTES} bytes, this has {len(arrival.payload)}"
        return _refuse(arrival.payload, "too-large", reason)
    try:
        said = statement.read(arrival.payload)
    except FormatError as problem:
        return _refuse(arrival.payload, "malformed", str(problem))
    envelope = said.envelope
    policy = view.register.policy
    if policy is None:
        return Refuse(said.entry, "no-policy", "the log has no policy yet", envelope.subject)
    if (envelope.issuer, envelope.subject) != _speaker(policy.registrar, arrival.gateway, arrival.pack):
        reason = f"it is by {envelope.issuer} for {envelope.subject}, not of the topic that it came by"
        return Refuse(said.entry, "wrong-topic", reason, envelope.subject)
    taken = view.chains.occupied(envelope.kid, said.epoch, said.seq)
    at, first = view.slot(envelope.kid, said.epoch, said.seq) if taken else (-1, None)
    if first == said.entry:
        return Known(said.entry, at)
    try:
        view.register.check_statement(said)
    except RuleError as problem:
        return Refuse(said.entry, problem.rule, str(problem), envelope.subject)
    except SignatureError as problem:
        return Refuse(said.entry, "bad-signature", str(problem), envelope.subject)
    if first is not None:
        return _twin(said, first, at, view)
    if said.seen is not None and said.seen.size > view.size:
        reason = f"it has seen {said.seen.size} entries of this log, which has {view.size}"
        return Refuse(said.entry, "checkpoint-ahead", reason, envelope.subject)
    if view.chains.too_far_ahead(envelope.kid, said.epoch, said.seq):
        return Refuse(said.entry, "too-far-ahead", f"seq {said.seq} is too far ahead of its epoch", envelope.subject)
    return Admit(said)


def _twin(said: Statement, first: Digest, at: int, view: View) -> Decision:
    """Two payloads in one place are equivocation; one payload signed twice differently is only a second copy.

    Where the first was erased only the entries are left to compare, and they differ: its key has signed for one place twice.
    """
    try:
        standing = statement.read(view.message_at(at)).message.payload
    except Erased:
        return Equivocation(said, first)
    if standing == said.message.payload:
        reason = f"the same payload stands in its place as entry {first.hex()}"
        return Refuse(said.entry, "place-taken", reason, said.envelope.subject)
    return Equivocation(said, first)


def _refuse(payload: bytes, rule: str, reason: str) -> Refuse:
    """A refusal of bytes that are no statement: they are named by their own SHA-256."""
    return Refuse(Digest(hashlib.sha256(payload).digest()), rule, reason[:1024], None)


@lru_cache(maxsize=65536)
def _speaker(registrar: str, gateway: str, pack: str) -> tuple[str, str]:
    named = names.Registrar(registrar)
    return named.gateway(gateway), named.pack(pack)
