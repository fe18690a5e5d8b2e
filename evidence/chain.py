"""The chain of one key: seq without gaps within an epoch, prev through all epochs, every epoch begun by an `open`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from evidence.errors import ChainError
from evidence.merkle import Digest
from evidence.statement import Statement


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where a chain stands: the next statement has this epoch and seq, and names `prev` as its predecessor."""

    epoch: int
    seq: int
    prev: Digest | None

    def after(self, statement: Statement) -> ChainHead:
        """The head once `statement` is in the chain; ChainError if it is not the next one."""
        if (statement.epoch, statement.seq, statement.prev) != (self.epoch, self.seq, self.prev):
            raise ChainError("the statement is not the next one of its chain")
        return replace(self, seq=self.seq + 1, prev=statement.entry)


def check_link(before: Statement | None, statement: Statement) -> None:
    """ChainError unless `statement` follows `before` directly, or starts the chain when there is none."""
    name = f"statement {statement.epoch}/{statement.seq}"
    expected = None if before is None else before.entry
    if statement.prev != expected:
        raise ChainError(f"{name} does not name its predecessor")
    if before is not None and before.epoch == statement.epoch:
        if statement.seq != before.seq + 1:
            raise ChainError(f"{name} follows seq {before.seq}")
        if statement.kind == "open":
            raise ChainError(f"{name} opens an epoch that is already open")
        if before.kind == "close":
            raise ChainError(f"{name} follows the epoch's close")
    elif statement.kind != "open" or statement.seq != 0:
        raise ChainError(f"{name} begins an epoch without an open")


def in_order(statements: Iterable[Statement]) -> list[Statement]:
    """The statements of one key, sorted along their `prev` links; ChainError if they are not one whole chain.

    A fork (two opens on one prev), a hole and a statement that nothing leads to are all errors.
    """
    offered = list(statements)
    following: dict[Digest | None, Statement] = {}
    for statement in offered:
        if statement.prev in following:
            raise ChainError(f"statements fork after {'the start' if statement.prev is None else statement.prev.hex()}")
        following[statement.prev] = statement
    chain: list[Statement] = []
    epochs: set[int] = set()
    while (statement := following.get(chain[-1].entry if chain else None)) is not None:  # type: ignore[assignment]
        check_link(chain[-1] if chain else None, statement)
        if statement.kind == "open":
            if statement.epoch in epochs:
                raise ChainError(f"epoch {statement.epoch} is opened a second time")
            epochs.add(statement.epoch)
        chain.append(statement)
    if len(chain) != len(offered):
        raise ChainError(
            f"{len(offered) - len(chain)} of {len(offered)} statements are not reachable from the first open"
        )
    return chain
