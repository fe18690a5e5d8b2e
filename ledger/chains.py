"""Where every chain stands, replayed from the statements' places alone: free slots, and the ends that `heads` names.

Admission never requires a statement's predecessor, so statements join their chain when the last one missing before them
arrives. What the verifier would refuse in a chain never joins one, nor does anything after it: it stays loose, so that
whatever was admitted, there is a bundle. Nothing here reads a body or a clock, and nothing is stored: a restart replays the
log through `add`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from evidence.heads import ChainTip
from evidence.keys import KeyId
from evidence.merkle import Digest
from ledger.rows import Link

MAX_AHEAD: Final = 2**20
"""How far a statement's seq may be ahead of the contiguous head of its epoch (DESIGN 2.5)."""


class _Epoch:
    """One epoch of a key: all below `next` are there, and `ahead` are there beyond it; `profile` is that of its open."""

    __slots__ = ("ahead", "next", "profile")

    def __init__(self) -> None:
        self.next = 0
        self.profile: Digest | None = None
        self.ahead: set[int] = set()


class Chains:
    """The chains of all keys. `find` gives the place of an older entry, which is asked for only after a fork."""

    def __init__(self, find: Callable[[Digest], Link | None]) -> None:
        self._find = find
        self._epochs: dict[tuple[KeyId, int], _Epoch] = {}
        self._tips: dict[Digest, Link] = {}
        self._waiting: dict[Digest, list[Link]] = {}
        self._loose: dict[KeyId, set[Digest]] = {}

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
        epoch = self._occupy(link)
        if link.prev is None:
            before = None
        else:
            before = self._tips.get(link.prev) or self._earlier(link.prev, link.at)
            if before is None:
                self._loose.setdefault(link.kid, set()).add(link.entry)
                self._waiting.setdefault(link.prev, []).append(link)
                return
        if follows(before, link, epoch.profile):
            self._join(link)
        else:
            self._loose.setdefault(link.kid, set()).add(link.entry)

    def tips(self) -> Iterator[tuple[KeyId, ChainTip]]:
        """The end of every chain, by its key; a forked chain has several."""
        for tip in self._tips.values():
            yield tip.kid, ChainTip(tip.kid, tip.epoch, tip.seq, tip.entry)

    def loose(self, kid: KeyId | None = None) -> int:
        """How many statements, or those of one key, nothing leads to: what they name is missing or may not precede them."""
        if kid is not None:
            return len(self._loose.get(kid, ()))
        return sum(map(len, self._loose.values()))

    def _occupy(self, link: Link) -> _Epoch:
        epoch = self._epochs.get((link.kid, link.epoch))
        if epoch is None:
            epoch = self._epochs[link.kid, link.epoch] = _Epoch()
        if link.kind == "open" and link.seq == 0:
            epoch.profile = link.profile
        if link.seq != epoch.next:
            epoch.ahead.add(link.seq)
            return epoch
        epoch.next += 1
        while epoch.next in epoch.ahead:
            epoch.ahead.remove(epoch.next)
            epoch.next += 1
        return epoch

    def _earlier(self, entry: Digest, at: int) -> Link | None:
        """The linked statement of `entry` that already has another successor."""
        found = self._find(entry)
        if found is None or found.at >= at or found.entry in self._loose.get(found.kid, ()):
            return None
        return found

    def _join(self, link: Link) -> None:
        joining = [link]
        while joining:
            each = joining.pop()
            if each.kid in self._loose:
                self._loose[each.kid].discard(each.entry)
            if each.prev is not None:
                self._tips.pop(each.prev, None)
            self._tips[each.entry] = each
            waiting = self._waiting.pop(each.entry, ())
            joining += [
                after for after in waiting if follows(each, after, self._epochs[after.kid, after.epoch].profile)
            ]


def follows(before: Link | None, link: Link, profile: Digest | None) -> bool:
    """Whether the verifier lets `link` stand directly after `before` (None: at the start).

    These are the rules of evidence.chain.check_link, and that a segment is of the `profile` of its epoch's open. That no
    epoch is opened twice needs no look: the second open would need the first one's place.
    """
    if link.prev != (None if before is None else before.entry):
        return False
    if before is not None and before.kid != link.kid:
        return False
    if link.kind == "segment" and link.profile != profile:
        return False
    if before is not None and before.epoch == link.epoch:
        return link.seq == before.seq + 1 and link.kind != "open" and before.kind != "close"
    return link.kind == "open" and link.seq == 0


def whole_chain(links: Iterable[Link]) -> tuple[list[Link], Digest | None]:
    """The statements of one key that `prev` links reach from its first open, in that order, and the first fork.

    Where two follow one statement the walk ends: nothing says which of them is the pack's. It also ends at whatever the
    verifier would refuse, as Chains does.
    """
    following: dict[Digest | None, list[Link]] = {}
    for link in links:
        following.setdefault(link.prev, []).append(link)
    chain: list[Link] = []
    profile: Digest | None = None
    while True:
        before = chain[-1] if chain else None
        after = [link for link in following.get(before.entry if before else None, ()) if follows(before, link, profile)]
        if len(after) != 1:
            return chain, after[0].prev or after[0].entry if after else None
        chain.append(after[0])
        if after[0].kind == "open":
            profile = after[0].profile
