"""What verifying a bundle ends in: what is proven, by which keys, complete as of where."""

from __future__ import annotations

from dataclasses import dataclass

from evidence.bodies import Segment
from evidence.errors import EvidenceError
from evidence.keys import KeyId, PublicKey
from evidence.merkle import Digest
from evidence.segment import SegmentDocument
from evidence.statement import Statement
from evidence.window import Window


class Rejected(EvidenceError):
    """The bundle is not proof: `step` of verification failed, and why."""

    def __init__(self, step: int, title: str, reason: str) -> None:
        super().__init__(f"step {step} ({title}): {reason}")
        self.step = step
        self.title = title
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ProvenKey:
    """A key that signed something here: whose it is, who vouched for it and at which index of the log."""

    kid: KeyId
    public: PublicKey
    speaks_for: str
    bound_by: str
    index: int


@dataclass(frozen=True, slots=True)
class Proven:
    """One telemetry statement with its index in the log, and its document if the bundle carries it."""

    index: int
    statement: Statement
    document: SegmentDocument | None


@dataclass(frozen=True, slots=True)
class ProvenWindow:
    """A window that was disclosed alone, with the segment it is of."""

    entry: Digest
    index: int
    window: Window


@dataclass(frozen=True, slots=True)
class Verdict:
    """The bundle proves this. Times are log times in Unix ms; None where the bundle shows no time.

    As of `complete_size` the log has no statement of this pack that is not here, but for `loose` ones: admitted, and hanging on
    a predecessor that is not. None, both, where the bundle shows no heads.
    """

    pack: str
    origin: str
    size: int
    root: Digest
    titleholder: str
    attributes: tuple[tuple[str, str], ...]
    statements: tuple[Proven, ...]
    windows: tuple[ProvenWindow, ...]
    keys: tuple[ProvenKey, ...]
    acts: int
    complete_size: int | None
    complete_time_ms: int | None
    loose: int | None
    heard_time_ms: int | None
    pinned: bool

    @property
    def frames(self) -> int:
        """Frames in all proven segments."""
        return sum(body.frames for proven in self.statements if isinstance(body := proven.statement.body, Segment))

    @property
    def window_count(self) -> int:
        """Windows in all proven segments."""
        return sum(body.windows for proven in self.statements if isinstance(body := proven.statement.body, Segment))
