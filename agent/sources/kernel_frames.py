"""CAN frames as Linux hands them over (linux/can.h, linux/can/error.h), as columns. Pure: no sockets, no clocks.

A whole reading is parsed at once: joined, and then seen as one array.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.frames import (
    CLASSIC_BYTES,
    ERROR,
    EXTENDED,
    FD,
    FD_BYTES,
    MAX_EXTENDED_ID,
    MAX_STANDARD_ID,
    REMOTE,
    Frames,
    IntArray,
)

CLASSIC_SIZE: Final = 16  # struct can_frame
FD_SIZE: Final = 72  # struct canfd_frame
MAX_FILTERS: Final = 512  # CAN_RAW_FILTER_MAX

_EXTENDED_BIT: Final = 0x8000_0000  # CAN_EFF_FLAG
_REMOTE_BIT: Final = 0x4000_0000  # CAN_RTR_FLAG
_ERROR_BIT: Final = 0x2000_0000  # CAN_ERR_FLAG
ERROR_CLASSES: Final = 0x1FFF_FFFF  # CAN_ERR_MASK: all of them
_HEAD: Final = 8

_CONTROLLER: Final = 0x0004  # CAN_ERR_CRTL: its second byte says what
_BUS_OFF: Final = 0x0040  # CAN_ERR_BUSOFF
_OVERRUN: Final = 0x01  # CAN_ERR_CRTL_RX_OVERFLOW
_PASSIVE: Final = 0x30  # CAN_ERR_CRTL_RX_PASSIVE, CAN_ERR_CRTL_TX_PASSIVE
_FILTER: Final = struct.Struct("=II")


def filters_for(ids: Iterable[tuple[int, bool]]) -> bytes | None:
    """The kernel's filters (CAN_RAW_FILTER) for data frames of these (number, 29 bits); None when they are too many for it.

    Masks are whole, so that the kernel looks a frame up by its number instead of trying one filter after the other.
    """
    wanted = sorted(set(ids))
    if len(wanted) > MAX_FILTERS:
        return None
    whole = _EXTENDED_BIT | _REMOTE_BIT
    return b"".join(
        _FILTER.pack(number | _EXTENDED_BIT, whole | MAX_EXTENDED_ID)
        if extended
        else _FILTER.pack(number, whole | MAX_STANDARD_ID)
        for number, extended in wanted
    )


def frames_of(messages: Sequence[bytes], time_us: IntArray) -> tuple[Frames, NDArray[np.bool_]]:
    """The frames of messages as they were received, with their times; and which of the messages are frames."""
    sizes = np.fromiter(map(len, messages), np.intp, len(messages))
    width = FD_BYTES if bool((sizes > CLASSIC_SIZE).any()) else CLASSIC_BYTES
    row = _HEAD + width
    joined = b"".join(messages)
    if len(joined) != row * len(messages):
        joined = b"".join([message[:row].ljust(row, b"\0") for message in messages])
    image = np.frombuffer(joined, np.uint8).reshape(len(messages), row)
    words = np.ascontiguousarray(image[:, :4]).view(np.uint32).ravel()
    flexible = sizes == FD_SIZE
    lengths = image[:, 4].copy()
    flags = _flags(words, flexible)
    known = (flexible | (sizes == CLASSIC_SIZE)) & (lengths <= np.where(flexible, FD_BYTES, CLASSIC_BYTES))
    lengths[(flags & REMOTE) != 0] = 0  # what it asks for is not in it
    payload = image[:, _HEAD:]
    if int(lengths.min(initial=width)) < width:  # whatever a sender left behind the length is not said
        payload = np.where(np.arange(width) < lengths[:, None], payload, np.uint8(0))
    numbers = words & np.where(
        (flags & (EXTENDED | ERROR)) != 0, np.uint32(MAX_EXTENDED_ID), np.uint32(MAX_STANDARD_ID)
    )
    frames = Frames(time_us, numbers, flags, lengths, payload)
    return (frames if bool(known.all()) else frames[known]), known


def bus_off_at(frames: Frames) -> int | None:
    """Position of the first error frame that says that the controller has left the bus; None if there is none."""
    found = np.flatnonzero(((frames.flags & ERROR) != 0) & ((frames.ids & _BUS_OFF) != 0))
    return int(found[0]) if len(found) else None


def trouble(frames: Frames) -> str | None:
    """What the error frames say of the controller's state, in words; empty when it is well, None when they say nothing."""
    found = np.flatnonzero(((frames.flags & ERROR) != 0) & ((frames.ids & _CONTROLLER) != 0))
    if not len(found):
        return None
    if bool((frames.payload[found, 1] & _OVERRUN).any()):
        return "the controller was overrun: it lost frames, and nobody knows how many"
    if int(frames.payload[found[-1], 1]) & _PASSIVE:
        return "the controller is error-passive: look at bit rate, wiring and termination"
    return ""


def _flags(words: NDArray[np.uint32], flexible: NDArray[np.bool_]) -> NDArray[np.uint8]:
    error = (words & _ERROR_BIT) != 0
    extended = ((words & _EXTENDED_BIT) != 0) & ~error
    remote = ((words & _REMOTE_BIT) != 0) & ~error & ~flexible
    flags: NDArray[np.uint8] = (extended * EXTENDED + remote * REMOTE + flexible * FD + error * ERROR).astype(np.uint8)
    return flags
