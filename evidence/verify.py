"""Verification of a bundle, as numbered prose. No network, clock or files: the bundle, the ledger's key, one verdict.

1. Form: the bytes are one bundle in its one encoding.
2. Checkpoint: the ledger's key signed it, for the log of that name, and nobody else's signature stands unverified.
3. Inclusion: every message carries one receipt by the ledger's key, of the checkpoint's size and root, about this pack,
   and leads to that root; the messages stand in the order of the log, each once.
4. Policy: entry 0 is there and is this ledger's own.
5. Register: every act obeys the rules, replayed in the order of the log; the pack is registered.
6. Signatures: every statement is about this pack and signed by a key that the titleholder bound before it.
7. Pack keys: if the verifier has pinned any, every statement is signed by one of them.
8. Chain: the statements of each key are one whole chain from its first `open`, and none had seen a log (key 11) that
   already reached beyond it.
9. Documents: every segment document and window is the one that a statement here commits to.
10. Completeness: if the bundle shows its pack's leaf in the log's heads, nothing that the leaf names is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from evidence import acts, bundle, chain, checkpoint, envelope, heads, merkle, segment, statement, window
from evidence.acts import ACT_KINDS, Act, Heads, Time
from evidence.bodies import Open, Segment
from evidence.bundle import Bundle, Item
from evidence.checkpoint import Checkpoint
from evidence.errors import ChainError, EvidenceError, ProofError, SignatureError
from evidence.keys import KeyId, NamedKey, PublicKey, key_id
from evidence.merkle import Digest
from evidence.register import BoundKey, KnownPack, Register
from evidence.segment import SegmentDocument
from evidence.statement import Statement
from evidence.verdict import Proven, ProvenKey, ProvenWindow, Rejected, Verdict

STEPS: Final = {
    1: "form",
    2: "checkpoint",
    3: "inclusion",
    4: "policy",
    5: "register",
    6: "signatures",
    7: "pack keys",
    8: "chain",
    9: "documents",
    10: "completeness",
}


@dataclass(slots=True)
class _Replay:
    """What the messages of a bundle amount to, in the order of the log."""

    register: Register
    applied: list[tuple[int, Act]]
    times: list[tuple[int, int]]
    statements: list[tuple[int, Statement]]
    bound: dict[KeyId, BoundKey]

    def time_before(self, index: int) -> int | None:
        """The log's time at `index` as far as the bundle shows it: the last one shown before it, Unix ms."""
        return next((unix_ms for at, unix_ms in reversed(self.times) if at < index), None)


def verify(encoded: bytes, ledger: NamedKey, pack_keys: Collection[PublicKey] = ()) -> Verdict:
    """What the bundle proves under the ledger's key (and the pinned keys, if any); Rejected at the step that fails."""
    with _step(1):
        offered = bundle.read(encoded)
    with _step(2):
        head = checkpoint.open_note(offered.note.encode(), ledger, alone=True)
    with _step(3):
        _check_inclusion(offered, head, ledger)
    with _step(4):
        replay = _check_policy(offered.items[0], ledger)
    with _step(5):
        pack = _replay_acts(offered, replay)
    with _step(6):
        _check_signatures(offered, replay)
    with _step(7):
        _check_pins(replay, pack_keys)
    with _step(8):
        chains = _check_chains(replay)
    with _step(9):
        documents, windows = _check_documents(offered, replay)
    with _step(10):
        complete = _check_heads(offered, replay, pack, chains)
    last_heard = max((index for index, _ in replay.statements), default=None)
    return Verdict(
        pack=offered.pack,
        origin=head.origin,
        size=head.size,
        root=head.root,
        titleholder=pack.titleholder,
        attributes=pack.attributes,
        statements=tuple(Proven(index, each, documents.get(each.entry)) for index, each in replay.statements),
        windows=tuple(windows),
        keys=tuple(_keys(replay, ledger)),
        acts=len(replay.applied),
        complete_size=None if complete is None else complete[0],
        complete_time_ms=None if complete is None else replay.time_before(complete[0]),
        loose=None if complete is None else complete[1],
        heard_time_ms=None if last_heard is None else replay.time_before(last_heard),
        pinned=bool(pack_keys),
    )


