"""Serial CAN adapters of the tests' own: one in this process for what is said on its port, one that can be pulled out."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
import tty
from pathlib import Path

DEADLINE_S = 10

_PROCESS = """
import os, select, sys, tty
master, slave = os.openpty()
tty.setraw(slave)
os.symlink(os.ttyname(slave), sys.argv[1])
os.write(1, b"plugged in\\n")
while True:
    for ready in select.select([0, master], [], [])[0]:
        said = os.read(ready, 4096)
        if ready == master:
            os.write(1, said)
            os.write(master, b"\\r" * said.count(b"\\r"))
        elif said:
            os.write(master, said)
        else:
            sys.exit()
"""


class Adapter:
    """The other end of the cable: an slcan adapter that answers commands and says what the test tells it to."""

    def __init__(self) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self.heard = b""
        self._stopping = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._stopping:
            heard = os.read(self.master, 1000)
            self.heard += heard
            os.write(self.master, self.answers(heard))

    def answers(self, said: bytes) -> bytes:
        """What it answers: every command is done."""
        return b"\r" * said.count(b"\r")

    def say(self, *lines: bytes) -> None:
        """Say lines at once, as an adapter does with what it hears on the bus."""
        os.write(self.master, b"".join(line + b"\r" for line in lines))

    def stop(self) -> None:
        """End it; its port goes with it."""
        self._stopping = True
        os.write(self._slave, b"C\r")
        self._thread.join(DEADLINE_S)
        os.close(self._slave)
        os.close(self.master)


class PluggableAdapter:
    """The same as a process at `path`: when it dies its port is gone, as that of an adapter that was pulled out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard = b""
        self._process: subprocess.Popen[bytes] | None = None

    def plug(self) -> None:
        """Be there."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROCESS, str(self.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"plugged in\n"

    def say(self, *lines: bytes) -> None:
        """Say lines at once."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(b"".join(line + b"\r" for line in lines))

    def await_arrival(self) -> None:
        """Wait until what was said lies in the port; nobody may be reading it."""
        port = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            poll = select.poll()
            poll.register(port, select.POLLIN)
            assert poll.poll(DEADLINE_S * 1000)
        finally:
            os.close(port)

    def unplug(self) -> None:
        """Be gone; what the host has said is in `heard`."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            self.heard += process.communicate()[0]
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
