"""A small world around a ledger: a founded log in a folder, and gateways that sign real statements with real keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from evidence import acts, segment, statement, window
from evidence.acts import ACT_KINDS
from evidence.bodies import Body, Close, Open, Segment
from evidence.envelope import Envelope
from evidence.keys import NamedKey, SigningKey
from evidence.merkle import Digest
from evidence.names import Registrar
from evidence.segment import SegmentDocument
from evidence.statement import Seen, Stamp, Statement
from evidence.window import SaltKey, Window
from ledger import founding, keyfiles, registration
from ledger.admission import Arrival
from ledger.founding import Founding
from ledger.registration import Registration
from ledger.sequencer import Sequencer
from ledger.store import Store

ORIGIN = "ledger.example/packs"
REGISTRAR = Registrar("packs.example,2026")
START_MS = 1_800_000_000_000
SCHEMA = b"\xa1\x01\x61x"
PROFILE = segment.digest(SCHEMA)


@dataclass
class Clock:
    """A server clock that stands still until it is told otherwise."""

    ms: int = START_MS

    def __call__(self) -> int:
        return self.ms


@dataclass
class Gateway:
    """The other side: signs the chain of one (pack, gateway) key, as an agent would."""

    pack: str = "pack-1"
    name: str = "gw-1"
    seed: int = 1
    origin: str = ORIGIN
    epoch: int = 1000
    seq: int = 0
    prev: Digest | None = None
    documents: dict[Digest, bytes] = field(default_factory=dict)

    @property
    def key(self) -> SigningKey:
        return SigningKey(hashlib.sha256(b"gateway %d" % self.seed).digest())

    @property
    def named_key(self) -> NamedKey:
        return NamedKey(REGISTRAR.pack(self.pack), self.key.public)

    def sign(self, kind: str, body: Body, *, seen: Seen | None = None, **changes: object) -> Statement:
        """A statement at the chain's present place; `changes` replace envelope claims, epoch, seq or prev."""
        frame = Envelope(
            kind,
            self.key.kid,
            str(changes.get("issuer", REGISTRAR.gateway(self.name))),
            str(changes.get("subject", REGISTRAR.pack(self.pack))),
            str(changes.get("audience", self.origin)),
            START_MS // 1000,
        )
        span_ms = body.windows * body.window_ms if isinstance(body, Segment) else 1000
        return statement.sign(
            self.key,
            frame,
            epoch=int(changes.get("epoch", self.epoch)),
            seq=int(changes.get("seq", self.seq)),
            prev=changes.get("prev", self.prev),
            stamp=Stamp(bytes(16), self.seq * 1000, self.seq * 1000 + span_ms, START_MS, 2),
            body=body,
            seen=seen,
        )

    def say(self, kind: str, body: Body) -> Statement:
        """The next statement of the chain."""
        said = self.sign(kind, body)
        self.seq, self.prev = self.seq + 1, said.entry
        return said

    def open(self) -> Statement:
        """Begin an epoch."""
        if self.prev is not None:
            self.epoch, self.seq = self.epoch + 1, 0
        return self.say("open", Open("test", 0, (), SCHEMA))

    def segment(self, windows: int = 2) -> Statement:
        """A segment of windows with one scalar, whose document is kept in `documents`."""
        salt = SaltKey(hashlib.sha256(b"salt %d %d" % (self.epoch, self.seq)).digest())
        made = tuple(
            Window(self.seq * 1000 + n * 1000, 1000, 10, 0, ((10, 1, 3, 2, n % 3 + 1),)) for n in range(windows)
        )
        encoded = segment.encode(SegmentDocument(PROFILE, salt, made))
        digest = segment.digest(encoded)
        self.documents[digest] = encoded
        root = window.tree(salt, [window.encode(each) for each in made]).root()
        frames = 10 * windows
        return self.say("segment", Segment(windows, 1000, root, digest, Digest(bytes(32)), frames, 0, PROFILE, 0))

    def close(self) -> Statement:
        """End the epoch in order."""
        return self.say("close", Close(0))

    def arrival(self, said: Statement | bytes) -> Arrival:
        """A message as the broker delivers it on this gateway's topic."""
        return Arrival(said if isinstance(said, bytes) else said.encoded, self.name, self.pack)

    def registration(self) -> Registration:
        """What a maker registers for this gateway."""
        return Registration(REGISTRAR.pack(self.pack), (), REGISTRAR.gateway(self.name), self.named_key)


class World:
    """A founded log below `folder`, opened as often as a test wants to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.ledger = founding.found(folder, Founding(ORIGIN, REGISTRAR, "maker", "Maker of tests"), self.clock)

    @property
    def key(self) -> SigningKey:
        return keyfiles.load(self.folder, founding.LEDGER)

    def sequencer(self, store: Store | None = None) -> Sequencer:
        """The ledger's writer, started anew on the folder."""
        return Sequencer(store or Store(self.folder), self.key, ORIGIN, now_ms=self.clock, progress_ms=self.clock)

    def register(self, sequencer: Sequencer, gateway: Gateway) -> list[int]:
        """Register a gateway's pack, gateway and key; the indices of the acts."""
        maker = keyfiles.load(self.folder, founding.party_key("maker"))
        steps = registration.plan(
            sequencer.register, gateway.registration(), REGISTRAR.party("maker"), maker, START_MS // 1000
        )
        return registration.accepted(sequencer.submit([step.act.encoded for step in steps if step.act]))


def read_all(store: Store) -> list[acts.Act | Statement]:
    """Everything in a log, parsed."""
    return [
        acts.read(row.message) if row.kind in ACT_KINDS else statement.read(row.message)
        for row in store.everything(0, store.size())
    ]
