"""Looks whether every part of the agent progresses, tells the service manager so, and names the part that does not.

A thread of its own, so that it can still say what hangs when the engine does. The manager is fed only when each part has
beaten since it was fed last: from then on a part that hangs has at most one period, as it would alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from agent.pulse import Pulse
from packseal.service_manager import ServiceManager

UNWATCHED_S: Final = 60.0  # without a watchdog a part that hangs for half of this is named all the same
_LOOKS_PER_PERIOD: Final = 6
_LOG: Final = logging.getLogger("packseal.agent")


class Watchdog:
    """Watches `pulses` for the service manager until it is stopped."""

    def __init__(
        self, service: ServiceManager, pulses: Iterable[Pulse], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._service = service
        self._pulses = list(pulses)
        self._monotonic = monotonic
        self._period_s = service.watchdog_s or UNWATCHED_S
        self._fed_s = self._looked_s = monotonic()
        self._named: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    @property
    def every_s(self) -> float:
        """Seconds between two looks."""
        return self._period_s / _LOOKS_PER_PERIOD

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def look(self) -> None:
        """Feed the manager if every part has beaten since the last time; name once who has not for half a period."""
        now_s, looked_s = self._monotonic(), self._looked_s
        self._looked_s = now_s
        if now_s - looked_s > 2 * self.every_s:
            return  # the whole process stood still: the others must have had their turn first
        beats = [(pulse.part, beat) for pulse in self._pulses if (beat := pulse.last) is not None]
        if all(beat.due_s > self._fed_s for _, beat in beats):
            self._fed_s = now_s
            self._service.feed()
        for part, beat in beats:
            silent_s = now_s - beat.due_s
            if silent_s <= self._period_s / 2:
                if part in self._named:
                    self._named.discard(part)
                    _LOG.warning("%s progresses again", part)
            elif part not in self._named:
                self._named.add(part)
                _LOG.error("%s does not progress: %.0f s, since it began with %s", part, silent_s, beat.doing)

    def _run(self) -> None:
        while not self._stopping.wait(self.every_s):
            self.look()
