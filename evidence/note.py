"""C2SP signed notes (c2sp.org/signed-note) with Ed25519 signatures."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from evidence.errors import FormatError, SignatureError
from evidence.keys import NamedKey, SigningKey, decode_base64, is_key_name, verify

MAX_BYTES: Final = 64 * 1024
MAX_SIGNATURES: Final = 32
_DASH: Final = "— "


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: the key's name, its 4-byte id and what follows."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note: the signed text with its final newline, and its signature lines. Not yet verified."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def verify(self, key: NamedKey) -> None:
        """SignatureError unless `key` signed the text; a wrong signature that claims to be the key's fails too."""
        ours = [line for line in self.signatures if (line.name, line.key_id) == (key.name, key.note_id)]
        if not ours:
            raise SignatureError(f"no signature by {key.name}")
        for line in ours:
            verify(key.public, self.text.encode(), line.signature)


def sign(text: str, name: str, key: SigningKey) -> str:
    """The note of `text` (which ends in a newline), signed by `key` under `name`."""
    named = NamedKey(name, key.public)
    if not is_key_name(name) or not text.endswith("\n") or text.startswith("\n"):
        raise FormatError("a note needs a key name and a text that ends in a newline")
    signature = base64.b64encode(named.note_id + key.sign(text.encode())).decode()
    return f"{text}\n{_DASH}{name} {signature}\n"


def parse(encoded: bytes) -> Note:
    """The note of exactly these bytes; FormatError otherwise."""
    if len(encoded) > MAX_BYTES:
        raise FormatError(f"a note of {len(encoded)} bytes, allowed are {MAX_BYTES}")
    try:
        whole = encoded.decode()
    except UnicodeDecodeError:
        raise FormatError("a note is not UTF-8") from None
    if any(sign < " " and sign != "\n" for sign in whole):
        raise FormatError("a note contains control characters")
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or not text or not lines.endswith("\n"):
        raise FormatError("not a signed note: no text, no empty line or no signatures")
    rows = lines[:-1].split("\n")
    if len(rows) > MAX_SIGNATURES:
        raise FormatError(f"a note has more than {MAX_SIGNATURES} signatures")
    return Note(text + "\n", tuple(_signature(row) for row in rows))


def _signature(row: str) -> NoteSignature:
    name, space, encoded = row.removeprefix(_DASH).partition(" ")
    if not row.startswith(_DASH) or not space or not is_key_name(name):
        raise FormatError("not a signature line of a note")
    signature = decode_base64(encoded, "note signature")
    if len(signature) <= 4:
        raise FormatError("a note signature is too short")
    return NoteSignature(name, signature[:4], signature[4:])
