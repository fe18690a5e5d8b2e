"""Answers on their way to gateways. Proofs and receipts go before refusals, and refusals are so many a second.

Whoever sends rubbish must not keep an honest gateway's proofs waiting. What is dropped is asked for again: a gateway resends
until it holds a proof.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from link.topics import Leaf

WAITING: Final = 100_000
WAITING_REFUSALS: Final = 1000
REFUSALS_A_SECOND: Final = 50
COSE: Final = "application/cose"
PROOF: Final = "text/plain"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to a gateway: `leaf` is proof, stored or refusal."""

    leaf: Leaf
    topic: str
    payload: bytes

    @property
    def content_type(self) -> str:
        """What the broker is told of the payload."""
        return PROOF if self.leaf is Leaf.PROOF else COSE


class Outgoing:
    """Answers that wait for the broker, oldest first, proofs and receipts before refusals; counts what it drops."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._promised: deque[Answer] = deque()
        self._refusals: deque[Answer] = deque()
        self._second = 0
        self._refused: Counter[str] = Counter()
        self.dropped = 0

    def put(self, answer: Answer) -> None:
        """Let one wait; past the limit the oldest of its sort is dropped, and so is a refusal too many in this second."""
        if answer.leaf is not Leaf.REFUSAL:
            self._append(self._promised, answer, WAITING)
            return
        second = int(self._monotonic())
        if second != self._second:
            self._second = second
            self._refused.clear()
        self._refused[answer.topic] += 1
        if self._refused[answer.topic] > REFUSALS_A_SECOND:
            self.dropped += 1
            return
        self._append(self._refusals, answer, WAITING_REFUSALS)

    def put_back(self, answers: Iterable[Answer]) -> None:
        """These, in order, were not delivered after all: they are the next ones."""
        for answer in reversed(list(answers)):
            (self._refusals if answer.leaf is Leaf.REFUSAL else self._promised).appendleft(answer)

    def first(self) -> Answer | None:
        """What is to be sent next."""
        return next((queue[0] for queue in (self._promised, self._refusals) if queue), None)

    def sent(self) -> None:
        """`first` is on its way."""
        (self._promised or self._refusals).popleft()

    def _append(self, waiting: deque[Answer], answer: Answer, limit: int) -> None:
        waiting.append(answer)
        if len(waiting) > limit:
            waiting.popleft()
            self.dropped += 1
