"""Gives admitted messages their index: stage a batch, commit it whole, sign a checkpoint, prove.

stage -> commit (one transaction) -> store checkpoint (compare-and-swap) -> publish. What was not committed has not
happened: after any failure the state is replayed from the store, which is also how every start begins. An answer leaves
only after `integrate` or `submit` has returned, so after the commit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from evidence import acts, answer, heads, merkle, statement
from evidence.acts import LEDGER_ACTS, Act, ActBody, Heads, Time
from evidence.checkpoint import Checkpoint
from evidence.envelope import Envelope
from evidence.errors import EvidenceError, FormatError, SignatureError
from evidence.keys import KeyId, NamedKey, SigningKey
from evidence.merkle import Digest
from evidence.proof import LogProof
from evidence.register import Register, RuleError
from evidence.statement import Statement
from ledger import admission, log
from ledger.admission import Admit, Arrival, Equivocation, Known, Refuse
from ledger.chains import Chains
from ledger.clock import LogClock, boottime_ms, unix_ms
from ledger.errors import LedgerError, LogDamaged
from ledger.journal import Complaints
from ledger.log import Log, SignedCheckpoint
from ledger.rows import (
    Batch,
    Link,
    NewEntry,
    Quarantined,
    RefusedEntry,
    Twin,
    link_of_statement,
    row_of_act,
    row_of_statement,
)
from ledger.store import Store

_journal: Final = logging.getLogger("packseal-ledger")


@dataclass(frozen=True, slots=True)
class Admitted:
    """Appended at `index`; `document` is the digest of the document that a segment names."""

    entry: Digest
    index: int
    document: Digest | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Not appended; `answer` is the signed refusal."""

    entry: Digest
    rule: str
    reason: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class SetAside:
    """It broke admission itself twice and is kept by hash."""

    digest: Digest


Outcome: TypeAlias = Admitted | Known | Refused | SetAside


