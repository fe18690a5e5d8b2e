"""What a load run measured, as numbers for machines and as lines for people."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Json: TypeAlias = "dict[str, int | float | dict[str, int] | dict[str, float | None] | None]"


@dataclass(slots=True)
class Figures:
    """Counts and times of one run. `latencies_s` are from the hand-over to the link to the verified proof."""

    packs: int = 0
    connections: int = 0
    asked_rate: float = 0.0
    statements: int = 0
    sent: int = 0
    resent: int = 0
    proven: int = 0
    unheard: int = 0
    stored: int = 0
    documents: int = 0
    refused_documents: int = 0
    bad_answers: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    denied: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    latest_s: float = 0.0  # how far behind its time a statement left at worst
    sending_s: float = 0.0
    cpu_s: float = 0.0
    whole_s: float = 0.0
    signing_s: float = 0.0
    drops: int = 0

    @property
    def unanswered(self) -> int:
        """Statements that were sent and that the ledger neither proved nor refused while we waited."""
        return self.sent - self.proven - sum(self.refused.values())

    @property
    def achieved_rate(self) -> float:
        """Statements that left, a second of sending."""
        return self.sent / self.sending_s if self.sending_s > 0 else 0.0

    def as_json(self) -> Json:
        """All of it, times in seconds."""
        latency = {name: _rounded(percentile(self.latencies_s, share)) for name, share in _PERCENTILES.items()}
        return {
            "packs": self.packs,
            "connections": self.connections,
            "statements": self.statements,
            "asked_rate": self.asked_rate,
            "achieved_rate": round(self.achieved_rate, 1),
            "sent": self.sent,
            "resent": self.resent,
            "proven": self.proven,
            "refused": dict(sorted(self.refused.items())),
            "unanswered": self.unanswered,
            "unheard": self.unheard,
            "denied": dict(sorted(self.denied.items())),
            "documents": self.documents,
            "stored": self.stored,
            "refused_documents": self.refused_documents,
            "bad_answers": self.bad_answers,
            "connections_lost": self.drops,
            "proof_latency_s": latency,
            "latest_s": round(self.latest_s, 4),
            "sending_s": round(self.sending_s, 3),
            "signing_s": round(self.signing_s, 3),
            "cpu_s": round(self.cpu_s, 3),
            "cpu_share": round(self.cpu_s / self.whole_s, 3) if self.whole_s > 0 else None,
        }

    def lines(self) -> list[str]:
        """The same for a person."""
        refusals = ", ".join(f"{count} {rule}" for rule, count in sorted(self.refused.items())) or "none"
        rate = f"asked {self.asked_rate:g} a second, achieved {self.achieved_rate:.1f}"
        lines = [
            f"{self.packs} gateways on {self.connections} connections; generated statements, no pack was simulated for them",
            f"rate      {rate}; at worst {self.latest_s * 1e3:.0f} ms behind its time",
            f"answers   {self.sent} sent, {self.proven} proven and verified, {self.unanswered} unanswered; refused: {refusals}",
        ]
        if self.latencies_s:
            p50, p99, most = (percentile(self.latencies_s, share) or 0.0 for share in _PERCENTILES.values())
            lines.append(f"proofs    after {p50:.3f} s (median), {p99:.3f} s (99 %), {most:.3f} s (last)")
        if self.documents:
            lines.append(f"documents {self.documents} sent, {self.stored} stored")
        troubles = {
            "sent again": self.resent,
            "heard by no ledger": self.unheard,
            "denied by the broker": sum(self.denied.values()),
            "answers that prove nothing": self.bad_answers,
            "documents refused": self.refused_documents,
            "connections lost": self.drops,
        }
        if any(troubles.values()):
            lines.append("trouble   " + ", ".join(f"{count} {what}" for what, count in troubles.items() if count))
        share = 100 * self.cpu_s / self.whole_s if self.whole_s > 0 else 0.0
        ahead = f", {self.signing_s:.1f} s of signing ahead not counted" if self.signing_s else ""
        lines.append(f"generator {self.cpu_s:.1f} s of CPU, {share:.0f} % of a core{ahead}")
        return lines


_PERCENTILES = {"p50": 0.50, "p99": 0.99, "max": 1.0}


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of all values do not exceed (nearest rank); None of no values."""
    if not values:
        return None
    rank = math.ceil(len(values) * share - 1e-9)
    return sorted(values)[max(1, rank) - 1]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
