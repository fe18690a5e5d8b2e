"""An slcan adapter on a pseudo-terminal, opened by its peer exactly as a USB one is.

The slave side is never held open here: only so does the kernel tell (POLLHUP) whether a peer is there. What nobody
listens to is not written; what nobody reads is dropped and counted; a line is written whole or not at all, and one
that the kernel cut is finished before anything else.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import struct
import termios
import time
import tty
from collections.abc import Sequence
from pathlib import Path

from firmware_sim.bus.frame import CanFrame, TimedFrame
from firmware_sim.errors import OutputError
from firmware_sim.outputs.lawicel import Adapter
from firmware_sim.outputs.output import Completed, Tally, nobody_asks
from firmware_sim.outputs.terminal_link import TerminalLink

READ_SIZE = 4_096
MAX_READS = 4
DRAIN_S = 1.0


class SlcanPty:
    """The adapter; `link` is a symbolic link to the terminal that it keeps while it lives."""

    def __init__(self, link: Path, completed: Completed = nobody_asks) -> None:
        self.tally = Tally()
        self._adapter = Adapter()
        self._link, self._completed = TerminalLink(link), completed
        self._master = -1
        self._slave_name = ""
        self._poll = select.poll()
        self._present = False
        self._unfinished = b""
        self._cut: CanFrame | None = None

    @property
    def listening(self) -> bool:
        """Whether a peer has the terminal open and has opened the channel."""
        return self._present and self._adapter.is_open

    def open(self) -> str:
        """Make the terminal and its link, which no other living simulator may have."""
        self._link.claim()
        self.plug()
        return f"slcan adapter at {self._link.path} ({self._slave_name})"

    def plug(self) -> None:
        """A new adapter behind the same link; the terminal has another name."""
        try:
            self._master, slave = os.openpty()
            self._slave_name = os.ttyname(slave)
            tty.setraw(slave)  # a fresh terminal echoes and waits for whole lines
            os.close(slave)
            os.set_blocking(self._master, False)
        except (OSError, termios.error) as problem:
            raise OutputError(f"no pseudo-terminal to be had: {problem}") from problem
        self._poll.register(self._master, select.POLLIN)
        self._link.point(self._slave_name)

    def unplug(self) -> None:
        """Hang up on the peer, who finds its port dead, and take link and terminal away."""
        if self._master < 0:
            return
        self._link.remove()
        self.tally.dropped += self._cut is not None
        self._poll.unregister(self._master)
        os.close(self._master)
        self._adapter = Adapter(received=self._adapter.received)
        self._master, self._present, self._unfinished, self._cut = -1, False, b"", None

    def service(self) -> None:
        """Notice a peer that came or went, finish a cut line, answer commands."""
        if self._master < 0:
            return
        if self._hung_up():
            if self._present:
                self._forget_peer()
            return
        self._present = True
        for _ in range(MAX_READS):
            # Answers wait their turn, and a host that does not read them is not read either.
            if not self._finish():
                return
            received = self._read()
            if not received:
                return
            self._unfinished += self._adapter.feed(received)
            self.tally.from_host = self._adapter.received

    def offer(self, frames: Sequence[TimedFrame]) -> int:
        """Write whole lines until the terminal is full; returns how many frames were taken."""
        if not self.listening or not frames or not self._finish():
            self._adapter.overrun = self._adapter.overrun or (self.listening and bool(frames))
            return 0
        lines = [self._adapter.line(frame, time_us) for time_us, frame in frames]
        room = self._write(b"".join(lines))
        if self._hung_up():
            self._forget_peer()
            return 0
        taken = 0
        while taken < len(lines) and room >= len(lines[taken]):
            room -= len(lines[taken])
            taken += 1
        self._complete([frame for _, frame in frames[:taken]])
        if room:  # the kernel took a part of the next line
            self._unfinished, self._cut = lines[taken][room:], frames[taken].frame
            taken += 1
        self._adapter.overrun = self._adapter.overrun or taken < len(frames)
        return taken

    def heard(self) -> list[CanFrame]:
        """The frames that the peer has put on the bus."""
        return self._adapter.heard()

    def close(self) -> None:
        """Finish the cut line, let the peer read what it has been sent, then take the adapter away."""
        deadline = time.monotonic() + DRAIN_S
        while self.listening and time.monotonic() < deadline:
            if self._hung_up():
                self._forget_peer()
            elif self._finish() and not self._unread():
                break
            time.sleep(0.002)
        self.unplug()
        self._link.release()

    def _hung_up(self) -> bool:
        return any(event & select.POLLHUP for _, event in self._poll.poll(0))

    def _read(self) -> bytes:
        try:
            return os.read(self._master, READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError as problem:
            if problem.errno == errno.EIO:  # no slave is open; the next service will see the hang-up
                return b""
            raise OutputError(f"{self._link.path}: {problem.strerror}") from problem

    def _write(self, content: bytes) -> int:
        try:
            return os.write(self._master, content)
        except BlockingIOError:
            return 0
        except OSError as problem:
            if problem.errno == errno.EIO:
                return 0
            raise OutputError(f"{self._link.path}: {problem.strerror}") from problem

    def _finish(self) -> bool:
        if self._unfinished:
            self._unfinished = self._unfinished[self._write(self._unfinished) :]
        if self._unfinished:
            return False
        if self._cut is not None:
            cut, self._cut = self._cut, None
            self._complete([cut])
        return True

    def _complete(self, frames: list[CanFrame]) -> None:
        if frames:
            self.tally.written += len(frames)
            self._completed(frames)

    def _forget_peer(self) -> None:
        # As an adapter that watches DTR does: the channel closes with the port. What the old peer has not read must
        # not meet the next one, and its last commands are nobody's.
        while self._read():
            pass
        with contextlib.suppress(termios.error):
            termios.tcflush(self._master, termios.TCIOFLUSH)
        self._adapter.reset()
        self.tally.dropped += self._cut is not None
        self._present, self._unfinished, self._cut = False, b"", None

    def _unread(self) -> bool:
        try:
            slave = os.open(self._slave_name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            return False  # the peer has it to itself, or it is gone: there is no way to ask
        try:
            waiting = fcntl.ioctl(slave, termios.FIONREAD, b"\0" * 4)
        except OSError:
            return False
        finally:
            os.close(slave)
        return bool(struct.unpack("i", waiting)[0])