@contextmanager
def _step(number: int) -> Iterator[None]:
    try:
        yield
    except EvidenceError as problem:
        raise Rejected(number, STEPS[number], str(problem)) from None


def _check_inclusion(offered: Bundle, head: Checkpoint, ledger: NamedKey) -> None:
    before = -1
    # Receipts of one minting share header, root and signature: the same bytes need not be verified twice.
    vouched: set[tuple[bytes, bytes]] = set()
    for item in offered.items:
        shown = item.receipt
        if (shown.issuer, shown.subject, shown.size) != (head.origin, offered.pack, head.size):
            raise ProofError(f"the receipt of entry {item.entry.hex()} is of another log, pack or size")
        if shown.message.header[4] != key_id(ledger.public):
            raise SignatureError(f"the receipt of entry {item.entry.hex()} names another key")
        if shown.root(item.entry) != head.root:
            raise ProofError(f"the receipt of entry {item.entry.hex()} leads to another root")
        signed = (shown.message.protected, shown.message.signature)
        if signed not in vouched:
            shown.message.verify(ledger.public, detached=head.root)
            vouched.add(signed)
        if shown.index <= before:
            raise ProofError(f"index {shown.index} stands after {before}")
        before = shown.index


def _check_policy(first: Item, ledger: NamedKey) -> _Replay:
    register = Register(ledger.name, ledger.public)
    policy = acts.of_message(first.message, first.encoded)
    if first.receipt.index != 0 or policy.kind != "policy":
        raise ProofError("the first message is not the policy at index 0")
    register.apply(policy, 0)
    return _Replay(register, [(0, policy)], [], [], {})


def _replay_acts(offered: Bundle, replay: _Replay) -> KnownPack:
    for item in offered.items[1:]:
        if envelope.read(item.message).kind not in ACT_KINDS:
            continue
        act = acts.of_message(item.message, item.encoded)
        if act.envelope.subject.partition(":pack/")[1] and act.envelope.subject != offered.pack:
            raise ProofError(f"an act about {act.envelope.subject} is of no use here")
        replay.register.apply(act, item.receipt.index)
        replay.applied.append((item.receipt.index, act))
        if isinstance(act.body, Time):
            replay.times.append((item.receipt.index, act.body.unix_ms))
    if offered.pack not in replay.register.packs:
        raise ProofError(f"{offered.pack} is not registered by anything in the bundle")
    return replay.register.packs[offered.pack]


def _check_signatures(offered: Bundle, replay: _Replay) -> None:
    for item in offered.items[1:]:
        if envelope.read(item.message).kind in ACT_KINDS:
            continue
        said = statement.of_message(item.message, item.encoded)
        if said.envelope.subject != offered.pack:
            raise SignatureError(f"a statement is about {said.envelope.subject}")
        bound = replay.register.check_statement(said, item.receipt.index)
        replay.statements.append((item.receipt.index, said))
        replay.bound[said.envelope.kid] = bound


def _check_pins(replay: _Replay, pack_keys: Collection[PublicKey]) -> None:
    for kid, bound in replay.bound.items():
        if pack_keys and bound.key not in pack_keys:
            raise SignatureError(f"statements are signed by {kid.hex()}, which is not a pinned pack key")


def _check_chains(replay: _Replay) -> dict[KeyId, list[Statement]]:
    offered: dict[KeyId, list[Statement]] = {kid: [] for kid in replay.bound}
    for index, each in replay.statements:
        offered[each.envelope.kid].append(each)
        if each.seen is not None and each.seen.size > index:
            raise ChainError(f"statement {each.epoch}/{each.seq} had seen a log that already reached beyond it")
    chains = {kid: chain.in_order(statements) for kid, statements in offered.items()}
    for links in chains.values():
        schema: Digest | None = None
        for each in links:
            if isinstance(each.body, Open):
                schema = segment.digest(each.body.schema)
            elif isinstance(each.body, Segment) and each.body.profile != schema:
                raise ChainError(f"segment {each.epoch}/{each.seq} is of another profile than its open")
    return chains


