"""Watches a connection in tests: waits with a deadline for the event that a test is about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from link.connection import Connection
from link.events import Event
from link.retry import Backoff

E = TypeVar("E", bound=Event)

FAST = Backoff(first_s=0.02, limit_s=0.2, jitter=0.5, stable_s=60.0, refused_s=0.2)
DEADLINE_S = 15.0


class Watch:
    """All events of a connection so far; `next` moves on to the next one of a kind."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.seen: list[Event] = []
        self._place = 0

    def next(self, kind: type[E], such_that: Callable[[E], bool] = lambda _event: True) -> E:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            while self._place < len(self.seen):
                event = self.seen[self._place]
                self._place += 1
                if isinstance(event, kind) and such_that(event):
                    return event
            self.seen += self.connection.poll(0.05)
        raise AssertionError(f"no {kind.__name__} within {DEADLINE_S} s, but {self.seen[-20:]}")

    def quiet(self, kind: type[E], seconds: float = 0.3) -> bool:
        """Whether no event of this kind comes for a while, where nothing could mark the end of waiting."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.seen += self.connection.poll(0.05)
        return not any(isinstance(event, kind) for event in self.seen[self._place :])


def eventually(fact: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    while not fact() and time.monotonic() < deadline:
        time.sleep(0.01)
    return fact()
