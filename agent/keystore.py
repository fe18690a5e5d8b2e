"""Key files: one Ed25519 seed per (pack, gateway), readable by its owner alone, never printed and never overwritten."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.errors import ConfigError, StoreError
from evidence import names
from evidence.errors import FormatError
from evidence.keys import KeyId, NamedKey, SigningKey


@dataclass(frozen=True, slots=True)
class KeyFile:
    """Where a key lies and whose it is."""

    path: Path
    pack: str
    gateway: str


class Keystore:
    """The folder of key files of one agent."""

    def __init__(self, folder: Path, registrar: names.Registrar, gateway: str) -> None:
        self._folder = folder
        self._registrar = registrar
        self._gateway = gateway

    def new(self, pack: str) -> NamedKey:
        """Make the key of (pack, this gateway) and say its public half; ConfigError if there is one already."""
        path = self._path(pack)
        try:
            # The state folder too is ours alone: the outbox will lie in it.
            self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            made = _write_once(path, secrets.token_bytes(32).hex() + "\n")
            _sync_folder(self._folder)
            _sync_folder(self._folder.parent)
        except OSError as problem:
            raise StoreError(f"{path}: {problem.strerror}") from None
        if not made:
            raise ConfigError(f"{path}: this key exists already; `keys show {pack}` prints its public half")
        return self.show(pack)

    def show(self, pack: str) -> NamedKey:
        """The public half of a pack's key, named by the pack's URI."""
        return NamedKey(self._registrar.pack(pack), self.load(pack).public)

    def load(self, pack: str) -> SigningKey:
        """The signing key of (pack, this gateway); ConfigError if it is missing, damaged or readable by others."""
        path = self._path(pack)
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(256)
        except FileNotFoundError:
            raise ConfigError(f"{path}: no key for this pack; make one with `packseal-agent keys new {pack}`") from None
        except OSError as problem:
            raise StoreError(f"{path}: {problem.strerror}") from None
        if mode & 0o077:
            raise ConfigError(
                f"{path}: readable by others; chmod 600 it, and make a new key if anyone may have read it"
            )
        try:
            return SigningKey(bytes.fromhex(content.decode("ascii").strip()))
        except (ValueError, FormatError):
            raise ConfigError(f"{path}: not a key file; restore it from a backup or make a new key") from None

    def list(self) -> list[KeyFile]:
        """The key files of this gateway, by pack."""
        suffix = f".{self._gateway}.key"
        found = sorted(self._folder.glob(f"*{suffix}"))
        return [KeyFile(path, path.name.removesuffix(suffix), self._gateway) for path in found]

    def speakers(self) -> Iterator[KeyId]:
        """The ids of the keys that can be read; a file that cannot be is left to whoever needs it."""
        for each in self.list():
            with contextlib.suppress(ConfigError, StoreError):
                yield self.load(each.pack).kid

    def _path(self, pack: str) -> Path:
        try:
            return self._folder / f"{names.identifier(pack, 'pack')}.{self._gateway}.key"
        except FormatError as problem:
            raise ConfigError(str(problem)) from None


def _write_once(path: Path, text: str) -> bool:
    """All of it under its name or nothing, durably; False if the name is taken.

    A key file cut short by a power cut would stand in the way of a new one for ever.
    """
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(scratch, path)  # unlike a rename it never replaces
    except FileExistsError:
        return False
    finally:
        scratch.unlink()
    return True


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
