"""The ledger's own door: a Unix socket in its folder, through which tools ask the running process to write.

One request and one answer per connection, each a 4-byte length and CBOR of evidence's profile. Folder and socket are 0700
and 0600, so whoever gets here may also read the keys. The door's thread only carries: the one writer serves.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from evidence import cbor
from evidence.errors import FormatError
from ledger.errors import Busy
from ledger.journal import Complaints

SOCKET: Final = "control.sock"
MAX_BYTES: Final = 4 * 1024 * 1024
MAX_ACTS: Final = 1000
_TIMEOUT_S: Final = 30.0
_REQUEST_S: Final = 2.0
_PAUSE_S: Final = 0.2
_CLOSING_S: Final = 5.0


@dataclass(slots=True)
class Request:
    """One request waiting for the writer: `op` and its value; `answer` releases the asker."""

    op: str
    value: cbor.Value
    _answers: queue.SimpleQueue[cbor.Value] = field(default_factory=queue.SimpleQueue)

    def answer(self, value: cbor.Value) -> None:
        """Give the answer; once."""
        self._answers.put(value)

    def wait(self) -> cbor.Value:
        """The answer; queue.Empty when the writer takes too long."""
        return self._answers.get(timeout=_TIMEOUT_S)


class Door:
    """Listens on the folder's socket and puts requests into `requests`, from where the writer takes and answers them."""

    def __init__(self, folder: Path) -> None:
        self.requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._complaints = Complaints()
        self._guest: socket.socket | None = None
        with _reachable(folder) as path:
            path_there = Path(path)
            path_there.unlink(missing_ok=True)  # the folder's lock is ours: whoever left this is gone
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            before = os.umask(0o177)
            try:
                self._listener.bind(path)
            finally:
                os.umask(before)
        self._listener.listen(8)
        self._listener.settimeout(_PAUSE_S)
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the door still hears; a service must not go on without it."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Take no more requests; whoever is at the door is sent away. Ends within seconds, whatever they do."""
        self._closing.set()
        guest = self._guest
        if guest is not None:
            with contextlib.suppress(OSError):
                guest.shutdown(socket.SHUT_RD)
        with contextlib.suppress(queue.Empty):
            while True:
                self.requests.get_nowait().answer({2: "it is stopping"})
        self._thread.join(_CLOSING_S)
        self._listener.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                link, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as problem:
                # Out of descriptors, as a rule: that passes, and tools must reach this process when it has.
                self._complaints.say("the control socket: %s", problem.strerror or problem)
                self._closing.wait(_PAUSE_S)
                continue
            with link:
                self._guest = link
                with contextlib.suppress(OSError, FormatError, queue.Empty):
                    self._one(link)
                self._guest = None

    def _one(self, link: socket.socket) -> None:
        # All tools come through here one by one: none may take its time.
        parts = cbor.as_map(_receive(link, _REQUEST_S), "request", frozenset({1, 2}))
        request = Request(cbor.as_text(parts[1], "operation", 32), parts[2])
        if self._closing.is_set():
            return
        self.requests.put(request)
        answer = request.wait()
        link.settimeout(_REQUEST_S)
        _send(link, answer)


def ask(folder: Path, op: str, value: cbor.Value) -> cbor.Value:
    """The running ledger's answer; Busy if none listens or it does not answer in time."""
    try:
        with _reachable(folder) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(_TIMEOUT_S)
            link.connect(path)
            _send(link, {1: op, 2: value})
            return _receive(link, _TIMEOUT_S)
    except (OSError, FormatError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise Busy(f"{folder / SOCKET}: the ledger that holds this folder does not answer: {reason}") from None


@contextlib.contextmanager
def _reachable(folder: Path) -> Iterator[str]:
    """A short name of the socket: the kernel takes at most 107 bytes, a folder's path may be longer."""
    file = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{file}/{SOCKET}"
    finally:
        os.close(file)


def _send(link: socket.socket, value: cbor.Value) -> None:
    encoded = cbor.encode(value)
    link.sendall(len(encoded).to_bytes(4, "big") + encoded)


def _receive(link: socket.socket, timeout_s: float) -> cbor.Value:
    """One whole message within `timeout_s`, however its bytes dribble in; TimeoutError, FormatError."""
    deadline = time.monotonic() + timeout_s
    size = int.from_bytes(_exactly(link, 4, deadline), "big")
    if size > MAX_BYTES:
        raise FormatError(f"a message of {size} bytes")
    return cbor.decode(_exactly(link, size, deadline), max_bytes=MAX_BYTES)


def _exactly(link: socket.socket, size: int, deadline: float) -> bytes:
    received = b""
    while len(received) < size:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        link.settimeout(left_s)
        more = link.recv(min(65536, size - len(received)))
        if not more:
            raise FormatError("the other side hung up")
        received += more
    return received
