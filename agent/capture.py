"""The capture thread of one pack: it opens the source, reads, opens again when it goes away, and never waits for anybody.

What it reads goes into the inbox of the engine; when the engine does not keep up, frames are dropped here, counted, with
their span, so that a signed gap can say so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.errors import SourceError
from agent.frames import Frames
from agent.sources.source import Intake, Source

BATCH_S: Final = 0.1
MOST_UNPROCESSED: Final = 200_000  # frames: nearly a minute of a full 500 kbit/s bus, about 30 MB
FIRST_RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class CaptureStarted:
    """The source of `pack` is open since `at_us`."""

    pack: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Captured:
    """What `pack`'s bus said up to `until_us`."""

    pack: str
    intake: Intake
    until_us: int


@dataclass(frozen=True, slots=True)
class Overflowed:
    """`count` frames of `pack` between the two times had to be dropped."""

    pack: str
    count: int
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class CaptureLost:
    """The source of `pack` is not there since `at_us`, and why."""

    pack: str
    at_us: int
    reason: str


CaptureEvent = CaptureStarted | Captured | Overflowed | CaptureLost


class Capture:
    """Keeps one source open and emits what it says. `clock_us` is the live capture clock."""

    def __init__(
        self, pack: str, source: Source, emit: Callable[[CaptureEvent], None], clock_us: Callable[[], int]
    ) -> None:
        self._pack = pack
        self._source = source
        self._emit = emit
        self._clock_us = clock_us
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._unprocessed = 0
        self._dropped: tuple[int, int, int] | None = None
        self._thread = threading.Thread(target=self._run, name=f"capture-{pack}", daemon=True)
        self.failure: BaseException | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread runs; when it has died, `failure` says of what."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the capture; what was read before is in the inbox when this returns."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def processed(self, frames: int) -> None:
        """The engine is done with so many frames."""
        with self._lock:
            self._unprocessed -= frames

    def _run(self) -> None:
        try:
            self._capture()
        except Exception as problem:  # noqa: BLE001 - kept for the engine, which takes the process down rather than live on deaf
            self.failure = problem
        finally:
            self._source.close()

    def _capture(self) -> None:
        delay_s = FIRST_RETRY_S
        while not self._stopping.is_set():
            try:
                self._source.open()
                self._emit(CaptureStarted(self._pack, self._clock_us()))
                delay_s = FIRST_RETRY_S
                self._read_on()
            except SourceError as problem:
                self._emit(CaptureLost(self._pack, self._clock_us(), str(problem)))
                self._source.close()
                self._stopping.wait(delay_s)
                delay_s = min(LONGEST_RETRY_S, delay_s * 2)

    def _read_on(self) -> None:
        while not self._stopping.is_set():
            intake = self._read_batch()
            self._hand_over(intake, self._clock_us())

    def _read_batch(self) -> Intake:
        """Everything of the next tenth of a second: the engine's cost is per batch."""
        until = time.monotonic() + BATCH_S
        parts: list[Intake] = []
        try:
            while (left := until - time.monotonic()) > 0:
                parts.append(self._source.read(left))
        except SourceError:
            # What came before the adapter went away is not lost with it.
            self._hand_over(_joined(parts), self._clock_us())
            raise
        return _joined(parts)

    def _hand_over(self, intake: Intake, until_us: int) -> None:
        with self._lock:
            room = self._unprocessed + len(intake.frames) <= MOST_UNPROCESSED
            if room:
                self._unprocessed += len(intake.frames)
        if not room:
            count, start_us, _ = self._dropped or (0, until_us - int(BATCH_S * 1e6), 0)
            self._dropped = (count + len(intake.frames), start_us, until_us)
            return
        if self._dropped is not None:
            self._emit(Overflowed(self._pack, *self._dropped))
            self._dropped = None
        self._emit(Captured(self._pack, intake, until_us))


def _joined(parts: list[Intake]) -> Intake:
    complaints = tuple(text for part in parts for text in part.complaints)
    return Intake(
        Frames.concat([part.frames for part in parts if len(part.frames)]),
        sum(part.malformed for part in parts),
        complaints[:5],
    )
