"""The capture thread of one pack: it opens the source, reads, opens again when it goes away, and never waits for anybody.

What it reads goes into the inbox of the engine; when the engine does not keep up, frames are dropped here, counted, with
their span, so that a signed gap can say so.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.errors import BusOff, SourceError
from agent.frames import Frames
from agent.pulse import Pulse
from agent.recorder import BUS_OFF, INTERFACE_DOWN, KERNEL, OVERFLOW
from agent.sources.source import Intake, Source

BATCH_S: Final = 0.1
LONGEST_STALL_US: Final = 5_000_000  # nothing was read for so long: the machine slept, or had no time for us
STABLE_US: Final = 10_000_000  # an adapter that lasted so long is tried again at once
CALM_US: Final = 1_000_000  # losses that come closer than this are one: a gap for each would be one more load
MOST_UNPROCESSED: Final = 200_000  # frames: nearly a minute of a full 500 kbit/s bus, about 30 MB
FIRST_RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 10.0
MOST_BREAKS: Final = 5  # failures in a row that no adapter explains: ours, and only a new process may help


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
    """`count` frames of `pack` between the two times had to be dropped, readable or not; `gap` is the reason of their gap."""

    pack: str
    count: int
    start_us: int
    end_us: int
    gap: int = OVERFLOW


@dataclass(frozen=True, slots=True)
class CaptureLost:
    """The source of `pack` is not there since `at_us`, and why; `gap` is the reason of its gap."""

    pack: str
    at_us: int
    reason: str
    gap: int = INTERFACE_DOWN


CaptureEvent = CaptureStarted | Captured | Overflowed | CaptureLost


class Capture:
    """Keeps one source open and emits what it says. `clock_us` is the live capture clock.

    `pulse` beats with every reading and every try to open, whether there is an adapter or not.
    """

    def __init__(
        self, pack: str, source: Source, emit: Callable[[CaptureEvent], None], clock_us: Callable[[], int]
    ) -> None:
        self._pack = pack
        self._source = source
        self._emit = emit
        self._clock_us = clock_us
        self.pulse = Pulse(f"the capture of {pack}")
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._unprocessed = 0
        self._dropped: tuple[int, int, int, int] | None = None  # as Overflowed has it
        self._missed_us = -CALM_US  # when the kernel last had no room for us
        self._missing = False  # it happens again and again: nothing is taken until it is calm
        self._breaks = 0
        self._heard_us = 0  # all that came before has been handed over or counted as dropped
        self._thread = threading.Thread(target=self._run, name=f"capture-{pack}", daemon=True)
        self.failure: BaseException | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread runs; when it has died, `failure` says of what."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def cease(self) -> None:
        """Ask the capture to end, and do not wait."""
        self._stopping.set()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the capture; unless it hangs for so long, what was read before is in the inbox when this returns."""
        self.cease()
        if self._thread.ident is not None:
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
            self._own_up()
            self._shut()
            self.pulse.end()

    def _capture(self) -> None:
        delay_s = FIRST_RETRY_S
        while not self._stopping.is_set():
            opened_us: int | None = None
            try:
                self.pulse.beat(f"opening {self._source.name}")
                self._source.open()
                if self._stopping.is_set():  # opening took its time: nobody waits for a start any more
                    return
                opened_us = self._begin(self._clock_us())
                self._read_on()
            except Exception as problem:  # noqa: BLE001 - a driver's surprise on one bus must not end the captures of the others
                lasted_us = 0 if opened_us is None else self._heard_us - opened_us
                self._breaks = 0 if lasted_us >= STABLE_US else self._breaks
                reason = self._judged(problem, opened=opened_us is not None)
                delay_s = FIRST_RETRY_S if lasted_us >= STABLE_US else delay_s
                # What the adapter still held when it went away is lost: the gap begins where the last reading ended.
                gap = BUS_OFF if isinstance(problem, BusOff) else INTERFACE_DOWN
                self._lose(self._clock_us() if opened_us is None else self._heard_us, reason, gap)
                self._shut()
                self.pulse.beat("waiting for the next try", rest_s=delay_s)
                self._stopping.wait(delay_s)
                delay_s = min(LONGEST_RETRY_S, delay_s * 2)

    def _judged(self, problem: Exception, *, opened: bool) -> str:
        """Why the source is not there; what no adapter explains is raised again when it goes on without a frame between.

        Not what fails in opening: that is one pack's driver, and must not end the captures of the others.
        """
        if isinstance(problem, SourceError):
            return str(problem)
        self._breaks += opened
        if self._breaks >= MOST_BREAKS:
            raise problem
        return f"{type(problem).__name__}: {problem}"

    def _shut(self) -> None:
        self.pulse.beat(f"closing {self._source.name}")
        with contextlib.suppress(Exception):  # whatever it is, we are leaving it behind; opening again will say
            self._source.close()

    def _begin(self, at_us: int) -> int:
        self._heard_us = at_us
        self._emit(CaptureStarted(self._pack, at_us))
        return at_us

    def _lose(self, at_us: int, reason: str, gap: int = INTERFACE_DOWN) -> None:
        self._own_up()
        self._emit(CaptureLost(self._pack, at_us, reason, gap))

    def _read_on(self) -> None:
        while not self._stopping.is_set():
            self._read_batch()

    def _read_batch(self) -> None:
        """Hand over everything of the next tenth of a second at once: the engine's cost is per batch."""
        until = time.monotonic() + BATCH_S
        parts: list[Intake] = []
        read_us = self._heard_us
        try:
            while (left := until - time.monotonic()) > 0:
                self.pulse.beat(f"reading {self._source.name}")
                intake = self._source.read(left)
                intake_us = self._clock_us() if intake.until_us is None else intake.until_us
                if intake.lost:
                    before, parts = _joined(parts), []
                    self._hand_over(before, read_us)
                    self._miss(intake.lost, _first_us(intake.frames, intake_us))
                parts.append(intake)
                read_us = intake_us
        finally:
            # What came before an adapter went away is not lost with it.
            self._hand_over(_joined(parts), read_us)

    def _hand_over(self, intake: Intake, until_us: int) -> None:
        self._breaks = 0 if len(intake.frames) else self._breaks
        stalled_us = 0 if intake.until_us is not None else until_us - self._heard_us  # else the kernel listened on
        if stalled_us > LONGEST_STALL_US:
            self._lose(self._heard_us, f"nobody listened for {stalled_us // 1_000_000} s: asleep, or out of time")
            self._begin(until_us)
        self._missing = self._missing and until_us - self._missed_us < CALM_US
        with self._lock:
            room = not self._missing and self._unprocessed + len(intake.frames) <= MOST_UNPROCESSED
            if room:
                self._unprocessed += len(intake.frames)
        if room:
            self._own_up()
            self._emit(Captured(self._pack, intake, until_us))
        else:
            self._drop(len(intake.frames) + intake.malformed, until_us, OVERFLOW)
        self._heard_us = until_us

    def _miss(self, count: int, until_us: int) -> None:
        """The kernel had to drop frames between what was handed over and `until_us`."""
        self._missing = self._missing or until_us - self._missed_us < CALM_US
        self._missed_us = until_us
        self._drop(count, until_us, KERNEL)
        self._heard_us = until_us
        if not self._missing:
            self._own_up()

    def _drop(self, count: int, until_us: int, gap: int) -> None:
        """Add to what will be owned up to; the reason is that of what was dropped first."""
        already, start_us, _, first_gap = self._dropped or (0, self._heard_us, 0, gap)
        self._dropped = (already + count, start_us, until_us, first_gap)

    def _own_up(self) -> None:
        """Say what had to be dropped, before anything is said of later."""
        if self._dropped is not None:
            self._emit(Overflowed(self._pack, *self._dropped))
            self._dropped = None


def _first_us(frames: Frames, otherwise_us: int) -> int:
    return int(frames.time_us[0]) if len(frames) else otherwise_us


def _joined(parts: list[Intake]) -> Intake:
    complaints = tuple(text for part in parts for text in part.complaints)
    return Intake(
        Frames.concat([part.frames for part in parts if len(part.frames)]),
        sum(part.malformed for part in parts),
        complaints[:5],
        until_us=parts[-1].until_us if parts else None,
    )
