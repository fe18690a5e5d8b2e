"""transparency-dev's inclusion probes and the leaves and roots of RFC 6962's reference implementation."""

import base64
import json
from pathlib import Path

import pytest

from evidence import merkle
from evidence.errors import ProofError
from tests.shared import shared

PROBES = 98


def probes():
    return sorted(shared("vectors/merkle/inclusion").rglob("*.json"))


def judged(path: Path) -> tuple[bool, bool]:
    """(an error is wanted, an error came)."""
    probe = json.loads(path.read_text())
    root, leaf = (base64.b64decode(probe[key] or "") for key in ("root", "leafHash"))
    proof = [base64.b64decode(each) for each in probe["proof"] or []]
    try:
        merkle.verify_inclusion(probe["leafIdx"], probe["treeSize"], leaf, proof, root)
    except ProofError:
        return probe["wantErr"], True
    return probe["wantErr"], False


def test_every_inclusion_probe_is_judged_as_published():
    wrong = [str(path) for path in probes() if len(set(judged(path))) != 1]
    assert wrong == []


def test_the_inclusion_probes_are_all_there_and_some_of_them_are_good():
    verdicts = [judged(path)[0] for path in probes()]
    assert len(verdicts) == PROBES
    assert verdicts.count(False) == 6


def test_the_roots_of_rfc_6962s_reference_leaves_are_as_published():
    vector = json.loads(shared("vectors/merkle/rfc6962-leaves-roots.json").read_text())
    leaves = [bytes.fromhex(leaf) for leaf in vector["leaf_inputs_hex"]]
    tree = merkle.Tree(merkle.leaf_hash(leaf) for leaf in leaves)
    roots = [tree.root(size).hex() for size in range(len(leaves) + 1)]
    assert roots == vector["root_hex_by_size"]


@pytest.mark.parametrize("index", range(8))
def test_the_reference_leaves_are_included_in_the_published_roots(index):
    vector = json.loads(shared("vectors/merkle/rfc6962-leaves-roots.json").read_text())
    leaves = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in vector["leaf_inputs_hex"]]
    tree = merkle.Tree(leaves)
    for size in range(index + 1, len(leaves) + 1):
        root = bytes.fromhex(vector["root_hex_by_size"][size])
        merkle.verify_inclusion(index, size, leaves[index], tree.inclusion(index, size), root)
