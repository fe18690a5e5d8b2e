"""COSE_Sign1 (RFC 9052 section 4.2), always with tag 18, signed with Ed25519 and nothing else.

`alg` is Ed25519 = -19 (RFC 9864); the deprecated EdDSA = -8 is accepted from keys bound to it. The message never
chooses: a verifier passes the algorithm that the key was registered with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from evidence import cbor
from evidence.errors import FormatError, SignatureError
from evidence.keys import SIGNATURE_BYTES, PublicKey, SigningKey, verify

ED25519: Final = -19
EDDSA: Final = -8
ALGORITHMS: Final = frozenset({ED25519, EDDSA})

ALG: Final = 1
CRIT: Final = 2
CONTENT_TYPE: Final = 3
KID: Final = 4
CWT_CLAIMS: Final = 15


@dataclass(frozen=True, slots=True)
class Sign1:
    """A parsed COSE_Sign1: the protected bytes as received, their map, both other parts. Not yet verified."""

    protected: bytes
    header: dict[int, cbor.Value]
    unprotected: dict[int, cbor.Value]
    payload: bytes | None
    signature: bytes

    def encode(self) -> bytes:
        """The tagged message as bytes."""
        return cbor.encode_sign1([self.protected, self.unprotected, self.payload, self.signature])

    def verify(self, public: PublicKey, algorithm: int = ED25519, *, detached: bytes | None = None) -> None:
        """SignatureError unless signed by `public` with `algorithm` over the payload (or the `detached` one)."""
        if self.header.get(ALG) != algorithm:
            raise SignatureError(f"alg is {self.header.get(ALG)!r}, the key is bound to {algorithm}")
        if (self.payload is None) == (detached is None):
            raise SignatureError("the payload must be either inside or detached")
        payload = self.payload if detached is None else detached
        verify(public, to_be_signed(self.protected, payload or b""), self.signature)


def to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """Sig_structure of RFC 9052 section 4.4: `["Signature1", protected, h'', payload]`."""
    return cbor.encode(["Signature1", protected, b"", payload])


def sign(key: SigningKey, header: dict[int, cbor.Value], payload: bytes, *, detached: bool = False) -> Sign1:
    """Sign `payload` under the protected `header`, which must name an algorithm of ours."""
    if header.get(ALG) not in ALGORITHMS:
        raise FormatError("the header names no algorithm of ours")
    protected = cbor.encode(header)
    signature = key.sign(to_be_signed(protected, payload))
    return Sign1(protected, header, {}, None if detached else payload, signature)


def parse(encoded: bytes, *, max_bytes: int = cbor.MAX_BYTES) -> Sign1:
    """The message of exactly these bytes; FormatError if it is malformed, unbounded or asks for unknown `crit`."""
    parts = cbor.decode_sign1(encoded, max_bytes=max_bytes)
    cbor.as_list(parts, "COSE_Sign1", 4)
    protected = cbor.as_bytes(parts[0], "protected header")
    header = cbor.decode(protected, max_bytes=max_bytes)
    if not isinstance(header, dict) or not isinstance(parts[1], dict):
        raise FormatError("a COSE header is not a map")
    if CRIT in header:
        raise FormatError("a critical header parameter is not understood")
    if cbor.as_int(header.get(ALG), "alg", min(ALGORITHMS), max(ALGORITHMS)) not in ALGORITHMS:
        raise FormatError(f"alg {header[ALG]!r} is not Ed25519")
    if header.keys() & parts[1].keys():
        raise FormatError("a header parameter is both protected and unprotected")
    payload = None if parts[2] is None else cbor.as_bytes(parts[2], "payload")
    return Sign1(protected, header, parts[1], payload, cbor.as_bytes(parts[3], "signature", SIGNATURE_BYTES))
