"""Vector's binary log (.blf), read by us: python-can's reader ends half a file without a word, spins for ever on an object
of size 0 and inflates without a bound.

The header says how many objects were written; fewer found means that rows are missing, and how many. Layouts after the
open description in Vector_BLF and python-can. Times are of a local clock without a zone, so never Unix times. Channels keep
the number that is written.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO, Final

from agent.frames import CLASSIC_BYTES, ERROR, FD, FD_BYTES, MAX_EXTENDED_ID, REMOTE
from agent.sources.rows import Cursor, Fault, Row, RowError, flags_of

MAGIC: Final = b"LOGG"
_OBJECT: Final = b"LOBJ"
MAX_OBJECT: Final = 16 * 1024 * 1024  # writers fill containers of 128 kB; nothing we read comes near

_FILE_HEAD: Final = struct.Struct("<4sL8BQQLL8H8H")
_OBJECT_HEAD: Final = struct.Struct("<4sHHLL")  # signature, header size, header version, object size, type
_CONTAINER_HEAD: Final = struct.Struct("<H6xL4x")  # compression method, size inflated
_TIMES: Final = {1: struct.Struct("<LHHQ"), 2: struct.Struct("<LBxHQ8x")}  # by header version: flags, ..., time
_CLASSIC: Final = struct.Struct("<HBBL8s")  # channel, flags, length code, id, payload
_FLEXIBLE: Final = struct.Struct("<HBBLLBBB5x64s")  # channel, flags, code, id, length, bits, FD flags, bytes, payload
_FLEXIBLE_64: Final = struct.Struct("<BBBBLLLLLLLHBBL")  # channel, code, bytes, tries, id, ..., FD flags at 6
_ERROR: Final = struct.Struct("<HHLBBBxLLH2x8s")

_CONTAINER: Final = 10
_RESTORE_POINT: Final = 115  # not counted by the header
_TEN_MICROSECONDS: Final = 1


def recognised(head: bytes) -> bool:
    """Whether a file that begins so is one of these."""
    return head.startswith(MAGIC)


def rows(file: BinaryIO, cursor: Cursor) -> Iterator[Row | Fault]:
    """Rows and faults of a binary log, in order, ending with a fault if the header promised more objects.

    The cursor counts objects, as the header does.
    """
    head = file.read(_FILE_HEAD.size)
    if len(head) < _FILE_HEAD.size:
        yield Fault("the header is cut short")
        return
    fields = _FILE_HEAD.unpack(head)
    head_size, promised = fields[1], fields[12]
    file.seek(max(head_size, _FILE_HEAD.size))
    # What a damaged stretch has cost is counted once: at the end where the header says how many there should be.
    lost = 0 if promised else 1
    objects = _Objects(_started_us(fields[14:22]), cursor, lost)
    for inflated in _containers(file):
        if isinstance(inflated, Fault):
            objects.resume()
            yield Fault(inflated.what, lost)
        else:
            yield from objects.take(inflated)
    if cursor.place < promised:
        missing = promised - cursor.place
        yield Fault(f"the header counts {promised} objects, {missing} of them are missing", missing)
    elif not promised and cursor.place:
        yield Fault("the recording was never closed, its end may be missing")


def _containers(file: BinaryIO) -> Iterator[bytes | Fault]:
    """What the containers hold, inflated within a bound; after a fault the next container may begin inside an object."""
    while head := file.read(_OBJECT_HEAD.size):
        if len(head) < _OBJECT_HEAD.size:
            yield Fault("the file is cut short")
            return
        signature, _, _, size, kind = _OBJECT_HEAD.unpack(head)
        if signature != _OBJECT or not _OBJECT_HEAD.size <= size <= MAX_OBJECT:
            yield Fault("not an object of a binary log, the rest cannot be read")
            return
        content = file.read(size - _OBJECT_HEAD.size)
        complete = len(content) == size - _OBJECT_HEAD.size
        file.read(size % 4)
        if kind == _CONTAINER and len(content) >= _CONTAINER_HEAD.size:
            yield from _inflated(content)
        elif kind != _CONTAINER:
            yield head + content
        if not complete:
            yield Fault("the file is cut short")


def _inflated(content: bytes) -> Iterator[bytes | Fault]:
    method, _ = _CONTAINER_HEAD.unpack_from(content)
    packed = content[_CONTAINER_HEAD.size :]
    if method == 0:
        yield packed
        return
    if method != 2:
        yield Fault(f"compressed by the unknown method {method}")
        return
    inflater = zlib.decompressobj()
    try:
        yield inflater.decompress(packed, MAX_OBJECT)
    except zlib.error:
        yield Fault("compressed content is damaged")
        return
    if inflater.unconsumed_tail:
        yield Fault(f"inflates beyond {MAX_OBJECT} bytes")


class _Objects:
    """Cuts the stream of containers into objects; an object may begin in one container and end in the next."""

    def __init__(self, started_us: int, cursor: Cursor, lost: int) -> None:
        self._cursor = cursor
        self._count = lost
        self._started_us = started_us
        self._rest = b""
        self._lost = False

    def resume(self) -> None:
        """After a damaged container: look for the next object wherever it begins."""
        self._rest = b""
        self._lost = True

    def take(self, inflated: bytes) -> Iterator[Row | Fault]:
        stream = self._rest + inflated
        position = 0
        while True:
            start = stream.find(_OBJECT, position)
            if start < 0:
                self._rest = stream[max(position, len(stream) - len(_OBJECT) + 1) :]
                return
            if start - position >= 4 and not self._lost:  # objects are padded to four bytes
                yield Fault(f"{start - position} bytes that belong to no object", self._count)
            self._lost = False
            if start + _OBJECT_HEAD.size > len(stream):
                self._rest = stream[start:]
                return
            _, head_size, version, size, kind = _OBJECT_HEAD.unpack_from(stream, start)
            if not max(head_size, _OBJECT_HEAD.size) <= size <= MAX_OBJECT:
                yield Fault(f"impossible size {size}", self._count)
                position, self._lost = start + len(_OBJECT), True
                continue
            if start + size > len(stream):
                self._rest = stream[start:]
                return
            self._cursor.place += kind != _RESTORE_POINT
            try:
                row = self._row(stream[start : start + size], head_size, version, kind)
            except (struct.error, RowError) as problem:
                yield Fault(f"unreadable: {problem}")
            else:
                if row is not None:
                    yield row
            position = start + size

    def _row(self, content: bytes, head_size: int, version: int, kind: int) -> Row | None:
        read = _READERS.get(kind)
        if read is None:
            return None
        if version not in _TIMES:
            raise RowError(f"header version {version}")
        unit, _, _, time = _TIMES[version].unpack_from(content, _OBJECT_HEAD.size)
        time_us = self._started_us + (time * 10 if unit == _TEN_MICROSECONDS else time // 1000)
        return time_us, *read(content, head_size)


def _classic(content: bytes, at: int) -> tuple[int, int, int, bytes]:
    channel, flags, code, number, payload = _CLASSIC.unpack_from(content, at)
    identifier, kind = _identified(number)
    if flags & 0x80:
        return channel, identifier, kind | REMOTE, b""
    return channel, identifier, kind, payload[: min(code, CLASSIC_BYTES)]


def _flexible(content: bytes, at: int) -> tuple[int, int, int, bytes]:
    channel, flags, _, number, _, _, fd_flags, count, payload = _FLEXIBLE.unpack_from(content, at)
    identifier, kind = _identified(number)
    if flags & 0x80:
        return channel, identifier, kind | REMOTE, b""
    return channel, identifier, kind | (FD if fd_flags & 1 else 0), _bounded(payload[:count], count, fd_flags & 1)


def _flexible_64(content: bytes, at: int) -> tuple[int, int, int, bytes]:
    fields = _FLEXIBLE_64.unpack_from(content, at)
    channel, count, number, fd_flags, extension = fields[0], fields[2], fields[4], fields[6], fields[13]
    identifier, kind = _identified(number)
    if fd_flags & 0x10:
        return channel, identifier, kind | REMOTE, b""
    start = at + _FLEXIBLE_64.size
    # Writers may claim more bytes than they store (python-can's issue 1905); what is not stored was zero.
    payload = content[start : min(start + count, extension or len(content))].ljust(count, b"\0")
    flexible = fd_flags & 0x1000
    return channel, identifier, kind | (FD if flexible else 0), _bounded(payload, count, flexible)


def _error(content: bytes, at: int) -> tuple[int, int, int, bytes]:
    channel, _, _, _, _, code, _, number, _, payload = _ERROR.unpack_from(content, at)
    return channel, number & MAX_EXTENDED_ID, ERROR, payload[: min(code, CLASSIC_BYTES)]


def _identified(number: int) -> tuple[int, int]:
    identifier = number & 0x7FFF_FFFF
    return identifier, flags_of(identifier, bool(number & 0x8000_0000))


def _bounded(payload: bytes, count: int, flexible: int) -> bytes:
    if count > (FD_BYTES if flexible else CLASSIC_BYTES):
        raise RowError(f"{count} bytes of payload")
    return payload


_READERS: Final = {1: _classic, 86: _classic, 73: _error, 100: _flexible, 101: _flexible_64}


def _started_us(fields: tuple[int, ...]) -> int:
    year, month, _, day, hour, minute, second, millisecond = fields
    try:
        moment = datetime(year, month, day, hour, minute, second, millisecond * 1000, tzinfo=UTC)
    except ValueError:
        return 0
    return max(0, int(moment.timestamp() * 1000)) * 1000
