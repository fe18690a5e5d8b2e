"""What this machine says of its time: the kernel's discipline, systemd-timesyncd's file, the hardware clock. It sets nothing."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SYNCHRONIZED: Final = Path(
    "/run/systemd/timesync/synchronized"
)  # systemd-timesyncd.service(8): touched at each success
HARDWARE: Final = Path("/sys/class/rtc/rtc0/since_epoch")
_STA_UNSYNC: Final = 0x0040


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), as far as it is read; the kernel writes 208 bytes on 64-bit machines."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("_rest", ctypes.c_byte * 256),
    )


@dataclass(frozen=True, slots=True)
class KernelTime:
    """Whether the kernel holds its clock for unsynchronized, and the largest error that it allows for, in us."""

    unsynchronized: bool
    largest_error_us: int


class MachineTime:
    """This machine's witnesses of its time. Not for use from two threads."""

    def __init__(self) -> None:
        self._adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
        self._said = _Timex()

    def kernel(self) -> KernelTime | None:
        """What the kernel says, by an adjtimex that changes nothing; None where we may not ask, as in a hardened service."""
        if self._adjtimex is None:
            return None
        said = self._said
        said.modes = 0
        if self._adjtimex(ctypes.byref(said)) < 0:
            self._adjtimex = None  # EPERM, ENOSYS: it stays so
            return None
        return KernelTime(bool(said.status & _STA_UNSYNC), said.maxerror)

    def touched_ms(self) -> int | None:
        """When systemd-timesyncd last said that it had synchronized the clock, by the clock of that moment, Unix ms."""
        try:
            return SYNCHRONIZED.stat().st_mtime_ns // 1_000_000
        except OSError:
            return None

    def hardware_ms(self) -> int | None:
        """What the hardware clock says, Unix ms; None if there is none. A slow question: some hang on an I2C bus."""
        try:
            return int(HARDWARE.read_text()) * 1000
        except (OSError, ValueError):
            return None
