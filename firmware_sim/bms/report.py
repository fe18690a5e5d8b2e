"""What the BMS knows at one moment, in engineering units: what the bus and the diagnosis say is this, rounded.

Current is positive into the battery. A report never changes once given; `_replace` makes another one.
"""

from __future__ import annotations

from typing import NamedTuple

from firmware_sim.bms.contactors import ContactorReport
from firmware_sim.bms.identity import Identity
from firmware_sim.bms.limits import Limits
from firmware_sim.car.demand import Mode


class Charge(NamedTuple):
    """State of charge as a fraction: of the emptiest, the mean and the fullest brick, and as the driver sees it."""

    low: float
    mean: float
    high: float
    shown: float


class Energy(NamedTuple):
    """Energy as the BMS reports it, kWh: when new, full now, left now, kept below the driver's zero, still to charge."""

    begin_of_life_kwh: float
    full_kwh: float
    remaining_kwh: float
    buffer_kwh: float
    to_charged_kwh: float


class BmsReport(NamedTuple):
    """Everything the BMS knows. The first seven move with the fast task (10 ms), the others with the slow one (100 ms).

    A named tuple, because a hundred are made for every second of a pack.
    """

    pack_volts: float
    current_a: float  # smoothed
    raw_current_a: float
    link_volts: float  # behind the contactors
    contactors: ContactorReport
    mode: Mode
    awake: bool  # asleep or booting, nothing is sent
    scan: int  # grows by one with every slow task; all that follows is the same while it is
    cell_volts: tuple[float, ...]
    temperatures_c: tuple[float, ...]
    soc: Charge
    energy: Energy
    soh: float  # fraction
    capacity_ah: float  # of the mean brick, as learned
    charged_kwh: float  # lifetime, as all counters
    discharged_kwh: float
    charged_ah: float
    discharged_ah: float
    cycles: float  # full equivalents
    uptime_s: float
    resets: int
    faulted: bool  # an alert keeps the contactors open
    interlock_open: bool
    isolation_kohm: float  # infinite while it has not been measured
    limits: Limits
    charge_complete: bool
    cooling: float  # 0 to 1
    heating: float  # 0 to 1
    balancing: int  # bricks that are being bled
    alerts: frozenset[int]
    identity: Identity


FAST_FIELDS = 7  # of the report, in its order
