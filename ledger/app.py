"""Puts the ledger's parts together for each command but `serve`. With `serving` and `cli` the only one that sees settings."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from evidence import names
from evidence.errors import FormatError
from evidence.keys import NamedKey
from evidence.merkle import Digest
from evidence.register import Register
from ledger import bulk, bundles, desk, founding, keyfiles, logcheck, registration, show
from ledger.bulk import Bulk, Line, Progress
from ledger.bundles import Made, Wanted
from ledger.config import Config
from ledger.errors import Busy, ConfigError
from ledger.founding import Founding
from ledger.lock import FolderLock
from ledger.log import Log
from ledger.logcheck import Findings
from ledger.registration import Registration
from ledger.show import PackShown
from ledger.store import Reader
from packseal.keytext import named_keys
from packseal.program import UsageError


@dataclass(frozen=True, slots=True)
class PackWanted:
    """What `register` was asked for, in identifiers; `key` is a verifier key or a file that holds one."""

    pack: str
    gateway: str | None
    key: str | None
    attributes: tuple[tuple[str, str], ...]
    party: str | None


def init(config: Config, maker: str, title: str) -> NamedKey:
    """Found the log of the configuration, or finish founding it; its verifier key."""
    section = config.ledger
    if section.origin is None or section.registrar is None:
        missing = "origin" if section.origin is None else "registrar"
        raise ConfigError(f"a new log needs --{missing}, or ledger.{missing} in ledger.toml")
    with _configured():
        wanted = Founding(section.origin, names.Registrar(section.registrar), names.identifier(maker, "maker"), title)
    config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FolderLock(config.folder) as lock:
        if not lock.take():
            raise Busy(f"{config.folder}: a packseal-ledger is at work here")
        return founding.found(config.folder, wanted)


def register(config: Config, wanted: PackWanted) -> Iterator[str]:
    """Bring a pack, its gateway and its key into the register; one line for each: where it stands, or stood already."""
    with desk.opened(config.folder) as ledger, Reader(config.folder) as reader:
        policy = founding.read_policy(reader)
        with _configured():
            registrar = names.Registrar(policy.registrar)
            signer = wanted.party or founding.only_party(config.folder)
            party = registrar.party(signer)
            request = Registration(
                registrar.pack(wanted.pack),
                tuple(sorted(wanted.attributes)),
                None if wanted.gateway is None else registrar.gateway(wanted.gateway),
                None if wanted.key is None else _only_key(wanted.key),
            )
        key = keyfiles.load(config.folder, founding.party_key(signer))
        log = Log(reader, NamedKey(policy.origin, policy.ledger_key))
        log.replay_register(reader.size())
        steps = registration.plan(log.register, request, party, key, int(time.time()))
        needed = [step.act.encoded for step in steps if step.act is not None]
        placed = iter(registration.accepted(ledger.submit(needed)))
        for step in steps:
            yield f"{step.text}: " + (f"already entry {step.at}" if step.act is None else f"entry {next(placed)}")


def register_list(config: Config, source: Path, party: str | None) -> Iterator[Progress]:
    """Bring every line of a list into the register; the progress after each batch."""
    with source.open("rb") as file, desk.opened(config.folder) as ledger, Reader(config.folder) as reader:
        policy = founding.read_policy(reader)
        signer = party or founding.only_party(config.folder)
        with _configured():
            registrar = names.Registrar(policy.registrar)
            speaker = registrar.party(signer)
        key = keyfiles.load(config.folder, founding.party_key(signer))

        def load() -> Register:
            log = Log(reader, NamedKey(policy.origin, policy.ledger_key))
            log.replay_register(reader.size())
            return log.register

        yield from Bulk(ledger, load, registrar, speaker, key, int(time.time())).run(_lines(file))


def packs(config: Config, pack: str | None) -> list[PackShown]:
    """What the register says of all packs, or of one."""
    with Reader(config.folder) as reader, _configured():
        return show.packs(reader, pack)


def bundle(
    config: Config, pack: str, out: Path, *, with_segments: bool, windows: tuple[tuple[Digest, int], ...]
) -> Made:
    """Write a pack's bundle to `out`, complete as of now."""
    with desk.opened(config.folder) as ledger, Reader(config.folder) as reader:
        ledger.log_heads()
        policy = founding.read_policy(reader)
        with _configured():
            uri = pack if ":" in pack else names.Registrar(policy.registrar).pack(pack)
        key = keyfiles.load(config.folder, founding.LEDGER)
        made = bundles.make(reader, key, policy.origin, Wanted(uri, with_segments, windows), int(time.time()))
    _write(out, made.encoded)
    return made


def log_check(config: Config, expected: str | None, progress: Callable[[int, int], None]) -> Findings:
    """Derive the whole log again."""
    with Reader(config.folder) as reader, _configured():
        return logcheck.check(reader, None if expected is None else _only_key(expected), progress)


def ledger_key(config: Config) -> NamedKey:
    """The ledger's verifier key."""
    with Reader(config.folder) as reader:
        policy = founding.read_policy(reader)
    return NamedKey(policy.origin, policy.ledger_key)


def _only_key(given: str) -> NamedKey:
    """The one verifier key that an operator gave, as text or as a file with it."""
    keys = named_keys(given)
    if len(keys) != 1:
        raise UsageError(f"{given}: one key is wanted, this file holds {len(keys)}")
    return keys[0]


def _lines(file: IO[bytes]) -> Iterator[Line]:
    """Numbered lines, of which none is read further than it may be long."""
    number = 0
    while line := file.readline(bulk.LONGEST_LINE + 2):
        number += 1
        yield number, line
        while len(line) > bulk.LONGEST_LINE and not line.endswith(b"\n"):
            line = file.readline(bulk.LONGEST_LINE)


@contextmanager
def _configured() -> Iterator[None]:
    """What an operator wrote in a wrong form is a configuration error, not evidence."""
    try:
        yield
    except FormatError as problem:
        raise ConfigError(str(problem)) from None


def _write(path: Path, content: bytes) -> None:
    """The whole file or none, also across a power cut."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