class Sequencer:
    """The one writer of one log. `now_ms` stamps (Unix ms), `progress_ms` is the clock that it is held against."""

    def __init__(
        self,
        store: Store,
        key: SigningKey,
        origin: str,
        *,
        time_interval_ms: int = 60_000,
        now_ms: Callable[[], int] = unix_ms,
        progress_ms: Callable[[], int] = boottime_ms,
    ) -> None:
        self.store = store
        self.ledger = NamedKey(origin, key.public)
        self._key = key
        self._time_interval_ms = time_interval_ms
        self._clock = LogClock(now_ms, progress_ms)
        self._complaints = Complaints()
        self.recover()

    def recover(self) -> None:
        """Replay the store: at the start, and whenever it is not known what a commit did. LogDamaged, StoreError."""
        self._batch = Batch()
        self._staged: dict[Digest, Link | None] = {}
        self._places: dict[tuple[KeyId, int, int], NewEntry] = {}
        self._log: Log = log.load(self.store, self.ledger, self._find)
        self.newest: SignedCheckpoint | None = log.newest_checkpoint(self.store, self._log)

    @property
    def register(self) -> Register:
        """The register as of the last entry."""
        return self._log.register

    @property
    def chains(self) -> Chains:
        """The chains as of the last entry."""
        return self._log.chains

    @property
    def size(self) -> int:
        """How many entries the log has."""
        return self._log.size

    def heads_ms(self) -> int:
        """Log time of the newest heads (Unix ms), of the log's beginning where there are none yet."""
        newest = self.store.last_act("heads", self.size)
        before = self.store.last_act("time", 2 if newest is None else newest[0])
        body = None if before is None else acts.read(before[1]).body
        return body.unix_ms if isinstance(body, Time) else 0

    def _now_ms(self) -> int:
        return self._clock.read(self.register.time_ms)

    def slot(self, kid: KeyId, epoch: int, seq: int) -> tuple[int, Digest]:
        """Index and entry of the statement in a taken place."""
        staged = self._places.get((kid, epoch, seq))
        if staged is not None:
            return staged.at, staged.entry
        found = self.store.slot(kid, epoch, seq)
        if found is None:
            raise LogDamaged(f"statement {kid.hex()}/{epoch}/{seq} was admitted and is not in the store")
        return found

    def message_at(self, index: int) -> bytes:
        """The signed bytes of an entry, staged ones included."""
        first = self._batch.entries[0].at if self._batch.entries else self.size
        return self.store.message(index) if index < first else self._batch.entries[index - first].message

    def integrate(self, arrivals: Sequence[Arrival]) -> list[Outcome]:
        """Decide each message in turn and commit all outcomes at once; then they may be acknowledged and answered."""
        now_ms = self._now_ms()
        try:
            outcomes = [self._settle(arrival, now_ms) for arrival in arrivals]
            self._commit()
        except BaseException:
            self.recover()
            raise
        return outcomes

    def submit(self, messages: Sequence[bytes]) -> list[Outcome]:
        """Admit acts of parties, each with the log's time right before it; all that may enter do so in one commit."""
        try:
            outcomes = [self._submit(message) for message in messages]
            self._commit()
        except BaseException:
            self.recover()
            raise
        return outcomes

    def begin(self, body: acts.Policy) -> None:
        """Log the policy as entry 0 of an empty log."""
        try:
            self._log_own("policy", body)
            self._commit()
        except BaseException:
            self.recover()
            raise

    def log_heads(self) -> SignedCheckpoint:
        """Log where all packs stand now, sign a checkpoint over it at once and return that."""
        try:
            self._log_time(self._now_ms())
            covered = self.size
            tree, ordered = heads.tree(self._log.pack_heads())
            self._log_own("heads", Heads(covered, tree.root(), len(ordered)))
            self._commit()
        except BaseException:
            self.recover()
            raise
        signed = self.checkpoint() or self.newest
        if signed is None:
            raise LogDamaged("a log with heads has no checkpoint")
        return signed

    def checkpoint(self) -> SignedCheckpoint | None:
        """Sign and store a checkpoint over all entries, None when the newest covers them; publish only what returns."""
        size = self.size
        if size == 0 or (self.newest is not None and self.newest.size == size):
            return None
        root = self._log.tree.root()
        note = Checkpoint(self.ledger.name, size, root).sign(self._key)
        try:
            self.store.put_checkpoint(size, note)
        except BaseException:
            self.recover()
            raise
        self.newest = SignedCheckpoint(size, root, note)
        return self.newest

    def prove(self, entry: Digest, index: int) -> bytes | None:
        """The proof of an entry under the newest checkpoint, None when that does not cover it yet."""
        newest = self.newest
        if newest is None or index >= newest.size:
            return None
        path = merkle.inclusion_path(self._log.tree, index, newest.size)
        return LogProof(entry, index, tuple(path), newest.note).encode()

    def sign_answer(self, subject: str | None, said: answer.Answer) -> bytes:
        """A signed answer about `subject`, or about the ledger itself where there is none."""
        return answer.sign(self._key, self.ledger.name, subject or self.ledger.name, self._now_ms() // 1000, said)

    def _settle(self, arrival: Arrival, now_ms: int) -> Outcome:
        """One message's outcome; what breaks admission itself gets a second try and is then set aside by hash."""
        for attempt in (1, 2):
            try:
                decision = admission.decide(arrival, self)
                break
            except LedgerError:
                raise
            except Exception as problem:  # noqa: BLE001 - one message must not stop all the others
                reason = f"{type(problem).__name__}: {problem}"[:1024]
                self._complaints.say("admission failed, attempt %d: %s", attempt, reason)
                _journal.debug("where it failed", exc_info=True)
        else:
            digest = statement.entry_of(arrival.payload)
            self._batch.quarantined.append(Quarantined(digest, f"{arrival.gateway}/{arrival.pack}", reason))
            return SetAside(digest)
        match decision:
            case Admit(said):
                if now_ms - self.register.time_ms >= self._time_interval_ms:
                    self._log_time(now_ms)
                return self._append_statement(said)
            case Known():
                return decision
            case Refuse(entry, rule, reason, subject):
                return self._refuse(entry, rule, reason, subject, permanent=decision.permanent)
            case Equivocation(said, first):
                kid = said.envelope.kid
                self._batch.twins.append(Twin(said.entry, first, kid, said.epoch, said.seq, said.encoded))
                reason = f"{said.epoch}/{said.seq} of key {kid.hex()} already is entry {first.hex()}"
                return self._refuse(said.entry, "equivocation", reason, said.envelope.subject, permanent=True)

    def _append_statement(self, said: Statement) -> Admitted:
        row = row_of_statement(self.size, said)
        link = link_of_statement(row.at, said)
        self._staged[row.entry] = link
        self._places[said.envelope.kid, said.epoch, said.seq] = row
        self._append(row)
        self._log.chains.add(link)
        return Admitted(row.entry, row.at, row.document)

    def _submit(self, message: bytes) -> Outcome:
        try:
            act = acts.read(message)
        except FormatError as problem:
            return self._refuse(statement.entry_of(message), "malformed", str(problem), None, permanent=True)
        at = self._index_of(act.entry)
        if at is not None:
            return Known(act.entry, at)
        if act.kind in LEDGER_ACTS:
            return self._refuse(act.entry, "wrong-issuer", f"a {act.kind} is logged by the ledger alone", None)
        try:
            self._log_time(self._now_ms())
            return self._append_act(act)
        except RuleError as problem:
            return self._refuse(act.entry, problem.rule, str(problem), act.envelope.subject)
        except SignatureError as problem:
            return self._refuse(act.entry, "bad-signature", str(problem), act.envelope.subject, permanent=True)

    def _index_of(self, entry: Digest) -> int | None:
        staged = next((row.at for row in self._batch.entries if row.entry == entry), None)
        return staged if staged is not None else self.store.index_of(entry)

    def _log_time(self, now_ms: int) -> None:
        """Log the time unless the log already has it: a clock that stands still or went back adds nothing."""
        if now_ms > self.register.time_ms:
            self._log_own("time", Time(now_ms))

    def _log_own(self, kind: str, body: ActBody) -> None:
        origin = self.ledger.name
        frame = Envelope(kind, self._key.kid, origin, origin, origin, self._now_ms() // 1000)
        try:
            self._append_act(acts.sign(self._key, frame, body))
        except EvidenceError as problem:
            raise LogDamaged(f"the ledger's own {kind} is refused: {problem}") from None

    def _append_act(self, act: Act) -> Admitted:
        index = self.size
        self.register.apply(act, index)
        self._append(row_of_act(index, act))
        return Admitted(act.entry, index)

    def _append(self, row: NewEntry) -> None:
        self._batch.entries.append(row)
        self._log.tree.append(merkle.leaf_hash(row.entry))

    def _refuse(
        self, entry: Digest, rule: str, reason: str, subject: str | None, *, permanent: bool = False
    ) -> Refused:
        """Record a refusal and its signed answer; the same one is answered with the same bytes."""
        reason = reason[:1024]
        before = self.store.refusal(entry, rule)
        if before is not None:
            return Refused(entry, rule, before.reason, before.answer)
        signed = self.sign_answer(subject, answer.Refusal(entry, rule, reason, permanent))
        self._batch.refusals.append(RefusedEntry(entry, rule, reason, permanent, signed))
        return Refused(entry, rule, reason, signed)

    def _commit(self) -> None:
        self.store.commit(self._batch)
        self._batch = Batch()
        self._staged.clear()
        self._places.clear()

    def _find(self, entry: Digest) -> Link | None:
        return self._staged.get(entry) or self.store.link_of(entry)
