"""Moves frames from a feed to an output in real time, or as fast as the output takes them.

Deadlines are absolute on CLOCK_BOOTTIME; frames due within one step go out together, because a wake-up costs more
than a frame. A machine that was suspended or starved resumes at the recorded pace; it does not burst what it missed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from firmware_sim.bus.feed import Feed
from firmware_sim.bus.frame import CanFrame, TimedFrame
from firmware_sim.outputs.output import Output
from firmware_sim.outputs.sent_log import SentLog, boottime_us

STEP_US = 5_000
COARSE_STEP_US = 16_000  # the latency timer of a common USB serial chip: spares two thirds of the wake-ups
IDLE_US = 32_000
LISTEN_US = 10_000  # with somebody on our side who answers within 50 ms
BUSY_US = 1_000
ANSWERS_MAX = 256
MAX_LAG_US = 250_000
BATCH = 2_048
EVERYTHING_US = 1 << 62


class Listener(Protocol):
    """Somebody on our side of the bus who answers what others send, as a diagnostic server does.

    `now_us` is on a clock that never goes back (CLOCK_BOOTTIME); its origin means nothing.
    """

    @property
    def busy(self) -> bool:
        """Whether an exchange is under way, so that `due` is to be asked every millisecond instead of every step."""

    def hear(self, frame: CanFrame, now_us: int) -> None:
        """Take a frame that another node has sent."""

    def due(self, now_us: int) -> list[CanFrame]:
        """The frames to be sent now, in order; each is given once."""


@dataclass(slots=True)
class Stream:
    """One feed onto one output. `speed` is the factor of real time; 0 waits for the output instead of the clock.

    `step_us` is how long frames may wait for each other. `listeners` hear what others send and may answer;
    `attendants` are called once in every step.
    """

    feed: Feed
    output: Output
    stopped: Callable[[], bool]
    speed: float = 1.0
    wait_for_listener: bool = False
    linger_us: int = 0
    step_us: int = STEP_US
    sent_log: SentLog | None = None
    listeners: Sequence[Listener] = ()
    attendants: Sequence[Callable[[], None]] = ()
    stalls: int = 0
    answered: int = 0
    _kept: list[TimedFrame] = field(default_factory=list)
    _answers: list[TimedFrame] = field(default_factory=list)
    _origin_us: int = 0
    _wake_us: int = 0

    def run(self) -> None:
        """Until the feed ends or a stop is asked for, and then for the lingering time."""
        self._start()
        while self.wait_for_listener and not self.output.listening and not self.stopped():
            self._sleep(self._tick() + self.step_us)
        self._start()
        while not self.stopped() and not (self.feed.finished() and not self._kept):
            now = self._tick()
            hurried = self._paced(now) if self.speed else self._unpaced()
            if not hurried:
                self._sleep(self._next_wake(now))
        until = boottime_us() + self.linger_us
        while not self.stopped() and boottime_us() < until:
            self._sleep(self._tick() + self.step_us)

    def _start(self) -> None:
        self._origin_us = self._wake_us = boottime_us()

    def _tick(self) -> int:
        now = boottime_us()
        late = now - self._wake_us
        if self.speed and late > MAX_LAG_US:
            self._origin_us += late
            self.stalls += 1
        self._wake_us = now
        self.output.service()
        if self.sent_log is not None:
            self.sent_log.flush(now)
        for attend in self.attendants:
            attend()
        if self.listeners:
            self._converse(now)
        return now

    def _converse(self, now: int) -> None:
        heard = self.output.heard()
        for listener in self.listeners:
            for frame in heard:
                listener.hear(frame, now)
            due = [TimedFrame(self._feed_time(now), frame) for frame in listener.due(now)]
            self._answers += due[: ANSWERS_MAX - len(self._answers)]
        if not self.output.listening:
            self._answers.clear()
        elif self._answers:
            taken = self.output.offer(self._answers)
            self.answered += taken
            self._answers = self._answers[taken:]

    def _feed_time(self, now: int) -> int:
        return max(0, round((now - self._origin_us) * self.speed)) if self.speed else self.feed.next_us()

    def _paced(self, now: int) -> bool:
        due = self.feed.until(round((now - self._origin_us) * self.speed), BATCH)
        if due and self.output.listening:
            taken = self.output.offer(due)
            left = len(due) - taken
            if self.output.listening:
                self.output.tally.dropped += left
            else:
                self.output.tally.unheard += left
        else:
            self.output.tally.unheard += len(due)
        return len(due) == BATCH

    def _unpaced(self) -> bool:
        if not self.output.listening:
            return False
        self._kept = self._kept or self.feed.until(EVERYTHING_US, BATCH)
        taken = self.output.offer(self._kept)
        self._kept = self._kept[taken:]
        return taken > 0

    def _next_wake(self, now: int) -> int:
        if self.listeners:
            busy = any(listener.busy for listener in self.listeners)
            return min(self._next_due(now), now + (BUSY_US if busy else LISTEN_US))
        return self._next_due(now)

    def _next_due(self, now: int) -> int:
        step = now - now % self.step_us + self.step_us
        if not self.speed or self.feed.finished():
            return step
        due = self._origin_us + round(self.feed.next_us() / self.speed)
        # On the grid of steps, so that packs on one machine wake together; not longer than a host may wait.
        on_grid = due - due % self.step_us + self.step_us
        return min(max(step, on_grid), now + IDLE_US)

    def _sleep(self, wake_us: int) -> None:
        self._wake_us = wake_us
        time.sleep(max(0, wake_us - boottime_us()) / 1e6)
