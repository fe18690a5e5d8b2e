"""The control socket of a running simulator: JSON lines over a Unix socket, by which faults are asked for and cleared.

One request is one line: `{"do": "inject", "kind": "cell-short", "parameters": {"cell": 7}, "for_s": 60}`,
`{"do": "clear", "kind": null}` or `{"do": "status"}`. One answer is one line with `ok`; where that is false, `error` says
why. The socket is for the user who started the simulator alone (mode 0600). Nothing that arrives on it can end the
simulator, make it wait, or make it remember more than is bounded here.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from firmware_sim.faults import catalogue
from firmware_sim.faults.catalogue import KINDS, Fault
from firmware_sim.faults.on_bus import FaultyFeed
from firmware_sim.faults.replays import Logged
from firmware_sim.faults.timeline import Entry
from packseal.program import Failure, Unavailable

MAX_LINE = 16_384
MAX_CLIENTS = 4
BACKLOG = 16  # callers between two steps
MAX_REQUESTS = 8  # of one client in one step
MAX_ANSWERS = 65_536  # bytes: a client who has not read so many is answered no more
MAX_PATH = 107  # what a Unix socket's address holds
MAX_FOR_S = 1_000_000_000

_OVER = "the run is over, and only its output is kept for a while"


@dataclass(slots=True)
class _Client:
    connection: socket.socket
    received: bytearray = field(default_factory=bytearray)
    answers: bytearray = field(default_factory=bytearray)
    ended: bool = False  # it will ask nothing more
    closed: bool = False


class Control:
    """Serves `feed` at `path`; `attend` is called in every step of the run. `cells` and `modules` are what the pack has."""

    def __init__(self, path: Path, feed: FaultyFeed, cells: int | None = None, modules: int | None = None) -> None:
        self._path, self._feed, self._cells, self._modules = path, feed, cells, modules
        self._listener: socket.socket | None = None
        self._inode = 0
        self._clients: list[_Client] = []

    def open(self) -> str:
        """Make the socket, in place of one that a dead simulator has left. Unavailable when it cannot be had."""
        if len(os.fsencode(self._path)) > MAX_PATH:
            raise Unavailable(f"{self._path}: longer than the {MAX_PATH} bytes of a socket's path; give a shorter one")
        self._make_way()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)  # so that there is no moment at which others could connect
        try:
            listener.bind(str(self._path))
            listener.listen(BACKLOG)
        except OSError as problem:
            listener.close()
            raise Unavailable(f"{self._path}: no control socket: {problem.strerror}") from problem
        finally:
            os.umask(before)
        listener.setblocking(False)
        self._listener, self._inode = listener, self._path.stat().st_ino
        return f"control socket {self._path}"

    def attend(self) -> None:
        """Take what has been asked since the last call, and answer."""
        if self._listener is None:
            return
        self._welcome(self._listener)
        for client in self._clients:
            try:
                self._serve(client)
            except OSError:
                client.closed = True
            if client.closed:
                client.connection.close()
        self._clients = [client for client in self._clients if not client.closed]

    def close(self) -> None:
        """Let everybody go and take the socket away, if it is still this one."""
        if self._listener is None:
            return
        for client in self._clients:
            client.connection.close()
        self._listener.close()
        self._listener, self._clients = None, []
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def _make_way(self) -> None:
        try:
            mode = self._path.stat(follow_symlinks=False).st_mode
        except OSError:
            return
        if not stat.S_ISSOCK(mode):
            raise Unavailable(f"{self._path}: is there and is no socket; give another path")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.settimeout(1.0)
            try:
                caller.connect(str(self._path))
            except ConnectionRefusedError:
                self._path.unlink(missing_ok=True)
            except OSError as problem:
                raise Unavailable(f"{self._path}: {problem.strerror or problem}; give another path") from problem
            else:
                raise Unavailable(f"{self._path}: another simulator is in control there; give another path")

    def _welcome(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setblocking(False)
            if len(self._clients) >= MAX_CLIENTS:
                # Who came first and asks nothing makes room.
                self._clients.pop(0).connection.close()
            self._clients.append(_Client(connection))

    def _serve(self, client: _Client) -> None:
        """Answer what is whole, and take more only then: what a client asks at once waits in its socket."""
        if not self._flush(client):
            return
        if b"\n" not in client.received and not client.ended:
            with contextlib.suppress(BlockingIOError):
                received = client.connection.recv(MAX_LINE)
                client.ended = not received
                client.received += received
        for _ in range(MAX_REQUESTS):
            line, newline, rest = bytes(client.received).partition(b"\n")
            if not newline or len(client.answers) > MAX_ANSWERS:
                break
            client.received[:] = rest
            client.answers += _line(self.answer(line))
        if b"\n" not in client.received:
            if len(client.received) > MAX_LINE:
                client.answers += _line(_refusal(f"more than {MAX_LINE} bytes without an end of line"))
                client.ended = True
            client.closed = client.ended
        client.closed = self._flush(client) and client.closed

    def _flush(self, client: _Client) -> bool:
        while client.answers:
            try:
                sent = client.connection.send(client.answers)
            except BlockingIOError:
                return False
            del client.answers[:sent]
        return True

    def answer(self, line: bytes) -> Mapping[str, object]:
        """What one request is answered, after it has been done."""
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return _refusal("not a line of JSON")
        if not isinstance(request, dict):
            return _refusal("not a JSON object")
        match request.get("do"):
            case "inject":
                return self._inject(request)
            case "clear":
                return self._clear(request)
            case "status":
                return self._status()
        return _refusal("do: give inject, clear or status")

    def _inject(self, request: Mapping[str, object]) -> Mapping[str, object]:
        parameters, for_s = request.get("parameters", {}), request.get("for_s")
        if not isinstance(parameters, dict) or "kind" in parameters:
            return _refusal("parameters: give an object of the fault's own keys")
        if for_s is not None and (isinstance(for_s, bool) or not isinstance(for_s, int | float) or not _lasts(for_s)):
            return _refusal(f"for_s: give a number of seconds above 0, {MAX_FOR_S} at most")
        try:
            table = {"kind": request.get("kind"), **parameters}
            fault = catalogue.read(table, "inject", cells=self._cells, modules=self._modules)
            self._check(fault, for_s)
            if self._feed.finished():
                return _refusal(_OVER)
            begin_us = self._feed.now_us
            end_us = None if for_s is None else begin_us + max(1, round(float(for_s) * 1e6))
            entry = self._feed.timeline.add(fault, begin_us, end_us)
        except (Failure, ValueError) as refused:
            return _refusal(str(refused))
        return {"ok": True, "injected": _told(entry)}

    def _check(self, fault: Fault, for_s: object) -> None:
        kind = KINDS[fault.kind]
        if kind.momentary and for_s is not None:
            raise ValueError(f"for_s: {kind.name} happens in a moment and has no duration")
        if kind.place == "pack" and self._feed.pack is None:
            raise ValueError(f"{kind.name}: a recording is being played; it has no pack to break")
        if kind.name == "replayed-log" and (log := fault.text("log")) and (why := Logged(Path(log)).failure):
            raise ValueError(why)

    def _clear(self, request: Mapping[str, object]) -> Mapping[str, object]:
        kind = request.get("kind")
        if kind is not None and not (isinstance(kind, str) and kind in KINDS):
            return _refusal(f"kind: there are {', '.join(KINDS)}")
        if self._feed.finished():
            return _refusal(_OVER)
        return {"ok": True, "cleared": self._feed.timeline.clear(kind, self._feed.now_us)}

    def _status(self) -> Mapping[str, object]:
        feed = self._feed
        active = [_told(entry) for entry in feed.timeline.active]
        return {"ok": True, "time_s": feed.now_us / 1e6, "active": active, "faults": feed.tally.summary()}


def _told(entry: Entry) -> Mapping[str, object]:
    return {
        "number": entry.number,
        "kind": entry.fault.kind,
        "parameters": dict(entry.fault.parameters),
        "from_s": entry.start_us / 1e6,
        "until_s": None if entry.end_us is None else entry.end_us / 1e6,
    }


def _lasts(seconds: float) -> bool:
    return 0.0 < seconds <= MAX_FOR_S  # a whole number may be greater than any float


def _line(answer: Mapping[str, object]) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def _refusal(why: str) -> Mapping[str, object]:
    return {"ok": False, "error": why}
