"""The serving ledger: one thread that takes what has come, commits it, signs checkpoints and hands out the answers.

The order of a round is the promise: outcomes are committed, then acknowledged, then answered; a checkpoint is stored, then
proofs under it are sent. Everything before the commit can be lost without harm, everything after it can be asked for again.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from evidence.merkle import Digest
from ledger import desk
from ledger.admission import Arrival, Known
from ledger.archive import Archive, Fate, Held, Kept
from ledger.clock import unix_ms
from ledger.control import Door
from ledger.courier import Courier, Delivery
from ledger.errors import DoorLost
from ledger.journal import Complaints
from ledger.sequencer import Admitted, Outcome, Refused, Sequencer
from link.topics import Leaf
from packseal.service_manager import ServiceManager

_journal: Final = logging.getLogger("packseal-ledger")
_ROUND_S: Final = 0.05
_REPORT_S: Final = 60.0
_YEAR_MS: Final = 365 * 86_400_000
_CLOCK_BEHIND_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How often: seconds between checkpoints and between heads, and the largest batch of one commit."""

    checkpoint_s: float = 1.0
    heads_s: float = 3600.0
    batch: int = 256


@dataclass(frozen=True, slots=True)
class _Owed:
    """A proof that is owed to a gateway as soon as a checkpoint covers its entry."""

    gateway: str
    pack: str
    entry: Digest
    at: int