def _check_documents(offered: Bundle, replay: _Replay) -> tuple[dict[Digest, SegmentDocument], list[ProvenWindow]]:
    segments = [(each, each.body) for _, each in replay.statements if isinstance(each.body, Segment)]
    documents: dict[Digest, SegmentDocument] = {}
    remaining = iter(segments)
    for encoded in offered.documents:
        digest = segment.digest(encoded)
        found = next(((said, body) for said, body in remaining if body.document == digest), None)
        if found is None:
            raise ProofError(f"document {digest.hex()} is named by no segment here, or stands out of order")
        document = segment.check(encoded, found[1])
        segment.check_span(document, found[0].stamp.t0_ms, found[0].stamp.t1_ms)
        documents[found[0].entry] = document
    bodies = {said.entry: body for said, body in segments}
    order = {said.entry: place for place, (said, _) in enumerate(segments)}
    windows: list[ProvenWindow] = []
    before = (-1, -1)
    for shown in offered.windows:
        body = bodies.get(shown.entry)
        if body is None or not before < (before := (order[shown.entry], shown.index)):
            raise ProofError("a disclosed window is of no segment here, or stands out of order")
        leaf = window.leaf(shown.salt, shown.window)
        merkle.verify_inclusion(shown.index, body.windows, leaf, shown.path, body.root)
        windows.append(ProvenWindow(shown.entry, shown.index, window.read(shown.window)))
    return documents, windows


def _check_heads(
    offered: Bundle, replay: _Replay, pack: KnownPack, chains: dict[KeyId, list[Statement]]
) -> tuple[int, int] | None:
    """(size as of which nothing is missing, statements that hang on a hole), or None if the bundle shows no heads."""
    shown = [act.body for _, act in replay.applied if isinstance(act.body, Heads)]
    if offered.heads is None:
        if shown:
            raise ProofError("the bundle shows heads but not its pack's leaf in them")
        return None
    if not shown:
        raise ProofError("the bundle shows its pack's leaf but not the heads it is in")
    body = shown[-1]
    leaf_hash = merkle.leaf_hash(offered.heads.leaf)
    merkle.verify_inclusion(offered.heads.index, body.packs, leaf_hash, offered.heads.path, body.root)
    leaf = heads.read(offered.heads.leaf)
    strand = [act for index, act in replay.applied if act.envelope.subject == pack.uri and index < body.covered]
    if leaf.pack != pack.uri or not strand or leaf.strand != strand[-1].entry:
        raise ProofError("an act about the pack that the log's heads name is missing")
    said = {each.entry: (index, each) for index, each in replay.statements}
    for tip in leaf.tips:
        if tip.entry not in said:
            raise ProofError(f"statement {tip.epoch}/{tip.seq} that the log's heads name is missing")
        index, each = said[tip.entry]
        if (each.envelope.kid, each.epoch, each.seq) != (tip.kid, tip.epoch, tip.seq) or index >= body.covered:
            raise ProofError(f"the log's heads misname statement {each.epoch}/{each.seq}")
    named = {tip.kid for tip in leaf.tips}
    for kid, links in chains.items():
        if kid not in named and said[links[0].entry][0] < body.covered:
            raise ProofError(f"the log's heads name no end of the chain of {kid.hex()}")
    return body.covered, leaf.loose


def _keys(replay: _Replay, ledger: NamedKey) -> Iterator[ProvenKey]:
    yield ProvenKey(key_id(ledger.public), ledger.public, ledger.name, "the verifier", 0)
    policy = replay.register.policy
    for root in policy.root_keys if policy is not None else ():
        yield ProvenKey(key_id(root), root, f"root key of {ledger.name}", "the policy", 0)
    for party in replay.register.parties.values():
        yield ProvenKey(key_id(party.key), party.key, party.uri, "a root key", party.index)
    for kid, bound in replay.bound.items():
        yield ProvenKey(kid, bound.key, f"{bound.pack} at {bound.gateway}", bound.binder, bound.index)
