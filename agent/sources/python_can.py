"""Live buses through python-can: every interface that it knows and we do not read ourselves. The only importer of `can`.

It never sends on the bus. A message that cannot be true is counted and skipped; an adapter that went away is a SourceError,
after which the source may be opened again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import can

from agent.errors import ConfigError, SourceError
from agent.frames import CLASSIC_BYTES, ERROR, EXTENDED, FD, FD_BYTES, MAX_EXTENDED_ID, MAX_STANDARD_ID, REMOTE, Frames
from agent.sources.source import Intake, boottime_us

MOST_AT_ONCE: Final = 2000  # frames per reading: half a second of a full 500 kbit/s bus
MAX_COMPLAINTS: Final = 5
_LONGEST_FLUSH_S: Final = 0.5

# What python-can's parsers raise raw on a malformed message.
_MALFORMED: Final = (IndexError, ValueError, KeyError)

Row = tuple[int, int, int, bytes]


class LiveSource:
    """One live bus. Times are CLOCK_BOOTTIME microseconds at which a message was read; adapters' own clocks are not used.

    `options` go to python-can's interface as they are.
    `coalesce_s` bounds how long one reading goes on collecting after its first frame.
    """

    def __init__(
        self,
        interface: str,
        channel: str,
        bitrate: int | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        coalesce_s: float = 0.05,
        clock_us: Callable[[], int] = boottime_us,
    ) -> None:
        if interface not in can.VALID_INTERFACES:
            known = ", ".join(sorted(can.VALID_INTERFACES))
            raise ConfigError(f"interface {interface!r} is none that python-can knows; take one of {known}")
        self.name = f"{interface} {channel}"
        self._interface = interface
        self._channel = channel
        self._options = dict(options or {})
        if bitrate is not None:
            self._options["bitrate"] = bitrate
        self._coalesce_s = coalesce_s
        self._clock_us = clock_us
        self._bus: can.BusABC | None = None
        self._gone: SourceError | None = None

    def open(self) -> None:
        """Open the bus and drop what was buffered before now. SourceError names the adapter and what it said."""
        self.close()
        self._gone = None
        try:
            self._bus = can.Bus(channel=self._channel, interface=self._interface, ignore_config=True, **self._options)
            self._flush(self._bus)
        except (can.CanError, OSError, ValueError, TypeError, ImportError, NotImplementedError) as problem:
            self.close()
            said = _said(problem)
        else:
            return
        # Outside of the handler: an error that held the other would hold python-can's socket, which it leaves open.
        raise SourceError(f"{self.name}: cannot be opened: {said}")

    def read(self, timeout_s: float) -> Intake:
        """What has come in: waits `timeout_s` for the first message, then takes what there is.

        What came before an adapter went away is still given; the reading after it raises.
        """
        bus = self._bus
        if bus is None:
            raise self._gone or SourceError(f"{self.name}: not open")
        rows: list[Row] = []
        complaints: list[str] = []
        malformed = 0
        wait_s = timeout_s
        stop = time.monotonic() + timeout_s + self._coalesce_s
        while len(rows) + malformed < MOST_AT_ONCE:
            try:
                message = bus.recv(wait_s)
                if message is None:
                    break
                rows.append(_row(message, self._clock_us()))
            except (can.CanError, OSError, *_MALFORMED) as problem:
                if not _is_malformed(problem):
                    self.close()
                    self._gone = SourceError(f"{self.name}: adapter gone: {_said(problem)}")
                    if not rows and not malformed:
                        raise self._gone from None
                    break
                malformed += 1
                if len(complaints) < MAX_COMPLAINTS:
                    complaints.append(f"{self.name}: unreadable message: {_said(problem)}")
            if wait_s:
                wait_s, stop = 0.0, min(stop, time.monotonic() + self._coalesce_s)
            elif time.monotonic() >= stop:
                break
        return Intake(Frames.from_rows(rows), malformed, tuple(complaints))

    def close(self) -> None:
        """Let go of the adapter, also of one that is gone."""
        bus, self._bus = self._bus, None
        if bus is not None:
            with contextlib.suppress(can.CanError, OSError, *_MALFORMED):
                bus.shutdown()

    def _flush(self, bus: can.BusABC) -> None:
        """Read away what came before the capture."""
        stop = time.monotonic() + _LONGEST_FLUSH_S
        while time.monotonic() < stop:
            try:
                if bus.recv(0) is None:
                    return
            except (can.CanError, *_MALFORMED) as problem:
                if not _is_malformed(problem):
                    raise


def _row(message: can.Message, now_us: int) -> Row:
    """The row of a message; ValueError if it contradicts itself."""
    number = message.arbitration_id
    if not 0 <= number <= (MAX_EXTENDED_ID if message.is_extended_id else MAX_STANDARD_ID):
        raise ValueError(f"identifier {number:X} has too many bits")
    flags = (EXTENDED if message.is_extended_id else 0) | (FD if message.is_fd else 0)
    if message.is_remote_frame:
        return now_us, number, flags | REMOTE, b""
    payload = bytes(message.data)
    if message.is_error_frame:
        return now_us, number, flags | ERROR, payload[:CLASSIC_BYTES]
    if len(payload) != message.dlc or len(payload) > (FD_BYTES if message.is_fd else CLASSIC_BYTES):
        raise ValueError(f"length {message.dlc} with {len(payload)} bytes of payload")
    return now_us, number, flags, payload


def _is_malformed(problem: BaseException) -> bool:
    """Whether one message was unreadable, rather than the adapter."""
    return isinstance(problem, _MALFORMED) and not isinstance(problem, OSError)


def _said(problem: BaseException) -> str:
    text = " ".join(str(problem).split()) or type(problem).__name__
    cause = problem.__cause__
    return f"{text} ({' '.join(str(cause).split())})" if cause is not None and str(cause) not in text else text
