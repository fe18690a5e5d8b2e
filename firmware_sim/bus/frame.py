"""The classic CAN frame as the simulator's firmware emits it; it knows no vehicle and no interface."""

from __future__ import annotations

from typing import NamedTuple

EXTENDED = 1
REMOTE = 2


class CanFrame(NamedTuple):
    """One classic frame: 11-bit (or 29-bit, if extended) identifier and at most 8 bytes.

    A remote frame carries no payload and asks for `requested` bytes.
    """

    identifier: int
    payload: bytes
    extended: bool = False
    remote: bool = False
    requested: int = 0

    @property
    def length(self) -> int:
        """The length code on the bus, 0 to 8."""
        return self.requested if self.remote else len(self.payload)

    @property
    def flags(self) -> int:
        """EXTENDED and REMOTE as bits, as the sent log writes them."""
        return (EXTENDED if self.extended else 0) | (REMOTE if self.remote else 0)


class TimedFrame(NamedTuple):
    """A frame and when it is due, in microseconds since the start of the run or of the recording."""

    time_us: int
    frame: CanFrame
