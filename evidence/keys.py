"""Ed25519 keys, their identifiers and their text form. PyNaCl (libsodium) is the only verifier in the product.

Python's two Ed25519 verifiers disagree on 165 of 914 published edge cases: a ledger with mixed verifiers could split.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final, NewType

from nacl import bindings
from nacl.exceptions import BadSignatureError

from evidence import cbor
from evidence.errors import FormatError, SignatureError

PublicKey = NewType("PublicKey", bytes)  # 32 bytes, RFC 8032
KeyId = NewType("KeyId", bytes)  # first 8 bytes of the COSE key thumbprint, RFC 9679

SIGNATURE_BYTES: Final = 64
_NOTE_ED25519: Final = b"\x01"


class SigningKey:
    """An Ed25519 key pair that signs. Its seed never shows in `repr`, and it does not pickle."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 32:
            raise FormatError("an Ed25519 seed is 32 bytes")
        public, self._secret = bindings.crypto_sign_seed_keypair(seed)
        self.public = PublicKey(public)

    @property
    def kid(self) -> KeyId:
        """This key's identifier."""
        return key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of `message` (RFC 8032, pure Ed25519)."""
        return bindings.crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid.hex()})"

    def __reduce__(self) -> str:
        raise TypeError("a signing key is never serialised")


def verify(public: PublicKey, message: bytes, signature: bytes) -> None:
    """SignatureError unless `signature` is libsodium-valid for `message` under `public`."""
    if len(signature) != SIGNATURE_BYTES or len(public) != 32:
        raise SignatureError("a signature has 64 bytes and a key 32")
    try:
        bindings.crypto_sign_open(signature + message, public)
    except BadSignatureError:
        raise SignatureError("the signature does not verify") from None


def key_id(public: PublicKey) -> KeyId:
    """First 8 bytes of the COSE key thumbprint of an Ed25519 key (RFC 9679 section 3)."""
    cose_key: dict[int, cbor.Value] = {1: 1, -1: 6, -2: bytes(public)}
    return KeyId(hashlib.sha256(cbor.encode(cose_key)).digest()[:8])


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A public key with the name of whose it is, as a C2SP verifier key: `name+hash+base64`."""

    name: str
    public: PublicKey

    @property
    def note_id(self) -> bytes:
        """Key id of a signed note: SHA-256(name || 0x0A || 0x01 || key)[:4]."""
        return hashlib.sha256(self.name.encode() + b"\n" + _NOTE_ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        key = base64.b64encode(_NOTE_ED25519 + self.public).decode()
        return f"{self.name}+{self.note_id.hex()}+{key}"

    @classmethod
    def parse(cls, text: str) -> NamedKey:
        """The key of a vkey text (C2SP signed-note, "Verifier keys"); FormatError otherwise."""
        name, plus, rest = text.partition("+")
        identifier, second_plus, encoded = rest.partition("+")
        if not plus or not second_plus or not is_key_name(name):
            raise FormatError("not a verifier key: expected name+hash+base64")
        key = decode_base64(encoded, "verifier key")
        if len(key) != 33 or key[:1] != _NOTE_ED25519:
            raise FormatError("not an Ed25519 verifier key")
        named = cls(name, PublicKey(key[1:]))
        if named.note_id.hex() != identifier:
            raise FormatError("the verifier key's hash does not fit its name and key")
        return named


def is_key_name(name: str) -> bool:
    """Whether `name` may name a note's key: not empty, no white space, no plus, nothing unprintable."""
    return 0 < len(name) <= 256 and name.isprintable() and not any(sign.isspace() or sign == "+" for sign in name)


def decode_base64(text: str, what: str) -> bytes:
    """Bytes of canonical standard base64 (RFC 4648 section 4): other spellings of the same bytes are refused."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise FormatError(f"{what}: not base64") from None
    if base64.b64encode(decoded).decode() != text:
        raise FormatError(f"{what}: not canonical base64")
    return decoded
