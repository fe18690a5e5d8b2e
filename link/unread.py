"""How much waits in an owner's inbox, so that QoS 0 cannot fill the memory of one that has stopped reading.

QoS 1 needs no such bound: a broker holds it back while it is unacknowledged.
"""

from __future__ import annotations

import queue
from collections import deque
from typing import Any, Final

EVENTS: Final = 10_000
BYTES: Final = 64 << 20


class Unread:
    """Counts the events that are put into `inbox`; for the one thread that puts them, whoever reads."""

    def __init__(self, inbox: queue.SimpleQueue[Any]) -> None:
        self._inbox = inbox
        self._sizes: deque[int] = deque()
        self._bytes = 0

    def has_room(self, size: int) -> bool:
        """Whether one more message of `size` bytes may wait."""
        self._forget_read()
        return self._inbox.qsize() < EVENTS and self._bytes + size <= BYTES

    def put(self, event: object, size: int = 0) -> None:
        """Put an event of `size` bytes into the inbox."""
        self._forget_read()
        self._sizes.append(size)
        self._bytes += size
        self._inbox.put(event)

    def _forget_read(self) -> None:
        """What is beyond the events that still wait has been read. Others' events in a shared inbox make this err towards
        unread, until it has been emptied once."""
        waiting = self._inbox.qsize()
        while len(self._sizes) > waiting:
            self._bytes -= self._sizes.popleft()
