"""The proof that goes to the car (c2sp.org/tlog-proof): index, inclusion path and checkpoint, as text.

Its `extra` line names the entry that it is about, so that the receiver finds its statement; it proves nothing itself.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from evidence import checkpoint, merkle, note
from evidence.checkpoint import Checkpoint
from evidence.errors import FormatError
from evidence.keys import NamedKey, decode_base64
from evidence.merkle import Digest

MAX_BYTES: Final = 16 * 1024
_FIRST_LINE: Final = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class LogProof:
    """`entry` is at `index` of the log whose signed checkpoint is `note`, by `path`. Not yet verified."""

    entry: Digest
    index: int
    path: tuple[Digest, ...]
    note: str

    def encode(self) -> bytes:
        """The proof's text."""
        lines = [_FIRST_LINE, f"extra {base64.b64encode(self.entry).decode()}", f"index {self.index}"]
        lines += [base64.b64encode(digest).decode() for digest in self.path]
        return ("\n".join(lines) + "\n\n" + self.note).encode()

    def verify(self, key: NamedKey) -> Checkpoint:
        """The checkpoint under which the entry is included; SignatureError, ProofError or FormatError otherwise."""
        head = checkpoint.open_note(self.note.encode(), key)
        merkle.verify_inclusion(self.index, head.size, merkle.leaf_hash(self.entry), self.path, head.root)
        return head


def parse(encoded: bytes) -> LogProof:
    """The proof of exactly these bytes; FormatError otherwise."""
    if len(encoded) > MAX_BYTES:
        raise FormatError(f"a proof of {len(encoded)} bytes, allowed are {MAX_BYTES}")
    try:
        text = encoded.decode()
    except UnicodeDecodeError:
        raise FormatError("a proof is not UTF-8") from None
    head, blank, signed = text.partition("\n\n")
    lines = head.split("\n")
    if not blank or len(lines) < 3 or lines[0] != _FIRST_LINE:
        raise FormatError(f"not a proof: expected {_FIRST_LINE}, extra, index, path and a checkpoint")
    if not lines[1].startswith("extra ") or not lines[2].startswith("index "):
        raise FormatError("a proof names no entry or no index")
    entry = decode_base64(lines[1][6:], "entry")
    path = [decode_base64(line, "path") for line in lines[3:]]
    checkpoint.parse(note.parse(signed.encode()).text)
    if len(entry) != 32 or len(path) > merkle.MAX_PATH or any(len(digest) != 32 for digest in path):
        raise FormatError("an entry or a path of a proof has the wrong length")
    return LogProof(
        Digest(entry),
        checkpoint.decimal(lines[2][6:], "index"),
        tuple(Digest(digest) for digest in path),
        signed,
    )
