"""A load run from its first statement to its last answer: signs when due (or before), sends, verifies, measures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from evidence.errors import EvidenceError
from evidence.merkle import Digest
from firmware_sim.fleet.answers import Answers
from firmware_sim.fleet.ends import ChainEnds
from firmware_sim.fleet.figures import Figures
from firmware_sim.fleet.lane import Lane, Parcel
from firmware_sim.fleet.members import Member
from firmware_sim.fleet.statements import Chain, Signed
from firmware_sim.fleet.timetable import Timetable, Turn
from link import topics
from link.connection import Connection
from link.errors import TopicError
from link.events import Message
from link.topics import Leaf
from packseal.program import Unavailable

CONNECTING_S: Final = 15.0  # at most; less with less patience
STOPPING_S: Final = 2.0
LONGEST_NAP_S: Final = 0.005
BATCH: Final = 32  # statements signed and handed over before answers are looked at again
AHEAD_MAX: Final = 500_000  # signed statements held in memory, about 1.5 kB each without documents


@dataclass(slots=True)
class Signer:
    """Signs each turn's statement, in order of the timetable."""

    chains: Sequence[Chain]
    timetable: Timetable
    _ahead: Iterator[Signed] | None = None

    def sign_ahead(self) -> float:
        """Sign everything now; the seconds that it took."""
        begin = time.monotonic()
        self._ahead = iter([self._sign(self.timetable.turn(place)) for place in range(self.timetable.size)])
        return time.monotonic() - begin

    def take(self, turn: Turn) -> Signed:
        """The statement of the next turn."""
        return self._sign(turn) if self._ahead is None else next(self._ahead)

    def _sign(self, turn: Turn) -> Signed:
        chain = self.chains[turn.member]
        if turn.round == 0:
            return chain.open()
        return chain.close() if turn.round == self.timetable.rounds - 1 else chain.next()


