"""The LAWICEL (slcan) ASCII protocol, adapter's side. Pure: bytes in, bytes out; no terminal and no clock.

Source: the CAN232/CANUSB manuals of LAWICEL AB. A command ends with CR; the answer ends with CR (done) or is BEL
(refused). Where adapters differ this one is lenient as common USB ones are: O works without a bit rate having been
set (then 500 kbit/s), and an empty command is answered with CR.
"""

from __future__ import annotations

import enum
import re
from collections import deque
from dataclasses import dataclass, field

from firmware_sim.bus.frame import CanFrame
from firmware_sim.outputs.output import HEARD_MAX

OK = b"\r"
BELL = b"\a"
VERSION = b"V1013\r"
SERIAL_NUMBER = b"NPS01\r"
MAX_COMMAND = 32  # the longest is T, 8 digits of identifier, length, 16 of payload, 4 of time
FIFO_FULL = 0x01
TIMESTAMP_WRAP_MS = 60_000

_FRAME = re.compile(rb"(?:([tr])([0-7][0-9A-Fa-f]{2})|([TR])([01][0-9A-Fa-f]{7}))([0-8])((?:[0-9A-Fa-f]{2}){0,8})")


class Channel(enum.Enum):
    """State of the adapter's CAN channel."""

    CLOSED = "closed"
    OPEN = "open"
    LISTEN_ONLY = "listen-only"


def parse_frame(command: bytes) -> CanFrame | None:
    """The frame of a t, T, r or R command, or None if it is malformed."""
    match = _FRAME.fullmatch(command)
    if match is None:
        return None
    short, short_id, long, long_id, length, payload = match.groups()
    kind: bytes = short or long
    remote, wanted = kind in b"rR", int(length)
    if len(payload) != (0 if remote else 2 * wanted):
        return None
    return CanFrame(
        int(short_id or long_id, 16),
        bytes.fromhex(payload.decode("ascii")),
        extended=long is not None,
        remote=remote,
        requested=wanted if remote else 0,
    )


def frame_line(frame: CanFrame) -> bytes:
    """A received frame as the adapter tells it to its host, without time and CR."""
    if frame.extended:
        head = f"{'R' if frame.remote else 'T'}{frame.identifier:08X}{frame.length}"
    else:
        head = f"{'r' if frame.remote else 't'}{frame.identifier:03X}{frame.length}"
    return (head + frame.payload.hex().upper()).encode("ascii")


@dataclass(slots=True)
class Adapter:
    """Protocol state of one adapter. `feed` takes what the host wrote and returns what to answer."""

    channel: Channel = Channel.CLOSED
    timestamps: bool = False
    overrun: bool = False
    received: int = 0
    _heard: deque[CanFrame] = field(default_factory=lambda: deque(maxlen=HEARD_MAX))
    _line: bytearray = field(default_factory=bytearray)
    _overlong: bool = False

    @property
    def is_open(self) -> bool:
        """Whether frames are to be given to the host."""
        return self.channel is not Channel.CLOSED

    def feed(self, received: bytes) -> bytes:
        """Answers to all commands that `received` completes."""
        answers = bytearray()
        for byte in received:
            if byte != OK[0]:
                self._overlong = self._overlong or len(self._line) >= MAX_COMMAND
                if not self._overlong:
                    self._line.append(byte)
                continue
            answers += BELL if self._overlong else self._answer(bytes(self._line))
            self._line.clear()
            self._overlong = False
        return bytes(answers)

    def line(self, frame: CanFrame, time_us: int) -> bytes:
        """A frame from the bus as a whole line, with its time in milliseconds if the host asked for times."""
        text = frame_line(frame)
        if self.timestamps:
            text += b"%04X" % (time_us // 1_000 % TIMESTAMP_WRAP_MS)
        return text + OK

    def heard(self) -> list[CanFrame]:
        """The frames that the host has put on the bus since the last call."""
        frames = list(self._heard)
        self._heard.clear()
        return frames

    def reset(self) -> None:
        """The host has gone: close the channel and forget half a command."""
        self.channel, self.timestamps, self.overrun, self._overlong = Channel.CLOSED, False, False, False
        self._line.clear()
        self._heard.clear()

    def _answer(self, command: bytes) -> bytes:
        name, rest = command[:1], command[1:]
        if name in (b"t", b"T", b"r", b"R") and command:
            return self._transmit(command)
        if command in (b"", b"V", b"N", b"v"):
            return {b"": OK, b"V": VERSION, b"N": SERIAL_NUMBER, b"v": b"v0100\r"}[command]
        if command == b"F":
            return self._status()
        if command == b"C":
            return self._change(self.is_open, Channel.CLOSED)
        if command in (b"O", b"L"):
            return self._change(not self.is_open, Channel.OPEN if name == b"O" else Channel.LISTEN_ONLY)
        if self.is_open:
            return BELL
        if name == b"S" and len(rest) == 1 and rest in b"012345678":
            return OK
        if name == b"s" and re.fullmatch(rb"[0-9A-Fa-f]{4,8}", rest):
            return OK
        if command in (b"Z0", b"Z1"):
            self.timestamps = command == b"Z1"
            return OK
        return BELL

    def _change(self, allowed: bool, to: Channel) -> bytes:
        if not allowed:
            return BELL
        self.channel = to
        return OK

    def _transmit(self, command: bytes) -> bytes:
        frame = parse_frame(command)
        if frame is None or self.channel is not Channel.OPEN:
            return BELL
        self.received += 1
        self._heard.append(frame)
        return b"Z\r" if frame.extended else b"z\r"

    def _status(self) -> bytes:
        if not self.is_open:
            return BELL
        flags, self.overrun = (FIFO_FULL if self.overrun else 0), False
        return b"F%02X\r" % flags
