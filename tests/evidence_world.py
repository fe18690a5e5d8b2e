"""A small whole world made with evidence/ alone: a ledger, a maker, packs with their gateways, and a log of what they said.

Everything follows from the world's label, so that tests and the worked examples of docs/formats.md see the same bytes.
The ledger here judges nothing: tests log whatever they want to see rejected, validly signed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from evidence import acts, bundle, heads, receipt, segment, statement, window
from evidence.acts import Act, ActBody, GatewayBind, Heads, KeyBind, PackRegister, Party, Policy, Time
from evidence.bodies import Body, Close, Gap, Moment, Open, Segment
from evidence.bundle import DisclosedWindow, HeadsLeaf
from evidence.checkpoint import Checkpoint
from evidence.envelope import Envelope
from evidence.heads import ChainTip, PackHead
from evidence.keys import NamedKey, SigningKey
from evidence.merkle import Digest, Tree, leaf_hash
from evidence.names import Registrar
from evidence.segment import SegmentDocument
from evidence.sign1 import ED25519
from evidence.statement import Seen, Stamp, Statement
from evidence.window import SaltKey, Window

ORIGIN = "ledger.example/packs"
REGISTRAR = Registrar("packs.example,2026")
MAKER = REGISTRAR.party("maker")
START_S = 1_790_000_000
SCHEMA = bytes.fromhex("a1016464656d6f")  # {1: "demo"}: a profile document is opaque here


def key(label: str) -> SigningKey:
    """The key of this name, the same in every run."""
    return SigningKey(hashlib.sha256(label.encode()).digest())


def digest(label: str) -> Digest:
    """Some digest."""
    return Digest(hashlib.sha256(label.encode()).digest())


def some_windows(count: int, start_ms: int = 5_000) -> tuple[Window, ...]:
    """Windows of four signals: a scalar, a state, an array and one that is never seen."""
    return tuple(
        Window(
            start_ms + 1000 * at,
            1000,
            120 + at,
            at % 2,
            (
                (10, -5, 40 + at, 12, 7),
                (4, 0, 1, ((300 + at, 1),), 0) if at == 1 else None if at == 2 else (4, 1, 1, (), 0),
                (6, 3500, 3700 + at, 3600, 2, 0, (3700 + at, None, 3500)),
                None,
            ),
        )
        for at in range(count)
    )


@dataclass(slots=True)
class Vehicle:
    """One pack with its gateway, the gateway's key, what it has said and where its strand stands."""

    uri: str
    gateway: str
    key: SigningKey
    strand: Digest | None = None
    chain: list[Statement] = field(default_factory=list)
    documents: dict[Digest, bytes] = field(default_factory=dict)

    def sign(self, kind: str, body: Body, *, epoch: int, seq: int, prev: Digest | None, **more: object) -> Statement:
        """A statement of this pack with the given place in the chain, not yet said."""
        aud, seen, signer = more.get("aud", ORIGIN), more.get("seen"), more.get("key", self.key)
        frame = Envelope(kind, signer.kid, self.gateway, self.uri, aud, START_S + seq)
        t0 = 5_000 * (seq + 1)
        stamp = Stamp(b"boot id of world", t0, t0 + 5_000, 0 if seq == 0 else 1000 * START_S + t0, min(seq, 2))
        return statement.sign(signer, frame, epoch=epoch, seq=seq, prev=prev, stamp=stamp, body=body, seen=seen)


