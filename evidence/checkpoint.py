"""The checkpoint (c2sp.org/tlog-checkpoint): size and root of the log, as a note signed by the ledger."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final

from evidence import note
from evidence.errors import FormatError, SignatureError
from evidence.keys import NamedKey, SigningKey, decode_base64, is_key_name
from evidence.merkle import HASH_BYTES, MAX_SIZE, Digest

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log named `origin` has `size` entries with Merkle root `root`."""

    origin: str
    size: int
    root: Digest

    def text(self) -> str:
        """The note's text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def sign(self, key: SigningKey) -> str:
        """The signed note. The caller has stored that it will sign exactly this, and signs one size once."""
        return note.sign(self.text(), self.origin, key)


def parse(text: str) -> Checkpoint:
    """The checkpoint of a note's text; extension lines are refused, since nobody could audit them."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise FormatError("a checkpoint has exactly the lines origin, size and root")
    size = decimal(lines[1], "tree size")
    root = decode_base64(lines[2], "root")
    if not is_key_name(lines[0]) or len(root) != HASH_BYTES:
        raise FormatError("a checkpoint has no origin or no root of 32 bytes")
    return Checkpoint(lines[0], size, Digest(root))


def decimal(text: str, what: str) -> int:
    """An ASCII decimal without leading zeroes, at most 2^63 - 1; FormatError otherwise."""
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_SIZE:
        raise FormatError(f"{what} {text[:24]!r} is not a decimal")
    return int(text)


def open_note(encoded: bytes, key: NamedKey, *, alone: bool = False) -> Checkpoint:
    """The checkpoint that `key` signed. `alone` refuses signatures of anybody else, since nothing vouches for them."""
    signed = note.parse(encoded)
    checkpoint = parse(signed.text)
    if checkpoint.origin != key.name:
        raise SignatureError(f"the checkpoint is of {checkpoint.origin}, not of {key.name}")
    signed.verify(key)
    if alone and len(signed.signatures) != 1:
        raise FormatError("the checkpoint carries signatures that nothing here verifies")
    return checkpoint
