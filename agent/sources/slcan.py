"""Serial CAN adapters that speak slcan, read in pieces as large as the kernel has them. The only importer of `serial`.

It never sends on the bus: the adapter is told to listen only, unless the configuration says that it shall acknowledge. An
adapter that went away is a SourceError, after which the source may be opened again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import termios
import time
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import serial

from agent.errors import ConfigError, SourceError
from agent.frames import Frames
from agent.sources.adapter_times import AdapterTimes
from agent.sources.slcan_lines import BEL, CR, NO_STAMP, Lines, Said
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
    800_000: "S7",
    1_000_000: "S8",
    83_300: "S9",
}
MOST_AT_ONCE: Final = 1 << 18  # bytes of one reading: two seconds of a full bus of 1 Mbit/s
_PIECE: Final = 1 << 16
_ANSWER_S: Final = 0.2  # some adapters never answer
_QUIET_S: Final = 0.05  # longer than the latency timer of an FTDI
_FLUSH_S: Final = 0.2
_LONGEST_SETTLE_S: Final = 2.0
_FASTEST: Final = 2**31 - 1
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
        if speed and not (speed.isdecimal() and len(speed) < 10 and int(speed)):
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
        self._heard = False
        self._gone: SourceError | None = None

    def open(self) -> None:
        """Open port and channel, and drop what was said before. SourceError names the adapter and what it said."""
        self.close()
        self._gone, self._heard = None, False
        self._lines, self._times, self._first = Lines(), AdapterTimes(), b""
        try:
            self._port = serial.Serial(
                self._path, self._baudrate, timeout=0, write_timeout=1, rtscts=self._rtscts, exclusive=True
            )
            self._poll = select.poll()
            self._poll.register(self._port, select.POLLIN)
            self._open_channel(self._port)
        except (OSError, ValueError, OverflowError, termios.error) as problem:  # SerialException is an OSError
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
        if not text:
            self._until_us = self._clock_us()
            return Intake(Frames.empty())
        return self._intake(self._lines.take(text))

    def close(self) -> None:
        """Close the channel and let go of the port, also of one that is gone."""
        port, self._port = self._port, None
        if port is not None:
            with contextlib.suppress(OSError, termios.error):
                port.write(b"C\r")
                # What an adapter does not take would hold up the closing for half a minute.
                stop = time.monotonic() + _FLUSH_S
                while port.out_waiting and time.monotonic() < stop:
                    time.sleep(0.005)
                if port.out_waiting:
                    port.reset_output_buffer()
            with contextlib.suppress(OSError, termios.error):
                port.close()

    def _intake(self, said: Said) -> Intake:
        now_us = self._clock_us()
        # Some adapters stamp for ever once they have been asked to.
        stamps_ms = said.stamps_ms if self._stamped else np.full(len(said), NO_STAMP, np.int64)
        times = self._times.place(stamps_ms, now_us, self._until_us)
        self._until_us = now_us
        self._heard = self._heard or len(said) > 0
        complaints = [f"{self.name}: unreadable line {line!r}" for line in said.examples]
        if said.refusals:  # of the opening, as nothing is asked for after it
            complaints.append(f"{self.name}: the adapter has refused a command")
            if not self._heard:
                self._gone = SourceError(f"{self.name}: the adapter refuses to open its channel")
                self.close()
        return Intake(
            Frames(times, said.ids, said.flags, said.lengths, said.payload), said.malformed, tuple(complaints)
        )

    def _open_channel(self, port: serial.Serial) -> None:
        """Close the channel that an earlier reader may have left open, wait until it is quiet, and open our own."""
        time.sleep(self._settle_s)
        port.write(b"\rC\r")
        wait_s, stop = _ANSWER_S, time.monotonic() + _LONGEST_SETTLING_S
        while self._poll.poll(wait_s * 1000) and time.monotonic() < stop:
            _drained(port.fileno())
            wait_s = _QUIET_S
        rate = self._ask(port, BITRATES[self._bitrate], f"the adapter refuses {self._bitrate} bit/s")
        if self._stamped:
            self._ask(port, "Z1", "the adapter has no clock; set options.timestamps = false")
        cure = "; set options.listen_only = false, and it will acknowledge frames" if self._listen_only else ""
        refused = f"the adapter refuses to open its channel{cure}"
        opened = self._ask(port, "L" if self._listen_only else "O", refused)
        if rate is None and opened is None:
            opened = self._open_silent(port, refused)
        self._first = opened or b""

    def _open_silent(self, port: serial.Serial, refused: str) -> bytes | None:
        """Open an adapter that answers no command but the one for its version, and has its own for silence: CANable's."""
        if self._ask(port, "V", "the adapter does not say its version") is None:
            raise SourceError(
                "the adapter answers nothing; where opening resets it, set options.sleep_after_open, in seconds"
            )
        self._ask(port, "M1" if self._listen_only else "M0", refused)
        return self._ask(port, "O", refused)

    def _ask(self, port: serial.Serial, command: str, refused: str) -> bytes | None:
        """Say a command; what came behind its answer, None if none came; SourceError with `refused` if it was refused."""
        port.write(f"{command}\r".encode())
        heard, stop = b"", time.monotonic() + _ANSWER_S
        while (left_s := stop - time.monotonic()) > 0:
            if self._poll.poll(left_s * 1000):
                heard += _drained(port.fileno())
            if heard[:1] == bytes((BEL,)):
                raise SourceError(refused)
            if heard[:1] == bytes((CR,)):
                return heard[1:]
            if heard and (heard[:1] in b"tTrRdDbBx" or CR in heard):
                return heard  # a frame's line, or an answer in words
        return heard or None


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
    chosen: dict[str, float] = {}
    for name, value in options.items():
        if name not in _OPTIONS:
            raise ConfigError(f"pack.source.options: {name}: slcan has {', '.join(sorted(_OPTIONS))}")
        kind = _OPTIONS[name]
        if isinstance(value, bool) != (kind is bool) or not isinstance(value, int | float):
            raise ConfigError(f"pack.source.options: {name}: is {'true or false' if kind is bool else 'a number'}")
        chosen[name] = value
    if not 0 <= chosen.get("sleep_after_open", 0) <= _LONGEST_SETTLE_S:
        raise ConfigError(f"pack.source.options: sleep_after_open: is 0 to {_LONGEST_SETTLE_S:.0f}, in seconds")
    if not 1 <= chosen.get("tty_baudrate", 1) <= _FASTEST:
        raise ConfigError("pack.source.options: tty_baudrate: is a port's speed, such as 115200")
    return chosen


def _said(problem: BaseException) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        if "exclusively lock" in problem.strerror:
            return "in use by another program; stop it first"
        # pyserial wraps the system's own words, which have the number.
        words = os.strerror(problem.errno) if problem.errno else problem.strerror
        return f"{words}; is the adapter plugged in?" if problem.errno == errno.ENOENT else words
    return " ".join(str(problem).split()) or type(problem).__name__
