"""What a cheating driver's box has in its memory: a recording, or what it has heard before, over and over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from firmware_sim.bus.frame import TimedFrame
from firmware_sim.play.playback import LOOP_PAUSE_US, Playback
from firmware_sim.play.recording import Recording
from firmware_sim.times import NEVER_US
from packseal.program import Failure, InputOutputError


class Repeated(Protocol):
    """Frames without end, timed from 0."""

    @property
    def failure(self) -> str:
        """Why there are no more; empty while there are."""

    def next_us(self) -> int:
        """When the next one is due; never, if there are no more."""

    def take(self) -> TimedFrame:
        """The next one."""


@dataclass(slots=True)
class Again:
    """Frames that were heard, over and over at their own pace; none are none for ever."""

    frames: Sequence[TimedFrame]
    failure: str = ""
    _taken: int = 0

    def next_us(self) -> int:
        """When the next one is due."""
        if not self.frames:
            return NEVER_US
        rounds, at = divmod(self._taken, len(self.frames))
        first_us = self.frames[0].time_us
        return rounds * (self.frames[-1].time_us - first_us + LOOP_PAUSE_US) + self.frames[at].time_us - first_us

    def take(self) -> TimedFrame:
        """The next one."""
        timed = TimedFrame(self.next_us(), self.frames[self._taken % len(self.frames)].frame)
        self._taken += 1
        return timed


@dataclass(slots=True)
class Logged:
    """The frames of the file at `path`, over and over at their own pace, until it can be read no more."""

    path: Path
    failure: str = ""
    _frames: Iterator[TimedFrame] = field(init=False)
    _next: TimedFrame | None = field(init=False)

    def __post_init__(self) -> None:
        self._frames = self._repeated()
        self._fetch()

    def next_us(self) -> int:
        """When the next one is due."""
        return NEVER_US if self._next is None else self._next.time_us

    def take(self) -> TimedFrame:
        """The next one."""
        timed = self._next
        assert timed is not None  # noqa: S101 - nobody takes what is never due
        self._fetch()
        return timed

    def _fetch(self) -> None:
        try:
            self._next = next(self._frames)
        except Failure as failed:
            self._next, self.failure = None, str(failed)

    def _repeated(self) -> Iterator[TimedFrame]:
        begin_us = 0
        while True:
            self._check()
            playback, last_us = Playback(Recording(self.path)), 0
            while not playback.finished():
                (timed,) = playback.until(playback.next_us(), 1)
                last_us = timed.time_us
                yield TimedFrame(begin_us + last_us, timed.frame)
            begin_us += last_us + LOOP_PAUSE_US

    def _check(self) -> None:
        # A pipe or a device in its place would make everybody wait.
        try:
            if self.path.is_file():
                return
        except OSError as problem:
            raise InputOutputError(f"{self.path}: {problem.strerror}") from problem
        raise InputOutputError(f"{self.path}: there is no such file")
