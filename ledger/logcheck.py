"""Derives everything again from the entries: what a ledger may not have got wrong, and what its gateways did.

1. Every entry is the SHA-256 of its message, and the rows say what the messages say.
2. The policy comes first; every act obeys the rules, replayed in order.
3. Every statement is signed by a key bound before it, and had seen no log that already reached beyond it.
4. Every checkpoint is signed, larger than the one before, and its root is that of the entries.
5. Every `heads` is the root over where the packs stood at the size that it covers.
6. Every kept document is the one that its segment names.

The first thing wrong ends the check. Equivocations, loose statements and statements that have seen another history are no
fault of the log: they are counted and reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Final

from evidence import acts, checkpoint, envelope, heads, merkle, segment, sign1, statement
from evidence.acts import ACT_KINDS, Act, Heads
from evidence.bodies import Segment
from evidence.errors import EvidenceError
from evidence.keys import NamedKey
from evidence.merkle import Digest
from evidence.statement import Statement
from ledger import founding
from ledger.errors import Erased, LogDamaged
from ledger.log import Log
from ledger.rows import Link, NewEntry, link_of_statement, row_of_act, row_of_statement
from ledger.store import Reader

_PROGRESS_EVERY: Final = 20_000


@dataclass(slots=True)
class Findings:
    """What a sound log holds. `loose` statements are not reachable from an open, `other_history` name a foreign root."""

    origin: str
    entries: int
    acts: int = 0
    statements: int = 0
    checkpoints: int = 0
    heads: int = 0
    documents: int = 0
    equivocations: int = 0
    erased: int = 0
    loose: int = 0
    other_history: int = 0

    def as_json(self) -> dict[str, str | int]:
        """The findings by name."""
        return asdict(self)


def check(reader: Reader, expected: NamedKey | None, progress: Callable[[int, int], None]) -> Findings:
    """Check a whole log; LogDamaged at the first thing wrong. Without an expected key the policy's own is taken."""
    with reader.snapshot():
        policy = founding.read_policy(reader)
        ledger = expected or NamedKey(policy.origin, policy.ledger_key)
        run = _Check(reader, ledger)
        run.entries(progress)
        run.documents()
        run.twins()
    return run.findings


