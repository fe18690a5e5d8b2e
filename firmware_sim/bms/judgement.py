"""What the BMS concludes from what it has measured: limits, the end of a charge, cooling and heating, alerts. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from firmware_sim.bms.alerts import RULES_OF, STORE_RULES, AlertMonitor, Vitals
from firmware_sim.bms.contactors import Contactors, Stage
from firmware_sim.bms.limits import Condition, Limits, PowerLimits, Rating
from firmware_sim.bms.report import Charge
from firmware_sim.bms.sensors import Sensors
from firmware_sim.bms.thermal import conditioning
from firmware_sim.car.demand import Mode
from firmware_sim.cells.chemistry import Chemistry

RESET_SHOWN_S = 30.0


@dataclass(slots=True)
class Judgement:
    """The conclusions of one firmware; `step` with every slow task."""

    chemistry: Chemistry
    rated_ah: float
    rating: Rating
    alerts: AlertMonitor = field(init=False)
    limits: Limits = field(init=False)
    cooling: float = 0.0
    heating: float = 0.0
    memory_lost: bool = False
    _limiter: PowerLimits = field(init=False)
    _reset_shown_s: float = 0.0

    def __post_init__(self) -> None:
        directed = STORE_RULES if self.rating.warns_of_current else ()
        self.alerts = AlertMonitor((*RULES_OF[self.chemistry.name], *directed))
        self._limiter = PowerLimits(self.chemistry, self.rated_ah, self.rating)

    @property
    def charge_complete(self) -> bool:
        """Whether the charge that goes on has ended."""
        return self._limiter.complete

    def step(
        self,
        sensors: Sensors,
        charge: Charge,
        mode: Mode,
        contactors: Contactors,
        isolation_kohm: float,
        interlock_open: bool,
        dt_s: float,
    ) -> None:
        """Judge what is measured and believed now; `dt_s` is the time since the last judgement."""
        raw_a, cells, stage = sensors.raw_a, sensors.cells, contactors.stage
        low_v, high_v = float(np.minimum.reduce(sensors.cell_volts)), float(np.maximum.reduce(sensors.cell_volts))
        low_c, high_c = min(sensors.temperatures_c), max(sensors.temperatures_c)
        charging = mode is Mode.CHARGE_AC or mode is Mode.CHARGE_DC
        self.cooling, self.heating = conditioning(mode, low_c, high_c)
        condition = Condition(cells, charge.mean, low_v, high_v, low_c, high_c, raw_a)
        self.limits = limits = self._limiter.step(condition, charging, dt_s)
        self._reset_shown_s = max(0.0, self._reset_shown_s - dt_s)
        shown = self._reset_shown_s > 0.0
        limit_a = limits.charge_a if raw_a > 0 else limits.discharge_a
        self.alerts.step(
            Vitals(
                brick_min_v=low_v,
                brick_max_v=high_v,
                brick_mean_v=sensors.pack_volts / cells,
                over_limit_c=(abs(raw_a) - limit_a) / self.rated_ah,
                inward=raw_a > 0,
                temperature_min_c=low_c,
                temperature_max_c=high_c,
                isolation_ohm_per_v=isolation_kohm * 1_000.0 / max(sensors.pack_volts, 1.0),
                soc=charge.mean,
                soc_spread=charge.high - charge.low,
                charging=charging,
                closed=stage is Stage.CLOSED,
                precharge_failed=stage is Stage.BLOCKED,
                forced_open=self.alerts.opening,
                interlock_open=interlock_open,
                mismatch=contactors.mismatch,
                welded=stage is Stage.WELDED,
                memory_lost=shown and self.memory_lost,
                watchdog_bit=shown and not self.memory_lost,
            ),
            dt_s,
        )

    def begin_again(self) -> None:
        """The firmware has booted: for a while an alert tells so, and whether the memory was lost."""
        self._reset_shown_s = RESET_SHOWN_S
