"""A recording replayed: the same recorder and the same way out as live, only time comes from the rows."""

from __future__ import annotations

import logging
import queue
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from agent.clock import RecordedClock
from agent.courier import Courier
from agent.frames import Frames
from agent.outbox import Outbox
from agent.recorder import LONGEST_SILENCE_US, RECORDING_ENDED, Recorded, Recorder
from agent.sources.recorded import RecordedSource
from evidence.bodies import Segment
from evidence.merkle import Digest

_LOG: Final = logging.getLogger("packseal.agent")


@dataclass(slots=True)
class Replayed:
    """What a replay came to."""

    frames: int = 0
    malformed: int = 0
    windows: int = 0
    segments: int = 0
    statements: int = 0
    pending: int = 0
    proven: int = 0
    refused: int = 0
    span_ms: int = 0


class Replay:
    """Seals one recording into the outbox and then, with a courier, sees its statements proven."""

    def __init__(
        self,
        pack: str,
        source: RecordedSource,
        clock: RecordedClock,
        recorder: Recorder,
        outbox: Outbox,
        courier: Courier | None,
        inbox: queue.SimpleQueue[Any],
    ) -> None:
        self._pack = pack
        self._source = source
        self._clock = clock
        self._recorder = recorder
        self._outbox = outbox
        self._courier = courier
        self._inbox = inbox
        self._latest_us = 0
        self._done = Replayed()
        self._rows: list[Digest] = []

    def seal(self, version: str, reason: int, others: tuple[Digest, ...]) -> None:
        """Read the recording to its end and keep its statements."""
        self._keep(self._recorder.start(self._clock.at(0), version, reason, others))
        self._keep(self._recorder.capture_started(self._clock.at(0)))
        ended = False
        while not ended:
            intake = self._source.read(0.0)
            ended = intake.ended
            self._done.frames += len(intake.frames)
            self._done.malformed += intake.malformed
            for complaint in intake.complaints:
                _LOG.warning("%s", complaint)
            self._take(intake.frames, intake.malformed)
        self._source.close()
        self._keep(self._recorder.stop(RECORDING_ENDED, None, self._clock.at(self._latest_us)))
        self._done.span_ms = self._latest_us // 1000

    def prove(self, timeout_s: float) -> Replayed:
        """Carry what waits until the replay's statements are all answered, or the time is up."""
        courier = self._courier
        if courier is not None:
            courier.connection.start()
            until = time.monotonic() + timeout_s
            while courier.unfinished(self._pack) and time.monotonic() < until:
                courier.pump(time.monotonic())
                try:
                    event = self._inbox.get(timeout=0.1)
                except queue.Empty:
                    continue
                courier.handle(event, time.monotonic())
            courier.goodbye()
            courier.connection.stop(1.0)
        states = self._outbox.states(self._rows)
        self._done.pending = states.count("pending")
        self._done.proven = states.count("proven")
        self._done.refused = states.count("refused")
        return self._done

    def _take(self, frames: Frames, malformed: int) -> None:
        """Frames in order, cut where the recording has a hole: it does not say that anybody listened there."""
        times = np.concatenate(([self._latest_us], frames.time_us))
        times = np.maximum.accumulate(times)
        holes = np.flatnonzero(np.diff(times) > LONGEST_SILENCE_US)
        before = 0
        for hole in holes.tolist():
            self._push(frames[before:hole], malformed)
            malformed, before = 0, hole
            resumes_us = int(frames.time_us[hole])
            self._keep(self._recorder.hole(resumes_us, self._clock.at(resumes_us)))
        self._push(frames[before:], malformed)

    def _push(self, frames: Frames, malformed: int) -> None:
        if len(frames):
            self._latest_us = max(self._latest_us, int(frames.time_us.max()))
        self._keep(self._recorder.captured(frames, malformed, None, self._clock.at(self._latest_us)))

    def _keep(self, recorded: Recorded) -> None:
        self._outbox.add(self._pack, recorded.sealed, covers=False)
        self._done.windows += len(recorded.windows)
        self._done.statements += len(recorded.sealed)
        self._done.segments += sum(isinstance(each.statement.body, Segment) for each in recorded.sealed)
        self._rows += [each.statement.entry for each in recorded.sealed]
