"""The contactor state machine: open, precharge, closed, opening, blocked after a failed precharge, welded.

Pure. Commanded is not happened: the positive contactor is told to close only when the link has really come up, the
auxiliary contacts must agree with the coils, and a link that stays live after opening means contacts that have welded.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

PRECHARGED = 0.95
PRECHARGE_MIN_S = 0.1
PRECHARGE_MAX_S = 1.0
ATTEMPTS = 3
COOL_DOWN_S = 5.0  # between attempts, for the precharge resistor
PULL_IN_S = 0.12
OPENING_MAX_S = 0.5
SAFE_CURRENT_A = 5.0
WELD_LIVE = 0.8
WELD_DEAD = 0.5
WELD_S = 2.0
AUXILIARY_S = 0.3
AGREED_S = 10.0


class Stage(enum.Enum):
    """Where the pair of contactors is."""

    OPEN = "open"
    PRECHARGE = "precharge"
    CLOSED = "closed"
    OPENING = "opening"
    BLOCKED = "blocked"
    WELDED = "welded"


class Coil(enum.IntEnum):
    """State of one contactor."""

    OPEN = 1
    PRECHARGE = 2
    BLOCKED = 3
    PULLED_IN = 4
    OPENING = 5
    ECONOMIZED = 6
    WELDED = 7


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
        Stage.WELDED: (Coil.WELDED, Coil.WELDED),
    }
    return {stage: ContactorReport(stage, positive, negative) for stage, (positive, negative) in coils.items()}


_MOVING, _HELD = _reports(Coil.PULLED_IN), _reports(Coil.ECONOMIZED)
_AT_REST = (Stage.OPEN, Stage.BLOCKED)


@dataclass(slots=True)
class Contactors:
    """Two contactors and the precharge path; `step` once per fast task.

    `precharging`, `closed_positive` and `closed_negative` are what the coils are told; `mismatch` says that an
    auxiliary contact has disagreed with its coil, until it has agreed for `AGREED_S`.
    """

    stage: Stage = Stage.OPEN
    in_stage_s: float = 0.0
    precharging: bool = False
    closed_positive: bool = False
    closed_negative: bool = False
    mismatch: bool = False
    failures: int = 0
    _positive_stays: bool = False
    _negative_stays: bool = False
    _rest_s: float = 0.0
    _live_s: float = 0.0
    _apart_s: float = 0.0
    _agreed_s: float = 0.0

    def __post_init__(self) -> None:
        self._tell_coils()

    def step(
        self,
        dt_s: float,
        *,
        wanted: bool,
        forbidden: bool,
        link_fraction: float,
        current_a: float,
        positive_closed: bool,
        negative_closed: bool,
    ) -> None:
        """Move on by `dt_s`. `forbidden` (a fault) opens whatever the current; `link_fraction` is link/pack voltage."""
        self.in_stage_s += dt_s
        apart = positive_closed is not self.closed_positive or negative_closed is not self.closed_negative
        if apart or self.mismatch or self._apart_s:
            self._compare(apart, positive_closed, negative_closed, dt_s)
        stage = self.stage
        if stage is Stage.CLOSED:
            if forbidden or self.mismatch or not wanted:
                self._enter(Stage.OPENING)
        elif stage in _AT_REST:
            self._at_rest(wanted and not forbidden and not self.mismatch, wanted, link_fraction, dt_s)
        elif stage is Stage.PRECHARGE:
            self._precharge(wanted and not forbidden and not self.mismatch, link_fraction)
        elif stage is Stage.OPENING:
            if abs(current_a) < SAFE_CURRENT_A or self.in_stage_s > OPENING_MAX_S:
                self._enter(Stage.OPEN)
        elif link_fraction < WELD_DEAD:
            # The weld was the mismatch; what is left of it is found anew.
            self.mismatch = self._positive_stays = self._negative_stays = False
            self._enter(Stage.OPEN)

    def report(self) -> ContactorReport:
        """What the pair looks like now."""
        stage = self.stage
        if self.mismatch and stage in _AT_REST:
            positive = Coil.WELDED if self._positive_stays else Coil.OPEN
            return ContactorReport(stage, positive, Coil.WELDED if self._negative_stays else Coil.OPEN)
        return (_HELD if self.in_stage_s >= PULL_IN_S else _MOVING)[stage]

    def drop(self) -> None:
        """The coils lose their supply: whatever flows, they are told to open now."""
        self._enter(Stage.OPEN)
        self.failures, self._rest_s = 0, 0.0

    def _at_rest(self, allowed: bool, wanted: bool, link_fraction: float, dt_s: float) -> None:
        # A link that bleeds down has lost a fifth long before the time is up; one that stays is held by the pack.
        self._live_s = self._live_s + dt_s if link_fraction > WELD_LIVE else 0.0
        self._rest_s = max(0.0, self._rest_s - dt_s)
        if self._live_s >= WELD_S:
            self._enter(Stage.WELDED)
        elif not wanted:
            self.failures = 0
            if self.stage is Stage.BLOCKED:
                self._enter(Stage.OPEN)
        elif allowed and self._rest_s == 0.0 and self.failures < ATTEMPTS:
            self._enter(Stage.PRECHARGE)

    def _precharge(self, allowed: bool, link_fraction: float) -> None:
        if not allowed:
            self._enter(Stage.OPEN)
        elif link_fraction >= PRECHARGED and self.in_stage_s >= PRECHARGE_MIN_S:
            self.failures = 0
            self._enter(Stage.CLOSED)
        elif self.in_stage_s > PRECHARGE_MAX_S:
            self.failures += 1
            self._rest_s = COOL_DOWN_S
            self._enter(Stage.BLOCKED)

    def _compare(self, apart: bool, positive_closed: bool, negative_closed: bool, dt_s: float) -> None:
        self._apart_s = self._apart_s + dt_s if apart else 0.0
        self._agreed_s = 0.0 if apart else self._agreed_s + dt_s
        if self._apart_s >= AUXILIARY_S:
            self.mismatch = True
            self._positive_stays = positive_closed and not self.closed_positive
            self._negative_stays = negative_closed and not self.closed_negative
        elif self._agreed_s >= AGREED_S:
            self.mismatch = self._positive_stays = self._negative_stays = False

    def _enter(self, stage: Stage) -> None:
        self.stage, self.in_stage_s, self._live_s = stage, 0.0, 0.0
        self._tell_coils()

    def _tell_coils(self) -> None:
        self.precharging = self.stage is Stage.PRECHARGE
        self.closed_positive = self.stage in (Stage.CLOSED, Stage.OPENING)
        self.closed_negative = self.closed_positive or self.precharging
