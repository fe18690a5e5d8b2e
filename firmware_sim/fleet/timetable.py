"""When which member says what: members in turn at an even rate, all open first and all close last. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from packseal.program import UsageError

_SHORTEST = 3  # an epoch that says something: open, one more, close


class Turn(NamedTuple):
    """One statement to come: its place in the run, whose it is (from 0), in which round, and when, s from the start."""

    place: int
    member: int
    round: int
    due_s: float


@dataclass(frozen=True, slots=True)
class Timetable:
    """`rounds` statements of each of `members`, `rate` of them a second."""

    members: int
    rate: float
    rounds: int

    @classmethod
    def of(cls, members: int, rate: float, duration_s: float) -> Timetable:
        """As many whole rounds as fit; UsageError if an epoch does not."""
        rounds = int(rate * duration_s + 1e-9) // members
        if rounds < _SHORTEST:
            needed = _SHORTEST * members / rate
            raise UsageError(
                f"{members} packs at {rate:g} statements a second open, say one thing and close in {needed:.0f} s: "
                f"give --duration {needed:.0f} or more, a higher --rate or fewer --packs"
            )
        return cls(members, rate, rounds)

    @property
    def size(self) -> int:
        """How many statements there are."""
        return self.members * self.rounds

    def turn(self, place: int) -> Turn:
        """The statement at this place of the run."""
        round_, member = divmod(place, self.members)
        return Turn(place, member, round_, place / self.rate)

    def due(self, now_s: float) -> int:
        """How many statements should have left by now."""
        return min(self.size, int(now_s * self.rate) + 1) if now_s >= 0 else 0
