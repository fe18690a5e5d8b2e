"""Segment documents: kept when an admitted statement names their digest, held for a while when it is still on its way.

A document enters only by its digest in a signed statement, and only if its windows are the ones that the statement commits
to. What is held for nobody is bounded per gateway and let go of, oldest first: nobody can fill the disk with it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final, TypeAlias

from evidence import answer, names, segment, statement
from evidence.bodies import Segment
from evidence.errors import EvidenceError
from evidence.merkle import Digest
from ledger.errors import Erased, LedgerError, LogDamaged
from ledger.journal import Complaints
from ledger.rows import Batch, Document, Quarantined
from ledger.sequencer import Sequencer

_journal: Final = logging.getLogger("packseal-ledger")
HELD_DOCUMENTS: Final = 16
HELD_BYTES: Final = 8 * 1024 * 1024
HELD_MS: Final = 3600 * 1000
_PERMANENT: Final = frozenset({"wrong-document", "erased"})


@dataclass(frozen=True, slots=True)
class Kept:
    """The document is durable; `answer` says so under the archive's signature."""

    digest: Digest
    gateway: str
    pack: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """The document waits for its statement, or was set aside by hash; there is nothing to answer."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class Unwanted:
    """The document is not kept; `answer` is the signed refusal."""

    digest: Digest
    gateway: str
    pack: str
    rule: str
    answer: bytes


Fate: TypeAlias = Kept | Held | Unwanted


class Archive:
    """Keeps documents in the sequencer's store. Gateways and packs are identifiers, as in topics."""

    def __init__(self, sequencer: Sequencer) -> None:
        self._log = sequencer
        self._store = sequencer.store
        self._held = {digest: (gateway, size, held_ms) for digest, gateway, size, held_ms in self._store.held()}
        self._complaints = Complaints()
        self.dropped = 0

    def receive(self, gateway: str, pack: str, body: bytes, now_ms: int) -> Fate:
        """Keep, hold or refuse one document."""
        digest = segment.digest(body)
        try:
            return self._receive(digest, gateway, pack, body, now_ms)
        except LedgerError:
            raise
        except Exception as problem:  # noqa: BLE001 - one document must not stop all the others
            reason = f"{type(problem).__name__}: {problem}"[:1024]
            self._complaints.say("a document broke the archive: %s", reason)
            _journal.debug("where it failed", exc_info=True)
            self._store.commit(Batch(quarantined=[Quarantined(digest, f"{gateway}/{pack}", reason)]))
            return Held(digest)

    def _receive(self, digest: Digest, gateway: str, pack: str, body: bytes, now_ms: int) -> Fate:
        if len(body) > segment.MAX_COMPRESSED:
            return self._refuse(digest, gateway, pack, "too-large", f"{len(body)} bytes are too many")
        known = self._store.document(digest)
        if known is not None and known.answer is not None:
            return Kept(digest, gateway, pack, known.answer)
        at = self._store.segment_of(digest)
        if at is not None:
            return self._keep(at, digest, gateway, pack, body, now_ms)
        if not self._is_bound(gateway, pack):
            return self._refuse(digest, gateway, pack, "unknown-gateway", f"{gateway} is not bound to {pack}")
        self._make_room(gateway, len(body), now_ms)
        self._store.hold_document(digest, gateway, pack, body, now_ms)
        self._held[digest] = (gateway, len(body), now_ms)
        return Held(digest)

    def admitted(self, digest: Digest, at: int, now_ms: int) -> Fate | None:
        """A segment statement that names `digest` has been committed at index `at`: keep its document if it waits."""
        if digest not in self._held:
            return None
        waiting = self._store.document(digest)
        if waiting is None:
            return None
        body = self._store.held_body(digest)
        fate = self._keep(at, digest, waiting.gateway, waiting.pack, body, now_ms)
        if isinstance(fate, Unwanted):
            self._store.drop_held([digest])
            self._held.pop(digest)
        return fate

    def resume(self, now_ms: int) -> list[Fate]:
        """At the start: keep what is held although its statement was admitted before the last end."""
        fates: list[Fate] = []
        for digest in list(self._held):
            at = self._store.segment_of(digest)
            fate = None if at is None else self.admitted(digest, at, now_ms)
            if fate is not None:
                fates.append(fate)
        return fates

    def _keep(self, at: int, digest: Digest, gateway: str, pack: str, body: bytes, now_ms: int) -> Fate:
        try:
            said = statement.read(self._log.message_at(at))
        except Erased as problem:
            return self._refuse(digest, gateway, pack, "erased", str(problem))
        if not isinstance(said.body, Segment):
            raise LogDamaged(f"entry {at} names a document and is no segment")
        policy = self._log.register.policy
        if policy is None or said.envelope.subject != names.Registrar(policy.registrar).pack(pack):
            return self._refuse(digest, gateway, pack, "wrong-topic", f"it is of {said.envelope.subject}")
        try:
            document = segment.check(body, said.body)
            segment.check_span(document, said.stamp.t0_ms, said.stamp.t1_ms)
        except EvidenceError as problem:
            return self._refuse(digest, gateway, pack, "wrong-document", str(problem)[:1024])
        signed = self._log.sign_answer(said.envelope.subject, answer.Stored((digest,)))
        self._store.keep_document(Document(digest, gateway, pack, at, signed), body, now_ms)
        self._held.pop(digest, None)
        return Kept(digest, gateway, pack, signed)

    def _is_bound(self, gateway: str, pack: str) -> bool:
        register = self._log.register
        if register.policy is None:
            return False
        named = names.Registrar(register.policy.registrar)
        known = register.packs.get(named.pack(pack))
        return known is not None and named.gateway(gateway) in known.gateways

    def _make_room(self, gateway: str, size: int, now_ms: int) -> None:
        """Let go of a gateway's oldest documents until this one fits, and of all that have waited too long."""
        old = [digest for digest, (_, _, held_ms) in self._held.items() if now_ms - held_ms > HELD_MS]
        own = [digest for digest, (holder, _, _) in self._held.items() if holder == gateway and digest not in old]
        total = sum(self._held[digest][1] for digest in own) + size
        while own and (len(own) >= HELD_DOCUMENTS or total > HELD_BYTES):
            total -= self._held[own[0]][1]
            old.append(own.pop(0))
        if old:
            self._store.drop_held(old)
            self.dropped += len(old)
            for digest in old:
                del self._held[digest]

    def _refuse(self, digest: Digest, gateway: str, pack: str, rule: str, reason: str) -> Unwanted:
        signed = self._log.sign_answer(None, answer.Refusal(digest, rule, reason, permanent=rule in _PERMANENT))
        return Unwanted(digest, gateway, pack, rule, signed)
