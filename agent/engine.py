"""The engine: one thread that takes what captures and link bring, keeps what becomes of it, and lets it go.

The order is the promise: recorder, outbox, and only then the courier. A thread that dies takes the process down, and one
that hangs keeps the service manager from being fed.
"""

from __future__ import annotations

import json
import logging
import queue
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agent.capture import Capture, Captured, CaptureEvent, CaptureLost, CaptureStarted, Overflowed
from agent.clock import SystemClock
from agent.clock_watch import ClockWatch
from agent.courier import Courier
from agent.errors import AgentError
from agent.live import LiveLine
from agent.outbox import Outbox
from agent.pulse import Pulse
from agent.reading import Reading
from agent.recorder import INTERFACE_DOWN, STOPPED, Recorded, Recorder
from agent.watchdog import Watchdog
from evidence.bodies import Segment
from evidence.statement import Seen
from packseal.service_manager import ServiceManager

HEALTH_EVERY_S: Final = 60.0
END_S: Final = 4.0  # from the wish to stop to the end, whatever hangs: service managers kill soon after
_HANDED_OVER_S, _PROVEN_S, _SAID_S, _LINK_S = 1.0, 2.2, 2.6, 1.0
"""Of these: until when captures hand over, proofs are waited for and goodbye is said; and what the link adds to its timeout."""
_LOG: Final = logging.getLogger("packseal.agent")


@dataclass(slots=True)
class Station:
    """Everything about one pack in a running agent."""

    pack: str
    capture: Capture
    recorder: Recorder
    live: LiveLine
    frames: int = 0
    malformed: int = 0
    dropped: int = 0
    windows: int = 0
    statements: int = 0
    outage_due_s: float = 0.0
    heard_us: int = 0
    bus: str = "closed"
    missing: int = INTERFACE_DOWN


