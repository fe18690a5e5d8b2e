"""Proofs come in: believed only under the pinned ledger key, with an inclusion path that fits, for an entry of ours.

Of two checkpoints of one size the roots are compared, and the larger of two becomes the newest. That a larger one continues
the smaller is not checked here: an agent holds no log, its statements carry the checkpoint to those who do.
"""

from __future__ import annotations

from dataclasses import dataclass

from evidence import answer, checkpoint, proof
from evidence.answer import Refusal, Stored
from evidence.errors import EvidenceError, ProofError, SignatureError
from evidence.keys import NamedKey
from evidence.merkle import Digest
from evidence.statement import Seen


class LedgerForked(EvidenceError):
    """The ledger has signed two different logs; `note` and the newest one known are evidence against it."""

    def __init__(self, reason: str, note: str) -> None:
        super().__init__(reason)
        self.note = note


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """An entry of ours is in the log at `index`; `seen` is the checkpoint that proves it and `note` its signed form."""

    entry: Digest
    index: int
    seen: Seen
    note: str
    text: bytes


class Receipts:
    """Judges what the ledger answers, remembering the newest checkpoint that it has verified.

    `note` is the newest one kept by an earlier process. If it is not this ledger's (another was configured before), it counts
    for nothing: two ledgers' logs do not contradict each other.
    """

    def __init__(self, ledger: NamedKey, note: str | None) -> None:
        self._ledger = ledger
        self.newest = None if note is None else self.opened(note)

    def opened(self, note: str) -> Seen | None:
        """The checkpoint in a note of this ledger; None if it is not its own."""
        try:
            head = checkpoint.open_note(note.encode(), self._ledger)
        except EvidenceError:
            return None
        return Seen(head.size, head.root)

    def proof(self, payload: bytes) -> ProvenEntry:
        """The verified proof in `payload`; EvidenceError if it proves nothing, LedgerForked if it proves too much."""
        offered = proof.parse(payload)
        head = offered.verify(self._ledger)
        seen = Seen(head.size, head.root)
        if self.newest is not None and head.size == self.newest.size and head.root != self.newest.root:
            raise LedgerForked(f"{head.origin} has signed two roots for size {head.size}", offered.note)
        return ProvenEntry(offered.entry, offered.index, seen, offered.note, payload)

    def remember(self, seen: Seen) -> bool:
        """Take a verified checkpoint as the newest, if it is larger."""
        if self.newest is not None and seen.size <= self.newest.size:
            return False
        self.newest = seen
        return True

    def refusal(self, payload: bytes, pack: str) -> Refusal:
        """The verified refusal in `payload`; EvidenceError otherwise."""
        said, subject = answer.read(payload, self._ledger)
        if not isinstance(said, Refusal):
            raise ProofError("the answer is no refusal")
        if subject not in (pack, self._ledger.name):
            raise SignatureError(f"the refusal is about {subject}")
        return said

    def stored(self, payload: bytes, pack: str) -> Stored:
        """The verified acknowledgement of documents in `payload`; EvidenceError otherwise."""
        said, subject = answer.read(payload, self._ledger)
        if not isinstance(said, Stored) or subject != pack:
            raise ProofError("the answer is no acknowledgement of this pack's documents")
        return said
