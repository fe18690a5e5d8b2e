"""Makes a pack's bundle: what a stranger needs to check it offline, and nothing that checking does not authenticate.

It reads the log at the size of its newest checkpoint, so it can stand beside a running ledger. What it makes has been
verified by the same `evidence.verify` that a stranger uses before anybody sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from evidence import acts, bundle, heads, merkle, segment, statement, verify, window
from evidence.acts import Heads
from evidence.bodies import Segment
from evidence.bundle import DisclosedWindow, HeadsLeaf
from evidence.errors import EvidenceError
from evidence.keys import NamedKey, SigningKey
from evidence.merkle import Digest
from evidence.receipt import Minter
from evidence.register import Register
from evidence.statement import Statement
from evidence.verdict import Rejected, Verdict
from ledger import log
from ledger.chains import whole_chain
from ledger.errors import Erased, LogDamaged, NoBundle
from ledger.log import Log
from ledger.rows import Link
from ledger.store import Reader


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of which pack (URI), with its documents or without, and which single windows: (entry of the segment, index)."""

    pack: str
    with_segments: bool = False
    windows: tuple[tuple[Digest, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """A bundle with its verdict; `left_out` statements of the pack are in the log but not reachable from its opens."""

    encoded: bytes
    verdict: Verdict
    left_out: int


def make(reader: Reader, key: SigningKey, origin: str, wanted: Wanted, issued_at: int) -> Made:
    """The bundle at the newest checkpoint, with the newest `heads` below it; NoBundle says why there is none."""
    with reader.snapshot():
        return _make(reader, key, origin, wanted, issued_at)


def _make(reader: Reader, key: SigningKey, origin: str, wanted: Wanted, issued_at: int) -> Made:
    ledger = NamedKey(origin, key.public)
    shown = reader.newest_checkpoint()
    if shown is None:
        raise NoBundle("the log has no checkpoint yet")
    size, note = shown
    view = Log(reader, ledger)
    leaf, shown_heads = _heads(reader, view, wanted.pack, size)
    view.advance(size)
    newest = log.checked(view, size, note)
    pack = view.register.packs.get(wanted.pack)
    if pack is None:
        raise NoBundle(f"{wanted.pack} is not registered")
    links, left_out = _statements(reader, view.register, wanted.pack, size)
    indices = _acts(reader, wanted.pack, size) | {link.at for link in links}
    indices |= set(shown_heads)
    if links:
        indices |= set(_time_before(reader, max(link.at for link in links)))
    segments = {link.at: link.entry for link in sorted(links) if link.kind == "segment"}
    minter = Minter.create(key, origin=origin, subject=wanted.pack, issued_at=issued_at, size=size, root=newest.root)
    messages = [
        bundle.with_receipt(message, minter.mint(at, merkle.inclusion_path(view.tree, at, size)))
        for at, message in _messages(reader, indices)
    ]
    documents = list(_documents(reader, list(segments))) if wanted.with_segments else []
    windows = _windows(reader, segments, wanted.windows)
    encoded = bundle.encode(wanted.pack, messages, newest.note, leaf, documents, windows)
    try:
        return Made(encoded, verify.verify(encoded, ledger), left_out)
    except Rejected as problem:
        raise NoBundle(f"what the log has of {wanted.pack} does not verify: {problem}") from None


def _heads(reader: Reader, view: Log, pack: str, size: int) -> tuple[HeadsLeaf | None, list[int]]:
    """The pack's leaf in the newest heads, by replaying the log up to what they cover; their index and their time's."""
    found = reader.last_act("heads", size)
    if found is None:
        return None, []
    at, message = found
    body = acts.read(message).body
    if not isinstance(body, Heads):
        raise LogDamaged(f"entry {at} is no heads")
    view.advance(body.covered)
    tree, ordered = heads.tree(view.pack_heads())
    if tree.root() != body.root:
        raise LogDamaged(f"the heads at entry {at} are not what the log leads to")
    place = next((place for place, head in enumerate(ordered) if head.pack == pack), None)
    if place is None:
        return None, []
    return HeadsLeaf(ordered[place].encode(), place, tuple(tree.inclusion(place))), [
        at,
        *_time_before(reader, body.covered),
    ]


def _statements(reader: Reader, register: Register, pack: str, size: int) -> tuple[list[Link], int]:
    links: list[Link] = []
    left_out = 0
    for kid, bound in register.keys.items():
        if bound.pack != pack:
            continue
        offered = reader.links_of(kid, size)
        chain, fork = whole_chain(offered)
        if fork is not None:
            where = f"after entry {fork.hex()}" if chain else "at its start"
            raise NoBundle(f"the chain of key {kid.hex()} forks {where}: its owner must say which branch is the pack's")
        links += chain
        left_out += len(offered) - len(chain)
    return links, left_out


def _acts(reader: Reader, pack: str, size: int) -> set[int]:
    """Policy, parties, the pack's own acts, and the time before each of these."""
    indices = {0}
    for at, message in reader.acts(1, size):
        act = acts.read(message)
        if act.kind == "party" or act.envelope.subject == pack:
            indices |= {at, *_time_before(reader, at)}
    return indices


def _time_before(reader: Reader, at: int) -> Iterator[int]:
    found = reader.last_act("time", at)
    if found is not None:
        yield found[0]


def _messages(reader: Reader, indices: Iterable[int]) -> list[tuple[int, bytes]]:
    try:
        return [(at, reader.message(at)) for at in sorted(indices)]
    except Erased as problem:
        raise NoBundle(f"{problem}: nothing can show the chain that it stands in") from None


def _documents(reader: Reader, segments: Sequence[int]) -> Iterator[bytes]:
    """The kept documents of these segments, in their order; those that never came are simply not shown.

    The archive has checked a document against one segment. Where another names it and is not of its windows, it is left out
    from there on, since a bundle's document is that of the next segment that names it.
    """
    foreign: set[Digest] = set()
    for at in segments:
        said = statement.read(reader.message(at))
        digest = said.body.document if isinstance(said.body, Segment) else None
        found = None if digest is None or digest in foreign else reader.document_body(digest)
        if digest is None or found is None:
            continue
        if _is_of(found, said):
            yield found
        else:
            foreign.add(digest)


def _is_of(document: bytes, said: Statement) -> bool:
    """Whether the verifier takes this document for the one of a segment."""
    try:
        if isinstance(said.body, Segment):
            segment.check_span(segment.check(document, said.body), said.stamp.t0_ms, said.stamp.t1_ms)
            return True
    except EvidenceError:
        pass
    return False


def _windows(
    reader: Reader, segments: dict[int, Digest], wanted: Sequence[tuple[Digest, int]]
) -> list[DisclosedWindow]:
    places = {entry: at for at, entry in segments.items()}
    for entry, _ in wanted:
        if entry not in places:
            raise NoBundle(f"entry {entry.hex()} is no segment of this pack's chains")
    shown: list[DisclosedWindow] = []
    for entry, index in sorted(set(wanted), key=lambda each: (places[each[0]], each[1])):
        said = statement.read(reader.message(places[entry]))
        encoded = reader.document_body(said.body.document) if isinstance(said.body, Segment) else None
        if encoded is None or not _is_of(encoded, said):
            raise NoBundle(f"the document of segment {entry.hex()} is not in the archive")
        document = segment.read(encoded)
        windows = [window.encode(each) for each in document.windows]
        if not 0 <= index < len(windows):
            raise NoBundle(f"segment {entry.hex()} has {len(windows)} windows, {index} is not one of them")
        path = tuple(window.tree(document.salt_key, windows).inclusion(index))
        salt = window.salt(document.salt_key, index)
        shown.append(DisclosedWindow(entry, index, salt, windows[index], path))
    return shown