class _Check:
    def __init__(self, reader: Reader, ledger: NamedKey) -> None:
        self._reader = reader
        self._log = Log(reader, ledger)
        self._size = reader.size()
        self._notes = reader.checkpoints()
        self._at = -1
        self.findings = Findings(ledger.name, self._size)
        self._covered = {body.covered: Digest(b"") for _, body in self._all_heads()}
        self._roots: dict[int, Digest] = {}

    def entries(self, progress: Callable[[int, int], None]) -> None:
        """Steps 1 to 5, one entry after the other."""
        notes = iter([*self._notes, (-1, "")])
        size, note = next(notes)
        for row in self._reader.everything(0, self._size):
            at = self._at = row.at
            if at != self._log.size:
                raise LogDamaged(f"entry {self._log.size} is missing")
            self._entry(row)
            self._log.tree.append(merkle.leaf_hash(row.entry))
            if at + 1 in self._covered:
                self._covered[at + 1] = heads.tree(self._log.pack_heads())[0].root()
            if at + 1 == size:
                self._checkpoint(size, note)
                size, note = next(notes)
            if at % _PROGRESS_EVERY == _PROGRESS_EVERY - 1:
                progress(at + 1, self._size)
        if size != -1:
            raise LogDamaged(f"a checkpoint of {size} entries is signed, but the log has {self._size}")
        self.findings.loose = self._log.chains.loose()

    def documents(self) -> None:
        """Step 6."""
        for at, digest, body in self._reader.documents():
            try:
                said = statement.read(self._reader.message(at)).body
                named = said.document if isinstance(said, Segment) else None
            except Erased:
                named = digest  # what the segment named went with its message
            if segment.digest(body) != digest or named != digest:
                raise LogDamaged(f"the document kept for entry {at} is not the one that it names")
            self.findings.documents += 1

    def twins(self) -> None:
        """Equivocations are evidence only if both are validly signed."""
        for twin in self._reader.twins():
            with_first = self._reader.slot(twin.kid, twin.epoch, twin.seq)
            if with_first is None or with_first[1] != twin.first:
                raise LogDamaged(f"an equivocation names {twin.first.hex()}, which does not stand in its place")
            try:
                self._log.register.check_statement(statement.read(twin.message))
            except EvidenceError as problem:
                raise LogDamaged(f"the equivocation {twin.second.hex()} is no evidence: {problem}") from None
            self.findings.equivocations += 1

    def _all_heads(self) -> Iterator[tuple[int, Heads]]:
        found = self._reader.last_act("heads", self._size)
        while found is not None:
            at, message = found
            try:
                body = acts.read(message).body
            except EvidenceError as problem:
                raise LogDamaged(f"entry {at}: {problem}") from None
            if isinstance(body, Heads):
                yield at, body
            found = self._reader.last_act("heads", at)

    def _entry(self, row: NewEntry) -> None:
        if not row.message:
            self._erased(row)
            return
        if statement.entry_of(row.message) != row.entry:
            raise self._wrong("its message is not the one that was logged")
        try:
            parsed = sign1.parse(row.message, max_bytes=statement.MAX_BYTES)
            if envelope.read(parsed).kind in ACT_KINDS:
                self._act(row, acts.of_message(parsed, row.message))
            else:
                self._statement(row, statement.of_message(parsed, row.message))
        except EvidenceError as problem:
            raise self._wrong(str(problem)) from None

    def _erased(self, row: NewEntry) -> None:
        """Of an erased statement the place is left, and its entry, which the tree still holds. Acts are never erased."""
        if row.kid is None or row.epoch is None or row.seq is None:
            raise self._wrong("the message of an act is missing")
        self._log.chains.add(Link(row.at, row.entry, row.kind, row.kid, row.epoch, row.seq, row.prev, row.profile))
        self.findings.erased += 1

    def _act(self, row: NewEntry, act: Act) -> None:
        if row != row_of_act(row.at, act):
            raise self._wrong("its row does not say what its message says")
        self._log.register.apply(act, row.at)
        self.findings.acts += 1
        if isinstance(act.body, Heads):
            self._heads(act.body)

    def _statement(self, row: NewEntry, said: Statement) -> None:
        if row != row_of_statement(row.at, said):
            raise self._wrong("its row does not say what its message says")
        self._log.register.check_statement(said, row.at)
        if self._log.chains.occupied(said.envelope.kid, said.epoch, said.seq):
            raise self._wrong(f"{said.epoch}/{said.seq} of key {said.envelope.kid.hex()} stands in the log twice")
        if said.seen is not None and said.seen.size > row.at:
            raise self._wrong("it had seen a log that already reached beyond it")
        self._log.chains.add(link_of_statement(row.at, said))
        self.findings.statements += 1
        if said.seen is not None and self._roots.get(said.seen.size) != said.seen.root:
            self.findings.other_history += 1

    def _heads(self, body: Heads) -> None:
        if self._covered.get(body.covered) != body.root:
            raise self._wrong("its heads are not where the packs stood")
        self.findings.heads += 1

    def _checkpoint(self, size: int, note: str) -> None:
        try:
            head = checkpoint.open_note(note.encode(), self._log.ledger)
        except EvidenceError as problem:
            raise LogDamaged(f"checkpoint {size}: {problem}") from None
        if head.size != size or head.root != self._log.tree.root():
            raise LogDamaged(f"checkpoint {size} has another root than the entries")
        self._roots[size] = head.root
        self.findings.checkpoints += 1

    def _wrong(self, what: str) -> LogDamaged:
        return LogDamaged(f"entry {self._at}: {what}")
