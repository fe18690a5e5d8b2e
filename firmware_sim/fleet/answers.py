"""What a ledger says to a fleet's statements, believed only when it verifies under the ledger's pinned key. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from evidence import answer, checkpoint, merkle, proof
from evidence.answer import Refusal, Stored
from evidence.checkpoint import Checkpoint
from evidence.errors import ProofError, SignatureError
from evidence.keys import NamedKey
from evidence.merkle import Digest

_NOTES_KEPT: Final = 64


@dataclass(slots=True)
class Answers:
    """Verifies proofs, refusals and receipts. A checkpoint serves many proofs, and its signature is verified once."""

    ledger: NamedKey
    _heads: dict[str, Checkpoint] = field(default_factory=dict)

    def proof(self, payload: bytes) -> Digest:
        """The entry that is proven to be in the log; EvidenceError if it is not."""
        offered = proof.parse(payload)
        head = self._heads.get(offered.note)
        if head is None:
            head = checkpoint.open_note(offered.note.encode(), self.ledger)
            if len(self._heads) >= _NOTES_KEPT:
                self._heads.clear()
            self._heads[offered.note] = head
        leaf = merkle.leaf_hash(offered.entry)
        merkle.verify_inclusion(offered.index, head.size, leaf, offered.path, head.root)
        return offered.entry

    def refusal(self, payload: bytes, subject: str) -> Refusal:
        """The refusal of something of `subject`; EvidenceError otherwise."""
        said, about = answer.read(payload, self.ledger)
        if not isinstance(said, Refusal):
            raise ProofError("the answer is no refusal")
        if about not in (subject, self.ledger.name):
            raise SignatureError(f"the refusal is about {about}")
        return said

    def stored(self, payload: bytes, subject: str) -> Stored:
        """The receipt for documents of `subject`; EvidenceError otherwise."""
        said, about = answer.read(payload, self.ledger)
        if not isinstance(said, Stored) or about != subject:
            raise ProofError("the answer is no receipt for this pack's documents")
        return said
