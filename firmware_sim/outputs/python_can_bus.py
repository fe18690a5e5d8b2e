"""Output onto any python-can interface: SocketCAN, virtual, udp_multicast and whatever else it opens.

A pack does not end because a cable is pulled: when a SocketCAN interface goes down or away, the frames meanwhile are unheard,
and the bus is opened again when it is back.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

import can

from firmware_sim.bus.frame import CanFrame, TimedFrame
from firmware_sim.errors import OutputError
from firmware_sim.outputs.output import HEARD_MAX, Completed, Tally, nobody_asks
from packseal.program import Unavailable

DRAIN: Final = 200
PATIENCE_S: Final = 0.016  # what a full bus carries meanwhile is more than a step of the stream brings
PAUSE_S: Final = 0.001  # about four frames of a full 500 kbit/s bus; the kernel's queue holds ten
RETRY_S: Final = 0.5

# What SocketCAN says of an interface that is down, is removed, or was removed and made again.
_AWAY: Final = frozenset({errno.ENETDOWN, errno.ENODEV, errno.ENXIO})

logging.getLogger("can").addHandler(logging.NullHandler())  # what it logs beside its exceptions is said by us, once


class PythonCanBus:
    """Sends on the bus that python-can opens for `interface` and `channel`."""

    def __init__(
        self, interface: str, channel: str, bitrate: int = 500_000, completed: Completed = nobody_asks
    ) -> None:
        self.tally = Tally()
        self._interface, self._channel, self._bitrate, self._completed = interface, channel, bitrate, completed
        self._heard: deque[CanFrame] = deque(maxlen=HEARD_MAX)
        self._bus: can.BusABC | None = None
        self._retry_s = 0.0

    @property
    def listening(self) -> bool:
        """Whether the interface is there. Who hears is not told; acknowledgement is the controller's business."""
        return self._bus is not None

    def open(self) -> str:
        """Open the bus; OutputError with python-can's reason when it cannot be had."""
        try:
            self._bus = self._opened()
        except (can.CanError, OSError, ValueError, TypeError, ImportError, NotImplementedError) as problem:
            if "msgpack" in str(problem):
                missing = f"{self._interface}: the library msgpack is missing: pip install 'packseal[sim]'"
                raise Unavailable(missing) from problem
            raise OutputError(f"{self._interface} {self._channel}: {problem}{self._cure(problem)}") from problem
        return f"sending on {self._bus.channel_info}"

    def service(self) -> None:
        """Take what others send, so that no queue of ours grows; try an interface again that has gone away."""
        if self._bus is None and not self._returned():
            return
        try:
            for _ in range(DRAIN):
                if self._bus is None or (message := self._bus.recv(0)) is None:
                    return
                self._hear(message)
        except (can.CanError, OSError) as problem:
            self._leave(problem)

    def offer(self, frames: Sequence[TimedFrame]) -> int:
        """Send in order; while the interface's own queue is full, wait for it, but not longer than `PATIENCE_S` in all."""
        taken, until_s = 0, time.monotonic() + PATIENCE_S
        while taken < len(frames) and self._bus is not None:
            try:
                self._bus.send(message_of(frames[taken].frame), timeout=0)
                taken += 1
            except (can.CanError, OSError) as problem:
                if not _is_full(problem):
                    self._leave(problem)
                elif time.monotonic() >= until_s:
                    break
                else:
                    time.sleep(PAUSE_S)
        self.tally.written += taken
        self._completed([frame for _, frame in frames[:taken]])
        return taken

    def heard(self) -> list[CanFrame]:
        """The classic frames that others have sent."""
        frames = list(self._heard)
        self._heard.clear()
        return frames

    def close(self) -> None:
        """Shut the bus down; one that has already gone is not an error any more."""
        if self._bus is None:
            return
        bus, self._bus = self._bus, None
        try:
            bus.shutdown()
        except (can.CanError, OSError):
            return

    def _opened(self) -> can.BusABC:
        """The bus, open and up. An interface that is down can be opened; only the first reading says so."""
        if self._interface == "socketcan":
            _require(self._channel)
        bus = can.Bus(interface=self._interface, channel=self._channel, bitrate=self._bitrate)
        try:
            if (message := bus.recv(0)) is not None:
                self._hear(message)
        except (can.CanError, OSError):
            bus.shutdown()
            raise
        return bus

    def _returned(self) -> bool:
        """Whether an interface that was away is back; asked for now and then only."""
        if time.monotonic() < self._retry_s:
            return False
        try:
            self._bus = self._opened()
        except (can.CanError, OSError):
            self._retry_s = time.monotonic() + RETRY_S
            return False
        _say(f"{self._interface} {self._channel}: is back")
        return True

    def _leave(self, problem: Exception) -> None:
        """Let go of an interface that has gone away; OutputError if it is anything else that has happened."""
        code = _code(problem)
        if self._interface != "socketcan" or code not in _AWAY:
            raise OutputError(f"{self._interface} {self._channel}: gone: {problem}") from problem
        self.close()
        self._retry_s = time.monotonic() + RETRY_S
        _say(f"{self._interface} {self._channel}: {os.strerror(code)}; waiting for it to come back")

    def _hear(self, message: can.Message) -> None:
        self.tally.from_host += 1
        if (frame := _frame(message)) is not None:
            self._heard.append(frame)

    def _cure(self, problem: Exception) -> str:
        if self._interface != "socketcan":
            return ""
        name = self._channel
        cures = {
            errno.ENETDOWN: f"ip link set {name} up",
            errno.ENODEV: f"ip link add {name} type vcan, for a virtual one",
        }
        code = _code(problem)
        return f": {cures[code]}" if code in cures else ""


def message_of(frame: CanFrame, timestamp: float = 0.0, channel: int | None = None) -> can.Message:
    """The frame as python-can has it."""
    return can.Message(
        timestamp=timestamp,
        arbitration_id=frame.identifier,
        is_extended_id=frame.extended,
        is_remote_frame=frame.remote,
        dlc=frame.length,
        data=None if frame.remote else frame.payload,
        channel=channel,
    )


def _frame(message: can.Message) -> CanFrame | None:
    if message.is_error_frame or message.is_fd:
        return None
    remote = bool(message.is_remote_frame)
    payload = b"" if remote else bytes(message.data)
    extended = bool(message.is_extended_id)
    return CanFrame(message.arbitration_id, payload, extended, remote, message.dlc if remote else 0)


def _is_full(problem: Exception) -> bool:
    # SocketCAN says ENOBUFS when the transmit queue is full, and python-can "Transmit buffer full".
    return _code(problem) == errno.ENOBUFS or "buffer full" in str(problem).lower()


def _code(problem: Exception) -> int:
    """The errno behind a failure, or 0."""
    code = problem.error_code if isinstance(problem, can.CanError) else getattr(problem, "errno", None)
    return code or 0


def _require(interface: str) -> None:
    """OSError if there is no such interface: python-can would leave a socket open behind its own."""
    try:
        socket.if_nametoindex(interface)
    except OSError:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None


def _say(text: str) -> None:
    print(f"packseal-sim: {text}", file=sys.stderr, flush=True)
