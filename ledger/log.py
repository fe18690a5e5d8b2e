"""The log as the ledger knows it while running: tree, register and chains, all replayed from the store.

Starting is the same replay that a tool makes to look at an older size. Nothing is signed over a log whose entries do
not lead to its own newest checkpoint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from evidence import acts, checkpoint, heads, merkle
from evidence.checkpoint import Checkpoint
from evidence.errors import EvidenceError
from evidence.heads import PackHead
from evidence.keys import NamedKey
from evidence.merkle import Digest, Tree
from evidence.register import Register
from ledger.chains import Chains
from ledger.errors import LogDamaged
from ledger.rows import Link
from ledger.store import Reader


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint with the note that was stored and may be published."""

    size: int
    root: Digest
    note: str


class Log:
    """Tree, register and chains at one size. `find` overrides where chains look for older statements."""

    def __init__(self, reader: Reader, ledger: NamedKey, find: Callable[[Digest], Link | None] | None = None) -> None:
        self.ledger = ledger
        self.tree = Tree()
        self.register = Register(ledger.name, ledger.public)
        self.chains = Chains(find or reader.link_of)
        self._reader = reader

    @property
    def size(self) -> int:
        """How many entries have been replayed or added."""
        return len(self.tree)

    def advance(self, size: int) -> None:
        """Replay the stored entries up to `size`; LogDamaged if they are not what a ledger admits."""
        reader, start = self._reader, self.size
        for index, entry in reader.entries(start, size):
            if index != len(self.tree):
                raise LogDamaged(f"entry {len(self.tree)} is missing from the log")
            self.tree.append(merkle.leaf_hash(entry))
        if len(self.tree) != size:
            raise LogDamaged(f"the log ends at entry {len(self.tree)}, expected are {size}")
        self.replay_register(size, start)
        for link in reader.links(start, size):
            self.chains.add(link)

    def replay_register(self, size: int, start: int = 0) -> None:
        """Replay only the acts from `start` up to `size`: all that a tool needs to know who may say what."""
        replayed = self._reader.acts(start, size)
        last_time = self._reader.last_act("time", size)
        if last_time is not None and last_time[0] >= start:
            replayed.append(last_time)
        for index, message in replayed:
            self._replay(index, message)

    def pack_heads(self) -> list[PackHead]:
        """Where every pack stands now: the leaves of `heads`."""
        tips: dict[str, list[heads.ChainTip]] = {}
        for kid, tip in self.chains.tips():
            tips.setdefault(self.register.keys[kid].pack, []).append(tip)
        loose: Counter[str] = Counter()
        for kid, bound in self.register.keys.items():
            loose[bound.pack] += self.chains.loose(kid)
        packs = self.register.packs.values()
        return [PackHead(p.uri, p.strand, tuple(sorted(tips.get(p.uri, ()))), loose[p.uri]) for p in packs]

    def _replay(self, index: int, message: bytes) -> None:
        try:
            self.register.apply(acts.read(message), index)
        except EvidenceError as problem:
            raise LogDamaged(f"entry {index} is not an act that this ledger admits: {problem}") from None


def load(reader: Reader, ledger: NamedKey, find: Callable[[Digest], Link | None] | None = None) -> Log:
    """The log at its full size, with its newest checkpoint checked against the entries."""
    log = Log(reader, ledger, find)
    log.advance(reader.size())
    newest_checkpoint(reader, log)
    return log


def newest_checkpoint(reader: Reader, log: Log) -> SignedCheckpoint | None:
    """The newest stored checkpoint, checked; None if there is none yet."""
    newest = reader.newest_checkpoint()
    return None if newest is None else checked(log, *newest)


def checked(log: Log, size: int, note: str) -> SignedCheckpoint:
    """A stored checkpoint; LogDamaged unless our key signed it and the entries lead to its root."""
    try:
        head: Checkpoint = checkpoint.open_note(note.encode(), log.ledger)
    except EvidenceError as problem:
        raise LogDamaged(f"checkpoint {size} is not one of {log.ledger}: {problem}") from None
    if head.size != size or size > log.size:
        raise LogDamaged(f"a checkpoint of {head.size} entries is signed, but the log has {log.size}: restore it")
    if log.tree.root(size) != head.root:
        raise LogDamaged(f"the entries do not lead to the root of checkpoint {size}: restore the log")
    return SignedCheckpoint(size, head.root, note)
