"""A ledger on a real broker for tests of the agent: it keeps all that arrives and answers as it is told, with true signatures."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from demo.broker import Broker
from evidence import segment
from evidence.merkle import Digest
from evidence.statement import entry_of
from link import topics
from link.connection import Connection
from link.endpoint import parse_url
from link.events import Message, Subscribed
from link.topics import Leaf, Topic
from tests.agent_world import REGISTRAR, Ledger
from tests.pipeline.link_watch import FAST

Answer = Callable[["AnsweringLedger", Topic, bytes], None]


def prove(side: AnsweringLedger, place: Topic, payload: bytes) -> None:
    """Admit what came and prove it."""
    said = side.ledger.admit(payload)
    side.publish(Leaf.PROOF, place, side.ledger.proof(said.entry))


def keep_silent(side: AnsweringLedger, place: Topic, payload: bytes) -> None:
    """Admit what came, and say nothing."""
    side.ledger.admit(payload)


def refuse(side: AnsweringLedger, place: Topic, payload: bytes) -> None:
    """Refuse for now."""
    about = REGISTRAR.pack(str(place.pack))
    side.publish(Leaf.REFUSAL, place, side.ledger.refusal(entry_of(payload), permanent=False, subject=about))


def archive(side: AnsweringLedger, place: Topic, payload: bytes) -> None:
    """Say that a document is stored."""
    about = REGISTRAR.pack(str(place.pack))
    side.publish(Leaf.STORED, place, side.ledger.stored(segment.digest(payload), subject=about))


@dataclass(slots=True)
class AnsweringLedger:
    """Call `step` to let it take and answer what has come. With a `store` it checks that what comes is committed there."""

    broker: Broker
    ledger: Ledger = field(default_factory=Ledger)
    to_statement: Answer = prove
    to_document: Answer = archive
    store: Path | None = None
    statements: Counter[Digest] = field(default_factory=Counter)
    documents: Counter[Digest] = field(default_factory=Counter)
    states: list[bytes] = field(default_factory=list)
    others: dict[str, list[bytes]] = field(default_factory=dict)
    uncommitted: list[Digest] = field(default_factory=list)
    connection: Connection = field(init=False)
    ready: int = 0

    def __post_init__(self) -> None:
        endpoint = parse_url(self.broker.url, client_id="ledger", session_expiry_s=3600)
        self.connection = Connection(endpoint, backoff=FAST)
        self.connection.subscribe([topics.everything()])

    def __enter__(self) -> AnsweringLedger:
        self.connection.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.stop()

    def step(self, timeout_s: float = 0.0) -> None:
        """Take what has come, and answer it."""
        for event in self.connection.poll(timeout_s):
            match event:
                case Subscribed():
                    self.ready += 1
                case Message(topic=topic, payload=payload, token=token):
                    self._take(topic, payload)
                    self.connection.ack(token)
                case _:
                    pass

    def publish(self, leaf: Leaf, place: Topic, payload: bytes) -> None:
        """Answer on a topic of the gateway and pack that `place` is of."""
        self.connection.publish(str(Topic(leaf, place.gateway, place.pack)), payload, qos=1)

    def _take(self, topic: str, payload: bytes) -> None:
        with contextlib.suppress(topics.TopicError):
            place = topics.parse(topic)
            match place.leaf:
                case Leaf.ANCHOR:
                    self.statements[entry_of(payload)] += 1
                    self._check_committed(entry_of(payload))
                    self.to_statement(self, place, payload)
                case Leaf.SEGMENT:
                    self.documents[segment.digest(payload)] += 1
                    self.to_document(self, place, payload)
                case Leaf.STATE:
                    self.states.append(payload)
                case _:
                    self.others.setdefault(str(place.leaf), []).append(payload)

    def _check_committed(self, entry: Digest) -> None:
        if self.store is None:
            return
        with contextlib.closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as reader:
            found = reader.execute(
                "SELECT count(*) FROM statements s JOIN chains c ON c.kid = s.kid WHERE s.entry = ?", (entry,)
            ).fetchone()
        if found != (1,):
            self.uncommitted.append(entry)
