"""Journal lines that whoever can publish is able to cause: said up to a limit, then counted, so that nobody fills a disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from packseal.program import printable

LINES: Final = 20
PERIOD_S: Final = 60.0
_journal: Final = logging.getLogger("packseal-ledger")


class Complaints:
    """At most 20 lines a minute; how many more there were is said when the minute is over and another one comes."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._since = monotonic()
        self._lines = 0

    def say(self, text: str, *values: object) -> None:
        """One line, as of logging, of what a terminal shows and nothing that it obeys."""
        now = self._monotonic()
        if now - self._since >= PERIOD_S:
            if self._lines > LINES:
                _journal.warning("%d more lines of this kind were kept back", self._lines - LINES)
            self._since, self._lines = now, 0
        self._lines += 1
        if self._lines <= LINES:
            _journal.warning("%s", printable(" ".join((text % values).split())))
