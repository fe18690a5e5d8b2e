"""The courier carries the outbox to the broker and brings the ledger's answers back. It decides nothing about evidence.

The outbox says what waits, `Uplink` when to send, `Receipts` what to believe; this joins them to the link. An answer is
acknowledged to the broker only after its outcome is committed.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from agent.outbox import Outbox
from agent.receipts import LedgerForked, Receipts
from agent.uplink import OUTSTANDING, Uplink
from evidence import checkpoint
from evidence.errors import EvidenceError
from evidence.statement import Seen
from link import presence, topics
from link.connection import Connection
from link.errors import TopicError
from link.events import Denied, Down, Dropped, Event, Message, Published, Up
from link.presence import Presence
from link.topics import Leaf

LIVE_EXPIRY_S: Final = 300
_LOG: Final = logging.getLogger("packseal.agent")


@dataclass(slots=True)
class Carried:
    """What has been carried since the start, for health lines."""

    proofs: int = 0
    refusals: int = 0
    bad_answers: int = 0
    denied: int = 0


class Courier:
    """One gateway's traffic. `packs` maps pack ids to their URIs; `checkpoint_seen` is told each newer verified checkpoint."""

    def __init__(
        self,
        connection: Connection,
        outbox: Outbox,
        receipts: Receipts,
        *,
        gateway: str,
        packs: Mapping[str, str],
        send_documents: bool,
        proof_timeout_s: float,
        checkpoint_seen: Callable[[Seen], None],
    ) -> None:
        self.connection = connection
        self.carried = Carried()
        self._outbox = outbox
        self._receipts = receipts
        self._gateway = gateway
        self._packs = packs
        self._send_documents = send_documents
        self._checkpoint_seen = checkpoint_seen
        self._statements = Uplink(proof_timeout_s, random.random)
        self._documents = Uplink(proof_timeout_s, random.random)
        self._birth: int | None = None
        self._forked = False
        connection.subscribe(topics.answers_to(gateway))

    def handle(self, event: Event, now_s: float) -> None:
        """Take one event of the link."""
        match event:
            case Up(protocol=protocol, birth=birth):
                _LOG.info("connected to %s with MQTT %s", self.connection.endpoint, protocol)
                self._birth = birth
                self._announce("online")
            case Down(reason=reason, permanent=permanent):
                level = logging.ERROR if permanent else logging.WARNING
                _LOG.log(level, "not connected: %s", reason)
                self._birth = None
                self._statements.lost_link()
                self._documents.lost_link()
            case Published(token=token, ok=ok, reason=reason):
                self._published(token, ok, reason, now_s)
            case Message(token=token):
                self._answer(event, now_s)
                self.connection.ack(token)
            case Dropped(topic=topic, reason=reason):
                _LOG.warning("%s: dropped: %s", topic, reason)
            case Denied(filter=name, reason=reason):
                _LOG.error("the broker does not let us subscribe to %s (%s): proofs cannot arrive", name, reason)

    def pump(self, now_s: float) -> None:
        """Send what is due, as far as the link takes it."""
        if self._birth is None:
            return
        waiting = self._outbox.pending(OUTSTANDING)
        rows = {each.id: each for each in waiting}
        for row in self._statements.due(rows, now_s):
            topic = topics.anchor(self._gateway, rows[row].pack)
            token = self.connection.publish(topic, self._outbox.body(row), qos=1, content_type="application/cose")
            if token is None:
                return
            self._statements.sent(row, token, now_s)
        if self._send_documents:
            self._pump_documents(now_s)

    def live(self, pack: str, line: bytes) -> None:
        """Send a live line, if that is possible now; it is not kept."""
        self._say(topics.live(self._gateway, pack), line)

    def health(self, line: bytes) -> None:
        """Send a health line, if that is possible now; it is not kept."""
        self._say(topics.health(self._gateway), line)

    def unfinished(self) -> bool:
        """Whether anything in the outbox still waits for its proof or its archive."""
        return bool(self._outbox.pending(1) or (self._send_documents and self._outbox.pending_documents(1)))

    def goodbye(self) -> None:
        """Say that we leave in order."""
        if self._birth is not None:
            self._announce("offline")

    def will(self, birth: int) -> bytes:
        """What the broker says of us when we vanish."""
        return Presence("lost", birth).payload()

    def _pump_documents(self, now_s: float) -> None:
        documents = {each.id: each for each in self._outbox.pending_documents(OUTSTANDING)}
        for row in self._documents.due(documents, now_s):
            topic = topics.segment(self._gateway, documents[row].pack)
            body = self._outbox.document(row)
            token = self.connection.publish(topic, body, qos=1, content_type="application/zlib")
            if token is None:
                return
            self._documents.sent(row, token, now_s)

    def _published(self, token: int, ok: bool, reason: str, now_s: float) -> None:
        row = self._statements.published(token, ok=ok, now_s=now_s)
        if row is None:
            row = self._documents.published(token, ok=ok, now_s=now_s)
        if row is not None and not ok:
            self.carried.denied += 1
            _LOG.error("the broker does not take what we publish (%s): it is kept and tried again", reason)

    def _answer(self, message: Message, now_s: float) -> None:
        """Keep what the ledger answers, if it is an answer; a bad one is counted and changes nothing."""
        try:
            topic = topics.parse(message.topic)
            pack = topic.pack
            if topic.gateway != self._gateway or pack is None or pack not in self._packs:
                raise TopicError(f"{message.topic} is not about a pack of this gateway")
            match topic.leaf:
                case Leaf.PROOF:
                    self._proof(message.payload, pack)
                case Leaf.REFUSAL:
                    self._refusal(message.payload, pack, now_s)
                case Leaf.STORED:
                    for row in self._outbox.stored(self._receipts.stored(message.payload, self._packs[pack]).digests):
                        self._documents.settled(row)
                case _:
                    pass
        except (EvidenceError, TopicError) as problem:
            self.carried.bad_answers += 1
            _LOG.warning("%s: ignored: %s", message.topic, problem)

    def _proof(self, payload: bytes, pack: str) -> None:
        try:
            proven = self._receipts.proof(payload)
        except LedgerForked:
            self._fork(payload)
            raise
        row = self._outbox.row_of(proven.entry, pack)
        if row is None:
            raise EvidenceError(f"proof of {proven.entry.hex()[:16]}, which is not ours")
        if self._outbox.proven(proven):
            self.carried.proofs += 1
        self._statements.settled(row)
        if self._receipts.remember(proven.seen):
            self._outbox.remember_checkpoint("newest", proven.seen, proven.note)
            self._checkpoint_seen(proven.seen)

    def _refusal(self, payload: bytes, pack: str, now_s: float) -> None:
        refusal = self._receipts.refusal(payload, self._packs[pack])
        row = self._outbox.row_of(refusal.entry, pack)
        if row is None:
            return
        reason = f"{refusal.rule}: {refusal.reason}"
        if not self._outbox.refused(refusal.entry, reason, permanent=refusal.permanent):
            return
        self.carried.refusals += 1
        level = logging.ERROR if refusal.permanent else logging.WARNING
        _LOG.log(level, "%s: the ledger refuses statement %s: %s", pack, refusal.entry.hex()[:16], reason)
        if refusal.permanent:
            self._statements.settled(row)
        else:
            self._statements.put_off(row, now_s)

    def _fork(self, payload: bytes) -> None:
        """The ledger has shown us two logs: keep the contradicting note beside the newest, and say so."""
        note = payload.partition(b"\n\n")[2]
        head = checkpoint.parse(note.decode().rpartition("\n\n")[0] + "\n")
        self._outbox.remember_checkpoint("fork", Seen(head.size, head.root), note.decode())
        self._forked = True
        self._announce("online")

    def _announce(self, condition: presence.Condition) -> None:
        if self._birth is None:
            return
        facts = {"packs": len(self._packs)} | ({"alarm": "ledger-forked"} if self._forked else {})
        payload = Presence(condition, self._birth).payload(**facts)
        self.connection.publish(
            topics.state(self._gateway), payload, qos=1, retain=True, content_type="application/json", text=True
        )

    def _say(self, topic: str, line: bytes) -> None:
        self.connection.publish(topic, line, qos=0, content_type="application/json", text=True, expiry_s=LIVE_EXPIRY_S)