@dataclass(slots=True)
class Load:
    """One run over some connections; `subjects` are the packs' URIs in the order of `members`."""

    members: Sequence[Member]
    subjects: Sequence[str]
    signer: Signer
    ends: ChainEnds
    answers: Answers
    connections: Sequence[Connection]
    send_documents: bool
    patience_s: float
    stopped: Callable[[], bool] = lambda: False
    progress: Callable[[Figures, float], None] = lambda _figures, _now_s: None
    figures: Figures = field(default_factory=Figures)
    _lanes: list[Lane] = field(default_factory=list)
    _by_pack: dict[tuple[str, str], int] = field(default_factory=dict)
    _waiting: dict[bytes, tuple[int, float]] = field(default_factory=dict)  # entry: member, when it left
    _documents: dict[bytes, int] = field(default_factory=dict)
    _origin_s: float = 0.0
    _answered_s: float = 0.0
    _up_s: float = 0.0

    def __post_init__(self) -> None:
        self._by_pack = {(member.gateway, member.pack): at for at, member in enumerate(self.members)}
        for at, connection in enumerate(self.connections):
            own = self.members[at :: len(self.connections)]
            self._lanes.append(Lane(connection, [(each.gateway, each.pack) for each in own], self._leaving, self._left))
        timetable = self.signer.timetable
        self.figures.packs, self.figures.asked_rate = len(self.members), timetable.rate
        self.figures.statements, self.figures.connections = timetable.size, len(self._lanes)

    def run(self) -> Figures:
        """Connect, send everything in its time, wait for the answers; Unavailable if there is no broker."""
        try:
            self._connect()
            begin, cpu = time.monotonic(), time.process_time()
            self._origin_s = self._answered_s = self._up_s = begin
            self._send()
            self._await_answers()
            self.figures.whole_s, self.figures.cpu_s = time.monotonic() - begin, time.process_time() - cpu
        finally:
            for lane in self._lanes:
                lane.stop()
        self._add_troubles()
        return self.figures

    def _connect(self) -> None:
        for lane in self._lanes:
            lane.start()
        deadline = time.monotonic() + min(CONNECTING_S, self.patience_s)
        while not all(lane.is_up for lane in self._lanes):
            self._pump()
            if time.monotonic() > deadline or self.stopped():
                reason = next((lane.reason for lane in self._lanes if lane.reason), "no answer")
                raise Unavailable(f"not connected to the broker: {reason}")
            time.sleep(LONGEST_NAP_S)

    def _send(self) -> None:
        timetable, place = self.signer.timetable, 0
        while place < timetable.size and not self.stopped() and not self._gone():
            due = timetable.due(time.monotonic() - self._origin_s)
            until = min(due, place + BATCH)
            while place < until and self._lane(place % timetable.members).has_room:
                turn = timetable.turn(place)
                self._post(turn, self.signer.take(turn))
                place += 1
            self._pump()
            self._nap(place, due)
        self._answered_s = time.monotonic()

    def _await_answers(self) -> None:
        while (self._unfinished() or self._waiting or self._documents) and not self._too_long():
            self._pump()
            time.sleep(LONGEST_NAP_S)

    def _unfinished(self) -> bool:
        return not all(lane.empty for lane in self._lanes)

    def _gone(self) -> bool:
        """Whether no connection has been up for as long as we are patient."""
        now = time.monotonic()
        if any(lane.is_up for lane in self._lanes):
            self._up_s = now
        return now - self._up_s > self.patience_s

    def _too_long(self) -> bool:
        patience_s = min(self.patience_s, STOPPING_S) if self.stopped() else self.patience_s
        return time.monotonic() - self._answered_s > patience_s

    def _nap(self, place: int, due: int) -> None:
        if place < due:
            # Behind its time: only the link can be waited for.
            time.sleep(0.0 if self._lane(place % self.signer.timetable.members).has_room else LONGEST_NAP_S / 5)
            return
        until_s = self._origin_s + self.signer.timetable.turn(place).due_s - time.monotonic()
        time.sleep(min(LONGEST_NAP_S, max(0.0, until_s)))

    def _lane(self, member: int) -> Lane:
        return self._lanes[member % len(self._lanes)]

    def _post(self, turn: Turn, said: Signed) -> None:
        member, lane = self.members[turn.member], self._lane(turn.member)
        topic = topics.anchor(member.gateway, member.pack)
        lane.put(Parcel(turn.place, Leaf.ANCHOR, topic, said.entry, said.encoded))
        if self.send_documents and said.document is not None and said.digest is not None:
            topic = topics.segment(member.gateway, member.pack)
            lane.put(Parcel(turn.place, Leaf.SEGMENT, topic, said.digest, said.document))

    def _leaving(self, parcel: Parcel) -> None:
        """Before a statement leaves: its chain ends with it from now on."""
        if parcel.leaf is Leaf.ANCHOR:
            self.ends.put(self._member_of(parcel).number, Digest(parcel.name))

    def _left(self, parcel: Parcel, now_s: float) -> None:
        at = parcel.place % len(self.members)
        if parcel.leaf is Leaf.SEGMENT:
            self.figures.documents += 1
            self._documents[parcel.name] = at
            return
        figures, timetable = self.figures, self.signer.timetable
        figures.sent += 1
        self._waiting[parcel.name] = (at, now_s)
        since_s = now_s - self._origin_s
        figures.latest_s = max(figures.latest_s, since_s - timetable.turn(parcel.place).due_s)
        figures.sending_s = since_s + 1.0 / timetable.rate

    def _member_of(self, parcel: Parcel) -> Member:
        return self.members[parcel.place % len(self.members)]

    def _pump(self) -> None:
        now_s = time.monotonic()
        for lane in self._lanes:
            for message in lane.pump(now_s):
                self._answered_s = now_s
                self._answer(message, now_s)
        if self._origin_s:
            self.progress(self.figures, now_s - self._origin_s)

    def _answer(self, message: Message, now_s: float) -> None:
        """Count an answer; one that proves nothing of ours is counted as such and changes nothing."""
        try:
            topic = topics.parse(message.topic)
            member = self._by_pack.get((topic.gateway or "", topic.pack or ""))
            if member is None:
                raise TopicError(f"{message.topic} is of no gateway of ours")
            self._judge(topic.leaf, message.payload, member, now_s)
        except (EvidenceError, TopicError):
            self.figures.bad_answers += 1

    def _judge(self, leaf: Leaf, payload: bytes, member: int, now_s: float) -> None:
        subject = self.subjects[member]
        if leaf is Leaf.PROOF:
            left = self._settled(self.answers.proof(payload), member)
            if left is not None:
                self.figures.proven += 1
                self.figures.latencies_s.append(now_s - left)
        elif leaf is Leaf.REFUSAL:
            refusal = self.answers.refusal(payload, subject)
            if self._documents.pop(refusal.entry, None) is not None:
                self.figures.refused_documents += 1
            elif self._settled(refusal.entry, member) is not None:
                self.figures.refused[refusal.rule] += 1
        elif leaf is Leaf.STORED:
            stored = self.answers.stored(payload, subject).digests
            self.figures.stored += sum(self._documents.pop(each, None) is not None for each in stored)

    def _settled(self, entry: bytes, member: int) -> float | None:
        """When the statement left that is answered now; None if it was answered before. EvidenceError if not ours."""
        waiting = self._waiting.get(entry)
        if waiting is None:
            return None
        if waiting[0] != member:
            raise EvidenceError("an answer about another pack's statement")
        del self._waiting[entry]
        return waiting[1]

    def _add_troubles(self) -> None:
        for lane in self._lanes:
            self.figures.resent += lane.trouble.resent
            self.figures.unheard += lane.trouble.unheard
            self.figures.drops += lane.trouble.drops
            self.figures.bad_answers += lane.trouble.dropped_messages
            self.figures.denied.update(lane.trouble.denied)
