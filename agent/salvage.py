"""What a damaged store still holds goes into the new one, so that each chain goes on where it was and its owner loses little.

A statement is taken if its bytes are those that its digest names, and everything about it is read from these signed bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from agent import chain_state
from agent.chain_state import ChainState
from agent.database import Connection, Wreck
from agent.recorder import REPLAY
from evidence import proof, statement
from evidence.bodies import Gap, Moment, Open, Segment
from evidence.errors import EvidenceError
from evidence.keys import KeyId
from evidence.merkle import Digest
from evidence.names import identifier, origin, parse_uri
from evidence.statement import Statement

_STATES: Final = frozenset({"pending", "proven", "refused"})
_DOCUMENT_STATES: Final = frozenset({"held", "pending", "stored", "refused"})
_NOTES: Final = frozenset({"newest", "fork", "forked-from"})


@dataclass(slots=True)
class _End:
    """The newest statement of a chain that was found, and how far the live ones cover the pack's time."""

    newest: Statement
    covered: Moment | None = None
    recorded: bool = True  # what no `open` was found of may be a recording, whose times cover nothing

    def follow(self, said: Statement) -> None:
        """A later statement of the chain."""
        body, stamp = said.body, said.stamp
        if isinstance(body, Open):
            self.recorded = body.reason == REPLAY
        elif said.epoch != self.newest.epoch:
            self.recorded = True
        if isinstance(body, Gap) and not self.recorded:
            self.covered = body.end
        elif isinstance(body, Segment) and not self.recorded:
            wall_ms = stamp.wall_ms + stamp.t1_ms - stamp.t0_ms if stamp.wall_ms else 0
            self.covered = Moment(stamp.boot_id, stamp.t1_ms, wall_ms, stamp.quality)
        self.newest = said

    def state(self) -> ChainState:
        """The chain as far as its own statements tell."""
        said = self.newest
        return ChainState(
            _pack(said), said.envelope.audience, said.epoch, said.seq, said.entry, self.covered, counters=()
        )


def refill(store: Connection, wreck: Wreck, speakers: Iterable[KeyId]) -> None:
    """Take over statements, documents, chains and notes, within the store's own transaction.

    Each chain that there was is remembered as replaced until its next `open`; if not all of them can be told any more, so
    is the chain of each of `speakers`.
    """
    kids = {KeyId(kid) for _, kid in wreck.rows("SELECT rowid, kid FROM chains") if isinstance(kid, bytes)}
    if not wreck.whole:
        kids.update(speakers)
    ends = _statements(store, wreck)
    kids.update(ends)
    _documents(store, wreck)
    _chains(store, wreck, ends)
    store.executemany("INSERT OR IGNORE INTO replaced VALUES (?)", [(kid,) for kid in sorted(kids)])
    for _, name, note in wreck.rows("SELECT rowid, name, note FROM checkpoints"):
        if name in _NOTES and isinstance(note, str):
            store.execute("INSERT OR IGNORE INTO checkpoints VALUES (?, ?)", (name, note))


def _statements(store: Connection, wreck: Wreck) -> dict[KeyId, _End]:
    ends: dict[KeyId, _End] = {}
    query = "SELECT rowid, entry, body, state, log_index, refusal FROM statements"
    for _, entry, body, state, index, refusal in wreck.rows(query):
        said = _whole(entry, body)
        if said is None:
            continue
        kid = said.envelope.kid
        store.execute(
            "INSERT OR IGNORE INTO statements (pack, kid, epoch, seq, entry, kind, state, log_index, refusal, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (_pack(said), kid, said.epoch, said.seq, said.entry, said.kind, state if state in _STATES else "pending",
             index if isinstance(index, int) else None, refusal if isinstance(refusal, str) else None, body),
        )  # fmt: skip
        ends.setdefault(kid, _End(said)).follow(said)
    return ends


def _documents(store: Connection, wreck: Wreck) -> None:
    for _, entry, digest, state, refusal, body in wreck.rows(
        "SELECT rowid, entry, digest, state, refusal, body FROM documents"
    ):
        if isinstance(body, bytes) and isinstance(entry, bytes) and hashlib.sha256(body).digest() == digest:
            kept = state if state in _DOCUMENT_STATES else "held"
            store.execute(
                "INSERT OR IGNORE INTO documents (kid, entry, digest, state, refusal, body)"
                " SELECT kid, entry, ?, ?, ?, ? FROM statements WHERE entry = ?",
                (digest, kept, refusal if isinstance(refusal, str) else None, body, entry),
            )


def _chains(store: Connection, wreck: Wreck, ends: dict[KeyId, _End]) -> None:
    """Each chain's end: as the store had it if it can be followed, else what its newest whole statement says."""
    query = "SELECT rowid, kid, proof, pack, ledger, epoch, seq, entry, covered, counters FROM chains"
    for _, kid, proven, *columns in wreck.rows(query):
        found = _told(*columns) if isinstance(kid, bytes) else None
        if found is not None and _can_be_followed(store, kid, proven, found):
            end = ends.pop(KeyId(kid), None)
            if end is not None and end.newest.entry == found.entry:
                # What is signed says it best, whatever has become of the row beside it.
                said = end.newest
                found = replace(found, pack=_pack(said), ledger=said.envelope.audience, epoch=said.epoch, seq=said.seq)
            _keep(store, kid, found, proven)
    for kid, end in ends.items():
        _keep(store, kid, end.state(), None)


def _keep(store: Connection, kid: bytes, state: ChainState, proven: bytes | None) -> None:
    about = _proven_entry(proven)
    store.execute(
        "INSERT OR IGNORE INTO chains (kid, pack, ledger, epoch, seq, entry, covered, counters, proven, proof)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, (SELECT id FROM statements WHERE entry = ?), ?)",
        (kid, state.pack, state.ledger, state.epoch, state.seq, state.entry,
         None if state.covered is None else chain_state.moment_bytes(state.covered),
         chain_state.counters_bytes(state.counters), about, None if about is None else proven),
    )  # fmt: skip


def _told(
    pack: object, ledger: object, epoch: object, seq: object, entry: object, covered: object, counters: object
) -> ChainState | None:
    match pack, ledger, epoch, seq, entry, covered, counters:
        case str(), str(), int(), int(), bytes(), bytes() | None, bytes():
            try:
                return chain_state.read(identifier(pack), origin(ledger), epoch, seq, entry, covered, counters)
            except EvidenceError:
                return None
        case _:
            return None


def _can_be_followed(store: Connection, kid: bytes, proven: object, state: ChainState) -> bool:
    """Whether the end is the newest statement here, or lost here but in the ledger's log. An older one would be a fork."""
    query = "SELECT entry FROM statements WHERE kid = ? ORDER BY id DESC LIMIT 1"
    newest = store.execute(query, (kid,)).fetchone()
    if newest is not None and newest[0] == state.entry:
        return True
    lost = store.execute("SELECT 1 FROM statements WHERE entry = ?", (state.entry,)).fetchone() is None
    return lost and _proven_entry(proven) == state.entry


def _proven_entry(text: object) -> Digest | None:
    try:
        return proof.parse(text).entry if isinstance(text, bytes) else None
    except EvidenceError:
        return None


def _whole(entry: object, body: object) -> Statement | None:
    """The statement of a row; None if it is not what was written."""
    if not isinstance(body, bytes) or hashlib.sha256(body).digest() != entry:
        return None
    try:
        said = statement.read(body)
        _pack(said)
    except EvidenceError:
        return None
    return said


def _pack(said: Statement) -> str:
    return parse_uri(said.envelope.subject, "pack")[1]
