"""COSE Receipts of inclusion (RFC 9942), minted for bundles: `18([protected, {396: {-1: [proof]}}, nil, signature])`.

The RFC leaves tree size and index unauthenticated; hence the private claim -65537, the tree size, in the protected
header. A verifier requires both to agree, and the path binds the index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from evidence import cbor, merkle, sign1
from evidence.errors import FormatError
from evidence.keys import PublicKey, SigningKey
from evidence.merkle import Digest

RECEIPTS: Final = 394  # header parameter of a message that carries receipts
_STRUCTURE, _PROOFS = 395, 396
_RFC9162_SHA256: Final = 1
_INCLUSION: Final = -1
_TREE_SIZE: Final = -65537
_ISSUER, _SUBJECT, _ISSUED_AT = 1, 2, 6
MAX_BYTES: Final = 8 * 1024


@dataclass(frozen=True, slots=True)
class Receipt:
    """A parsed receipt. Not yet verified."""

    issuer: str
    subject: str
    issued_at: int
    size: int
    index: int
    path: tuple[Digest, ...]
    message: sign1.Sign1

    def verify(self, entry: bytes, public: PublicKey, algorithm: int = sign1.ED25519) -> Digest:
        """The root that the ledger's key signed and that includes `entry`; SignatureError or ProofError otherwise."""
        root = self.root(entry)
        self.message.verify(public, algorithm, detached=root)
        return root

    def root(self, entry: bytes) -> Digest:
        """The root that the path leads to from `entry`; says nothing of who signed it."""
        return merkle.root_from_inclusion(self.index, self.size, merkle.leaf_hash(entry), self.path)


@dataclass(frozen=True, slots=True)
class Minter:
    """Mints receipts for one tree: all share the protected header and the root, hence also the one signature."""

    signed: sign1.Sign1
    size: int

    @classmethod
    def create(
        cls,
        key: SigningKey,
        *,
        origin: str,
        subject: str,
        issued_at: int,
        size: int,
        root: Digest,
        algorithm: int = sign1.ED25519,
    ) -> Minter:
        """Sign the detached root of the tree of `size` once."""
        header: dict[int, cbor.Value] = {
            sign1.ALG: algorithm,
            sign1.KID: bytes(key.kid),
            sign1.CWT_CLAIMS: {_ISSUER: origin, _SUBJECT: subject, _ISSUED_AT: issued_at, _TREE_SIZE: size},
            _STRUCTURE: _RFC9162_SHA256,
        }
        return cls(sign1.sign(key, header, root, detached=True), size)

    def mint(self, index: int, path: list[Digest]) -> bytes:
        """The receipt of the entry at `index` of the tree, by its inclusion path."""
        hashes: list[cbor.Value] = [bytes(digest) for digest in path]
        proof = cbor.encode([self.size, index, hashes])
        proofs: dict[int, cbor.Value] = {_PROOFS: {_INCLUSION: [proof]}}
        return sign1.Sign1(self.signed.protected, self.signed.header, proofs, None, self.signed.signature).encode()


def parse(encoded: bytes) -> Receipt:
    """The receipt of exactly these bytes; FormatError if it is not of our form (one inclusion proof, all claims)."""
    message = sign1.parse(encoded, max_bytes=MAX_BYTES)
    header = cbor.as_map(
        message.header, "receipt header", frozenset({sign1.ALG, sign1.KID, sign1.CWT_CLAIMS, _STRUCTURE})
    )
    claims = cbor.as_map(header[sign1.CWT_CLAIMS], "claims", frozenset({_ISSUER, _SUBJECT, _ISSUED_AT, _TREE_SIZE}))
    if header[_STRUCTURE] != _RFC9162_SHA256 or message.payload is not None:
        raise FormatError("not a receipt of an RFC 9162 tree with a detached root")
    proofs = cbor.as_map(message.unprotected, "receipt proofs", frozenset({_PROOFS}))
    inclusion = cbor.as_map(proofs[_PROOFS], "proofs", frozenset({_INCLUSION}))[_INCLUSION]
    (proof,) = cbor.as_list(inclusion, "inclusion proofs", 1)
    size, index, path = cbor.as_list(cbor.decode(cbor.as_bytes(proof, "proof")), "inclusion proof", 3)
    hashes = [Digest(cbor.as_bytes(digest, "path", 32)) for digest in cbor.as_list(path, "path")]
    if len(hashes) > merkle.MAX_PATH:
        raise FormatError("a path is longer than any tree is deep")
    receipt = Receipt(
        issuer=cbor.as_text(claims[_ISSUER], "iss"),
        subject=cbor.as_text(claims[_SUBJECT], "sub"),
        issued_at=cbor.as_int(claims[_ISSUED_AT], "iat"),
        size=cbor.as_int(size, "tree size", 1),
        index=cbor.as_int(index, "leaf index"),
        path=tuple(hashes),
        message=message,
    )
    if claims[_TREE_SIZE] != receipt.size:
        raise FormatError("the receipt's signed tree size is not that of its proof")
    return receipt
