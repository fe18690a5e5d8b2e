"""The memory of trouble codes: which alerts are active, which have been, until a tester clears them. Pure.

A code is `1A nn 00` with the alert's number nn (SAE J2012 writes it P1Ann), in the status format of ISO 14229-1, D.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

FAILED = 0x01
FAILED_THIS_CYCLE = 0x02
CONFIRMED = 0x08
FAILED_SINCE_CLEAR = 0x20
AVAILABLE = FAILED | FAILED_THIS_CYCLE | CONFIRMED | FAILED_SINCE_CLEAR
FORMAT = 0x01  # ISO 14229-1 DTC format
ALL_GROUPS = 0xFFFFFF
_GROUP = 0x1A0000


def code_of(alert: int) -> int:
    """The 24-bit trouble code of an alert's number."""
    return _GROUP | alert << 8


@dataclass(slots=True)
class TroubleCodes:
    """Status of every code that the firmware can raise; `supported` are the numbers of its alerts."""

    supported: frozenset[int]
    _active: frozenset[int] = frozenset()
    _this_cycle: set[int] = field(default_factory=set)
    _remembered: set[int] = field(default_factory=set)

    def observe(self, active: Iterable[int]) -> None:
        """Take the alerts that are active now; a code that this firmware does not have is not stored."""
        self._active = self.supported & frozenset(active)
        self._this_cycle |= self._active
        self._remembered |= self._active

    def begin_cycle(self) -> None:
        """The BMS has booted or woken: an operation cycle begins."""
        self._active = frozenset()
        self._this_cycle.clear()

    def clear(self, group: int) -> bool:
        """Forget all codes, or one; False if `group` is neither. An alert that is still active comes back at once."""
        gone = {alert for alert in self.supported if group in (ALL_GROUPS, code_of(alert))}
        self._this_cycle -= gone
        self._remembered -= gone
        self._active -= gone
        return bool(gone)

    def status(self, alert: int) -> int:
        """The status byte of an alert's code."""
        remembered = CONFIRMED | FAILED_SINCE_CLEAR if alert in self._remembered else 0
        this_cycle = FAILED_THIS_CYCLE if alert in self._this_cycle else 0
        return remembered | this_cycle | (FAILED if alert in self._active else 0)

    def matching(self, mask: int) -> list[tuple[int, int]]:
        """Code and status of every alert whose status shares a bit with `mask`, by number."""
        known = ((alert, self.status(alert)) for alert in sorted(self.supported))
        return [(code_of(alert), status) for alert, status in known if status & mask]

    def all(self) -> list[tuple[int, int]]:
        """Code and status of every alert that this firmware can raise."""
        return [(code_of(alert), self.status(alert)) for alert in sorted(self.supported)]
