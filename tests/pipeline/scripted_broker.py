"""A broker that misbehaves on purpose: each connection it accepts is played one script, the last one for ever."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ = 1, 2, 3, 4, 8, 9, 12
ACCEPT_5 = b"\x20\x03\x00\x00\x00"
ACCEPT_311 = b"\x20\x02\x00\x00"
REFUSE_VERSION = b"\x20\x02\x00\x01"


@dataclass(frozen=True)
class Packet:
    kind: int
    flags: int
    body: bytes

    @property
    def version(self) -> int:
        """Protocol level of a CONNECT: 5, or 4 for 3.1.1."""
        return self.body[6]

    @property
    def packet_id(self) -> bytes:
        """Of a SUBSCRIBE, or of a PUBLISH with QoS 1."""
        if self.kind == SUBSCRIBE:
            return self.body[:2]
        (length,) = struct.unpack_from("!H", self.body)
        return self.body[2 + length : 4 + length]


class Peer:
    """One accepted connection, from the broker's side."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link

    def send(self, octets: bytes) -> None:
        self._link.sendall(octets)

    def receive(self) -> Packet:
        first = self._exactly(1)[0]
        size, shift = 0, 0
        while True:
            octet = self._exactly(1)[0]
            size |= (octet & 127) << shift
            shift += 7
            if octet < 128:
                return Packet(first >> 4, first & 15, self._exactly(size))

    def _exactly(self, count: int) -> bytes:
        octets = b""
        while len(octets) < count:
            more = self._link.recv(count - len(octets))
            if not more:
                raise ConnectionError("the client has gone")
            octets += more
        return octets


Script = Callable[[Peer], None]


class ScriptedBroker:
    """Listens on a loopback port; `connects` collects the protocol level of each CONNECT that a script receives."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._links: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> ScriptedBroker:
        self._acceptor.start()
        return self

    def __exit__(self, *_problem: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(5)
        self._listener.close()
        for link in self._links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _address = self._listener.accept()
                script = self._scripts[min(len(self._links), len(self._scripts) - 1)]
                self._links.append(link)
                thread = threading.Thread(target=self._play, args=(script, link), daemon=True)
                self._threads.append(thread)
                thread.start()

    @staticmethod
    def _play(script: Script, link: socket.socket) -> None:
        with link, contextlib.suppress(OSError):
            script(Peer(link))
