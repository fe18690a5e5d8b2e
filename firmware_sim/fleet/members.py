"""Who is in a fleet: names and keys of its gateways, all from one secret seed kept in a folder of the operator's.

One seed makes one fleet: its tag is in every name, so that two fleets never speak for each other's packs. Seeds and
what they make are for tests of a ledger only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evidence import names
from evidence.errors import FormatError
from evidence.keys import NamedKey, SigningKey
from packseal.program import ConfigurationError, InputOutputError

SEED_FILE: Final = "fleet.seed"
LARGEST: Final = 99_999
_SEED_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Member:
    """One gateway with its one pack, and the key by which it speaks for it."""

    number: int
    pack: str
    gateway: str
    key: SigningKey


class Fleet:
    """The members number 1 to `count` of the fleet of one seed."""

    def __init__(self, seed: bytes, registrar: names.Registrar, count: int) -> None:
        self._seed = seed
        self.registrar = registrar
        self.count = count
        self.tag = self.secret("tag", 0).hex()[:6]

    def member(self, number: int) -> Member:
        """The member of this number."""
        name = f"{self.tag}-{number:05}"
        return Member(number, f"sim-{name}", f"sim-gw-{name}", SigningKey(self.secret("key", number)))

    def members(self) -> list[Member]:
        """All members."""
        return [self.member(number) for number in range(1, self.count + 1)]

    def secret(self, purpose: str, number: int) -> bytes:
        """32 bytes that nobody without the seed can make."""
        return hashlib.blake2b(f"{purpose} {number}".encode(), key=self._seed, digest_size=32).digest()

    def registration(self, member: Member) -> str:
        """What the ledger must register of a member: one line for `packseal-ledger register --from`."""
        key = NamedKey(self.registrar.pack(member.pack), member.key.public)
        attributes = {"origin": "packseal-sim fleet, not a pack"}
        entry = {"pack": member.pack, "gateway": member.gateway, "key": str(key), "attributes": attributes}
        return json.dumps(entry, separators=(",", ":"))


def opened(folder: Path, registrar: str, count: int) -> Fleet:
    """The fleet of a folder, whose seed is made if there is none yet."""
    try:
        named = names.Registrar(registrar)
    except FormatError as problem:
        raise ConfigurationError(f"--registrar: {problem}") from None
    if not 1 <= count <= LARGEST:
        raise ConfigurationError(f"--packs {count}: a fleet has 1 to {LARGEST} packs")
    path = folder / SEED_FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            _write_new(path, secrets.token_hex(_SEED_BYTES) + "\n")
        mode, text = path.stat().st_mode, path.read_text(encoding="ascii").strip()
        seed = bytes.fromhex(text)
    except OSError as problem:
        raise InputOutputError(f"{problem.filename or path}: {problem.strerror}") from None
    except ValueError:
        seed = b""
    if len(seed) != _SEED_BYTES:
        raise ConfigurationError(
            f"{path}: is not a fleet's seed (64 hex digits); restore it or remove it for a new fleet"
        )
    if mode & 0o077:
        raise ConfigurationError(
            f"{path}: others may read this seed; chmod 600 it, or better remove it for a new fleet"
        )
    return Fleet(seed, named, count)


def _write_new(path: Path, text: str) -> None:
    """The whole file under its name, or FileExistsError: a seed cut short would stand in the way for ever."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename it never replaces
    finally:
        draft.unlink()
