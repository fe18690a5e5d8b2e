"""The live line: one JSON object per window for engineers who listen in. Integers with units in the names; never evidence.

It says which statement will prove it, so that whoever needs more than a look knows what to wait for.
"""

from __future__ import annotations

import json

from agent.profile import Profile
from evidence.merkle import Digest
from evidence.window import Window


class LiveLine:
    """Writes windows of one profile as lines."""

    def __init__(self, profile: Profile) -> None:
        self._keys = [_key(signal.name, signal.unit) for signal in profile.signals]

    def write(self, window: Window, wall_ms: int, proven_by: tuple[int, int, Digest | None]) -> bytes:
        """The line of a window that the statement (epoch, seq, after prev) is going to prove."""
        epoch, seq, prev = proven_by
        line: dict[str, object] = {"time_ms": wall_ms, "frames": window.frames}
        for key, record in zip(self._keys, window.records, strict=True):
            if record is None:
                continue
            if len(record) == 7:
                _, low, high, _, low_at, high_at, _ = record
                line[key] = {"min": low, "at": low_at, "max": high, "max_at": high_at}
            elif isinstance(record[3], tuple):
                line[key] = record[2]
            else:
                line[key] = record[4]
        line["proven_by"] = f"{epoch}/{seq}"
        line["after"] = prev.hex()[:8] if prev else None
        return json.dumps(line, separators=(",", ":")).encode()


def _key(name: str, unit: str) -> str:
    return name if unit == "state" else f"{name}_{unit}"
