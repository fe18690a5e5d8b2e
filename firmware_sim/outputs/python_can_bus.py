"""Output onto any python-can interface: SocketCAN, virtual, udp_multicast and whatever else it opens."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import can

from firmware_sim.bus.frame import CanFrame, TimedFrame
from firmware_sim.errors import OutputError
from firmware_sim.outputs.output import HEARD_MAX, Completed, Tally, nobody_asks
from packseal.program import Unavailable

DRAIN = 200


class PythonCanBus:
    """Sends on the bus that python-can opens for `interface` and `channel`."""

    def __init__(
        self, interface: str, channel: str, bitrate: int = 500_000, completed: Completed = nobody_asks
    ) -> None:
        self.tally = Tally()
        self._interface, self._channel, self._bitrate, self._completed = interface, channel, bitrate, completed
        self._heard: deque[CanFrame] = deque(maxlen=HEARD_MAX)
        self._bus: can.BusABC | None = None

    @property
    def listening(self) -> bool:
        """A bus does not tell; acknowledgement is the controller's business."""
        return True

    def open(self) -> str:
        """Open the bus; OutputError with python-can's reason when it cannot be had."""
        try:
            self._bus = can.Bus(interface=self._interface, channel=self._channel, bitrate=self._bitrate)
        except (can.CanError, OSError, ValueError, TypeError, ImportError, NotImplementedError) as problem:
            if "msgpack" in str(problem):
                missing = f"{self._interface}: the library msgpack is missing: pip install 'packseal[sim]'"
                raise Unavailable(missing) from problem
            raise OutputError(f"{self._interface} {self._channel}: {problem}") from problem
        return f"sending on {self._bus.channel_info}"

    def service(self) -> None:
        """Take what others send, so that no queue of ours grows."""
        bus = self._opened()
        try:
            for _ in range(DRAIN):
                message = bus.recv(0)
                if message is None:
                    return
                self.tally.from_host += 1
                if (frame := _frame(message)) is not None:
                    self._heard.append(frame)
        except (can.CanError, OSError) as problem:
            raise self._gone(problem) from problem

    def offer(self, frames: Sequence[TimedFrame]) -> int:
        """Send in order until the interface's own queue is full."""
        bus, taken = self._opened(), 0
        for _, frame in frames:
            try:
                bus.send(message_of(frame), timeout=0)
            except can.CanOperationError as problem:
                if _is_full(problem):
                    break
                raise self._gone(problem) from problem
            except (can.CanError, OSError) as problem:
                raise self._gone(problem) from problem
            taken += 1
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
        assert self._bus is not None, "open first"  # noqa: S101 - a fault of ours, not of the input
        return self._bus

    def _gone(self, problem: Exception) -> OutputError:
        return OutputError(f"{self._interface} {self._channel}: gone: {problem}")


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


def _is_full(problem: can.CanOperationError) -> bool:
    # SocketCAN says ENOBUFS (105) when the transmit queue is full, and python-can "Transmit buffer full".
    return problem.error_code == 105 or "buffer full" in str(problem).lower()
