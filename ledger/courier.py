"""Carries between the broker and the writer: statements and documents in, answers out. It decides nothing about either.

A message is acknowledged only when the writer says so, after its outcome is committed. Answers that the broker has not taken
wait here, bounded; what is lost with the process is asked for again by the gateway, which resends until it holds a proof.

A SUBACK proves nothing (there are brokers that grant `$share` and deliver nothing), so the courier sends a probe to itself
through its own subscription, and says that it is ready only when that has come back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ledger.errors import LinkUnusable
from ledger.journal import Complaints
from ledger.outgoing import Answer, Outgoing
from link import probe, topics
from link.connection import Connection
from link.errors import TopicError
from link.events import Denied, Down, Dropped, Event, Message, Published, Up
from link.presence import JSON_TYPE, Presence
from link.topics import Leaf

_journal: Final = logging.getLogger("packseal-ledger")
_PROBE_EVERY_S: Final = 1.0
_PROBE_PATIENCE_S: Final = 5.0
_REMINDER_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message of a gateway: `leaf` is anchor or segment. To be acknowledged with its token."""

    leaf: Leaf
    gateway: str
    pack: str
    payload: bytes
    token: int


class Courier:
    """The ledger's side of one connection. All methods are called from the writer's thread."""

    def __init__(
        self,
        connection: Connection,
        ledger: str,
        share: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = connection
        self._ledger = topics.identifier(ledger)
        self._share: str | None = share or None
        self._monotonic = monotonic
        self._waiting = Outgoing(monotonic)
        self._complaints = Complaints(monotonic)
        self._flying: dict[int, Answer] = {}
        self._unacknowledged: dict[int, bool] = {}  # token -> settled, in the order of arrival
        self._probe = probe.new()
        self._probe_topic = topics.anchor(ledger, ledger)
        self._probing: int | None = None
        self._patience_s = _PROBE_PATIENCE_S
        self._probed_at: float | None = None
        self._up_at: float | None = None
        self._birth = 0
        self.ready = False
        self.strays = 0

    @property
    def dropped(self) -> int:
        """Answers that were dropped because too many waited; gateways ask again."""
        return self._waiting.dropped

    def start(self) -> None:
        """Subscribe and begin connecting."""
        self._link.subscribe(self._filters())
        self._link.start()

    def stop(self) -> None:
        """Say goodbye in the retained state, once everything that the broker takes now has been sent."""
        self._flush()
        self._state("offline")
        self._link.stop()

    def collect(self, timeout_s: float) -> list[Delivery]:
        """What gateways have sent; waits up to `timeout_s` for the first event of the connection."""
        deliveries: list[Delivery] = []
        for event in self._link.poll(timeout_s):
            delivery = self._take(event)
            if delivery is not None:
                deliveries.append(delivery)
        self._acknowledge_settled()
        self._prove_delivery()
        self._flush()
        return deliveries

    def acknowledge(self, deliveries: list[Delivery]) -> None:
        """Their outcomes are committed: the broker may forget them, in the order in which they came."""
        for delivery in deliveries:
            self._settle(delivery.token)
        self._acknowledge_settled()

    def answer(self, leaf: Leaf, gateway: str, pack: str, payload: bytes) -> None:
        """Send an answer to a gateway as soon as the broker takes it."""
        self._waiting.put(Answer(leaf, str(topics.Topic(leaf, gateway, pack)), payload))
        self._flush()

    def _settle(self, token: int) -> None:
        if token in self._unacknowledged:
            self._unacknowledged[token] = True

    def _acknowledge_settled(self) -> None:
        for token, settled in list(self._unacknowledged.items()):
            if not settled:
                return
            del self._unacknowledged[token]
            self._link.ack(token)

    def _filters(self) -> list[str]:
        return [topics.of_all(leaf, self._share) for leaf in (Leaf.ANCHOR, Leaf.SEGMENT)]

    def _take(self, event: Event) -> Delivery | None:
        match event:
            case Message():
                return self._message(event)
            case Up(birth=birth):
                self._birth, self._up_at, self._probed_at = birth, self._monotonic(), None
                self._state("online")
            case Down(reason=reason, permanent=permanent, retry_in_s=delay_s):
                self._up_at, self.ready = None, False
                self._unacknowledged.clear()
                self._waiting.put_back(self._flying.values())
                self._flying.clear()
                if reason != "stopped":
                    how = "; repeating will not help" if permanent else ""
                    _journal.warning("no broker: %s%s; next try in %.0f s", reason, how, delay_s)
            case Published(token=token, ok=ok, reason=reason):
                answer = self._flying.pop(token, None)
                if token == self._probing and not ok and not self.ready:
                    _journal.warning("the broker refuses %s (%s): delivery is not probed", self._probe_topic, reason)
                    self.ready = True
                elif answer is not None and not ok:
                    self._complaints.say("the broker refuses %s: %s", answer.topic, reason)
            case Denied(filter=name, reason=reason):
                raise LinkUnusable(f"the broker refuses the subscription to {name}: {reason}")
            case Dropped(topic=topic, size=size, reason=reason):
                self.strays += 1
                self._complaints.say("a message of %d bytes on %r is not taken: %s", size, topic[:200], reason)
            case _:
                pass
        return None

    def _message(self, message: Message) -> Delivery | None:
        """A delivery of a well-formed topic; anything else is counted and acknowledged, since nobody can be answered."""
        if message.qos:
            self._unacknowledged[message.token] = False
        if probe.is_probe(message.payload):
            self._settle(message.token)
            # Of a group of workers each gets only some: another's probe shows just as well that the broker delivers.
            if not self.ready:
                self.ready = True
                _journal.info("the broker delivers through %s", self._filters()[0])
            return None
        try:
            topic = topics.parse(message.topic)
        except TopicError:
            topic = None
        if topic is None or topic.gateway is None or topic.pack is None:
            self.strays += 1
            self._complaints.say("a message on %r is of no gateway and pack", message.topic[:200])
            self._settle(message.token)
            return None
        return Delivery(topic.leaf, topic.gateway, topic.pack, message.payload, message.token)

    def _prove_delivery(self) -> None:
        """Probe until one probe has come back; give up a shared subscription that the broker only pretends to serve."""
        if self.ready or self._up_at is None:
            return
        now = self._monotonic()
        if now - self._up_at > self._patience_s:
            self._up_at, self._probed_at = now, None
            if self._share is None:
                self._patience_s = _REMINDER_S
                _journal.warning("the broker grants our subscription and does not deliver: check its ACL")
            else:
                _journal.warning("the broker does not deliver to $share/%s: subscribing alone", self._share)
                self._link.unsubscribe(self._filters())
                self._share = None
                self._link.subscribe(self._filters())
        if self._probed_at is None or now - self._probed_at > _PROBE_EVERY_S:
            self._probed_at = now
            self._probing = self._link.publish(self._probe_topic, self._probe, qos=1)

    def _state(self, condition: str) -> None:
        presence = Presence("online" if condition == "online" else "offline", self._birth)
        topic = topics.ledger_state(self._ledger)
        self._link.publish(topic, presence.payload(), qos=1, retain=True, content_type=JSON_TYPE, text=True)

    def _flush(self) -> None:
        while (answer := self._waiting.first()) is not None:
            token = self._link.publish(answer.topic, answer.payload, qos=1, content_type=answer.content_type)
            if token is None:
                return
            self._waiting.sent()
            self._flying[token] = answer
