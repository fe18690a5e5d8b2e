"""A bus through Linux SocketCAN, without a library between: every frame of the profile with the kernel's time of its arrival.

It never sends. It wakes once per `coalesce_s`, for a wake-up costs more than a frame. An interface that is missing, down or
bus-off is an outage (SourceError), never a bus that is listened to; after one the source may be opened again.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from agent.errors import BusOff, ConfigError, SourceError
from agent.frames import Frames, IntArray
from agent.sources.can_socket import CanSocket, Received, explained
from agent.sources.kernel_frames import bus_off_at, filters_for, frames_of, trouble
from agent.sources.kernel_times import Clocks, boot_times
from agent.sources.source import Intake

MOST_AT_ONCE: Final = 4000  # frames per reading: a second of a full 500 kbit/s bus
_FULL_BUS_PER_S: Final = 4000
_SLEEP_US: Final = 1_000_000
_LONGEST_NAME: Final = 15  # IFNAMSIZ, less its end


class SocketCanSource:
    """One interface. Times are those of the kernel's receive stamps, as CLOCK_BOOTTIME microseconds.

    Taken are the data frames of `ids` (number, 29 bits) and error frames; everything if None, or more than the kernel filters.
    `coalesce_s` is how long frames gather in the kernel, less where its buffer is small.
    """

    def __init__(
        self,
        channel: str,
        ids: Iterable[tuple[int, bool]] | None = None,
        *,
        coalesce_s: float = 0.1,
        boot_ns: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        if not 0 < len(channel.encode()) <= _LONGEST_NAME or "/" in channel or not channel.isprintable():
            raise ConfigError(f"channel {channel!r} names no interface; write it as `ip link` shows it, such as can0")
        self.name = f"socketcan {channel}"
        self._channel = channel
        self._filters = None if ids is None else filters_for(ids)
        self._coalesce_s = coalesce_s
        self._boot_ns, self._wall_ns = boot_ns, wall_ns
        self._before = Clocks(0, 0)
        self._until_us = 0
        self._drops = 0
        self._trouble = ""
        self._pause_s = coalesce_s
        self._gathering_since: float | None = None
        self._ready: deque[Intake] = deque()
        self._poll = select.poll()
        self._bus: CanSocket | None = None
        self._gone: SourceError | None = None

    def open(self) -> None:
        """Begin to listen. SourceError names the interface and why nothing can be heard on it."""
        self.close()
        self._gone = None
        try:
            bus = self._bus = CanSocket(self._channel, self._filters)
        except SourceError as problem:
            raise type(problem)(f"{self.name}: cannot be opened: {problem}") from None
        self._before = self._clocks()
        self._until_us, self._drops, self._trouble = self._before.boot_us, 0, ""
        self._pause_s = min(self._coalesce_s, bus.room / _FULL_BUS_PER_S / 4)  # a full bus fills a quarter of the room
        self._gathering_since = None
        self._poll = select.poll()
        self._poll.register(bus, select.POLLIN)

    def read(self, timeout_s: float) -> Intake:
        """What has come in: waits `timeout_s` for the first frame, then lets others gather.

        What came before the interface went away is still given; the reading after it raises. Where the kernel had to drop
        frames a reading ends and another begins, so that what came before and after has its true time.
        """
        if not self._ready and self._bus is not None:
            self._gather(timeout_s)
            self._take(self._bus)
        if self._ready:
            return self._ready.popleft()
        raise self._gone or SourceError(f"{self.name}: not open")

    def close(self) -> None:
        """Let go of the interface."""
        self._ready.clear()
        self._let_go()

    def _clocks(self) -> Clocks:
        return Clocks.read(self._boot_ns, self._wall_ns, time.monotonic_ns)

    def _let_go(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.close()

    def _gather(self, timeout_s: float) -> None:
        """Wait for frames. Where the last reading had some more are on their way, and one wake-up takes them all."""
        if self._gathering_since is not None:
            left_s = self._gathering_since + self._pause_s - time.monotonic()
            if left_s > 0:
                time.sleep(min(left_s, timeout_s))
        elif self._poll.poll(timeout_s * 1000):
            time.sleep(self._pause_s)

    def _take(self, bus: CanSocket) -> None:
        """Drain the socket into readings that are ready to give; when nothing will come any more, say why after them."""
        # Before the draining: what has been dropped by now came before whatever the draining leaves.
        dropped = bus.dropped
        begun = self._clocks()
        begun_us, slept_us = begun.boot_us, begun.slept_us - self._before.slept_us
        if slept_us > _SLEEP_US:  # nobody knows what its controller heard meanwhile, nor what of it is from before
            self._end(SourceError(f"the machine slept {round(slept_us / 1_000_000)} s"))
            return
        received, emptied = bus.drain(MOST_AT_ONCE)
        heard = len(received) > 0
        whole = emptied and bus.problem is None
        self._gathering_since = time.monotonic() if whole and heard else None
        if heard:
            self._ready.extend(self._readings(received, *((begun_us, dropped) if whole else (None, 0))))
        if bus.problem is not None:
            self._end(SourceError(explained(bus.problem)))
        elif not heard:
            self._look_at_carrier(bus)
        if not heard and self._gone is None:
            self._until_us = max(self._until_us, begun_us)
            self._ready.append(Intake(Frames.empty(), until_us=self._until_us))

    def _readings(self, received: Received, begun_us: int | None, dropped: int) -> list[Intake]:
        """What was received, cut where frames were lost.

        `begun_us`: from before then nothing is left, and `dropped` frames had been dropped; None: something may be left.
        """
        now = self._clocks()
        times = boot_times(received.stamps_us, self._before, now, self._until_us)
        self._before = now
        frames, known = frames_of(received.messages, times)
        drops, malformed = received.drops[known], int(np.count_nonzero(~known))
        off = bus_off_at(frames)
        if off is not None:
            frames, drops, begun_us, dropped = frames[: off + 1], drops[: off + 1], None, 0
            self._end(BusOff("the controller went off the bus after too many errors"))
        last_us = max(self._until_us, int(times[-1]) if off is None else int(frames.time_us[-1]))
        self._until_us = last_us if begun_us is None else max(last_us, begun_us)
        readings = cut_at_losses(frames, drops, self._drops, dropped, self._until_us)
        self._drops = max(self._drops, dropped, int(drops.max(initial=0)))
        first = readings[0]
        readings[0] = Intake(
            first.frames, malformed, self._complaints(frames, malformed), False, first.lost, first.until_us
        )
        return readings

    def _complaints(self, frames: Frames, malformed: int) -> tuple[str, ...]:
        """What an operator should know; a state of the controller is said once."""
        said = [f"{self.name}: {malformed} messages are no CAN frames"] if malformed else []
        found = trouble(frames)
        if found is not None and found != self._trouble:
            self._trouble = found
            said += [f"{self.name}: {found}"] if found else []
        return tuple(said)

    def _look_at_carrier(self, bus: CanSocket) -> None:
        """A silent bus: is anybody listening still? Not every driver tells of a controller that gave up."""
        try:
            bus.require_carrier()
        except SourceError as problem:
            self._end(problem)

    def _end(self, problem: SourceError) -> None:
        if self._gone is None:
            self._gone = type(problem)(f"{self.name}: {problem}")
        self._let_go()


def cut_at_losses(frames: Frames, drops: IntArray, known: int, dropped: int, until_us: int) -> list[Intake]:
    """The frames as readings that begin where frames were lost before them; at least one.

    `drops` is how many had been lost when each frame came, `known` how many of these are old news, `dropped` how many there
    are in the end. A reading whose loss no frame has followed has none.
    """
    counts = np.maximum.accumulate(np.maximum(drops, known))
    lost = np.diff(counts, prepend=known)
    starts = [0, *(np.flatnonzero(lost[1:]) + 1).tolist()]
    ends = [*starts[1:], len(frames)]
    readings = [
        Intake(frames[start:end], lost=int(lost[start]) if len(lost) else 0, until_us=int(frames.time_us[end - 1]))
        for start, end in zip(starts, ends, strict=True)
        if start < end
    ]
    unfollowed = dropped - (int(counts[-1]) if len(counts) else known)
    if unfollowed > 0 or not readings:
        return [*readings, Intake(Frames.empty(), lost=max(0, unfollowed), until_us=until_us)]
    last = readings[-1]
    return [*readings[:-1], Intake(last.frames, lost=last.lost, until_us=until_us)]