@dataclass(slots=True)
class Engine:
    """Runs until `stop`. `inbox` receives the events of captures and link; `segment_s` is how often an outage is signed."""

    inbox: queue.SimpleQueue[Any]
    outbox: Outbox
    courier: Courier
    clock: SystemClock
    stations: Mapping[str, Station]
    segment_s: float
    service: ServiceManager = field(default_factory=ServiceManager)
    _pulse: Pulse = field(default_factory=lambda: Pulse("the engine"))
    _stopping: bool = False
    _stopped_s: float = 0.0
    _health_due_s: float = field(default_factory=time.monotonic)
    _watch: ClockWatch = field(init=False)

    def __post_init__(self) -> None:
        self._watch = ClockWatch(self.clock.read())

    def stop(self) -> None:
        """Ask the engine to end in order; may be called from a signal handler."""
        self._stopping = True
        self.inbox.put(None)

    def checkpoint_seen(self, seen: Seen) -> None:
        """The ledger has shown a newer checkpoint: the next statement of each pack carries it."""
        for station in self.stations.values():
            station.recorder.checkpoint_seen(seen)

    def run(self) -> None:
        """Capture, keep and carry until asked to stop; StoreError when nothing can be kept any more."""
        captures = (each.capture.pulse for each in self.stations.values())
        watchdog = Watchdog(self.service, [self._pulse, self.courier.pulse, *captures])
        try:
            for station in self.stations.values():
                station.capture.start()
            self.courier.connection.start()
            watchdog.start()
            self.service.ready()  # each epoch is open and kept: neither bus nor broker is waited for
            while not self._stopping:
                for event in self._wait(0.5):
                    self._take(event)
                self._housekeeping()
                self._pulse.beat("carrying to the broker")
                self.courier.pump(time.monotonic())
            self.service.stopping()
            self._end()
        finally:
            watchdog.stop()
            until = (self._stopped_s or time.monotonic()) + END_S
            self._end_captures(min(until, time.monotonic() + _HANDED_OVER_S))
            self.courier.connection.stop(max(0.1, until - time.monotonic() - _LINK_S))

    def _wait(self, timeout_s: float) -> list[Any]:
        self._pulse.beat("waiting for events")
        try:
            events = [self.inbox.get(timeout=timeout_s)]
            events += [self.inbox.get_nowait() for _ in range(self.inbox.qsize())]
        except queue.Empty:
            return []
        return [event for event in events if event is not None]

    def _take(self, event: Any) -> None:  # noqa: ANN401 - of captures or of the link
        if isinstance(event, CaptureEvent):
            self._pulse.beat(f"taking what the bus of {event.pack} said")
            self._captured(event)
        else:
            self._pulse.beat("taking and keeping what the link brought")
            self.courier.handle(event, time.monotonic())

    def _now(self) -> Reading:
        """The clocks; a change of the wall clock is said before anything is stamped with the new one."""
        now = self.clock.read()
        change = self._watch.look(now)
        if change is not None:
            for station in self.stations.values():
                self._keep(station, station.recorder.clock_changed(change, now))
        return now

    def _captured(self, event: CaptureEvent) -> None:
        station = self.stations[event.pack]
        now = self._now()
        match event:
            case CaptureStarted(at_us=at_us):
                _LOG.info("%s: listening", station.pack)
                station.bus = "listening"
                station.heard_us = at_us
                self._keep(station, station.recorder.capture_started(now.at(at_us)))
            case Captured(intake=intake, until_us=until_us):
                station.capture.processed(len(intake.frames))
                station.heard_us = until_us
                station.frames += len(intake.frames)
                station.malformed += intake.malformed
                for complaint in intake.complaints:
                    _LOG.warning("%s: %s", station.pack, complaint)
                self._keep(station, station.recorder.captured(intake.frames, intake.malformed, until_us, now))
            case Overflowed(count=count, start_us=start_us, end_us=end_us, gap=gap):
                station.dropped += count
                station.heard_us = end_us
                _LOG.error("%s: could not keep up, %d frames dropped and signed for", station.pack, count)
                self._keep(station, station.recorder.overflowed(count, start_us, end_us, now, gap))
            case CaptureLost(at_us=at_us, reason=reason, gap=gap):
                station.missing = gap
                if station.bus != "down":
                    _LOG.error("%s: %s", station.pack, reason)
                    station.bus = "down"
                    station.outage_due_s = time.monotonic() + self.segment_s
                    self._keep(station, station.recorder.interrupted(station.missing, at_us, now))

    def _keep(self, station: Station, recorded: Recorded) -> None:
        """The point of no return: durable here, and only afterwards visible to anybody."""
        if recorded.sealed:
            self._pulse.beat(f"keeping what {station.pack} has sealed")
            self.outbox.add(station.pack, recorded.sealed)
            station.statements += len(recorded.sealed)
        station.windows += len(recorded.windows)
        if recorded.windows:
            self._show(station, recorded)
        for sealed in recorded.sealed:
            said = sealed.statement
            frames = said.body.frames if isinstance(said.body, Segment) else 0
            _LOG.debug("%s: %s %d/%d sealed, %d frames", station.pack, said.kind, said.epoch, said.seq, frames)

    def _show(self, station: Station, recorded: Recorded) -> None:
        """The completed windows as live lines, each with the place of its proof."""
        now = self.clock.read()
        for window in recorded.windows:
            place = recorded.proof_of(window) or station.recorder.next_statement
            self.courier.live(station.pack, station.live.write(window, now.wall_at(window.start_ms), place))

    def _housekeeping(self) -> None:
        now, now_s = self._now(), time.monotonic()
        for station in self.stations.values():
            if not station.capture.alive and not self._stopping:
                raise AgentError(f"{station.pack}: the capture thread has died: {station.capture.failure!r}")
            if station.bus == "down" and now_s >= station.outage_due_s:
                station.outage_due_s = now_s + self.segment_s
                self._keep(station, station.recorder.interrupted(station.missing, now.boot_us, now))
        if not self.courier.connection.alive and not self._stopping:
            raise AgentError("the link's thread has died")
        if now_s >= self._health_due_s:
            self._health_due_s = now_s + HEALTH_EVERY_S
            self.courier.health(self._health_line())
        self.service.status(self._status_line)

    def _status_line(self) -> str:
        """One line for people who ask the service manager."""
        buses = ", ".join(f"{each.pack} {each.bus}" for each in self.stations.values())
        broker = "up" if self.courier.connection.is_up else "away"
        count = f"{len(self.stations)} pack{'s' if len(self.stations) > 1 else ''}"
        return f"{count}: {buses}; {self.outbox.waiting()} statements pending; broker {broker}"

    def _health_line(self) -> bytes:
        totals, carried = self.outbox.totals(), self.courier.carried
        packs = {
            each.pack: {
                "bus": each.bus,
                "frames": each.frames,
                "malformed": each.malformed,
                "short": each.recorder.short,
                "unmapped": each.recorder.unmapped,
                "dropped": each.dropped,
                "windows": each.windows,
                "statements": each.statements,
            }
            for each in self.stations.values()
        }
        line = {
            "pending": totals.pending,
            "proven": totals.proven,
            "refused": totals.refused,
            "damaged": totals.damaged,
            "documents_pending": totals.documents_pending,
            "documents_refused": totals.documents_refused,
            "proofs": carried.proofs,
            "bad_answers": carried.bad_answers,
            "denied": carried.denied,
            "bytes_out": self.courier.connection.bytes_out,
            "packs": packs,
        }
        return json.dumps(line, separators=(",", ":")).encode()

    def _end(self) -> None:
        """Seal what is open, say close, and only then give the last statements a moment to be proven."""
        began = self._stopped_s = time.monotonic()
        self._end_captures(began + _HANDED_OVER_S)
        for event in self._wait(0.01):
            self._take(event)
        for station in self.stations.values():
            now = self._now()
            # A capture that runs was heard up to its last reading, not up to now; one that is down was not heard until now.
            end_us = station.heard_us if station.recorder.capturing else now.boot_us
            self._keep(station, station.recorder.stop(STOPPED, end_us, now))
        while time.monotonic() < began + _PROVEN_S and self.courier.connection.is_up and self._unfinished():
            self._pulse.beat("carrying to the broker")
            self.courier.pump(time.monotonic())
            self._take_answers()
        self.courier.health(self._health_line())
        while not self.courier.goodbye() and time.monotonic() < began + _SAID_S:
            self._take_answers()

    def _take_answers(self) -> None:
        """What the link brings after the closes; a capture that hung until now has nothing more to say."""
        for event in self._wait(0.05):
            if not isinstance(event, CaptureEvent):
                self.courier.handle(event, time.monotonic())

    def _end_captures(self, until_s: float) -> None:
        for station in self.stations.values():
            station.capture.cease()
        for station in self.stations.values():
            station.capture.stop(max(0.0, until_s - time.monotonic()))

    def _unfinished(self) -> bool:
        return any(self.courier.unfinished(pack) for pack in self.stations)
