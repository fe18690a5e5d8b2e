"""Ed25519 keys of the ledger, its root and its parties, as files: 0600, created once, never overwritten, never shown.

Beside each `NAME.key` (the seed, one line of hex) stands `NAME.pub`, its C2SP verifier key, which anybody may have.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from evidence.errors import FormatError
from evidence.keys import NamedKey, PublicKey, SigningKey
from ledger.errors import KeyFileError

_SEED_BYTES = 32


def key_path(folder: Path, name: str) -> Path:
    """Where the key called `name` ("ledger", "root", "party-maker") lies."""
    return folder / "keys" / f"{name}.key"


def create(folder: Path, name: str, named: str) -> SigningKey:
    """A new key, durable before it is returned; a key that is already there is taken instead of replaced.

    `named` is whose it is in the public file: the ledger's origin or a party's URI.
    """
    path = key_path(folder, name)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    public = path.with_suffix(".pub")
    if not path.exists() and not public.exists():
        _write_new(path, secrets.token_bytes(_SEED_BYTES).hex() + "\n", 0o600)
    key = load(folder, name)
    if not public.exists():
        _write_new(public, f"{NamedKey(named, key.public)}\n", 0o644)
    return key


def load(folder: Path, name: str) -> SigningKey:
    """The key of a file; KeyFileError if it is missing, open to others, not a seed or not that of its public file."""
    path = key_path(folder, name)
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise KeyFileError(
            f"{path}: there is no such key; restore it from a backup, for init makes keys for a new log only"
        ) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise KeyFileError(f"{path}: cannot be read: {getattr(problem, 'strerror', None) or 'not text'}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise KeyFileError(f"{path}: others may read this key; chmod 600 it, or better make a new one")
    try:
        key = SigningKey(bytes.fromhex(text.strip()))
    except (ValueError, FormatError):
        raise KeyFileError(f"{path}: is not a key file (64 hex digits)") from None
    if (known := _published(path.with_suffix(".pub"))) is not None and known != key.public:
        raise KeyFileError(f"{path}: is not the key of {path.stem}.pub beside it; restore it from a backup")
    return key


def _published(path: Path) -> PublicKey | None:
    """The key of a public file; None if there is none, KeyFileError if it is none."""
    try:
        return NamedKey.parse(path.read_text(encoding="utf-8").strip()).public
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, FormatError):
        raise KeyFileError(f"{path}: is not a verifier key; remove it and run packseal-ledger init again") from None


def _write_new(path: Path, text: str, mode: int) -> None:
    """Create `path` with its content durable: either the whole file is there after a power cut, or none."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.write(file, text.encode())
        os.fsync(file)
    finally:
        os.close(file)
    try:
        # link() refuses an existing name, where rename() would replace a key that somebody else has just made.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
