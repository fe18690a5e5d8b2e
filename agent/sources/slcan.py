"""Serial CAN adapters that speak slcan, read in pieces as large as the kernel has them. The only importer of `serial`.

It never sends on the bus: the adapter is told to listen only, unless the configuration says that it shall acknowledge. An
adapter that went away is a SourceError, after which the source may be opened again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import time
from collections.abc import Callable, Mapping
from typing import Final

import serial

from agent.errors import ConfigError, SourceError
from agent.frames import Frames
from agent.sources.adapter_times import AdapterTimes
from agent.sources.slcan_lines import BEL, CR, Lines, Said
from agent.sources.source import Intake, boottime_us

BITRATES: Final = {
    10_000: "S0",
    20_000: "S1",
    50_000: "S2",
    100_000: "S3",
    125_000: "S4",
    250_000: "S5",
    500_000: "S6",
    750_000: "S7",
    1_000_000: "S8",
    83_300: "S9",
}
MOST_AT_ONCE: Final = 1 << 18  # bytes of one reading: two seconds of a full bus of 1 Mbit/s
_PIECE: Final = 1 << 16
_ANSWER_S: Final = 0.2  # some adapters never answer
_QUIET_S: Final = 0.02
_LONGEST_SETTLING_S: Final = 0.5
_OPTIONS: Final = {
    "tty_baudrate": int,
    "listen_only": bool,
    "timestamps": bool,
    "rtscts": bool,
    "sleep_after_open": float,
}


class SlcanSource:
    """One adapter. Times are CLOCK_BOOTTIME microseconds at which a piece was read; with `timestamps` the adapter's own.

    `options`: tty_baudrate (115200), listen_only (true), timestamps (false), rtscts (false), sleep_after_open in s (0).
    `coalesce_s` is how long lines gather in the kernel, which has room for 4 KiB before it holds the adapter up.
    """

    def __init__(
        self,
        channel: str,
        bitrate: int,
        options: Mapping[str, object] | None = None,
        *,
        coalesce_s: float = 0.02,
        clock_us: Callable[[], int] = boottime_us,
    ) -> None:
        self.name = f"slcan {channel}"
        self._path, _, speed = channel.partition("@")
        chosen = _checked(dict(options or {}))
        if bitrate not in BITRATES:
            rates = ", ".join(str(rate) for rate in sorted(BITRATES))
            raise ConfigError(f"bitrate {bitrate} is none that slcan adapters have; take one of {rates}")
        if speed and not speed.isdecimal():
            raise ConfigError(f"channel {channel!r}: behind the @ stands the port's speed, such as @115200")
        self._bitrate = bitrate
        self._baudrate = int(speed) if speed else int(chosen.get("tty_baudrate", 115_200))
        self._listen_only = bool(chosen.get("listen_only", True))
        self._stamped = bool(chosen.get("timestamps", False))
        self._rtscts = bool(chosen.get("rtscts", False))
        self._settle_s = chosen.get("sleep_after_open", 0.0)
        self._coalesce_s = coalesce_s
        self._clock_us = clock_us
        self._until_us = 0
        self._lines, self._times = Lines(), AdapterTimes()
        self._first = b""
        self._port: serial.Serial | None = None
        self._poll = select.poll()
        self._gone: SourceError | None = None

    def open(self) -> None:
        """Open port and channel, and drop what was said before. SourceError names the adapter and what it said."""
        self.close()
        self._gone = None
        self._lines, self._times, self._first = Lines(), AdapterTimes(), b""
        try:
            self._port = serial.Serial(
                self._path, self._baudrate, timeout=0, write_timeout=1, rtscts=self._rtscts, exclusive=True
            )
            self._poll = select.poll()
            self._poll.register(self._port, select.POLLIN)
            self._open_channel(self._port)
        except (OSError, ValueError) as problem:  # SerialException is an OSError
            self.close()
            raise SourceError(f"{self.name}: cannot be opened: {_said(problem)}") from None
        except SourceError as problem:
            self.close()
            raise SourceError(f"{self.name}: cannot be opened: {problem}") from None
        self._until_us = self._clock_us()

    def read(self, timeout_s: float) -> Intake:
        """What has come in: waits `timeout_s` for the first byte, then lets more gather.

        What came before an adapter went away is still given; the reading after it raises.
        """
        port = self._port
        if port is None:
            raise self._gone or SourceError(f"{self.name}: not open")
        text, self._first = self._first, b""
        try:
            if self._poll.poll(0 if text else timeout_s * 1000):
                time.sleep(self._coalesce_s)
                text += _drained(port.fileno())
        except OSError as problem:
            self._gone = SourceError(f"{self.name}: adapter gone: {_said(problem)}")
            self.close()
            if not text:
                raise self._gone from None
        return self._intake(self._lines.take(text)) if text else Intake(Frames.empty())

    def close(self) -> None:
        """Close the channel and let go of the port, also of one that is gone."""
        port, self._port = self._port, None
        if port is not None:
            with contextlib.suppress(OSError):
                port.write(b"C\r")
            with contextlib.suppress(OSError):
                port.close()

    def _intake(self, said: Said) -> Intake:
        now_us = self._clock_us()
        times = self._times.place(said.stamps_ms, now_us, self._until_us)
        self._until_us = now_us
        complaints = tuple(f"{self.name}: unreadable line {line!r}" for line in said.examples)
        return Intake(Frames(times, said.ids, said.flags, said.lengths, said.payload), said.malformed, complaints)

    def _open_channel(self, port: serial.Serial) -> None:
        """Close the channel that an earlier reader may have left open, wait until it is quiet, and open our own."""
        time.sleep(self._settle_s)
        port.write(b"\rC\r")
        stop = time.monotonic() + _LONGEST_SETTLING_S
        while self._poll.poll(_QUIET_S * 1000) and time.monotonic() < stop:
            _drained(port.fileno())
        if self._ask(port, BITRATES[self._bitrate]) is None:
            raise SourceError(f"the adapter refuses {self._bitrate} bit/s")
        if self._stamped and self._ask(port, "Z1") is None:
            raise SourceError("the adapter has no clock; set options.timestamps = false")
        first = self._ask(port, "L" if self._listen_only else "O")
        if first is None:
            cure = "; set options.listen_only = false, and it will acknowledge frames" if self._listen_only else ""
            raise SourceError(f"the adapter refuses to open its channel{cure}")
        self._first = first

    def _ask(self, port: serial.Serial, command: str) -> bytes | None:
        """Say a command; what came behind its answer, or None if it was refused. No answer is consent."""
        port.write(f"{command}\r".encode())
        heard, stop = b"", time.monotonic() + _ANSWER_S
        while (left_s := stop - time.monotonic()) > 0:
            if self._poll.poll(left_s * 1000):
                heard += _drained(port.fileno())
            if heard[:1] == bytes((BEL,)):
                return None
            if heard[:1] == bytes((CR,)):
                return heard[1:]
            if heard:  # a frame's line: this adapter does not answer
                return heard
        return heard


def _drained(descriptor: int) -> bytes:
    """All that has arrived, up to MOST_AT_ONCE, where something has; OSError when that is the end of the adapter."""
    pieces: list[bytes] = []
    taken = 0
    while taken < MOST_AT_ONCE:
        try:
            piece = os.read(descriptor, _PIECE)
        except BlockingIOError:
            break
        except OSError:
            if pieces:
                break  # the next reading meets it again
            raise
        if not piece:
            if pieces:
                break
            raise OSError("the port is closed at its other end")
        pieces.append(piece)
        taken += len(piece)
    return b"".join(pieces)


def _checked(options: dict[str, object]) -> dict[str, float]:
    for name, value in options.items():
        if name not in _OPTIONS:
            raise ConfigError(f"pack.source.options: {name}: slcan has {', '.join(sorted(_OPTIONS))}")
        kind = _OPTIONS[name]
        right = (
            isinstance(value, bool) if kind is bool else isinstance(value, int | float) and not isinstance(value, bool)
        )
        if not right:
            raise ConfigError(f"pack.source.options: {name}: is {'true or false' if kind is bool else 'a number'}")
    return {name: float(value) for name, value in options.items() if isinstance(value, int | float)}


def _said(problem: BaseException) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        if "exclusively lock" in problem.strerror:
            return "in use by another program; stop it first"
        # pyserial wraps the system's own words, which have the number.
        words = os.strerror(problem.errno) if problem.errno else problem.strerror
        return f"{words}; is the adapter plugged in?" if problem.errno == errno.ENOENT else words
    return " ".join(str(problem).split()) or type(problem).__name__