class Service:
    """Runs rounds over one sequencer, archive, courier and door; all of it in the caller's thread."""

    def __init__(
        self,
        sequencer: Sequencer,
        courier: Courier,
        door: Door,
        pace: Pace,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = unix_ms,
    ) -> None:
        self._sequencer = sequencer
        self._courier = courier
        self._door = door
        self._pace = pace
        self._monotonic = monotonic
        self._now_ms = now_ms
        self._archive = Archive(sequencer)
        self._owed: list[_Owed] = []
        self._complaints = Complaints(monotonic)
        self._checkpoint_at = self._report_at = monotonic()
        # Due by the log's time, since a process that is often restarted would never come to its own first hour.
        self._heads_at = self._checkpoint_at - max(0.0, (now_ms() - sequencer.heads_ms()) / 1e3)
        self.counts = {"admitted": 0, "known": 0, "refused": 0, "set aside": 0, "documents": 0, "proofs": 0}

    def resume(self) -> None:
        """Before the first round: finish what the last process left between two commits."""
        behind_ms = self._sequencer.register.time_ms - self._now_ms()
        if behind_ms > _CLOCK_BEHIND_MS:
            _journal.warning(
                "this clock is %d s behind the log's own time, which stands still until then", behind_ms / 1e3
            )
        if -behind_ms > _YEAR_MS:
            _journal.error(
                "THIS CLOCK IS %d DAYS AHEAD OF THE LOG'S LAST TIME. If it is wrong, stop now and set it: "
                "the log's time can never go back",
                -behind_ms // 86_400_000,
            )
        self._sequencer.checkpoint()
        for fate in self._archive.resume(self._now_ms()):
            self._tell(fate)

    def round(self) -> None:
        """One round: wait shortly, take what has come, commit, acknowledge, answer, keep the pace."""
        if not self._door.alive:
            raise DoorLost("the control socket's thread has ended")
        deliveries = self._courier.collect(_ROUND_S)
        for start in range(0, len(deliveries), self._pace.batch):
            self._admit(deliveries[start : start + self._pace.batch])
        while True:
            try:
                request = self._door.requests.get_nowait()
            except queue.Empty:
                break
            desk.serve(request, desk.own(self._sequencer, paced=True))
        self._keep_pace()

    def finish(self) -> None:
        """After the last round: a checkpoint over everything, and the proofs that it allows."""
        self._sequencer.checkpoint()
        self._prove()

    def _admit(self, deliveries: list[Delivery]) -> None:
        anchors = [each for each in deliveries if each.leaf is Leaf.ANCHOR]
        outcomes = self._sequencer.integrate([Arrival(each.payload, each.gateway, each.pack) for each in anchors])
        now_ms = self._now_ms()
        fates = [
            self._archive.receive(each.gateway, each.pack, each.payload, now_ms)
            for each in deliveries
            if each.leaf is Leaf.SEGMENT
        ]
        for outcome in outcomes:
            if isinstance(outcome, Admitted) and outcome.document is not None:
                fate = self._archive.admitted(outcome.document, outcome.index, now_ms)
                if fate is not None:
                    fates.append(fate)
        self._courier.acknowledge(deliveries)
        for delivery, outcome in zip(anchors, outcomes, strict=True):
            self._answer(delivery, outcome)
        for fate in fates:
            self._tell(fate)

    def _answer(self, delivery: Delivery, outcome: Outcome) -> None:
        gateway, pack = delivery.gateway, delivery.pack
        match outcome:
            case Admitted(entry, index):
                self.counts["admitted"] += 1
                self._owed.append(_Owed(gateway, pack, entry, index))
            case Known(entry, index):
                self.counts["known"] += 1
                self._owed.append(_Owed(gateway, pack, entry, index))
            case Refused(entry, rule, reason, signed):
                self.counts["refused"] += 1
                self._complaints.say("%s of %s refused (%s): %s", entry.hex()[:16], pack, rule, reason)
                self._courier.answer(Leaf.REFUSAL, gateway, pack, signed)
            case _:
                self.counts["set aside"] += 1

    def _tell(self, fate: Fate) -> None:
        if isinstance(fate, Held):
            return
        if isinstance(fate, Kept):
            self.counts["documents"] += 1
            self._courier.answer(Leaf.STORED, fate.gateway, fate.pack, fate.answer)
            return
        self.counts["refused"] += 1
        self._complaints.say("document %s of %s refused (%s)", fate.digest.hex()[:16], fate.pack, fate.rule)
        self._courier.answer(Leaf.REFUSAL, fate.gateway, fate.pack, fate.answer)

    def _keep_pace(self) -> None:
        now = self._monotonic()
        if now - self._heads_at >= self._pace.heads_s:
            self._heads_at = now
            self._sequencer.log_heads()
        if now - self._checkpoint_at >= self._pace.checkpoint_s and self._sequencer.checkpoint() is not None:
            self._checkpoint_at = now
        self._prove()
        if now - self._report_at >= _REPORT_S:
            self._report_at = now
            _journal.info("%s", self.summary())

    def _prove(self) -> None:
        """Send the proofs that the newest checkpoint allows; the others stay owed."""
        still: list[_Owed] = []
        for owed in self._owed:
            proof = self._sequencer.prove(owed.entry, owed.at)
            if proof is None:
                still.append(owed)
                continue
            self.counts["proofs"] += 1
            self._courier.answer(Leaf.PROOF, owed.gateway, owed.pack, proof)
        self._owed = still

    def summary(self) -> str:
        """The counters as one line."""
        lost = {
            "answers dropped": self._courier.dropped,
            "stray messages": self._courier.strays,
            "documents let go of": self._archive.dropped,
        }
        counted = ", ".join(f"{count} {what}" for what, count in (self.counts | lost).items())
        return f"{self._sequencer.size} entries; since the start {counted}"

    def status(self) -> str:
        """How it is, in a few words."""
        broker = "delivers" if self._courier.ready else "is away or does not deliver yet"
        return f"{self._sequencer.size} entries, broker {broker}"


def run(
    service: Service, courier: Courier, stop: Callable[[], bool], on_ready: Callable[[], None], manager: ServiceManager
) -> None:
    """Rounds until `stop`; `on_ready` once, when the broker has proven that it delivers.

    The service manager hears that we serve as soon as the door and the link are minded, and is fed by rounds alone.
    """
    service.resume()
    courier.start()
    told = False
    try:
        manager.ready()
        while not stop():
            service.round()
            manager.feed()
            manager.status(service.status)
            if courier.ready and not told:
                told = True
                on_ready()
        manager.stopping()
        service.finish()
    finally:
        with contextlib.suppress(Exception):
            courier.stop()
