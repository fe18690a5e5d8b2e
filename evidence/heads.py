"""The log's heads: where every pack's strand and chains stood at one size, as a Merkle tree sorted by pack.

Inclusion alone is not completeness: a bundle could leave out a later sale. A bundle that carries its pack's leaf can be
held against it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evidence import cbor, merkle
from evidence.errors import FormatError
from evidence.keys import KeyId
from evidence.merkle import Digest, Tree


@dataclass(frozen=True, slots=True, order=True)
class ChainTip:
    """An end of a pack's chain: the last statement that all its predecessors are admitted of and no `open` follows."""

    kid: KeyId
    epoch: int
    seq: int
    entry: Digest


@dataclass(frozen=True, slots=True)
class PackHead:
    """One leaf: the pack's last act, its chains' tips, sorted, and how many of its statements no tip's chain reaches."""

    pack: str
    strand: Digest
    tips: tuple[ChainTip, ...]
    loose: int = 0

    def encode(self) -> bytes:
        """The leaf's bytes."""
        tips: list[cbor.Value] = [[bytes(t.kid), t.epoch, t.seq, bytes(t.entry)] for t in sorted(self.tips)]
        return cbor.encode({1: self.pack, 2: bytes(self.strand), 3: tips, 4: self.loose})


def read(encoded: bytes) -> PackHead:
    """The leaf of exactly these bytes; FormatError otherwise."""
    parts = cbor.as_map(cbor.decode(encoded), "pack head", frozenset({1, 2, 3, 4}))
    tips: list[ChainTip] = []
    for row in cbor.as_list(parts[3], "tips"):
        kid, epoch, seq, entry = cbor.as_list(row, "tip", 4)
        tips.append(
            ChainTip(
                KeyId(cbor.as_bytes(kid, "kid", 8)),
                cbor.as_int(epoch, "epoch"),
                cbor.as_int(seq, "seq"),
                Digest(cbor.as_bytes(entry, "entry", 32)),
            )
        )
    if tips != sorted(set(tips)):
        raise FormatError("tips are not sorted, each once")
    strand = Digest(cbor.as_bytes(parts[2], "strand", 32))
    return PackHead(cbor.as_text(parts[1], "pack"), strand, tuple(tips), cbor.as_int(parts[4], "loose statements"))


def tree(heads: Iterable[PackHead]) -> tuple[Tree, list[PackHead]]:
    """The Merkle tree over the packs' heads and the heads in its order: ascending by pack URI."""
    ordered = sorted(heads, key=lambda head: head.pack)
    return Tree(merkle.leaf_hash(head.encode()) for head in ordered), ordered
