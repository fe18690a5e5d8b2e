"""What a program tells the service manager that started it: that it is ready, how it is, that it progresses, that it ends.

The protocol is sd_notify(3): lines of NAME=value in one datagram to the socket that $NOTIFY_SOCKET names. Where nobody
listens nothing happens, and nothing here ever raises at a running service.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, MutableMapping
from typing import Final

STATUS_EVERY_S: Final = 5.0
LONGEST_STATUS: Final = 240
_FEEDS_PER_PERIOD: Final = 8


class ServiceManager:
    """One service's line to its manager; `address` as in $NOTIFY_SOCKET, None for nobody. May be used from any thread.

    What the manager has no room for now is kept, the newest of each kind, and goes out with what is said next; but not a
    feeding, which is true only when it is said.
    `watchdog_s`: the manager ends the service when it was not fed for so long; None: it does not.
    """

    def __init__(
        self,
        address: str | None = None,
        watchdog_s: float | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.watchdog_s = watchdog_s
        self._address = _bytes_of(address)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._owed: dict[str, str] = {}
        self._status = ""
        self._status_due_s = self._feed_due_s = monotonic()

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> ServiceManager:
        """What the manager has put into the environment, and takes it out: our children must not speak for us."""
        address = environment.pop("NOTIFY_SOCKET", None)
        period, owner = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", str(os.getpid()))
        watched = period.isdecimal() and int(period) > 0 and owner == str(os.getpid())
        return cls(address, int(period) / 1e6 if watched else None)

    def ready(self) -> None:
        """The service does what it is for."""
        self._say(READY="1")

    def stopping(self) -> None:
        """The service has begun to end."""
        self._say(STOPPING="1")

    def feed(self) -> None:
        """Everything progresses. May be called as often as one likes: it is passed on eight times a period."""
        now_s = self._monotonic()
        if self.watchdog_s is not None and now_s >= self._feed_due_s:
            self._feed_due_s = now_s + self.watchdog_s / _FEEDS_PER_PERIOD
            self._say(WATCHDOG="1")

    def status(self, line: Callable[[], str]) -> None:
        """How the service is, for people; asked for and told at most every 5 s, and only when it has changed."""
        now_s = self._monotonic()
        if self._address is None or now_s < self._status_due_s:
            return
        self._status_due_s = now_s + STATUS_EVERY_S
        text = " ".join(line().split())[:LONGEST_STATUS]
        if text != self._status:
            self._status = text
            self._say(STATUS=text)

    def _say(self, **fields: str) -> None:
        if self._address is None:
            return
        with self._lock:
            said = self._owed | fields
            message = "\n".join(f"{name}={value}" for name, value in said.items())
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                    line.setblocking(False)  # a manager that is busy must not hold up the service
                    line.sendto(message.encode(errors="replace"), self._address)
                self._owed = {}
            except OSError:
                self._owed = {name: value for name, value in said.items() if name != "WATCHDOG"}


def _bytes_of(address: str | None) -> bytes | None:
    """The address as the kernel takes it: a path, or with @ a name of the abstract kind; others are not ours to speak."""
    if not address or address[0] not in "/@" or "\0" in address:
        return None
    return b"\0" + os.fsencode(address[1:]) if address[0] == "@" else os.fsencode(address)
