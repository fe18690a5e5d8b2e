"""The socket underneath: noticing a dead peer, waiting without missing TLS bytes, letting the last word arrive."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl


class ClosedOnFailure(ssl.SSLSocket):
    """A TLS socket that closes when its handshake fails: paho drops it there without closing it."""

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands, or close and raise what went wrong."""
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self.close)
            super().do_handshake(block)
            on_failure.pop_all()


def tune(link: object, keepalive_s: int) -> None:
    """Send without delay, and notice a half-open link after one keepalive when something was sent, not after two."""
    if isinstance(link, socket.socket):
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, keepalive_s * 1000)


def wait(descriptor: int, *, wake: int | None, reading: bool, writing: bool, timeout_s: float) -> bool:
    """Sleep until the socket is ready, `wake` is readable or time is up; True when there is something to read."""
    poller = select.poll()
    poller.register(descriptor, (select.POLLIN if reading else 0) | (select.POLLOUT if writing else 0))
    if wake is not None:
        poller.register(wake, select.POLLIN)
    ready = dict(poller.poll(max(0.0, timeout_s) * 1000))
    return bool(ready.get(descriptor, 0) & ~select.POLLOUT)


def buffered(link: object) -> bool:
    """Whether TLS holds decrypted bytes that no poll of the socket would show."""
    return isinstance(link, ssl.SSLSocket) and link.pending() > 0


def finish(link: object) -> None:
    """Let the peer read our last bytes before we close: closing over unread input resets the connection instead."""
    if not isinstance(link, socket.socket):
        return
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_WR)
        link.settimeout(0.5)
        for _ in range(64):
            if not link.recv(65536):
                return
