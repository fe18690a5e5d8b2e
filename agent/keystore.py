"""Key files: one Ed25519 seed per (pack, gateway), readable by its owner alone, never printed and never overwritten.

With a wrapping key each is sealed at rest, and a plain one is refused until it is sealed as well.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.errors import ConfigError, StoreError
from agent.ownership import as_owner_of
from agent.sealed_key import WrappingKey, is_sealed, seal, unseal
from evidence import names
from evidence.errors import FormatError
from evidence.keys import KeyId, NamedKey, SigningKey


@dataclass(frozen=True, slots=True)
class KeyFile:
    """Where a key lies and whose it is."""

    path: Path
    pack: str
    gateway: str


_LONGEST_FILE: Final = 1024


class Keystore:
    """The folder of key files of one agent. `wrapping` fetches the wrapping key, or None, when the first file needs it."""

    def __init__(
        self,
        folder: Path,
        registrar: names.Registrar,
        gateway: str,
        wrapping: Callable[[], WrappingKey | None] = lambda: None,
    ) -> None:
        self._folder = folder
        self._registrar = registrar
        self._gateway = gateway
        self._fetch = wrapping
        self._wrapping: tuple[WrappingKey | None] | None = None

    def unlock(self) -> WrappingKey | None:
        """The wrapping key, fetched once; ConfigError if one is configured and cannot be had."""
        if self._wrapping is None:
            self._wrapping = (self._fetch(),)
        return self._wrapping[0]

    def new(self, pack: str) -> NamedKey:
        """Make the key of (pack, this gateway) and say its public half; ConfigError if there is one already."""
        path = self._path(pack)
        text = self._written(secrets.token_bytes(32), pack)
        try:
            with as_owner_of(self._folder):
                # The state folder too is ours alone: the outbox will lie in it.
                self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._folder.mkdir(mode=0o700, exist_ok=True)
                made = _write_once(path, text)
                _sync_folder(self._folder)
                _sync_folder(self._folder.parent)
        except OSError as problem:
            raise StoreError(f"{path}: {problem.strerror}") from None
        if not made:
            raise ConfigError(f"{path}: this key exists already; `keys show {pack}` prints its public half")
        return self.show(pack)

    def seal(self, pack: str) -> bool:
        """Put a sealed key file in the place of a pack's plain one, durably; False if it is sealed already.

        What overwriting leaves behind in flash memory it cannot erase.
        """
        path, content = self._path(pack), self._content(pack)
        if self.unlock() is None:
            raise ConfigError("[keys] wrapping_key is none; say there what to seal the keys with")
        if is_sealed(content):
            return False
        text = self._written(self._seed(pack, content, plain=True), pack)
        try:
            with as_owner_of(self._folder):
                _replace(path, text)
                _sync_folder(self._folder)
        except OSError as problem:
            raise StoreError(f"{path}: {problem.strerror}") from None
        return True

    def show(self, pack: str, *, plain: bool = False) -> NamedKey:
        """The public half of a pack's key, named by the pack's URI; `plain` ones too, though a wrapping key is configured."""
        key = SigningKey(self._seed(pack, self._content(pack), plain=plain))
        return NamedKey(self._registrar.pack(pack), key.public)

    def sealed(self, pack: str) -> bool:
        """Whether a pack's key file is sealed."""
        return is_sealed(self._content(pack))

    def load(self, pack: str) -> SigningKey:
        """The signing key of (pack, this gateway); ConfigError if it is missing, damaged, readable by others or not as sealed
        as it is configured to be."""
        return SigningKey(self._seed(pack, self._content(pack), plain=False))

    def _content(self, pack: str) -> bytes:
        path = self._path(pack)
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(_LONGEST_FILE)
        except FileNotFoundError:
            raise ConfigError(f"{path}: no key for this pack; make one with `packseal-agent keys new {pack}`") from None
        except OSError as problem:
            raise StoreError(f"{path}: {problem.strerror}") from None
        if mode & 0o077:
            raise ConfigError(
                f"{path}: readable by others; chmod 600 it, and make a new key if anyone may have read it"
            )
        return content

    def _seed(self, pack: str, content: bytes, *, plain: bool) -> bytes:
        path, wrapping = self._path(pack), self.unlock()
        if is_sealed(content):
            if wrapping is None:
                raise ConfigError(f"{path}: a sealed key; say in [keys] wrapping_key what it is sealed with")
            return unseal(content, wrapping, pack, self._gateway, str(path))
        try:
            seed = bytes.fromhex(content.decode("ascii").strip())
            SigningKey(seed)
        except (ValueError, FormatError):
            raise ConfigError(f"{path}: not a key file; restore it from a backup or make a new key") from None
        if wrapping is not None and not plain:
            raise ConfigError(
                f"{path}: not sealed, though [keys] wrapping_key is set; seal it with `packseal-agent keys seal`"
            )
        return seed

    def _written(self, seed: bytes, pack: str) -> str:
        """The content of a pack's key file."""
        wrapping = self.unlock()
        return seed.hex() + "\n" if wrapping is None else seal(seed, wrapping, pack, self._gateway)

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
    with _scratch(path, text) as scratch:
        try:
            os.link(scratch, path)  # unlike a rename it never replaces
        except FileExistsError:
            return False
    return True


def _replace(path: Path, text: str) -> None:
    """All of it in the place of what is there, or nothing."""
    with _scratch(path, text) as scratch:
        scratch.replace(path)


@contextlib.contextmanager
def _scratch(path: Path, text: str) -> Iterator[Path]:
    """A file beside `path` that durably holds `text`, gone afterwards if it still has that name."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
