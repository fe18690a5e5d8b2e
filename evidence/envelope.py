"""The protected header that every packseal message carries: what it is, who says it, of what, to which ledger, when."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from evidence import cbor, sign1
from evidence.errors import FormatError
from evidence.keys import KeyId

_CONTENT_TYPE: Final = re.compile(r"application/vnd\.packseal\.([a-z]+(?:-[a-z]+)*)\.v1\+cbor", re.ASCII)
_ISSUER, _SUBJECT, _AUDIENCE, _EXPIRY, _ISSUED_AT = 1, 2, 3, 4, 6  # CWT claims, RFC 8392 section 3.1


@dataclass(frozen=True, slots=True)
class Envelope:
    """`kid` is a hint; `issued_at` and `expires` are Unix seconds and claims, never proof of time."""

    kind: str
    kid: KeyId
    issuer: str
    subject: str
    audience: str
    issued_at: int
    expires: int | None = None
    algorithm: int = sign1.ED25519

    def header(self) -> dict[int, cbor.Value]:
        """The protected header as a map."""
        claims: dict[int, cbor.Value] = {
            _ISSUER: self.issuer,
            _SUBJECT: self.subject,
            _AUDIENCE: self.audience,
        }
        if self.expires is not None:
            claims[_EXPIRY] = self.expires
        claims[_ISSUED_AT] = self.issued_at
        return {
            sign1.ALG: self.algorithm,
            sign1.CONTENT_TYPE: content_type(self.kind),
            sign1.KID: bytes(self.kid),
            sign1.CWT_CLAIMS: claims,
        }


def content_type(kind: str) -> str:
    """Media type of a message of `kind`."""
    return f"application/vnd.packseal.{kind}.v1+cbor"


def read(message: sign1.Sign1) -> Envelope:
    """The envelope of a parsed message; FormatError if its header is not exactly of this form."""
    header = cbor.as_map(
        message.header,
        "protected header",
        frozenset({sign1.ALG, sign1.CONTENT_TYPE, sign1.KID, sign1.CWT_CLAIMS}),
    )
    match = _CONTENT_TYPE.fullmatch(cbor.as_text(header[sign1.CONTENT_TYPE], "content type"))
    if match is None:
        raise FormatError(f"content type {header[sign1.CONTENT_TYPE]!r} is not one of packseal's")
    claims = cbor.as_map(
        header[sign1.CWT_CLAIMS],
        "claims",
        frozenset({_ISSUER, _SUBJECT, _AUDIENCE, _ISSUED_AT}),
        frozenset({_EXPIRY}),
    )
    return Envelope(
        kind=match[1],
        kid=KeyId(cbor.as_bytes(header[sign1.KID], "kid", 8)),
        issuer=cbor.as_text(claims[_ISSUER], "iss"),
        subject=cbor.as_text(claims[_SUBJECT], "sub"),
        audience=cbor.as_text(claims[_AUDIENCE], "aud"),
        issued_at=cbor.as_int(claims[_ISSUED_AT], "iat"),
        expires=cbor.as_int(claims[_EXPIRY], "exp") if _EXPIRY in claims else None,
        algorithm=cbor.as_int(header[sign1.ALG], "alg", min(sign1.ALGORITHMS), max(sign1.ALGORITHMS)),
    )
