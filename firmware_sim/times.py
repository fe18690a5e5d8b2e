"""What all times of a run have in common: microseconds after its start, and one that never comes. Pure."""

from __future__ import annotations

NEVER_US = 1 << 63
