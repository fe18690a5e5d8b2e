"""One connection that carries many gateways: what waits for it, what is on its way, what came back.

A message leaves when the link takes it, in order. What the broker had not acknowledged when a connection ended is sent
again with the next one; what it acknowledged is the ledger's affair.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from link import topics
from link.connection import Connection
from link.events import Denied, Down, Dropped, Message, Published, Up
from link.topics import Leaf
from packseal.program import Unavailable

ROOM: Final = 256  # messages that may wait for one connection
_FILTERS_AT_ONCE: Final = 200
_CONTENT: Final = {Leaf.ANCHOR: "application/cose", Leaf.SEGMENT: "application/zlib"}


@dataclass(slots=True)
class Parcel:
    """One message of a member: a statement or a document. `name` is its entry, or its digest."""

    place: int
    leaf: Leaf
    topic: str
    name: bytes
    payload: bytes
    prepared: bool = False
    has_left: bool = False


@dataclass(slots=True)
class Trouble:
    """What went wrong on a lane, counted."""

    resent: int = 0
    unheard: int = 0
    drops: int = 0
    dropped_messages: int = 0
    denied: dict[str, int] = field(default_factory=dict)


class Lane:
    """One connection and the gateways that share it.

    Of each parcel `leaving` is told before it may leave for the first time, and `left` when the link has taken it.
    """

    def __init__(
        self,
        connection: Connection,
        gateways: Iterable[tuple[str, str]],
        leaving: Callable[[Parcel], None],
        left: Callable[[Parcel, float], None],
    ) -> None:
        self.trouble = Trouble()
        self.reason = ""
        self._connection = connection
        self._leaving, self._left = leaving, left
        self._waiting: deque[Parcel] = deque()
        self._flying: dict[int, Parcel] = {}
        answered = (Leaf.PROOF, Leaf.REFUSAL, Leaf.STORED)
        filters = [str(topics.Topic(leaf, gateway, pack)) for gateway, pack in gateways for leaf in answered]
        for at in range(0, len(filters), _FILTERS_AT_ONCE):
            connection.subscribe(filters[at : at + _FILTERS_AT_ONCE])

    @property
    def is_up(self) -> bool:
        """Whether the broker has accepted the connection."""
        return self._connection.is_up

    @property
    def has_room(self) -> bool:
        """Whether it takes another parcel now."""
        return len(self._waiting) < ROOM

    @property
    def empty(self) -> bool:
        """Whether the broker has acknowledged everything."""
        return not self._waiting and not self._flying

    def start(self) -> None:
        """Begin connecting."""
        self._connection.start()

    def stop(self) -> None:
        """Say goodbye."""
        self._connection.stop()

    def put(self, parcel: Parcel) -> None:
        """Let one wait for its turn."""
        self._waiting.append(parcel)

    def pump(self, now_s: float) -> list[Message]:
        """Send what the link takes now; the answers that have come, already acknowledged to the broker."""
        answers: list[Message] = []
        for event in self._connection.poll():
            match event:
                case Message(token=token):
                    self._connection.ack(token)
                    answers.append(event)
                case Published():
                    self._published(event)
                case Up():
                    self.reason = ""
                case Down(reason=reason):
                    self._lost(reason)
                case Denied(filter=name, reason=reason):
                    raise Unavailable(
                        f"the broker does not let us subscribe to {name} ({reason}): no answer can arrive"
                    )
                case Dropped():
                    self.trouble.dropped_messages += 1
                case _:
                    pass
        while self._waiting and self._send(self._waiting[0], now_s):
            self._waiting.popleft()
        return answers

    def _send(self, parcel: Parcel, now_s: float) -> bool:
        if not self._connection.is_up:
            return False
        if not parcel.prepared:
            parcel.prepared = True
            self._leaving(parcel)
        content = _CONTENT[parcel.leaf]
        token = self._connection.publish(parcel.topic, parcel.payload, qos=1, content_type=content)
        if token is None:
            return False
        self._flying[token] = parcel
        if not parcel.has_left:
            parcel.has_left = True
            self._left(parcel, now_s)
        return True

    def _published(self, event: Published) -> None:
        parcel = self._flying.pop(event.token, None)
        if parcel is None:
            return
        if not event.ok:
            self.trouble.denied[event.reason] = self.trouble.denied.get(event.reason, 0) + 1
        elif event.unheard:
            self.trouble.unheard += 1

    def _lost(self, reason: str) -> None:
        self.reason = reason
        self.trouble.drops += 1
        self.trouble.resent += len(self._flying)
        self._waiting.extendleft(reversed(self._flying.values()))
        self._flying.clear()
