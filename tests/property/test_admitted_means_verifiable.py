"""Whatever a bound key signs and the ledger admits, its pack has a bundle that a stranger's verifier accepts.

Gateways here say anything that is of the form: honest chains, and statements of any place, predecessor, profile, size and
knowledge of the log, lost, late, twice, with documents that are theirs or not. What may be shown is found by a naive walk
with the verifier's own rules; a true fork is the one thing that has no bundle, since only the pack's owner can judge it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from evidence import chain, segment, statement, verify
from evidence.acts import ACT_KINDS
from evidence.bodies import Body, Clock, Close, Gap, Moment, Open, Segment
from evidence.errors import ChainError
from evidence.merkle import Digest
from evidence.statement import MAX_BYTES, Seen, Statement
from ledger import bundles, logcheck
from ledger.admission import Known
from ledger.archive import Archive
from ledger.bundles import Wanted
from ledger.errors import NoBundle
from ledger.sequencer import Admitted, Refused, Sequencer
from ledger.store import Store
from tests.ledger_world import ORIGIN, PROFILE, REGISTRAR, SCHEMA, START_MS, Gateway, World

GATEWAYS = (("pack-1", "gw-1", 1), ("pack-1", "gw-2", 2), ("pack-2", "gw-2", 3))
OTHER_SCHEMA = b"another profile"
NUMBERS = st.integers(0, 2**53)
DIGESTS = st.binary(min_size=32, max_size=32).map(Digest)
TEXTS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)
COUNTERS = st.dictionaries(TEXTS, NUMBERS, max_size=3).map(lambda found: tuple(sorted(found.items())))
MOMENTS = st.builds(Moment, st.binary(min_size=16, max_size=16), NUMBERS, NUMBERS, st.integers(0, 3))
PROFILES = st.sampled_from([PROFILE, segment.digest(OTHER_SCHEMA)])
SCHEMAS = st.sampled_from([SCHEMA, OTHER_SCHEMA])

BODIES = st.one_of(
    st.builds(Open, TEXTS, st.integers(0, 255), st.lists(DIGESTS, max_size=3).map(tuple), SCHEMAS, COUNTERS),
    st.builds(
        Segment,
        *(
            st.integers(1, 10**6),
            st.integers(1, 3_600_000),
            DIGESTS,
            DIGESTS,
            DIGESTS,
            NUMBERS,
            NUMBERS,
            PROFILES,
            NUMBERS,
        ),
    ),
    st.builds(Gap, st.integers(0, 255), MOMENTS, MOMENTS, st.none() | NUMBERS, COUNTERS),
    st.builds(Clock, st.integers(0, 255), NUMBERS, NUMBERS, st.integers(0, 3)),
    st.builds(Close, st.integers(0, 255), COUNTERS),
)
KINDS = {Open: "open", Segment: "segment", Gap: "gap", Clock: "clock", Close: "close"}
WHO = st.integers(0, len(GATEWAYS) - 1)
BACK = st.integers(1, 4)

HONEST = st.tuples(st.just("honest"), WHO, st.sampled_from(["open", "segment", "segment", "close"]))
STEPS = st.one_of(
    HONEST,
    HONEST,
    st.tuples(st.just("next"), WHO, BODIES),  # in the next place, whatever it says
    st.tuples(st.just("epoch"), WHO, SCHEMAS),  # an open that follows, under either profile
    st.tuples(st.just("fork"), WHO, BACK),  # another open after what may have been followed already
    st.tuples(st.just("place"), WHO, BODIES, st.integers(0, 5), st.sampled_from([0, 1, 2, 3, 7, 2**20])),
    st.tuples(st.just("after"), WHO, BODIES, st.none() | DIGESTS | BACK),
    st.tuples(st.just("seen"), WHO, BODIES, st.integers(-3, 3)),
    st.tuples(st.just("large"), WHO, st.integers(0, 40)),
    st.tuples(st.just("borrow"), WHO, BACK),  # a segment that names another one's document
    st.tuples(st.just("again"), WHO, BACK),
    st.tuples(st.sampled_from(["lose", "late", "deliver", "heads", "restart"])),
)


@dataclass(slots=True)
class Run:
    """A ledger, the gateways of two packs, and what of theirs is on its way."""

    world: World
    store: Store
    gateways: list[Gateway] = field(default_factory=lambda: [Gateway(*each) for each in GATEWAYS])
    said: list[tuple[Gateway, Statement]] = field(default_factory=list)
    waiting: list[tuple[Gateway, Statement]] = field(default_factory=list)
    held_back: list[tuple[Gateway, Statement]] = field(default_factory=list)
    sequencer: Sequencer = field(init=False)

    def __post_init__(self) -> None:
        self.sequencer = self.world.sequencer(self.store)
        for gateway in self.gateways:
            self.world.register(self.sequencer, gateway)

    def play(self, step: tuple) -> None:
        """One step of the strategy, by its name."""
        name, *more = step
        if name in ("lose", "late", "deliver", "heads", "restart"):
            getattr(self, name)()
            return
        gateway = self.gateways[more[0]]
        made = getattr(self, name)(gateway, *more[1:])
        if made is not None:
            self.said.append((gateway, made))
            self.waiting.append((gateway, made))

    def honest(self, gateway: Gateway, kind: str) -> Statement:
        return getattr(gateway, kind)()

    def next(self, gateway: Gateway, body: Body) -> Statement:
        return gateway.say(KINDS[type(body)], body)

    def epoch(self, gateway: Gateway, schema: bytes) -> Statement:
        gateway.epoch, gateway.seq = gateway.epoch + (gateway.prev is not None), 0
        return gateway.say("open", Open("x", 1, (), schema))

    def fork(self, gateway: Gateway, back: int) -> Statement:
        own = [said.entry for whose, said in self.said if whose is gateway]
        gateway.prev = own[-back] if len(own) >= back else None
        gateway.epoch, gateway.seq = gateway.epoch + 10, 0
        return gateway.say("open", Open("x", 1, (), SCHEMA))

    def place(self, gateway: Gateway, body: Body, epoch: int, seq: int) -> Statement:
        """Anywhere, an epoch that has been before included; the gateway goes on from there."""
        gateway.epoch, gateway.seq = gateway.epoch - 2 + epoch, seq
        return gateway.say(KINDS[type(body)], body)

    def after(self, gateway: Gateway, body: Body, prev: Digest | int | None) -> Statement:
        """After any statement of this or another key, a stranger's, or none."""
        if isinstance(prev, int):
            prev = self.said[-prev][1].entry if len(self.said) >= prev else None
        gateway.prev = prev
        return gateway.say(KINDS[type(body)], body)

    def seen(self, gateway: Gateway, body: Body, ahead: int) -> Statement:
        size = max(1, self.sequencer.size + ahead)
        said = gateway.sign(KINDS[type(body)], body, seen=Seen(size, Digest(hashlib.sha256(b"%d" % size).digest())))
        gateway.seq, gateway.prev = gateway.seq + 1, said.entry
        return said

    def large(self, gateway: Gateway, below: int) -> Statement:
        """An open of as many bytes as a statement may have, or a few less."""
        spare = MAX_BYTES - len(gateway.sign("open", Open("x", 0, (), bytes(1000))).encoded)
        made = self.epoch(gateway, bytes(1000 + spare - below))
        assert len(made.encoded) in range(MAX_BYTES - below - 32, MAX_BYTES + 1)  # numbers vary in length
        return made

    def borrow(self, gateway: Gateway, back: int) -> Statement | None:
        segments = [said.body for _, said in self.said if isinstance(said.body, Segment)]
        if len(segments) < back:
            return None
        lent = segments[-back]
        claim = Segment(3, 1000, lent.root, lent.document, lent.raw, 30, 0, lent.profile, 0)
        return gateway.say("segment", claim)

    def again(self, _: Gateway, back: int) -> None:
        self.waiting += self.said[-back:]

    def lose(self) -> None:
        self.waiting.pop() if self.waiting else None

    def late(self) -> None:
        if self.waiting:
            self.held_back.append(self.waiting.pop())

    def deliver(self) -> None:
        outcomes = self.sequencer.integrate([gateway.arrival(said) for gateway, said in self.waiting])
        assert all(isinstance(outcome, Admitted | Known | Refused) for outcome in outcomes)
        self.waiting.clear()

    def heads(self) -> None:
        self.world.clock.ms += 61_000
        self.sequencer.log_heads()

    def restart(self) -> None:
        self.sequencer = self.world.sequencer(self.store)

    def finish(self) -> None:
        """What was late comes, backwards; then all documents, and heads over everything."""
        self.deliver()
        self.waiting = self.held_back[::-1]
        self.deliver()
        archive = Archive(self.sequencer)
        for gateway in self.gateways:
            for body in gateway.documents.values():
                archive.receive(gateway.name, gateway.pack, body, START_MS)
        self.heads()

    def admitted(self, pack: str) -> dict[bytes, list[Statement]]:
        """What the log holds of a pack, by key."""
        found: dict[bytes, list[Statement]] = {}
        for row in self.store.everything(0, self.store.size()):
            if row.kind not in ACT_KINDS and row.subject == pack:
                said = statement.read(row.message)
                found.setdefault(said.envelope.kid, []).append(said)
        return found


