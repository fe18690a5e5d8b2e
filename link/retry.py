"""When to connect again and in which MQTT version: pure decisions, no clock, no socket.

Jitter keeps a fleet from returning in step after a broker's restart. The delay starts over only after a connection has
lasted, or a broker that accepts and drops us at once would be hammered. What repetition cannot mend is retried slowly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from link.errors import Outcome
from link.events import Version

Mode = Literal["auto", "5", "3.1.1"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds before the next attempt: `first_s` doubling to `limit_s`, each shortened by up to `jitter` (0 to 1).

    `stable_s`: a connection that lasted this long starts the doubling over. `refused_s`: the delay after a refusal that
    only an operator can mend.
    """

    first_s: float = 1.0
    limit_s: float = 60.0
    jitter: float = 0.5
    stable_s: float = 30.0
    refused_s: float = 300.0

    def __post_init__(self) -> None:
        if not (0 < self.first_s <= self.limit_s and 0 <= self.jitter <= 1 and self.refused_s > 0):
            raise ValueError(f"{self} is not a usable backoff")


class Delays:
    """The delay after each ended connection; `chance` gives numbers from 0 to 1."""

    def __init__(self, backoff: Backoff, chance: Callable[[], float]) -> None:
        self._backoff = backoff
        self._chance = chance
        self._failures = 0

    def after(self, *, up_s: float | None, permanent: bool) -> float:
        """Seconds to wait after a connection that was up for `up_s` (None: it never was)."""
        rule = self._backoff
        if up_s is not None and up_s >= rule.stable_s:
            self._failures = 0
        nominal = rule.refused_s
        if not permanent:
            nominal = min(rule.limit_s, rule.first_s * 2.0 ** min(self._failures, 40))
            self._failures += 1
        return nominal * (1 - rule.jitter * self._chance())


class Versions:
    """Which MQTT version the next attempt speaks: 5, and 3.1.1 where a broker will not have 5 (`auto`).

    A broker that says so is believed until it refuses 3.1.1 too. One that just hangs up, or whose MQTT 5 paho cannot
    read (it rejects U+FEFF in a content type, so one retained message could shut us out for ever), is spoken to in
    3.1.1 for a single connection: a restart that we walked into must not cost us reason codes for good.
    """

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._refuses_5 = False
        self._once = False

    def next(self) -> Version:
        """The version to try now."""
        if self._mode == "auto":
            return "3.1.1" if self._refuses_5 or self._once else "5"
        return self._mode

    def learn(self, tried: Version, outcome: Outcome) -> bool:
        """Take in how an attempt ended; True when the other version should be tried without delay."""
        if self._mode != "auto":
            return False
        if tried == "5":
            self._refuses_5 = outcome is Outcome.UNSUPPORTED
            self._once = outcome in (Outcome.UNANSWERED, Outcome.MALFORMED)
            return self._refuses_5
        self._once = False
        if outcome in (Outcome.UNSUPPORTED, Outcome.UNANSWERED):
            self._refuses_5 = False
        return False
