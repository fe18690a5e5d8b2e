"""What the BMS asks of the coolant: to be cooled when it is hot, to be heated when cold before it is charged. Pure."""

from __future__ import annotations

from firmware_sim.car.demand import Mode

# Degrees at which heating is full and at which it is off. Quick charging wants a warm anode; slow charging and driving
# only a pack that is not frozen. A parked car does not heat.
_HEAT = {Mode.CHARGE_DC: (10.0, 22.0), Mode.CHARGE_AC: (0.0, 8.0), Mode.DRIVE: (-15.0, 0.0), Mode.LOAD: (-15.0, 0.0)}
COOL_FROM_C = 32.0
COOL_FULL_C = 42.0
PARKED_COOL_FROM_C = 45.0
PARKED_COOL_FULL_C = 55.0


def conditioning(mode: Mode, coldest_c: float, hottest_c: float) -> tuple[float, float]:
    """Cooling and heating, each a fraction of what the coolant can do; never both."""
    parked = mode is Mode.PARKED
    start, full = (PARKED_COOL_FROM_C, PARKED_COOL_FULL_C) if parked else (COOL_FROM_C, COOL_FULL_C)
    cooling = min(1.0, max(0.0, (hottest_c - start) / (full - start)))
    if cooling or parked:
        return cooling, 0.0
    full_c, off_c = _HEAT[mode]
    return 0.0, min(1.0, max(0.0, (off_c - coldest_c) / (off_c - full_c)))
