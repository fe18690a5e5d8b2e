"""The Merkle tree of RFC 6962 section 2.1 and RFC 9162 section 2.1: roots, inclusion and consistency proofs.

Paths come from a `Tree`, which keeps the roots of all complete subtrees, so that appending is O(1) amortised and a path
O(log n) at any size up to the tree's. Verifying needs no tree. Nothing here knows what a leaf means.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final, NewType, Protocol

from evidence.errors import ProofError

Digest = NewType("Digest", bytes)  # 32 bytes of SHA-256

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = Digest(hashlib.sha256().digest())
MAX_SIZE: Final = 2**63 - 1
MAX_PATH: Final = 63


def leaf_hash(entry: bytes) -> Digest:
    """SHA-256(0x00 || entry), RFC 9162 section 2.1.1."""
    return Digest(hashlib.sha256(b"\x00" + entry).digest())


def node_hash(left: bytes, right: bytes) -> Digest:
    """SHA-256(0x01 || left || right), RFC 9162 section 2.1.1."""
    return Digest(hashlib.sha256(b"\x01" + left + right).digest())


class Nodes(Protocol):
    """Where the roots of complete subtrees are kept: `level` 0 are the leaf hashes."""

    def node(self, level: int, index: int) -> Digest:
        """Root of the complete subtree over leaves [index << level, (index + 1) << level)."""


class Tree:
    """A growing tree that keeps all its complete subtrees' roots in memory."""

    __slots__ = ("_levels",)

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._levels: list[list[Digest]] = [[]]
        for leaf in leaves:
            self.append(leaf)

    def __len__(self) -> int:
        return len(self._levels[0])

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash (32 bytes)."""
        _check_hash(leaf)
        digest = Digest(leaf)
        for level in range(MAX_PATH):
            row = self._levels[level]
            row.append(digest)
            if len(row) % 2:
                return
            digest = node_hash(row[-2], row[-1])
            if level + 1 == len(self._levels):
                self._levels.append([])

    def node(self, level: int, index: int) -> Digest:
        """Root of a complete subtree; see `Nodes`."""
        return self._levels[level][index]

    def root(self, size: int | None = None) -> Digest:
        """Root over the first `size` leaves, of all when None."""
        return root(self, self._bounded(size))

    def inclusion(self, index: int, size: int | None = None) -> list[Digest]:
        """Inclusion path of leaf `index` in the tree of `size`."""
        return inclusion_path(self, index, self._bounded(size))

    def consistency(self, old: int, size: int | None = None) -> list[Digest]:
        """Consistency path from `old` to `size`."""
        return consistency_path(self, old, self._bounded(size))

    def _bounded(self, size: int | None) -> int:
        if size is None:
            return len(self)
        if not 0 <= size <= len(self):
            raise ProofError(f"size {size} is beyond the tree's {len(self)}")
        return size


def root(nodes: Nodes, size: int) -> Digest:
    """Merkle tree hash over the first `size` leaves, RFC 9162 section 2.1.1."""
    return _subtree(nodes, 0, size) if size else EMPTY_ROOT


def inclusion_path(nodes: Nodes, index: int, size: int) -> list[Digest]:
    """PATH(index, D[size]) of RFC 9162 section 2.1.3.1, from the leaf's sibling up to the root's child."""
    if not 0 <= index < size:
        raise ProofError(f"no leaf {index} in a tree of {size}")
    path: list[Digest] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_subtree(nodes, middle, end))
            end = middle
        else:
            path.append(_subtree(nodes, start, middle))
            start = middle
    path.reverse()
    return path


def consistency_path(nodes: Nodes, old: int, size: int) -> list[Digest]:
    """PROOF(old, D[size]) of RFC 9162 section 2.1.4.1; empty for old = 0 and old = size."""
    if not 0 <= old <= size:
        raise ProofError(f"no consistency from {old} to {size}")
    if old in (0, size):
        return []
    path: list[Digest] = []
    start, end, whole = 0, size, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_subtree(nodes, middle, end))
            end = middle
        else:
            path.append(_subtree(nodes, start, middle))
            start, whole = middle, False
    if not whole:
        path.append(_subtree(nodes, start, end))
    path.reverse()
    return path


def root_from_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> Digest:
    """The root that `path` leads to, RFC 9162 section 2.1.3.2; ProofError if its length is not exactly right."""
    if not 0 <= index < size <= MAX_SIZE:
        raise ProofError(f"no leaf {index} in a tree of {size}")
    _check_path(leaf, path)
    node, last, computed = index, size - 1, Digest(leaf)
    for sibling in path:
        if last == 0:
            raise ProofError("the inclusion path is too long")
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError("the inclusion path is too short")
    return computed


def verify_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], expected_root: bytes) -> None:
    """ProofError unless `path` leads from `leaf` at `index` to `expected_root` of a tree of `size`."""
    if root_from_inclusion(index, size, leaf, path) != expected_root:
        raise ProofError("the inclusion path leads to another root")


def verify_consistency(old: int, size: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """ProofError unless the tree of `size` extends the one of `old`, RFC 9162 section 2.1.4.2."""
    if not 0 <= old <= size <= MAX_SIZE:
        raise ProofError(f"no consistency from {old} to {size}")
    _check_path(old_root, path)
    _check_path(new_root, ())
    if old in (0, size):
        if path or (old == size and old_root != new_root) or (old == 0 and old_root != EMPTY_ROOT):
            raise ProofError("the trees are not consistent")
        return
    hashes = list(path) if old & (old - 1) else [old_root, *path]
    if not hashes:
        raise ProofError("the consistency path is too short")
    node, last = old - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = Digest(hashes[0])
    for sibling in hashes[1:]:
        if last == 0:
            raise ProofError("the consistency path is too long")
        if node & 1 or node == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        node, last = node >> 1, last >> 1
    if last or first != old_root or second != new_root:
        raise ProofError("the trees are not consistent")


def _subtree(nodes: Nodes, start: int, end: int) -> Digest:
    """Hash over leaves [start, end), where start is aligned as RFC 6962's recursion makes it."""
    size = end - start
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return nodes.node(level, start >> level)
    middle = start + _split(size)
    return node_hash(_subtree(nodes, start, middle), _subtree(nodes, middle, end))


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def _check_hash(digest: bytes) -> None:
    if len(digest) != HASH_BYTES:
        raise ProofError("a hash is not 32 bytes")


def _check_path(start: bytes, path: Sequence[bytes]) -> None:
    if len(path) > MAX_PATH:
        raise ProofError("a path is longer than any tree is deep")
    _check_hash(start)
    for digest in path:
        _check_hash(digest)
