"""How a log comes into being: its keys, the policy as entry 0, and the first party, a maker who may register packs.

Every step looks at what is there first, so that an interrupted founding is finished by doing it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evidence import acts, names
from evidence.acts import Party, Policy
from evidence.envelope import Envelope
from evidence.errors import FormatError
from evidence.keys import NamedKey, SigningKey
from evidence.sign1 import ED25519
from ledger import keyfiles
from ledger.clock import unix_ms
from ledger.errors import ConfigError, LogDamaged
from ledger.registration import accepted
from ledger.sequencer import Sequencer
from ledger.store import Reader, Store

LEDGER: Final = "ledger"
ROOT: Final = "root"


@dataclass(frozen=True, slots=True)
class Founding:
    """What a new log is to be: its origin, who names things in it, and its first maker (identifier and title)."""

    origin: str
    registrar: names.Registrar
    maker: str
    title: str


def party_key(party: str) -> str:
    """Name of a party's key file."""
    return f"party-{party}"


def only_party(folder: Path) -> str:
    """The party whose key lies here; ConfigError when it must be said which of several."""
    prefix = party_key("")
    found = sorted(path.stem.removeprefix(prefix) for path in (folder / "keys").glob(f"{prefix}*.key"))
    if len(found) != 1:
        raise ConfigError(f"{folder / 'keys'}: holds the keys of {len(found)} parties: say --party ID")
    return found[0]


def found(folder: Path, wanted: Founding, now_ms: Callable[[], int] = unix_ms) -> NamedKey:
    """Make the log, or what is missing of it; its verifier key. ConfigError if another log is there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with Store(folder, create=True) as store:
        if store.size():
            # A log has its keys: a new one in the place of a lost one would sign what nobody accepts.
            _check_same(folder, read_policy(store), wanted)
            ledger, root = keyfiles.load(folder, LEDGER), keyfiles.load(folder, ROOT)
        else:
            ledger = keyfiles.create(folder, LEDGER, wanted.origin)
            root = keyfiles.create(folder, ROOT, wanted.origin)
        sequencer = Sequencer(store, ledger, wanted.origin, now_ms=now_ms)
        if sequencer.size == 0:
            sequencer.begin(Policy(wanted.origin, wanted.registrar.authority, ledger.public, (root.public,)))
        uri = wanted.registrar.party(wanted.maker)
        if uri in sequencer.register.parties:
            keyfiles.load(folder, party_key(wanted.maker))
        else:
            maker = keyfiles.create(folder, party_key(wanted.maker), uri)
            accepted(sequencer.submit([admit_maker(wanted, root, maker, now_ms() // 1000).encoded]))
        sequencer.checkpoint()
        return sequencer.ledger


def _check_same(folder: Path, policy: Policy, wanted: Founding) -> None:
    if (policy.origin, policy.registrar) != (wanted.origin, wanted.registrar.authority):
        raise ConfigError(f"{folder}: already holds the log {policy.origin} under registrar {policy.registrar}")


def admit_maker(wanted: Founding, root: SigningKey, maker: SigningKey, issued_at: int) -> acts.Act:
    """The act by which a root key admits the maker."""
    uri = wanted.registrar.party(wanted.maker)
    frame = Envelope("party", root.kid, wanted.origin, uri, wanted.origin, issued_at)
    return acts.sign(root, frame, Party(maker.public, ED25519, wanted.title, ("maker",)))


def read_policy(reader: Reader) -> Policy:
    """The policy of a log; LogDamaged if its first entry is none. Nothing is verified here: the replay does that."""
    if reader.size() == 0:
        raise LogDamaged("the log is empty: packseal-ledger init finishes it")
    try:
        body = acts.read(reader.message(0)).body
    except FormatError as problem:
        raise LogDamaged(f"entry 0 is no policy: {problem}") from None
    if not isinstance(body, Policy):
        raise LogDamaged("entry 0 is no policy")
    return body
