"""Every log size 0 to 130 against RFC 6962 section 2.1, written here as its recursion and nothing else."""

import hashlib
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import merkle
from evidence.errors import ProofError

SIZES = range(131)


def leaf(number: int) -> bytes:
    return hashlib.sha256(b"\0" + b"entry %d" % number).digest()


def split(size: int) -> int:
    half = 1
    while half * 2 < size:
        half *= 2
    return half


@cache
def mth(start: int, end: int) -> bytes:
    """MTH(D[start:end])."""
    if start == end:
        return hashlib.sha256(b"").digest()
    if end - start == 1:
        return leaf(start)
    half = start + split(end - start)
    return hashlib.sha256(b"\1" + mth(start, half) + mth(half, end)).digest()


def path(index: int, start: int, end: int) -> list[bytes]:
    """PATH(index, D[start:end]), index counted from start."""
    if end - start == 1:
        return []
    half = split(end - start)
    if index < half:
        return [*path(index, start, start + half), mth(start + half, end)]
    return [*path(index - half, start + half, end), mth(start, start + half)]


def subproof(old: int, start: int, end: int, *, whole: bool) -> list[bytes]:
    """SUBPROOF(old, D[start:end], whole)."""
    if old == end - start:
        return [] if whole else [mth(start, end)]
    half = split(end - start)
    if old <= half:
        return [*subproof(old, start, start + half, whole=whole), mth(start + half, end)]
    return [*subproof(old - half, start + half, end, whole=False), mth(start, start + half)]


TREE = merkle.Tree(leaf(number) for number in range(SIZES[-1]))


def refused(verify, *arguments) -> bool:
    try:
        verify(*arguments)
    except ProofError:
        return True
    return False


def test_every_root_is_the_definitions():
    assert [TREE.root(size) for size in SIZES] == [mth(0, size) for size in SIZES]


def test_a_tree_that_grew_leaf_by_leaf_has_the_root_of_every_size_on_the_way():
    tree = merkle.Tree()
    for size in SIZES:
        assert tree.root() == mth(0, size)
        tree.append(leaf(size))


def test_every_inclusion_path_is_the_definitions_and_verifies():
    for size in SIZES:
        for index in range(size):
            made = TREE.inclusion(index, size)
            assert made == path(index, 0, size)
            merkle.verify_inclusion(index, size, leaf(index), made, mth(0, size))


def test_every_consistency_path_is_the_definitions_and_verifies():
    for size in SIZES:
        for old in range(size + 1):
            made = TREE.consistency(old, size)
            assert made == (subproof(old, 0, size, whole=True) if old else [])
            merkle.verify_consistency(old, size, made, mth(0, old), mth(0, size))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 33, 64, 127, 130])
def test_an_inclusion_path_holds_for_no_other_index_or_leaf_and_at_no_other_length(size):
    root = mth(0, size)
    for index in range(size):
        made = path(index, 0, size)
        others = [at for at in range(-1, size + 2) if at != index]
        assert all(refused(merkle.verify_inclusion, at, size, leaf(index), made, root) for at in others)
        assert refused(merkle.verify_inclusion, index, size, leaf(index + 1), made, root)
        for wrong in (made[1:], made[:-1], [*made, root], [root, *made], [*made, b""]):
            assert wrong == made or refused(merkle.verify_inclusion, index, size, leaf(index), wrong, root)


@pytest.mark.parametrize("size", [2, 3, 7, 8, 9, 64, 130])
def test_a_consistency_path_holds_for_no_other_sizes_and_at_no_other_length(size):
    for old in range(1, size):
        made = subproof(old, 0, size, whole=True)
        roots = mth(0, old), mth(0, size)
        others = [at for at in range(1, size) if at != old]
        assert all(refused(merkle.verify_consistency, at, size, made, mth(0, at), roots[1]) for at in others)
        assert refused(merkle.verify_consistency, old, size, made, leaf(0) if old > 1 else leaf(1), roots[1])
        assert refused(merkle.verify_consistency, old, size, made, roots[0], leaf(5))
        for wrong in (made[1:], made[:-1], [*made, roots[0]], [*made, b"short"]):
            assert refused(merkle.verify_consistency, old, size, wrong, *roots)


def test_trees_of_equal_size_are_consistent_only_with_equal_roots_and_an_empty_path():
    merkle.verify_consistency(5, 5, [], mth(0, 5), mth(0, 5))
    assert refused(merkle.verify_consistency, 5, 5, [], mth(0, 5), mth(0, 6))
    assert refused(merkle.verify_consistency, 5, 5, [leaf(0)], mth(0, 5), mth(0, 5))


def test_the_empty_tree_is_consistent_with_every_tree_by_an_empty_path():
    merkle.verify_consistency(0, 0, [], mth(0, 0), mth(0, 0))
    merkle.verify_consistency(0, 9, [], mth(0, 0), mth(0, 9))
    assert refused(merkle.verify_consistency, 0, 9, [], mth(0, 1), mth(0, 9))
    assert refused(merkle.verify_consistency, 0, 9, [leaf(0)], mth(0, 0), mth(0, 9))


def test_a_tree_gives_no_path_beyond_its_size():
    for ask in (lambda: TREE.root(131), lambda: TREE.inclusion(5, 5), lambda: TREE.inclusion(-1, 5)):
        with pytest.raises(ProofError):
            ask()
    with pytest.raises(ProofError):
        TREE.consistency(6, 5)
    with pytest.raises(ProofError):
        merkle.Tree([b"short"])


@given(
    st.integers(-(2**70), 2**70),
    st.integers(-(2**70), 2**70),
    st.lists(st.binary(max_size=33) | st.binary(min_size=32, max_size=32), max_size=70),
    st.binary(min_size=32, max_size=32),
)
def test_any_path_for_any_numbers_verifies_or_is_a_proof_error(index, size, made, root):
    for verify in (
        lambda: merkle.verify_inclusion(index, size, root, made, root),
        lambda: merkle.verify_consistency(index, size, made, root, root),
    ):
        try:
            verify()
        except ProofError:
            continue
        assert made == []
