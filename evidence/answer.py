"""What a ledger or archive answers under its signature: a refusal of an entry, or which documents are durable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from evidence import cbor, envelope, sign1
from evidence.envelope import Envelope
from evidence.errors import FormatError, SignatureError
from evidence.keys import NamedKey, SigningKey
from evidence.merkle import Digest

MAX_DIGESTS: Final = 1024
MAX_REASON: Final = 1024


@dataclass(frozen=True, slots=True)
class Refusal:
    """The ledger does not admit `entry`; `rule` is the rule's name, `permanent` says that trying again is of no use."""

    entry: Digest
    rule: str
    reason: str
    permanent: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """The archive holds these documents durably."""

    digests: tuple[Digest, ...]


Answer: TypeAlias = Refusal | Stored


def sign(key: SigningKey, origin: str, subject: str, issued_at: int, answer: Answer) -> bytes:
    """The signed answer of the ledger `origin` about `subject` (a pack's URI, or the origin when it is unknown).

    A reason may quote what a stranger sent, so it is cut to MAX_REASON printable characters.
    """
    kind = "refusal" if isinstance(answer, Refusal) else "stored"
    frame = Envelope(kind, key.kid, origin, subject, origin, issued_at)
    return sign1.sign(key, frame.header(), cbor.encode(_value(answer))).encode()


def read(encoded: bytes, key: NamedKey) -> tuple[Answer, str]:
    """The answer and its subject, if `key` signed it; FormatError or SignatureError otherwise."""
    message = sign1.parse(encoded)
    frame = envelope.read(message)
    if message.unprotected or (frame.issuer, frame.audience) != (key.name, key.name):
        raise SignatureError(f"the answer is not by {key.name}")
    message.verify(key.public)
    value = cbor.decode(message.payload or b"")
    if frame.kind == "refusal":
        parts = cbor.as_map(value, "refusal", frozenset(range(1, 5)))
        permanent = cbor.as_int(parts[4], "permanent", 0, 1) == 1
        entry = Digest(cbor.as_bytes(parts[1], "entry", 32))
        rule, reason = cbor.as_text(parts[2], "rule", 64), cbor.as_text(parts[3], "reason", MAX_REASON)
        return Refusal(entry, rule, reason, permanent), frame.subject
    if frame.kind == "stored":
        digests = cbor.as_list(cbor.as_map(value, "stored", frozenset({1}))[1], "digests")
        if not 1 <= len(digests) <= MAX_DIGESTS:
            raise FormatError(f"an answer names 1 to {MAX_DIGESTS} documents")
        return Stored(tuple(Digest(cbor.as_bytes(digest, "digest", 32)) for digest in digests)), frame.subject
    raise FormatError(f"{frame.kind!r} is not a kind of answer")


def _value(answer: Answer) -> cbor.Value:
    if isinstance(answer, Refusal):
        reason = "".join(sign if sign.isprintable() else "?" for sign in answer.reason)[:MAX_REASON]
        return {1: bytes(answer.entry), 2: answer.rule, 3: reason, 4: int(answer.permanent)}
    digests: list[cbor.Value] = [bytes(digest) for digest in answer.digests]
    return {1: digests}
