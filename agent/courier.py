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

from agent.errors import AgentError
from agent.outbox import Outbox
from agent.pulse import Pulse
from agent.receipts import LedgerForked, Receipts
from agent.uplink import OUTSTANDING, Uplink
from evidence.answer import Refusal
from evidence.errors import EvidenceError
from evidence.statement import Seen
from link import presence, topics
from link.connection import Connection
from link.errors import TopicError
from link.events import Denied, Down, Dropped, Event, Message, Published, Up
from link.presence import Presence
from link.topics import Leaf

LIVE_EXPIRY_S: Final = 300
LEDGER_FORKED: Final = "ledger-forked"  # it has signed two logs
CHAIN_BROKEN: Final = "chain-broken"  # a statement will never be proven: what follows it needs a new key to count
_DAMAGED: Final = "is not what was written, the disk fails: it is kept and cannot be sent"
_LOG: Final = logging.getLogger("packseal.agent")


@dataclass(slots=True)
class Carried:
    """What has been carried since the start, for health lines. `bad_answers` proved nothing and changed nothing."""

    proofs: int = 0
    refusals: int = 0
    bad_answers: int = 0
    denied: int = 0


class Courier:
    """One gateway's traffic. `packs` maps pack ids to their URIs; `checkpoint_seen` is told each newer verified checkpoint.

    `pulse` is that of the connection's thread.
    """

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
        self.pulse = Pulse("the link")
        connection.progress = lambda doing, rest_s: self.pulse.beat(doing, rest_s=rest_s)
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
        self._unannounced = False
        self._unheard: set[str] = set()
        forked = {LEDGER_FORKED} if outbox.fork() is not None else set()
        self._alarms = forked | ({CHAIN_BROKEN} if outbox.totals().never_proven else set())
        connection.subscribe(topics.answers_to(gateway))

    def handle(self, event: Event, now_s: float) -> None:
        """Take one event of the link."""
        match event:
            case Up(protocol=protocol, birth=birth):
                _LOG.info("connected to %s with MQTT %s", self.connection.endpoint, protocol)
                self._birth = birth
                self._unannounced = not self._announce("online")
            case Down(reason=reason, permanent=permanent):
                level = logging.ERROR if permanent else logging.WARNING
                _LOG.log(level, "not connected: %s", reason)
                self._birth = None
                self._statements.lost_link()
                self._documents.lost_link()
            case Published():
                self._published(event, now_s)
            case Message(token=token):
                self._answer(event, now_s)
                self.connection.ack(token)
            case Dropped(topic=topic, reason=reason):
                _LOG.warning("%r: dropped: %s", topic, reason)
            case Denied(filter=name, reason=reason):
                _LOG.error("the broker does not let us subscribe to %s (%s): proofs cannot arrive", name, reason)

    def pump(self, now_s: float) -> None:
        """Send what is due, as far as the link takes it."""
        if self._birth is None:
            return
        if self._unannounced:
            self._unannounced = not self._announce("online")
        # Each key of each pack has a queue of its own: one that the ledger does not know must not hold up the others.
        for pack in self._packs:
            for row in self._statements.due(self._outbox.pending(pack, OUTSTANDING), now_s):
                if not self._send_statement(pack, row, now_s):
                    return
        for pack in self._packs if self._send_documents else ():
            for row in self._documents.due(self._outbox.pending_documents(pack, OUTSTANDING), now_s):
                if not self._send_document(pack, row, now_s):
                    return

    def live(self, pack: str, line: bytes) -> None:
        """Send a live line, if that is possible now; it is not kept."""
        self._say(topics.live(self._gateway, pack), line)

    def health(self, line: bytes) -> None:
        """Send a health line, if that is possible now; it is not kept."""
        self._say(topics.health(self._gateway), line)

    def unfinished(self, pack: str) -> bool:
        """Whether anything of a pack still waits for its proof or its archive."""
        return bool(self._outbox.pending(pack, 1) or (self._send_documents and self._outbox.pending_documents(pack, 1)))

    def goodbye(self) -> bool:
        """Say that we leave in order; False if the link is up but has no room for it now."""
        return self._announce("offline")

    def _send_statement(self, pack: str, row: int, now_s: float) -> bool:
        """Send one; False if the link takes no more now."""
        body = self._outbox.body(row)
        if body is None:
            self._statements.settled(row)
            _LOG.error("%s: statement %d %s", pack, row, _DAMAGED)
            self._alarm(CHAIN_BROKEN)
            return True
        topic = topics.anchor(self._gateway, pack)
        token = self.connection.publish(topic, body, qos=1, content_type="application/cose")
        if token is not None:
            self._statements.sent(row, token, now_s)
        return token is not None

    def _send_document(self, pack: str, row: int, now_s: float) -> bool:
        """Send one; False if the link takes no more now."""
        body = self._outbox.document(row)
        if body is None:
            self._documents.settled(row)
            _LOG.error("%s: document %d %s", pack, row, _DAMAGED)
            return True
        topic = topics.segment(self._gateway, pack)
        token = self.connection.publish(topic, body, qos=1, content_type="application/zlib")
        if token is not None:
            self._documents.sent(row, token, now_s)
        return token is not None

    def _published(self, event: Published, now_s: float) -> None:
        what, row = "statements", self._statements.published(event.token, ok=event.ok, now_s=now_s)
        if row is None:
            what, row = "documents", self._documents.published(event.token, ok=event.ok, now_s=now_s)
        if row is None:
            return
        if not event.ok:
            self.carried.denied += 1
            _LOG.error("the broker does not take what we publish (%s): it is kept and tried again", event.reason)
        elif not event.unheard:
            self._unheard.discard(what)
        elif what not in self._unheard:
            self._unheard.add(what)
            _LOG.warning("nobody listens for %s on this broker: they are kept and sent again", what)

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
        except AgentError:
            raise  # of our own disk
        except (EvidenceError, TopicError) as problem:
            self._ignore(message.topic, str(problem))
        except Exception as problem:  # noqa: BLE001 - no bytes from outside may end the agent, and the broker would send them again
            self._ignore(message.topic, repr(problem))

    def _ignore(self, topic: str, reason: str) -> None:
        self.carried.bad_answers += 1
        _LOG.warning("%r: ignored: %.300s", topic, reason)

    def _proof(self, payload: bytes, pack: str) -> None:
        try:
            proven = self._receipts.proof(payload)
        except LedgerForked as forked:
            self._fork(forked)
            raise
        row = self._outbox.row_of(proven.entry, pack)
        if row is None:
            raise EvidenceError(f"proof of {proven.entry.hex()[:16]}, which is not ours")
        if self._outbox.proven(proven):
            self.carried.proofs += 1
        self._statements.settled(row)
        if self._receipts.remember(proven.seen):
            self._outbox.remember_checkpoint(proven.note)
            self._checkpoint_seen(proven.seen)

    def _refusal(self, payload: bytes, pack: str, now_s: float) -> None:
        refusal = self._receipts.refusal(payload, self._packs[pack])
        row = self._outbox.row_of(refusal.entry, pack)
        if row is None:
            self._document_refusal(refusal, pack, now_s)
            return
        if self._outbox.states([refusal.entry]) != ["pending"]:
            return
        reason = f"{refusal.rule}: {refusal.reason}"
        if refusal.permanent:
            self._statements.settled(row)
        else:
            self._statements.put_off(row, now_s)
        # The same refusal again is not written again: a pack that waits to be registered must not wear out the flash.
        if self._outbox.refused(refusal.entry, reason, permanent=refusal.permanent):
            self.carried.refusals += 1
            level = logging.ERROR if refusal.permanent else logging.WARNING
            _LOG.log(level, "%s: the ledger refuses statement %s: %s", pack, refusal.entry.hex()[:16], reason)
            if refusal.permanent:
                self._alarm(CHAIN_BROKEN)

    def _document_refusal(self, refusal: Refusal, pack: str, now_s: float) -> None:
        """A refusal of what is no statement of ours is one of a document, which it names by its digest, or of nothing."""
        for row in self._outbox.documents_of(refusal.entry, pack):
            if not refusal.permanent:
                self._documents.put_off(row, now_s)
                continue
            self._outbox.document_refused(row, f"{refusal.rule}: {refusal.reason}")
            self._documents.settled(row)
            self.carried.refusals += 1
            _LOG.error("%s: document %d is refused for good, and kept: %s", pack, row, refusal.reason)

    def _fork(self, forked: LedgerForked) -> None:
        """The ledger has shown us two logs: keep both notes, and say so for as long as they are kept."""
        _LOG.error("%s: both notes are kept as evidence", forked)
        self._outbox.remember_fork(forked.note)
        self._alarm(LEDGER_FORKED)

    def _alarm(self, what: str) -> None:
        """Say on the state topic, from now on, what an operator has to look at."""
        if what not in self._alarms:
            self._alarms.add(what)
            self._unannounced = not self._announce("online")

    def _announce(self, condition: presence.Condition) -> bool:
        """Say how we are; False if the link has no room for it now."""
        if self._birth is None:
            return True
        facts: dict[str, str | int] = {"packs": len(self._packs)}
        if self._alarms:
            facts["alarm"] = ",".join(sorted(self._alarms))
        payload = Presence(condition, self._birth).payload(**facts)
        topic = topics.state(self._gateway)
        sent = self.connection.publish(topic, payload, qos=1, retain=True, content_type="application/json", text=True)
        return sent is not None

    def _say(self, topic: str, line: bytes) -> None:
        self.connection.publish(topic, line, qos=0, content_type="application/json", text=True, expiry_s=LIVE_EXPIRY_S)
