"""A recording as a feed of due frames: at its own pace, faster, slower, at a limited rate, once or for ever."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from firmware_sim.bus.frame import TimedFrame
from firmware_sim.errors import RecordingError
from firmware_sim.play.recording import Recording
from firmware_sim.times import NEVER_US

LOOP_PAUSE_US = 1_000


@dataclass(slots=True)
class Playback:
    """Frames of `recording` on bus `bus` (None: all), timed from 0 at the first one.

    `pace` 2 plays twice as fast. `max_rate` (frames a second) spreads them, and alone decides at pace 0; without it
    pace 0 keeps the recorded times, for whoever does not wait for them.
    RecordingError when there is nothing to play.
    """

    recording: Recording
    bus: int | None = None
    loop: bool = False
    pace: float = 1.0
    max_rate: float | None = None
    _frames: Iterator[TimedFrame] = field(init=False)
    _next: TimedFrame | None = field(init=False)
    _end_us: int = NEVER_US

    def __post_init__(self) -> None:
        self._frames = self._timed()
        self._next = next(self._frames, None)

    def finished(self) -> bool:
        """Whether the last frame has been taken."""
        return self._next is None

    def end_us(self) -> int:
        """When it ended, once it is finished: after the last frame."""
        return self._end_us

    def next_us(self) -> int:
        """When the next frame is due; the past when there is none."""
        return self._next.time_us if self._next else 0

    def until(self, time_us: int, limit: int) -> list[TimedFrame]:
        """The frames due up to `time_us`, oldest first and not more than `limit`; each is given once."""
        frames: list[TimedFrame] = []
        while self._next is not None and self._next.time_us <= time_us and len(frames) < limit:
            frames.append(self._next)
            self._next = next(self._frames, None)
            if self._next is None:
                self._end_us = frames[-1].time_us + 1
        return frames

    def _timed(self) -> Iterator[TimedFrame]:
        spacing = 1e6 / self.max_rate if self.max_rate else 0.0
        faster = self.pace or (math.inf if self.max_rate else 1.0)
        due, begin = 0.0, 0
        while True:
            first, last, seen = None, 0, set()
            for recorded in self.recording:
                seen.add(recorded.bus)
                if self.bus is not None and recorded.bus != self.bus:
                    continue
                first = recorded.time_us if first is None else first
                # A log's clock may step back; the bus's order is what counts.
                last = max(last, recorded.time_us - first)
                due = max(due, (begin + last) / faster)
                yield TimedFrame(round(due), recorded.frame)
                due += spacing
            if first is None:
                raise self._nothing(seen)
            if not self.loop:
                return
            begin += last + LOOP_PAUSE_US

    def _nothing(self, seen: set[int]) -> RecordingError:
        path, malformed = self.recording.path, self.recording.malformed
        if seen:
            return RecordingError(f"{path}: no frame on bus {self.bus}; there are buses {sorted(seen)}")
        return RecordingError(f"{path}: no frame in it, {malformed} malformed lines")
