"""What the store holds, as plain values: the nouns that admission, sequencer, archive and tools share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from evidence import segment
from evidence.acts import Act
from evidence.bodies import Body, Open, Segment
from evidence.keys import KeyId
from evidence.merkle import Digest
from evidence.statement import Statement


class Link(NamedTuple):
    """One statement's place: where it is in the log, its place in the chain of `kid`, and what it follows.

    `profile` is the digest of the schema that an open brings and that a segment names; None for other kinds.
    """

    at: int
    entry: Digest
    kind: str
    kid: KeyId
    epoch: int
    seq: int
    prev: Digest | None
    profile: Digest | None


class NewEntry(NamedTuple):
    """One entry to append. Acts have no kid, epoch, seq, prev; only segments have a document, they and opens a profile."""

    at: int
    entry: Digest
    kind: str
    subject: str
    kid: KeyId | None
    epoch: int | None
    seq: int | None
    prev: Digest | None
    document: Digest | None
    profile: Digest | None
    message: bytes


def row_of_statement(at: int, said: Statement) -> NewEntry:
    """The row of a statement at index `at`: all that is ever stored of it."""
    frame = said.envelope
    document = said.body.document if isinstance(said.body, Segment) else None
    place = (frame.kid, said.epoch, said.seq, said.prev)
    return NewEntry(at, said.entry, frame.kind, frame.subject, *place, document, _profile(said.body), said.encoded)


def row_of_act(at: int, act: Act) -> NewEntry:
    """The row of an act at index `at`."""
    return NewEntry(at, act.entry, act.kind, act.envelope.subject, None, None, None, None, None, None, act.encoded)


def link_of_statement(at: int, said: Statement) -> Link:
    """The place of a statement at index `at`."""
    frame = said.envelope
    return Link(at, said.entry, frame.kind, frame.kid, said.epoch, said.seq, said.prev, _profile(said.body))


def _profile(body: Body) -> Digest | None:
    match body:
        case Open():
            return segment.digest(body.schema)
        case Segment():
            return body.profile
        case _:
            return None


class RefusedEntry(NamedTuple):
    """One refusal with the signed bytes that answer it."""

    entry: Digest
    rule: str
    reason: str
    permanent: bool
    answer: bytes


class Twin(NamedTuple):
    """An equivocation: `message`, whose entry is `second`, stands where `first` already stands."""

    second: Digest
    first: Digest
    kid: KeyId
    epoch: int
    seq: int
    message: bytes


class Quarantined(NamedTuple):
    """A message that broke admission itself."""

    digest: Digest
    topic: str
    reason: str


class Document(NamedTuple):
    """A segment document without its body. `at` is the index of its statement, None while it waits for it."""

    digest: Digest
    gateway: str
    pack: str
    at: int | None
    answer: bytes | None


@dataclass(slots=True)
class Batch:
    """What one commit makes durable, whole or not at all."""

    entries: list[NewEntry] = field(default_factory=list)
    refusals: list[RefusedEntry] = field(default_factory=list)
    twins: list[Twin] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.entries or self.refusals or self.twins or self.quarantined)
