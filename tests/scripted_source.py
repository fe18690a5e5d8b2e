"""A source of frames that does what a test tells it, step by step, on a clock of its own or on a real one."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.errors import SourceError
from agent.sources.source import Intake
from tests.agent_world import frames


@dataclass(slots=True)
class ScriptedSource:
    """`then` queues a step: an intake to read, or an exception to raise; each moves the clock on."""

    steps: queue.SimpleQueue[tuple[int, Intake | BaseException]] = field(default_factory=queue.SimpleQueue)
    now_us: int = 1_000_000
    opened: int = 0
    closed: int = 0
    refuse: list[BaseException] = field(default_factory=list)
    name: str = "scripted"

    def open(self) -> None:
        if self.refuse:
            raise self.refuse.pop(0)
        self.opened += 1

    def read(self, timeout_s: float) -> Intake:
        try:
            advance_us, step = self.steps.get(timeout=timeout_s)
        except queue.Empty:
            return Intake(frames())
        self.now_us += advance_us
        if isinstance(step, BaseException):
            raise step
        return step

    def close(self) -> None:
        self.closed += 1

    def then(self, step: Intake | BaseException, advance_us: int = 100_000) -> None:
        self.steps.put((advance_us, step))


@dataclass(slots=True)
class SteadySource:
    """One frame every few milliseconds of a real clock, numbered, for as long as it is `there`; `sent` remembers them all."""

    clock_us: Callable[[], int]
    there: bool = True
    every_us: int = 5_000
    sent: list[int] = field(default_factory=list)
    closed: int = 0
    name: str = "steady"
    _next_us: int = 0

    def open(self) -> None:
        if not self.there:
            raise SourceError("steady: not there")
        self._next_us = self.clock_us()

    def read(self, timeout_s: float) -> Intake:
        time.sleep(min(timeout_s, 0.02))
        if not self.there:
            raise SourceError("steady: adapter gone")
        now_us, times = self.clock_us(), []
        while self._next_us <= now_us:
            times.append(self._next_us)
            self._next_us += self.every_us
        self.sent += times
        return Intake(frames(*times))

    def close(self) -> None:
        self.closed += 1
