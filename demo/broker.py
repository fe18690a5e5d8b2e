"""A mosquitto of our own on a free loopback port, for the demo and the tests: never a broker that others use."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from demo.mosquitto import Mosquitto, find
from packseal.program import Unavailable

HOST = "127.0.0.1"
# Below Linux's ephemeral range: between a kill and a restart no outgoing connection can be given our port.
_PORTS = range(20000, 32000)
_ITERATIONS = 101
_START_S = 15.0
_STOP_S = 5.0


class Broker:
    """A broker that lives in `folder` (config, log, persistence). start, stop and kill may follow each other at will.

    `users` (name -> password) closes it to all others; `acl` is the text of a mosquitto ACL file; `settings` are
    further configuration lines. Persistence is on, written at a clean stop only: a kill loses what was queued.
    """

    def __init__(
        self,
        folder: Path,
        *,
        mosquitto: Mosquitto | None = None,
        port: int | None = None,
        users: Mapping[str, str] | None = None,
        acl: str | None = None,
        settings: Iterable[str] = (),
    ) -> None:
        self.mosquitto = mosquitto or find()
        self.port = port or _free_port()
        self._folder = folder
        self._users = dict(users or {})
        self._acl = acl
        self._settings = tuple(settings)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where to connect, without credentials."""
        return f"mqtt://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """The broker's own log."""
        return self._folder / "mosquitto.log"

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it on its port and wait until it accepts; Unavailable with the last lines of its log otherwise."""
        if self._process is not None:
            return
        config = self._write_config()
        with self.log.open("ab") as log:
            process = self._process = subprocess.Popen(
                [*_dying_with_us(), str(self.mosquitto.program), "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.mosquitto.environment(),
                # A terminal's Ctrl-C must reach the publishers first, and the broker only through stop().
                start_new_session=True,
            )
        try:
            self._await_listener(process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it cleanly: clients are told, persistence is written."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _await_listener(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_S
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=1.0):
                return
            time.sleep(0.02)
        said = self.log.read_text(errors="replace").strip().splitlines()
        raise Unavailable(f"{self.mosquitto} did not start on port {self.port}: {' '.join(said[-2:]) or self.log}")

    def _write_config(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"listener {self.port} {HOST}",
            f"allow_anonymous {'false' if self._users else 'true'}",
            "persistence true",
            f"persistence_location {self._folder.resolve()}/",
            "log_dest stderr",
            "log_timestamp_format %Y-%m-%dT%H:%M:%S",
        ]
        if os.geteuid() == 0:
            # It would drop to the user mosquitto, who may not exist and cannot write a private folder.
            lines.append("user root")
        if self._users:
            passwords = "".join(f"{name}:{_hashed(secret)}\n" for name, secret in self._users.items())
            lines.append(f"password_file {self._write('passwords', passwords)}")
        if self._acl is not None:
            lines.append(f"acl_file {self._write('acl', self._acl)}")
        return self._write("mosquitto.conf", "\n".join([*lines, *self._settings, ""]))

    def _write(self, name: str, text: str) -> Path:
        path = (self._folder / name).resolve()
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
        return path


def _dying_with_us() -> list[str]:
    """A prefix that ends the broker with this process, even a killed one, where the system offers that.

    Linux ties it to the thread that starts the child, so only the main thread, which ends last, may ask for it.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return []
    return [setpriv, "--pdeathsig", "TERM", "--"]


def _hashed(password: str) -> str:
    """A password as mosquitto's own password files hold it: PBKDF2 with SHA-512, type 7."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _free_port() -> int:
    for _ in range(200):
        port = secrets.choice(_PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((HOST, port))
            return port
    raise Unavailable(f"no free port from {_PORTS.start} to {_PORTS.stop} on {HOST}")
