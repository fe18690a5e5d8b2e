"""Our receipts under PyPI's scitt-cose, which shares no code with us. It knows alg -8 only, so the key here is bound to -8."""

import hashlib

import pytest
import scitt_cose
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from evidence import receipt, sign1
from evidence.receipt import Minter
from tests.evidence_world import ORIGIN, full_world, key

WORLD, VEHICLE = full_world("oracle")
SIZE = len(WORLD.log)


def pem(public: bytes) -> bytes:
    return Ed25519PublicKey.from_public_bytes(public).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def minter(algorithm: int) -> Minter:
    return Minter.create(
        WORLD.ledger,
        origin=ORIGIN,
        subject=VEHICLE.uri,
        issued_at=1_790_000_000,
        size=SIZE,
        root=WORLD.tree.root(),
        algorithm=algorithm,
    )


def judged(encoded: bytes, message: bytes, public: bytes):
    entry = hashlib.sha256(message).hexdigest()
    return scitt_cose.verify_receipt(encoded, leaf_entry_hex=entry, log_public_key_pem=pem(public))


@pytest.mark.parametrize("index", range(SIZE))
def test_our_receipt_of_every_entry_verifies_there(index):
    encoded = minter(sign1.EDDSA).mint(index, WORLD.tree.inclusion(index))
    seen = judged(encoded, WORLD.log[index], WORLD.ledger.public)
    assert seen.ok, seen.errors
    assert (seen.tree_size, seen.leaf_index, seen.root) == (SIZE, index, WORLD.tree.root().hex())
    assert (seen.issuer, seen.subject, seen.iat) == (ORIGIN, VEHICLE.uri, 1_790_000_000)


def test_it_verifies_here_too_under_a_key_bound_to_minus_8_only():
    encoded = minter(sign1.EDDSA).mint(3, WORLD.tree.inclusion(3))
    entry = hashlib.sha256(WORLD.log[3]).digest()
    assert receipt.parse(encoded).verify(entry, WORLD.ledger.public, sign1.EDDSA) == WORLD.tree.root()
    with pytest.raises(sign1.SignatureError):
        receipt.parse(encoded).verify(entry, WORLD.ledger.public)


def test_a_receipt_of_another_entry_key_or_tree_is_refused_there_too():
    encoded = minter(sign1.EDDSA).mint(3, WORLD.tree.inclusion(3))
    assert not judged(encoded, WORLD.log[4], WORLD.ledger.public).ok
    assert not judged(encoded, WORLD.log[3], key("stranger").public).ok
    assert not judged(
        minter(sign1.EDDSA).mint(3, WORLD.tree.inclusion(3, SIZE - 1)), WORLD.log[3], WORLD.ledger.public
    ).ok


def test_the_product_signs_with_minus_19_which_the_oracle_says_it_does_not_know():
    encoded = minter(sign1.ED25519).mint(3, WORLD.tree.inclusion(3))
    seen = judged(encoded, WORLD.log[3], WORLD.ledger.public)
    assert not seen.ok
    assert "-19" in " ".join(seen.errors)
