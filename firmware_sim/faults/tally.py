"""How often each fault began, and how many frames it made false or kept away; part of every run's summary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

MAX_COMPLAINTS = 5


@dataclass(slots=True)
class FaultTally:
    """Counts by kind. A frame that two faults touch counts for both."""

    begun: Counter[str] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)

    def complain(self, kind: str, why: str) -> None:
        """Remember that a fault had to end early, of many the first few."""
        if len(self.complaints) < MAX_COMPLAINTS:
            self.complaints.append(f"{kind} has ended: {why}")

    def summary(self) -> dict[str, dict[str, int]]:
        """For JSON: `{kind: {"begun": n, "frames": m}}`, in order of names."""
        kinds = sorted({*self.begun, *self.frames})
        return {kind: {"begun": self.begun[kind], "frames": self.frames[kind]} for kind in kinds}
