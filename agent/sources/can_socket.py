"""A raw CAN socket that only ever receives. The only user of AF_CAN.

The kernel filters by identifier, stamps each frame as it comes in, and counts what it had no room for (socket(7), Linux's
Documentation/networking/can.rst).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from agent.errors import BusOff, SourceError
from agent.frames import IntArray
from agent.sources.kernel_frames import ERROR_CLASSES, FD_SIZE

BUFFER_BYTES: Final = 4 << 20  # about 5,000 frames; without CAP_NET_ADMIN at most twice net.core.rmem_max
FRAME_BYTES: Final = 800  # what one frame costs of it

# Numbers of Linux that Python 3.11's socket module does not name.
_SO_RCVBUFFORCE: Final = 33
_SO_TIMESTAMPNS: Final = 35
_SO_RXQ_OVFL: Final = 40
_SO_MEMINFO: Final = 55
_CAN_RAW_ERR_FILTER: Final = 2
_SIOCGIFFLAGS: Final = 0x8913
_IFF_UP: Final = 1

_REQUEST: Final = struct.Struct("=16sH22x")  # struct ifreq
_MEMINFO: Final = struct.Struct("=9I")  # the last one counts drops
_COUNT: Final = struct.Struct("=I")
_TIME_BYTES: Final = 16  # struct timespec
_ANCILLARY: Final = socket.CMSG_SPACE(_TIME_BYTES) + socket.CMSG_SPACE(_COUNT.size)


@dataclass(frozen=True, slots=True)
class Received:
    """Messages in order: their bytes, the wall clock's us at which each came in, and how many had been dropped by then."""

    messages: list[bytes]
    stamps_us: IntArray
    drops: IntArray

    def __len__(self) -> int:
        return len(self.messages)


class CanSocket:
    """Open from its making until `close`; SourceError when nothing can be heard on the interface of this name."""

    def __init__(self, interface: str, filters: bytes | None) -> None:
        self._interface = interface
        self._problem: OSError | None = None
        try:
            self._socket = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
        except OSError as problem:
            raise SourceError(f"{problem.strerror}; load the kernel's can-raw") from None
        try:
            self._set_up(filters)
            self.require_carrier()
        except OSError as problem:
            self.close()
            raise SourceError(explained(problem)) from None
        except SourceError:
            self.close()
            raise

    @property
    def room(self) -> int:
        """How many frames the kernel keeps for us."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // FRAME_BYTES

    @property
    def dropped(self) -> int:
        """How many frames the kernel has dropped so far for want of room."""
        return int(_MEMINFO.unpack(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[-1])

    @property
    def problem(self) -> OSError | None:
        """What ended the last draining, after which nothing will come any more; the kernel says it once."""
        return self._problem

    def fileno(self) -> int:
        """For poll."""
        return self._socket.fileno()

    def drain(self, most: int) -> tuple[Received, bool]:
        """What has come in, and whether that was all; does not wait."""
        got: list[tuple[bytes, list[tuple[int, int, bytes]], int, Any]] = []
        receive = self._socket.recvmsg
        while len(got) < most:
            try:
                while len(got) < most:
                    got.append(receive(FD_SIZE, _ANCILLARY))
            except BlockingIOError:
                return _received(got), True
            except OSError as problem:
                # Told before the frames that came earlier, which are still there. Once, or we would be here for ever.
                if self._problem is not None:
                    return _received(got), False
                self._problem = problem
        return _received(got), False

    def require_carrier(self) -> None:
        """SourceError if the interface is not up, or its controller off the bus: then silence is no evidence."""
        try:
            request = fcntl.ioctl(self._socket, _SIOCGIFFLAGS, _REQUEST.pack(self._interface.encode(), 0))
        except OSError as problem:
            raise SourceError(explained(problem)) from None
        if not _REQUEST.unpack(request)[1] & _IFF_UP:
            raise SourceError(f"the interface is down; bring it up: ip link set {self._interface} up")
        with contextlib.suppress(OSError):  # no /sys: then only error frames tell
            if Path(f"/sys/class/net/{self._interface}/carrier").read_bytes().strip() == b"0":
                raise BusOff(
                    "the controller is off the bus after too many errors; look at bit rate and wiring, then set the "
                    "interface down and up, or let RestartSec= of its .network file do it"
                )

    def close(self) -> None:
        """Let go of it."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _set_up(self, filters: bytes | None) -> None:
        """Bound last, so that nothing is received that was not asked for."""
        made = self._socket
        made.setblocking(False)
        if filters is not None:
            made.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, filters)
        made.setsockopt(socket.SOL_CAN_RAW, _CAN_RAW_ERR_FILTER, _COUNT.pack(ERROR_CLASSES))
        made.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        made.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES // 2)  # the kernel doubles it
        with contextlib.suppress(PermissionError):
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES // 2)
        made.bind((self._interface,))


def explained(problem: OSError) -> str:
    """A system's error on an interface, with what to do."""
    match problem.errno:
        case errno.ENODEV | errno.ENXIO:
            return "there is no CAN interface of this name; is the adapter plugged in? `ip link` shows which there are"
        case errno.ENETDOWN:
            return "the interface went down"
        case _:
            return problem.strerror or str(problem)


def _received(got: list[tuple[bytes, list[tuple[int, int, bytes]], int, Any]]) -> Received:
    """The columns of what recvmsg gave. The stamp comes first, and a count behind it once frames were dropped."""
    times = np.frombuffer(b"".join([each[1][0][2] for each in got]), np.int64).reshape(len(got), 2)
    drops = np.zeros(len(got), np.int64)
    if got and len(got[-1][1]) > 1:
        drops[:] = [_COUNT.unpack(each[1][1][2])[0] if len(each[1]) > 1 else 0 for each in got]
    return Received([each[0] for each in got], times[:, 0] * 1_000_000 + times[:, 1] // 1000, drops)
