"""What a BMS knows, as one fixed report, for tests of diagnostics."""

from __future__ import annotations

from firmware_sim.bms.contactors import Coil, ContactorReport, Stage
from firmware_sim.bms.identity import Identity
from firmware_sim.bms.limits import Limits
from firmware_sim.bms.report import BmsReport, Charge, Energy
from firmware_sim.car.demand import Mode

OPEN = ContactorReport(Stage.OPEN, Coil.OPEN, Coil.OPEN)
CLOSED = ContactorReport(Stage.CLOSED, Coil.ECONOMIZED, Coil.ECONOMIZED)
REPORT = BmsReport(
    pack_volts=370.25,
    current_a=-81.5,
    raw_current_a=-81.65,
    link_volts=369.9,
    contactors=OPEN,
    mode=Mode.PARKED,
    awake=True,
    scan=1,
    cell_volts=(3.8512, 3.8437, 3.9001),
    temperatures_c=(21.5, -3.25),
    soc=Charge(0.5, 0.6183, 1.0, 0.55),
    energy=Energy(80.0, 75.5, 40.123, 3.0, 35.0),
    soh=0.9431,
    capacity_ah=217.25,
    charged_kwh=12_345.678,
    discharged_kwh=11_000.5,
    charged_ah=33_000.125,
    discharged_ah=32_000.0,
    cycles=142.37,
    uptime_s=3_600.0,
    resets=3,
    faulted=False,
    interlock_open=False,
    isolation_kohm=4_321.0,
    limits=Limits(300.0, 80.0, 250.0, 1_200.0, 240.0, 403.0),
    charge_complete=False,
    cooling=0.25,
    heating=0.0,
    balancing=7,
    alerts=frozenset(),
    identity=Identity("PACK-7", "BMS-42", "1.2.3", b"SIMPACKSEAL000001"),
)