def is_whole(links: list[Statement]) -> bool:
    """Whether the verifier takes these for one chain."""
    try:
        ordered = chain.in_order(links)
    except ChainError:
        return False
    schema = b""
    for each in ordered:
        if isinstance(each.body, Open):
            schema = each.body.schema
        elif isinstance(each.body, Segment) and each.body.profile != hashlib.sha256(schema).digest():
            return False
    return True


def walk(offered: list[Statement]) -> Iterator[list[Statement]]:
    """The chain step by step, as the possible next statements."""
    links: list[Statement] = []
    while True:
        following = [each for each in offered if each not in links and is_whole([*links, each])]
        yield following
        if len(following) != 1:
            return
        links += following


@given(steps=st.lists(STEPS, min_size=1, max_size=30))
def test_every_pack_has_a_verifiable_bundle_of_what_was_admitted_unless_a_chain_forks(steps):
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "ledger")
        with Store(world.folder) as store:
            run = Run(world, store)
            for step in steps:
                run.play(step)
            run.finish()
            for pack in {gateway.pack for gateway in run.gateways}:
                check_pack(run, REGISTRAR.pack(pack))
            logcheck.check(store, world.ledger, lambda *_: None)


def check_pack(run: Run, pack: str) -> None:
    """Hold the pack's bundle against a naive reading of the log."""
    offered = run.admitted(pack)
    walks = [list(walk(statements)) for statements in offered.values()]
    wanted = Wanted(pack, with_segments=True)
    if any(len(steps[-1]) > 1 for steps in walks):
        event("a fork")
        with pytest.raises(NoBundle, match="forks"):
            bundles.make(run.store, run.world.key, ORIGIN, wanted, START_MS // 1000)
        return
    made = bundles.make(run.store, run.world.key, ORIGIN, wanted, START_MS // 1000)
    pinned = [gateway.key.public for gateway in run.gateways]
    verdict = verify.verify(made.encoded, run.world.ledger, pinned)
    shown = {following[0].entry for steps in walks for following in steps[:-1]}
    left_out = sum(map(len, offered.values())) - len(shown)
    event("something left out" if left_out else "all shown" if shown else "nothing said")
    assert {proven.statement.entry for proven in verdict.statements} == shown
    assert (made.left_out, verdict.loose) == (left_out, left_out)
    assert verdict.complete_size == run.sequencer.size - 1
