"""What the BMS asks of the coolant: to be cooled when it is hot, to be heated when cold before it is charged. Pure."""

from __future__ import annotations

from firmware_sim.car.demand import Mode

# Degrees at which heating is full and at which it is off. Quick charging wants a warm anode, slow charging and driving
# only a pack that is not frozen. A parked car does not heat.
_HEAT = {Mode.CHARGE_DC: (30.0, 40.0), Mode.CHARGE_AC: (0.0, 8.0), Mode.DRIVE: (-15.0, 0.0), Mode.LOAD: (-15.0, 0.0)}
# Degrees at which cooling begins and at which it is full.
_COOL = {Mode.PARKED: (45.0, 55.0), Mode.CHARGE_DC: (42.0, 48.0)}
_COOL_ELSE = (32.0, 42.0)


def conditioning(mode: Mode, coldest_c: float, hottest_c: float) -> tuple[float, float]:
    """Cooling and heating, each a fraction of what the coolant can do; never both."""
    start, full = _COOL.get(mode, _COOL_ELSE)
    cooling = min(1.0, max(0.0, (hottest_c - start) / (full - start)))
    if cooling or mode is Mode.PARKED:
        return cooling, 0.0
    full_c, off_c = _HEAT[mode]
    return 0.0, min(1.0, max(0.0, (off_c - coldest_c) / (off_c - full_c)))
