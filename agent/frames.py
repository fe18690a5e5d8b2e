"""CAN frames as columns, the noun of capture. Pure: no files, no clocks.

Everything after capture works on whole columns, because numpy pays per call and Python per frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

IntArray: TypeAlias = NDArray[np.int64]

EXTENDED: Final = 1
REMOTE: Final = 2
FD: Final = 4
ERROR: Final = 8

MAX_STANDARD_ID: Final = 0x7FF
MAX_EXTENDED_ID: Final = 0x1FFF_FFFF
CLASSIC_BYTES: Final = 8
FD_BYTES: Final = 64

_HEAD: Final = 6  # id u32, flags u8, length u8


class Hasher(Protocol):
    """Anything that takes bytes in order, as hashlib's objects do."""

    def update(self, data: bytes, /) -> object:
        """Take more bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """n frames in order of capture.

    `time_us` int64[n] is the capture clock; `ids` uint32[n] the 11 or 29 bit number alone; `flags` uint8[n] a sum of
    EXTENDED, REMOTE, FD, ERROR; `lengths` uint8[n] the bytes of payload; `payload` uint8[n, 8], or [n, 64] where any frame
    is longer than 8, zero beyond each length. A remote frame carries none, whatever length it asked for.
    """

    time_us: IntArray
    ids: NDArray[np.uint32]
    flags: NDArray[np.uint8]
    lengths: NDArray[np.uint8]
    payload: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, chosen: slice | NDArray[np.bool_] | IntArray) -> Frames:
        """The frames of a slice, a mask or a list of positions."""
        return Frames(
            self.time_us[chosen], self.ids[chosen], self.flags[chosen], self.lengths[chosen], self.payload[chosen]
        )

    @staticmethod
    def empty() -> Frames:
        """No frames."""
        return Frames.from_columns((), (), (), ())

    @staticmethod
    def from_rows(rows: Iterable[tuple[int, int, int, bytes]]) -> Frames:
        """Frames of (time us, id, flags, payload) rows."""
        columns = tuple(zip(*rows, strict=True))
        return Frames.from_columns(*columns) if columns else Frames.empty()

    @staticmethod
    def from_columns(
        times: Sequence[int], ids: Sequence[int], flags: Sequence[int], payloads: Sequence[bytes]
    ) -> Frames:
        """Frames of four sequences of one length; payloads of at most 64 bytes."""
        lengths = np.fromiter(map(len, payloads), np.uint8, len(payloads))
        width = FD_BYTES if len(lengths) and int(lengths.max()) > CLASSIC_BYTES else CLASSIC_BYTES
        joined = b"".join([payload.ljust(width, b"\0") for payload in payloads])
        return Frames(
            np.array(times, np.int64),
            np.array(ids, np.uint32),
            np.array(flags, np.uint8),
            lengths,
            np.frombuffer(joined, np.uint8).reshape(len(payloads), width),
        )

    @staticmethod
    def concat(parts: Sequence[Frames]) -> Frames:
        """All parts, one after the other."""
        if not parts:
            return Frames.empty()
        if len(parts) == 1:
            return parts[0]
        width = max(part.payload.shape[1] for part in parts)
        return Frames(
            np.concatenate([part.time_us for part in parts]),
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.flags for part in parts]),
            np.concatenate([part.lengths for part in parts]),
            np.concatenate([_widened(part.payload, width) for part in parts]),
        )


def digest_update(hasher: Hasher, frames: Frames) -> None:
    """Feed frames to a raw-frame digest: per frame id u32 big-endian, flags u8, length u8, payload.

    Times are left out: log formats round them differently, so one drive recorded twice would differ. The windows bind time,
    and the digest binds content and order. It does not depend on how the frames were cut into batches.
    """
    count, width = frames.payload.shape
    if not count:
        return
    image = np.empty((count, _HEAD + width), np.uint8)
    image[:, :4] = frames.ids.astype(">u4").view(np.uint8).reshape(count, 4)
    image[:, 4] = frames.flags
    image[:, 5] = frames.lengths
    image[:, _HEAD:] = frames.payload
    if int(frames.lengths.min()) == width:
        hasher.update(image.tobytes())
    else:
        kept = np.arange(_HEAD + width) < (frames.lengths.astype(np.int64) + _HEAD)[:, None]
        hasher.update(image[kept].tobytes())


def _widened(payload: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    missing = width - payload.shape[1]
    return np.pad(payload, ((0, 0), (0, missing))) if missing else payload