class World:
    """The log and everybody who writes to it."""

    def __init__(self, label: str = "world", *, policy: Policy | None = None, first: bytes | None = None) -> None:
        self.label = label
        self.ledger, self.root, self.maker = (key(f"{label} {who}") for who in ("ledger", "root", "maker"))
        self.log: list[bytes] = []
        self.tree = Tree()
        self.strands: dict[int, str] = {}
        self.vehicles: dict[str, Vehicle] = {}
        self.leaves: dict[int, list[PackHead]] = {}
        self.clock_ms = 1000 * START_S
        honest = Policy(ORIGIN, REGISTRAR.authority, self.ledger.public, (self.root.public,))
        if first is not None:
            self.append(first)
        self.act(self.ledger, ORIGIN, ORIGIN, policy or honest)
        self.time()
        maker = Party(self.maker.public, ED25519, "Maker of Packs", ("lessor", "maker"))
        self.act(self.root, ORIGIN, MAKER, maker)

    @property
    def name(self) -> NamedKey:
        """The ledger's key as a verifier is given it."""
        return NamedKey(ORIGIN, self.ledger.public)

    def append(self, encoded: bytes) -> int:
        """Log these bytes, whatever they are; their index."""
        self.log.append(encoded)
        self.tree.append(leaf_hash(statement.entry_of(encoded)))
        return len(self.log) - 1

    def act(self, signer: SigningKey, issuer: str, subject: str, body: ActBody, after: Digest | None = None) -> Act:
        """Sign and log an act."""
        kind = {Policy: "policy", Time: "time", Party: "party", PackRegister: "pack-register", Heads: "heads"}
        kind |= {GatewayBind: "gateway-bind", KeyBind: "key-bind"}
        frame = Envelope(kind[type(body)], signer.kid, issuer, subject, ORIGIN, self.clock_ms // 1000)
        act = acts.sign(signer, frame, body, after)
        self.append(act.encoded)
        return act

    def time(self) -> Act:
        """Log the time, a minute after the last."""
        self.clock_ms += 60_000
        return self.act(self.ledger, ORIGIN, ORIGIN, Time(self.clock_ms))

    def register(self, pack: str, gateway: str = "gw-1") -> Vehicle:
        """Register a pack, bind its gateway and the gateway's key."""
        vehicle = Vehicle(REGISTRAR.pack(pack), REGISTRAR.gateway(gateway), key(f"{self.label} {pack} {gateway}"))
        for body in (
            PackRegister((("chemistry", "LFP"), ("serial", f"SN-{pack}"))),
            GatewayBind(vehicle.gateway),
            KeyBind(vehicle.gateway, vehicle.key.public, ED25519),
        ):
            self.time()
            vehicle.strand = self.act(self.maker, MAKER, vehicle.uri, body, vehicle.strand).entry
        self.vehicles[vehicle.uri] = vehicle
        return vehicle

    def say(self, vehicle: Vehicle, kind: str, body: Body, *, seen: Seen | None = None) -> Statement:
        """The vehicle's next statement, logged. An open begins a new epoch."""
        last = vehicle.chain[-1] if vehicle.chain else None
        epoch, seq = (0x1234, 0) if last is None else (last.epoch, last.seq + 1)
        if kind == "open" and last is not None:
            epoch, seq = last.epoch + 1, 0
        said = vehicle.sign(kind, body, epoch=epoch, seq=seq, prev=None if last is None else last.entry, seen=seen)
        vehicle.chain.append(said)
        self.append(said.encoded)
        return said

    def open(self, vehicle: Vehicle, *, seen: Seen | None = None) -> Statement:
        """Say that an epoch begins."""
        reason = 1 if vehicle.chain else 0
        return self.say(vehicle, "open", Open("0.1.0", reason, (), SCHEMA, (("odometer_km", 12),)), seen=seen)

    def segment(self, vehicle: Vehicle, count: int = 3, *, seen: Seen | None = None) -> Statement:
        """Say a segment of `count` windows and keep its document."""
        windows = some_windows(count, 5_000 * (vehicle.chain[-1].seq + 2))
        document, body = sealed(f"{self.label} {vehicle.uri} {len(vehicle.chain)}", windows)
        said = self.say(vehicle, "segment", body, seen=seen)
        vehicle.documents[said.entry] = document
        return said

    def gap(self, vehicle: Vehicle) -> Statement:
        """Say a gap."""
        start = Moment(b"boot id of world", 9_000, 0, 0)
        end = Moment(b"boot id of world", 9_500, 1000 * START_S, 2)
        return self.say(vehicle, "gap", Gap(4, start, end, None))

    def close(self, vehicle: Vehicle) -> Statement:
        """Say that the epoch ends."""
        return self.say(vehicle, "close", Close(0))

    def heads(self, **tips: list[ChainTip]) -> int:
        """Log the time and the heads of all packs; the heads' index. `tips` by pack id doctor what a leaf names."""
        self.time()
        leaves: list[PackHead] = []
        for uri, vehicle in self.vehicles.items():
            ends = vehicle.chain[-1:]
            honest = [ChainTip(vehicle.key.kid, each.epoch, each.seq, each.entry) for each in ends]
            named = tips.get(uri.rpartition("/")[2], honest)
            leaves.append(PackHead(uri, vehicle.strand or digest("none"), tuple(sorted(named))))
        tree, ordered = heads.tree(leaves)
        covered = len(self.log)
        self.act(self.ledger, ORIGIN, ORIGIN, Heads(covered, tree.root(), len(ordered)))
        self.leaves[covered] = ordered
        return covered

    def seen(self, size: int) -> Seen:
        """What a gateway has seen that holds the checkpoint of `size`."""
        return Seen(size, self.tree.root(size))

    def note(self, size: int) -> str:
        """The signed checkpoint of `size`."""
        return Checkpoint(ORIGIN, size, self.tree.root(size)).sign(self.ledger)

    def leaf(self, vehicle: Vehicle, at: int) -> HeadsLeaf:
        """The pack's leaf in the heads that are logged at index `at`."""
        tree, ordered = heads.tree(self.leaves[at])
        place = next(place for place, head in enumerate(ordered) if head.pack == vehicle.uri)
        return HeadsLeaf(ordered[place].encode(), place, tuple(tree.inclusion(place)))

    def offer(self, vehicle: Vehicle, *, documents: bool = True) -> Offer:
        """An honest bundle of all that the log holds for the vehicle's pack, as parts that a test may doctor."""
        size = len(self.log)
        newest = max(self.leaves, default=None)
        indexes = [at for at, encoded in enumerate(self.log) if self._concerns(encoded, vehicle, newest)]
        segments = [each for each in vehicle.chain if each.entry in vehicle.documents]
        return Offer(
            world=self,
            pack=vehicle.uri,
            size=size,
            indexes=indexes,
            note=self.note(size),
            heads=None if newest is None else self.leaf(vehicle, newest),
            documents=[vehicle.documents[each.entry] for each in segments] if documents else [],
        )

    def _concerns(self, encoded: bytes, vehicle: Vehicle, newest: int | None) -> bool:
        said = {each.encoded for each in vehicle.chain}
        if encoded in said:
            return True
        try:
            act = acts.read(encoded)
        except acts.FormatError:
            return False
        if isinstance(act.body, Heads):
            return act.body.covered == newest
        return act.envelope.subject in (vehicle.uri, ORIGIN, MAKER)


@dataclass(slots=True)
class Offer:
    """The parts of a bundle before it is put together. `replaced` puts other bytes in the place of a logged message."""

    world: World
    pack: str
    size: int
    indexes: list[int]
    note: str
    heads: HeadsLeaf | None
    documents: list[bytes] = field(default_factory=list)
    windows: list[DisclosedWindow] = field(default_factory=list)
    replaced: dict[int, bytes] = field(default_factory=dict)
    subject: str | None = None
    issuer: str = ORIGIN
    signer: SigningKey | None = None

    def without(self, *indexes: int) -> Offer:
        """Leave out what is logged at these indexes."""
        self.indexes = [at for at in self.indexes if at not in indexes]
        return self

    def messages(self) -> list[bytes]:
        """The messages with their receipts."""
        tree = self.world.tree
        minter = receipt.Minter.create(
            self.signer or self.world.ledger,
            origin=self.issuer,
            subject=self.subject or self.pack,
            issued_at=self.world.clock_ms // 1000,
            size=self.size,
            root=tree.root(self.size),
        )
        return [
            bundle.with_receipt(
                self.replaced.get(at, self.world.log[at]), minter.mint(at, tree.inclusion(at, self.size))
            )
            for at in self.indexes
        ]

    def encode(self) -> bytes:
        """The bundle."""
        return bundle.encode(self.pack, self.messages(), self.note, self.heads, self.documents, self.windows)


def sealed(label: str, windows: tuple[Window, ...], profile: bytes = SCHEMA) -> tuple[bytes, Segment]:
    """The document of these windows and the body of the statement that seals it."""
    named = Digest(hashlib.sha256(profile).digest())
    document = SegmentDocument(named, SaltKey(digest(f"salt {label}")), windows)
    encoded = segment.encode(document)
    body = Segment(
        windows=len(windows),
        window_ms=1000,
        root=window.tree(document.salt_key, [window.encode(each) for each in windows]).root(),
        document=segment.digest(encoded),
        raw=digest(f"raw {label}"),
        frames=sum(each.frames for each in windows),
        lost=0,
        profile=named,
        malformed=sum(each.malformed for each in windows),
    )
    return encoded, body


def disclosed(said: Statement, document: bytes, index: int) -> DisclosedWindow:
    """One window of a segment, with what proves it."""
    parsed = segment.read(document)
    encoded = [window.encode(each) for each in parsed.windows]
    path = window.tree(parsed.salt_key, encoded).inclusion(index)
    return DisclosedWindow(said.entry, index, window.salt(parsed.salt_key, index), encoded[index], tuple(path))


def small_world(label: str = "small") -> tuple[World, Vehicle]:
    """A pack that opened and sealed one segment, in a log with heads; nothing else."""
    world = World(label)
    vehicle = world.register("p-1")
    world.open(vehicle)
    world.segment(vehicle, 2)
    world.heads()
    return world, vehicle


def full_world(label: str = "full") -> tuple[World, Vehicle]:
    """Two packs interleaved; the first has two epochs with segments, a gap, a close and key 11, and the heads are logged."""
    world = World(label)
    vehicle, other = world.register("p-1"), world.register("p-2", "gw-2")
    world.open(vehicle)
    world.open(other)
    world.segment(vehicle)
    world.segment(other)
    world.gap(vehicle)
    world.segment(vehicle, 5, seen=world.seen(len(world.log)))
    world.close(vehicle)
    world.time()
    world.open(vehicle, seen=world.seen(8))
    world.segment(vehicle, 1)
    world.heads()
    world.time()
    return world, vehicle
