"""The chain of one member: each call signs its next statement, linked by evidence's own rules. Pure.

Times are the generator's: five seconds a statement from the start of the run, by a clock of no claimed quality.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from evidence import segment, statement, window
from evidence.bodies import Body, Close, Gap, Moment, Open, Segment
from evidence.chain import ChainHead
from evidence.envelope import Envelope
from evidence.merkle import Digest
from evidence.segment import SegmentDocument
from evidence.statement import Stamp
from evidence.window import SaltKey, Window
from firmware_sim.fleet.library import REPORTS, WINDOW_MS, WINDOWS, Library
from firmware_sim.fleet.members import Member
from packseal.version import __version__

SOFTWARE: Final = f"packseal-sim fleet {__version__}"
SPAN_MS: Final = WINDOW_MS * WINDOWS
_FIRST_START, _RESTART = 0, 1
_GAP_REASONS: Final = (1, 2, 4)  # dropped by the kernel, bus off, adapter unplugged
_NO_CLOCK: Final = 0


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement as it is sent, with its entry and, of a segment, its document and that one's digest."""

    kind: str
    encoded: bytes
    entry: Digest
    document: bytes | None = None
    digest: Digest | None = None


@dataclass(slots=True)
class Chain:
    """A member's epoch in the making. `secret` makes its salts and choices, `previous` is where its chain ended."""

    member: Member
    issuer: str
    subject: str
    ledger: str
    library: Library
    secret: Callable[[str, int], bytes]
    epoch: int
    start_ms: int
    gap_share: float
    previous: Digest | None
    _head: ChainHead = field(init=False)
    _boot_id: bytes = field(init=False)

    def __post_init__(self) -> None:
        self._head = ChainHead(self.epoch, 0, self.previous)
        self._boot_id = hashlib.blake2b(b"boot %d" % self.epoch, key=self.member.key.public, digest_size=16).digest()

    def open(self) -> Signed:
        """Begin the epoch."""
        reason = _FIRST_START if self.previous is None else _RESTART
        return self._sign("open", Open(SOFTWARE, reason, (), self.library.schema), 0)

    def next(self) -> Signed:
        """A segment, or now and then a gap."""
        chance = self._chosen("gap", 1 << 32)
        if chance < self.gap_share * (1 << 32):
            begin = self._begin_ms()
            reason = _GAP_REASONS[self._chosen("reason", len(_GAP_REASONS))]
            ends = (self._moment(begin), self._moment(begin + SPAN_MS))
            return self._sign("gap", Gap(reason, *ends, count=1 + chance % 500), SPAN_MS)
        return self._segment()

    def close(self) -> Signed:
        """End the epoch in order."""
        return self._sign("close", Close(0), 0)

    def _segment(self) -> Signed:
        begin = self._begin_ms()
        rows = self.library.segments[self._chosen("segment", len(self.library.segments))]
        windows = tuple(
            Window(begin + at * WINDOW_MS, WINDOW_MS, REPORTS, 0, records) for at, records in enumerate(rows)
        )
        salt_key = SaltKey(self._secret("salt"))
        encoded = [window.encode(each) for each in windows]
        document = segment.encode(SegmentDocument(self.library.profile, salt_key, windows))
        body = Segment(
            windows=len(windows),
            window_ms=WINDOW_MS,
            root=window.tree(salt_key, encoded).root(),
            document=segment.digest(document),
            raw=Digest(hashlib.sha256(b"".join(encoded)).digest()),
            frames=REPORTS * len(windows),
            lost=0,
            profile=self.library.profile,
            malformed=0,
        )
        return self._sign("segment", body, SPAN_MS, document)

    def _sign(self, kind: str, body: Body, span_ms: int, document: bytes | None = None) -> Signed:
        key, head, begin = self.member.key, self._head, self._begin_ms()
        wall_ms = self.start_ms + begin
        said = statement.sign(
            key,
            Envelope(kind, key.kid, self.issuer, self.subject, self.ledger, wall_ms // 1_000),
            epoch=head.epoch,
            seq=head.seq,
            prev=head.prev,
            stamp=Stamp(self._boot_id, begin, begin + span_ms, wall_ms, _NO_CLOCK),
            body=body,
        )
        self._head = head.after(said)
        return Signed(kind, said.encoded, said.entry, document, body.document if isinstance(body, Segment) else None)

    def _begin_ms(self) -> int:
        return self._head.seq * SPAN_MS

    def _moment(self, boot_ms: int) -> Moment:
        return Moment(self._boot_id, boot_ms, self.start_ms + boot_ms, _NO_CLOCK)

    def _secret(self, purpose: str) -> bytes:
        return self.secret(f"{purpose} {self.epoch} {self._head.seq}", self.member.number)

    def _chosen(self, purpose: str, among: int) -> int:
        return int.from_bytes(self._secret(purpose)[:8], "big") % among
