"""Keys on command lines: a verifier key as text, or the name of a file that holds one or more, one per line."""

from __future__ import annotations

from pathlib import Path

from evidence.errors import FormatError
from evidence.keys import NamedKey
from packseal.program import UsageError

_MAX_FILE_BYTES = 1024 * 1024


def named_keys(given: str) -> list[NamedKey]:
    """The keys of a vkey text or of a file of them ('#' begins a comment line); UsageError names what is wrong."""
    if "+" in given and not _is_file(given):
        return [_key(given, "the key")]
    try:
        with Path(given).open("rb") as file:
            lines = file.read(_MAX_FILE_BYTES).decode().splitlines()
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"{given}: neither a verifier key (name+hash+base64) nor a readable file with one") from None
    rows = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    keys = [_key(line, f"{given}:{number}") for number, line in rows if line and not line.startswith("#")]
    if not keys:
        raise UsageError(f"{given}: no key in this file")
    return keys


def _is_file(given: str) -> bool:
    try:
        return Path(given).is_file()
    except OSError:  # a key is longer than a file's name may be
        return False


def _key(text: str, where: str) -> NamedKey:
    try:
        # `keys list` prints the pack before its key.
        return NamedKey.parse(text.split()[-1])
    except FormatError as problem:
        raise UsageError(f"{where}: {problem}") from None
