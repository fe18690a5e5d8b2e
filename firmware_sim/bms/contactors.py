"""The contactor state machine: open, precharge, closed, opening, and blocked after a failed precharge.

Pure. Commanded is not happened: the machine closes the positive contactor only when the link has really come up.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

PRECHARGED = 0.95
PRECHARGE_MIN_S = 0.1
PRECHARGE_MAX_S = 1.0
PULL_IN_S = 0.12
OPENING_MAX_S = 0.5
SAFE_CURRENT_A = 5.0


class Stage(enum.Enum):
    """Where the pair of contactors is."""

    OPEN = "open"
    PRECHARGE = "precharge"
    CLOSED = "closed"
    OPENING = "opening"
    BLOCKED = "blocked"


class Coil(enum.IntEnum):
    """State of one contactor."""

    OPEN = 1
    PRECHARGE = 2
    BLOCKED = 3
    PULLED_IN = 4
    OPENING = 5
    ECONOMIZED = 6


@dataclass(frozen=True, slots=True)
class ContactorReport:
    """The pair's stage and the state of each contactor."""

    stage: Stage
    positive: Coil
    negative: Coil


def _reports(energised: Coil) -> dict[Stage, ContactorReport]:
    coils = {
        Stage.OPEN: (Coil.OPEN, Coil.OPEN),
        Stage.PRECHARGE: (Coil.PRECHARGE, energised),
        Stage.CLOSED: (energised, Coil.ECONOMIZED),
        Stage.OPENING: (Coil.OPENING, Coil.OPENING),
        Stage.BLOCKED: (Coil.BLOCKED, Coil.BLOCKED),
    }
    return {stage: ContactorReport(stage, positive, negative) for stage, (positive, negative) in coils.items()}


_MOVING, _HELD = _reports(Coil.PULLED_IN), _reports(Coil.ECONOMIZED)


@dataclass(slots=True)
class Contactors:
    """Two contactors and the precharge path; `step` once per fast task."""

    stage: Stage = Stage.OPEN
    in_stage_s: float = 0.0

    def step(self, dt_s: float, *, wanted: bool, forbidden: bool, link_fraction: float, current_a: float) -> None:
        """Move on by `dt_s`. `forbidden` (a fault) opens whatever the current; `link_fraction` is link/pack voltage."""
        self.in_stage_s += dt_s
        stage, waited = self.stage, self.in_stage_s
        if stage is Stage.OPEN and wanted and not forbidden:
            self._enter(Stage.PRECHARGE)
        elif stage is Stage.PRECHARGE:
            if forbidden or not wanted:
                self._enter(Stage.OPEN)
            elif link_fraction >= PRECHARGED and waited >= PRECHARGE_MIN_S:
                self._enter(Stage.CLOSED)
            elif waited > PRECHARGE_MAX_S:
                self._enter(Stage.BLOCKED)
        elif stage is Stage.CLOSED and (forbidden or not wanted):
            self._enter(Stage.OPENING)
        else:
            opened = stage is Stage.OPENING and (abs(current_a) < SAFE_CURRENT_A or waited > OPENING_MAX_S)
            released = stage is Stage.BLOCKED and not wanted
            if opened or released:
                self._enter(Stage.OPEN)

    def report(self) -> ContactorReport:
        """What the pair looks like now."""
        return (_HELD if self.in_stage_s >= PULL_IN_S else _MOVING)[self.stage]

    def _enter(self, stage: Stage) -> None:
        self.stage, self.in_stage_s = stage, 0.0
