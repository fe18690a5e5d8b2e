"""Where every chain stands, replayed from the statements' places alone: free slots, and the ends that `heads` names.

Admission never requires a statement's predecessor, so statements join their chain when the last one missing before them
arrives. Nothing here reads a body or a clock, and nothing is stored: a restart replays the log through `add`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from evidence.heads import ChainTip
from evidence.keys import KeyId
from evidence.merkle import Digest
from evidence.register import MAX_AHEAD
from ledger.rows import Link


class _Epoch:
    """One epoch of a key: all below `next` are there, and `ahead` are there beyond it."""

    __slots__ = ("ahead", "next")

    def __init__(self) -> None:
        self.next = 0
        self.ahead: set[int] = set()


class Chains:
    """The chains of all keys. `find` gives the place of an older entry, which is asked for only after a fork."""

    def __init__(self, find: Callable[[Digest], Link | None]) -> None:
        self._find = find
        self._epochs: dict[tuple[KeyId, int], _Epoch] = {}
        self._tips: dict[Digest, Link] = {}
        self._waiting: dict[Digest, list[Link]] = {}
        self._loose: set[Digest] = set()

    def occupied(self, kid: KeyId, epoch: int, seq: int) -> bool:
        """Whether a statement stands there."""
        known = self._epochs.get((kid, epoch))
        return known is not None and (seq < known.next or seq in known.ahead)

    def too_far_ahead(self, kid: KeyId, epoch: int, seq: int) -> bool:
        """Whether seq is more than 2^20 ahead of what its epoch still misses (DESIGN 2.5)."""
        known = self._epochs.get((kid, epoch))
        return seq - (known.next if known is not None else 0) > MAX_AHEAD

    def add(self, link: Link) -> None:
        """Take in an admitted statement; its slot must be free."""
        self._occupy(link)
        if link.prev is None:
            before = None
        else:
            before = self._tips.get(link.prev) or self._earlier(link.prev, link.at)
            if before is None:
                self._loose.add(link.entry)
                self._waiting.setdefault(link.prev, []).append(link)
                return
        if follows(before, link):
            self._join(link)
        else:
            self._loose.add(link.entry)

    def tips(self) -> Iterator[tuple[KeyId, ChainTip]]:
        """The end of every chain, by its key; a forked chain has several."""
        for tip in self._tips.values():
            yield tip.kid, ChainTip(tip.kid, tip.epoch, tip.seq, tip.entry)

    def loose(self) -> int:
        """How many admitted statements nothing leads to: what they name is missing, or may not stand before them."""
        return len(self._loose)

    def _occupy(self, link: Link) -> None:
        epoch = self._epochs.get((link.kid, link.epoch))
        if epoch is None:
            epoch = self._epochs[link.kid, link.epoch] = _Epoch()
        if link.seq != epoch.next:
            epoch.ahead.add(link.seq)
            return
        epoch.next += 1
        while epoch.next in epoch.ahead:
            epoch.ahead.remove(epoch.next)
            epoch.next += 1

    def _earlier(self, entry: Digest, at: int) -> Link | None:
        """The linked statement of `entry` that already has another successor."""
        if entry in self._loose:
            return None
        found = self._find(entry)
        return found if found is not None and found.at < at else None

    def _join(self, link: Link) -> None:
        joining = [link]
        while joining:
            each = joining.pop()
            self._loose.discard(each.entry)
            if each.prev is not None:
                self._tips.pop(each.prev, None)
            self._tips[each.entry] = each
            joining += [after for after in self._waiting.pop(each.entry, ()) if follows(each, after)]


def follows(before: Link | None, link: Link) -> bool:
    """Whether `link` may stand directly after `before` (None: at the start); the rule of evidence.chain.check_link."""
    if link.prev != (None if before is None else before.entry):
        return False
    if before is not None and before.kid != link.kid:
        return False
    if before is not None and before.epoch == link.epoch:
        return link.seq == before.seq + 1 and link.kind != "open" and before.kind != "close"
    return link.kind == "open" and link.seq == 0


def whole_chain(links: Iterable[Link]) -> tuple[list[Link], Digest | None]:
    """The statements of one key that `prev` links reach from its first open, in that order, and the first fork.

    Where two follow one statement the walk ends: nothing says which of them is the pack's.
    """
    following: dict[Digest | None, list[Link]] = {}
    for link in links:
        following.setdefault(link.prev, []).append(link)
    chain: list[Link] = []
    while True:
        before = chain[-1] if chain else None
        after = [link for link in following.get(before.entry if before else None, ()) if follows(before, link)]
        if len(after) != 1:
            return chain, after[0].prev or after[0].entry if after else None
        chain.append(after[0])
