"""The supervised connection to a broker: a thread of our own that never gives up and never goes deaf.

Nothing is ever queued while offline and nothing is ever resent: the caller's store is the only queue. At most `window`
QoS 1 messages are in flight, and only between a broker's acceptance and the connection's end.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from link import topics
from link.endpoint import Endpoint
from link.errors import LinkDown, LinkError
from link.events import Down, Dropped, Event, Message, Published, Up, Version, Will
from link.requests import Acknowledge, Outgoing, Request, Subscribe, Unsubscribe
from link.retry import Backoff, Delays, Versions
from link.session import Session
from link.unread import Unread

WINDOW = 20
INBOUND_LIMIT_BYTES = 1 << 20
CONNECTING_S = 180.0
"""So long an attempt may take before the thread counts as hanging: resolvers ask several servers, several times."""
_LONGEST_WAIT_S = 1.0


class Connection:
    """A broker connection kept up in the background. Its methods may be called from any thread and do not wait.

    `will_for(birth)` names the will of each attempt; births rise by one from `first_birth`, and every Up says under
    which one it came up, so that the owner can publish it. After a restart, start above any birth used before.

    Events go to `events`; an owner with an inbox of its own passes that, so that it has one place to wait.

    `bytes_in` and `bytes_out` count topics and payloads received and handed to the network. `overflowed` counts QoS 0
    messages thrown away because the owner had stopped reading.

    `progress(doing, rest_s)`, to be set before the start, is called by the thread whenever it gets on: it may then be silent
    for `rest_s` and a moment.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        will_for: Callable[[int], Will | None] | None = None,
        first_birth: int = 1,
        backoff: Backoff | None = None,
        window: int = WINDOW,
        inbound_limit_bytes: int = INBOUND_LIMIT_BYTES,
        events: queue.SimpleQueue[Any] | None = None,
    ) -> None:
        if window < 1 or inbound_limit_bytes < 1 or first_birth < 0:
            raise LinkError("window and inbound limit must be at least 1, the first birth at least 0")
        self.endpoint = endpoint
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue() if events is None else events
        self._unread = Unread(self.events)
        self.bytes_in = 0
        self.bytes_out = 0
        self.overflowed = 0
        self.progress: Callable[[str, float], None] = lambda doing, rest_s: None
        self._will_for = will_for
        self._births = itertools.count(first_birth)
        self._tokens = itertools.count(1)
        self._versions = Versions(endpoint.protocol)
        self._delays = Delays(backoff or Backoff(), random.SystemRandom().random)
        self._widest = window
        self._inbound_limit = inbound_limit_bytes
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._stop_by = 0.0
        # The lock guards what follows: the callers' side meets the thread's side here and nowhere else.
        self._lock = threading.Lock()
        self._wake: socket.socket | None = None
        self._window = 0
        self._up_since: float | None = None
        self._outstanding: tuple[set[int], set[int]] = (set(), set())
        self._filters: dict[str, int] = {}
        self._requests: deque[Request] = deque()

    def __enter__(self) -> Connection:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def is_up(self) -> bool:
        """Whether a broker has accepted us and the connection has not ended."""
        return self._up_since is not None

    @property
    def alive(self) -> bool:
        """Whether the thread runs that connects again and again; it says nothing of the broker."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin connecting, once; a broker that is not there yet is retried, never an exception."""
        if self._thread is not None:
            raise LinkError("a connection is started once")
        ear, wake = socket.socketpair()
        ear.setblocking(False)
        wake.setblocking(False)
        self._wake = wake
        name = f"link-{self.endpoint.client_id}"
        self._thread = threading.Thread(target=self._supervise, args=(ear,), name=name, daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Take nothing new, wait for what is in flight, say goodbye (the will is dropped) and end the thread."""
        self._stop_by = time.monotonic() + timeout_s
        self._stopping.set()
        with self._lock:
            self._ring()
        if self._thread is not None:
            self._thread.join(timeout_s + _LONGEST_WAIT_S)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool = False,
        content_type: str | None = None,
        text: bool = False,
        expiry_s: int | None = None,
        response_topic: str | None = None,
    ) -> int | None:
        """Send one message: a token that a Published will name, or None when not up or the window is full.

        QoS 0 has a window of its own, so that live values do not starve behind statements. LinkError only for
        what no broker could take.
        """
        token = next(self._tokens)
        message = Outgoing(token, topic, payload, qos, retain, content_type, text, expiry_s, response_topic)
        with self._lock:
            outstanding = self._outstanding[qos]
            if self._up_since is None or self._stopping.is_set() or len(outstanding) >= self._window:
                return None
            outstanding.add(token)
            self._requests.append(message)
            self._ring()
        return token

    def subscribe(self, filters: Iterable[str], *, qos: int = 1) -> None:
        """Subscribe now, if up, and again at every connection; answered by Subscribed or Denied. TopicError."""
        wanted = {topics.check_filter(name): qos for name in filters}
        if qos not in (0, 1):
            raise LinkError(f"QoS {qos}: subscribe with 0 or 1")
        with self._lock:
            self._filters |= wanted
            self._request(Subscribe(wanted))

    def unsubscribe(self, filters: Iterable[str]) -> None:
        """Take filters back, now and for the connections to come. TopicError."""
        unwanted = tuple(topics.check_filter(name) for name in filters)
        with self._lock:
            for name in unwanted:
                self._filters.pop(name, None)
            self._request(Unsubscribe(unwanted))

    def ack(self, token: int) -> None:
        """Acknowledge a Message: the broker forgets it. Call in the order of arrival (MQTT 5.0, section 4.6).

        A token from before the last Down is ignored: the broker redelivers that message under a new one.
        """
        with self._lock:
            self._request(Acknowledge(token))

    def poll(self, timeout_s: float = 0.0) -> list[Event]:
        """All events waiting, oldest first; waits up to `timeout_s` for the first."""
        found: list[Event] = []
        with contextlib.suppress(queue.Empty):
            found.append(self.events.get(timeout=timeout_s) if timeout_s > 0 else self.events.get_nowait())
            for _ in range(self.events.qsize()):
                found.append(self.events.get_nowait())  # noqa: PERF401 - another reader may take the last: keep the rest
        return found

    def _request(self, request: Request) -> None:
        if self._up_since is not None and getattr(request, "filters", True):
            self._requests.append(request)
            self._ring()

    def _ring(self) -> None:
        if self._wake is not None:
            with contextlib.suppress(BlockingIOError):
                self._wake.send(b"\0")

    def _supervise(self, ear: socket.socket) -> None:
        try:
            while not self._stopping.is_set():
                version = self._versions.next()
                end = self._connected_until(version, next(self._births), ear)
                with self._lock:
                    up_s = None if self._up_since is None else time.monotonic() - self._up_since
                    self._up_since, self._window = None, 0
                    self._requests.clear()
                    for tokens in self._outstanding:
                        tokens.clear()
                at_once = self._versions.learn(version, end.outcome) or self._stopping.is_set()
                delay_s = 0.0 if at_once else self._delays.after(up_s=up_s, permanent=end.permanent)
                self._unread.put(Down(end.reason, end.permanent, delay_s))
                self.progress("waiting to connect again", delay_s)
                self._stopping.wait(delay_s)
        finally:
            with self._lock:
                if self._wake is not None:
                    self._wake.close()
                self._wake = None
            ear.close()

    def _connected_until(self, version: Version, birth: int, ear: socket.socket) -> LinkDown:
        """Run one connection from its CONNECT to its end, whatever that is."""
        session = None
        try:
            session = Session(
                self.endpoint,
                version,
                birth,
                self._will_for(birth) if self._will_for else None,
                window=self._widest,
                inbound_limit_bytes=self._inbound_limit,
                tokens=self._tokens,
                emit=self._take,
            )
            self.progress(f"connecting to {self.endpoint}", CONNECTING_S)
            session.connect()
            while not self._stopping.is_set() or self._unfinished():
                session.step(ear.fileno(), _LONGEST_WAIT_S)
                self._serve(session, ear)
                self.progress(f"carrying to {self.endpoint}", _LONGEST_WAIT_S)
            session.disconnect(max(0.5, self._stop_by - time.monotonic()))
            return LinkDown("stopped")
        except LinkDown as down:
            return down
        except LinkError as problem:
            return LinkDown(str(problem), permanent=True)
        except Exception as problem:  # noqa: BLE001 - the thread's whole duty is to outlive whatever went wrong in it
            return LinkDown(f"{self.endpoint}: {type(problem).__name__}: {problem}")
        finally:
            if session is not None:
                session.abandon()

    def _unfinished(self) -> bool:
        with self._lock:
            waiting = bool(self._requests or any(self._outstanding))
            return waiting and self._up_since is not None and time.monotonic() < self._stop_by

    def _serve(self, session: Session, ear: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            ear.recv(65536)
        with self._lock:
            requests = list(self._requests)
            self._requests.clear()
        for request in requests:
            match request:
                case Outgoing():
                    if session.publish(request):
                        self.bytes_out += request.application_bytes()
                case Acknowledge(token):
                    session.acknowledge(token)
                case Subscribe(filters):
                    session.subscribe(filters)
                case Unsubscribe(names):
                    session.unsubscribe(list(names))

    def _take(self, event: Event) -> None:
        """One event from the session, within the thread: our books first, so that a consumer finds them right."""
        match event:
            case Up(window=window):
                with self._lock:
                    self._up_since, self._window = time.monotonic(), window
                    self._request(Subscribe(dict(self._filters)))
            case Published(token=token):
                with self._lock:
                    for tokens in self._outstanding:
                        tokens.discard(token)
            case Message(topic=topic, payload=payload, qos=qos):
                size = len(topic.encode()) + len(payload)
                self.bytes_in += size
                if qos == 0 and not self._unread.has_room(size):
                    self.overflowed += 1
                    return
                self._unread.put(event, size)
                return
            case Dropped(topic=topic, size=size):
                self.bytes_in += len(topic.encode()) + size
            case _:
                pass
        self._unread.put(event)
