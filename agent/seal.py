"""Sealing: what was seen becomes the next statement of the pack's chain. Pure: keys, clocks and chance come in.

It signs; it does not keep. A statement leaves only after the outbox holds it together with the chain's new head.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.reading import Reading
from agent.segmenter import Cut
from evidence import segment, statement, window
from evidence.bodies import Body, Close, Counters, Gap, Moment, Open, Segment
from evidence.chain import ChainHead
from evidence.envelope import Envelope
from evidence.keys import SigningKey
from evidence.merkle import Digest
from evidence.statement import Seen, Stamp, Statement
from evidence.window import SaltKey


@dataclass(frozen=True, slots=True)
class Binding:
    """Who speaks for what to whom: the URIs of gateway and pack, and the ledger's origin."""

    gateway: str
    pack: str
    ledger: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """A signed statement, its segment document if it is a segment, and the end of what the chain covers from now on."""

    statement: Statement
    document: bytes | None
    covered: Moment
    counters: Counters


class Sealer:
    """Signs the statements of one chain in order. `head` says what the next one is."""

    def __init__(self, key: SigningKey, binding: Binding, head: ChainHead) -> None:
        self._key = key
        self._binding = binding
        self.head = head

    def open(
        self, body: Open, now: Reading, covered: Moment | None, counters: Counters, seen: Seen | None = None
    ) -> Sealed:
        """Begin the epoch."""
        at_ms = now.boot_us // 1000
        return self._seal("open", body, at_ms, at_ms, now, None, covered or now.moment(at_ms), counters, seen)

    def segment(
        self, cut: Cut, profile: Digest, salt_key: SaltKey, now: Reading, counters: Counters, seen: Seen | None = None
    ) -> Sealed:
        """Seal a run of windows with their document."""
        document = segment.encode(segment.SegmentDocument(profile, salt_key, cut.windows))
        root = window.tree(salt_key, [window.encode(each) for each in cut.windows]).root()
        body = Segment(
            windows=len(cut.windows),
            window_ms=cut.window_ms,
            root=root,
            document=segment.digest(document),
            raw=cut.raw,
            frames=cut.frames,
            lost=0,
            profile=profile,
            malformed=cut.malformed,
        )
        covered = now.moment(cut.end_ms)
        return self._seal("segment", body, cut.start_ms, cut.end_ms, now, document, covered, counters, seen)

    def gap(self, body: Gap, now: Reading, seen: Seen | None = None) -> Sealed:
        """Say what was not seen."""
        start = body.start.boot_ms if body.start.boot_id == body.end.boot_id else body.end.boot_ms
        return self._seal("gap", body, start, body.end.boot_ms, now, None, body.end, body.counters, seen)

    def say(self, kind: str, body: Body, now: Reading, covered: Moment, counters: Counters) -> Sealed:
        """Say something about this moment that covers nothing: clock, close."""
        at_ms = now.boot_us // 1000
        return self._seal(kind, body, at_ms, at_ms, now, None, covered, counters, None)

    def close(self, body: Close, now: Reading, covered: Moment) -> Sealed:
        """End the epoch in order."""
        return self.say("close", body, now, covered, body.counters)

    def _seal(
        self,
        kind: str,
        body: Body,
        t0_ms: int,
        t1_ms: int,
        now: Reading,
        document: bytes | None,
        covered: Moment,
        counters: Counters,
        seen: Seen | None,
    ) -> Sealed:
        binding = self._binding
        signed = statement.sign(
            self._key,
            Envelope(kind, self._key.kid, binding.gateway, binding.pack, binding.ledger, now.wall_ms // 1000),
            epoch=self.head.epoch,
            seq=self.head.seq,
            prev=self.head.prev,
            stamp=Stamp(now.boot_id, t0_ms, max(t0_ms, t1_ms), now.wall_at(t0_ms), now.quality),
            body=body,
            seen=seen,
        )
        self.head = self.head.after(signed)
        return Sealed(signed, document, covered, counters)
