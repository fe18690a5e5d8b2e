"""Canonical units, and the exact way from a DBC's unit to one of them. Pure, and nothing here rounds."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from agent.errors import ConfigError

# Canonical units by quantity, coarse to fine, in terms of the quantity's base.
CANONICAL: Final[dict[str, dict[str, Fraction]]] = {
    "voltage": {"mV": Fraction(1, 1000), "uV": Fraction(1, 1_000_000)},
    "current": {"mA": Fraction(1, 1000), "uA": Fraction(1, 1_000_000)},
    "temperature": {"mdegC": Fraction(1, 1000), "udegC": Fraction(1, 1_000_000)},
    "energy": {"Wh": Fraction(1), "mWh": Fraction(1, 1000)},
    "power": {"W": Fraction(1), "mW": Fraction(1, 1000)},
    "resistance": {"ohm": Fraction(1), "mohm": Fraction(1, 1000)},
    "charge": {"mAh": Fraction(1, 1000), "uAh": Fraction(1, 1_000_000)},
    "ratio": {"permille": Fraction(1, 1000), "ppm": Fraction(1, 1_000_000)},
    "time": {"s": Fraction(1), "ms": Fraction(1, 1000)},
    "number": {"count": Fraction(1), "state": Fraction(1)},
}

# What DBC files write, in lower case but where the case tells mega from milli.
_WRITTEN: Final[dict[str, tuple[str, Fraction]]] = {
    "v": ("voltage", Fraction(1)),
    "mv": ("voltage", Fraction(1, 1000)),
    "a": ("current", Fraction(1)),
    "ma": ("current", Fraction(1, 1000)),
    "c": ("temperature", Fraction(1)),
    "°c": ("temperature", Fraction(1)),
    "degc": ("temperature", Fraction(1)),
    "deg c": ("temperature", Fraction(1)),
    "celsius": ("temperature", Fraction(1)),
    "kwh": ("energy", Fraction(1000)),
    "wh": ("energy", Fraction(1)),
    "kw": ("power", Fraction(1000)),
    "w": ("power", Fraction(1)),
    "ohm": ("resistance", Fraction(1)),
    "ω": ("resistance", Fraction(1)),
    "kohm": ("resistance", Fraction(1000)),
    "MOhm": ("resistance", Fraction(1_000_000)),
    "mOhm": ("resistance", Fraction(1, 1000)),
    "ah": ("charge", Fraction(1)),
    "mah": ("charge", Fraction(1, 1000)),
    "%": ("ratio", Fraction(1, 100)),
    "percent": ("ratio", Fraction(1, 100)),
    "h": ("time", Fraction(3600)),
    "min": ("time", Fraction(60)),
    "s": ("time", Fraction(1)),
    "ms": ("time", Fraction(1, 1000)),
    "": ("number", Fraction(1)),
}


def exact_conversion(
    where: str, source: str, scale: Fraction, offset: Fraction, written: str, unit: str
) -> tuple[int, int]:
    """(multiplier, addend) with value in `unit` = raw x multiplier + addend, for a signal of `scale` and `offset` in `written`.

    ConfigError, beginning with `where`, if the unit is unknown, of another quantity, or too coarse to be exact.
    """
    quantity = next((name for name, units in CANONICAL.items() if unit in units), None)
    if quantity is None:
        known = ", ".join(name for units in CANONICAL.values() for name in units)
        raise ConfigError(f"{where}: unit {unit!r} is not known; take one of {known}")
    known_unit = _WRITTEN.get(written.strip()) or _WRITTEN.get(written.strip().lower())
    if known_unit is None:
        raise ConfigError(f"{where}: the DBC gives {source} in {written!r}, a unit that is not known; correct the DBC")
    measured, size = known_unit
    if measured != quantity:
        choices = " or ".join(CANONICAL[measured])
        raise ConfigError(f"{where}: {source} is a {measured} in the DBC, not a {quantity}; take unit {choices}")
    multiplier, addend = _in(CANONICAL[quantity][unit], size, scale, offset)
    if multiplier == 0:
        raise ConfigError(f"{where}: {source} has the scale 0 in the DBC; correct the DBC")
    if multiplier.denominator == 1 and addend.denominator == 1:
        return int(multiplier), int(addend)
    for finer, step in CANONICAL[quantity].items():
        if all(part.denominator == 1 for part in _in(step, size, scale, offset)):
            raise ConfigError(f"{where}: {unit} cannot hold {source} exactly; take unit {finer}")
    raise ConfigError(f"{where}: no unit holds {source} exactly (steps of {float(abs(scale))} {written}); leave it out")


def _in(step: Fraction, size: Fraction, scale: Fraction, offset: Fraction) -> tuple[Fraction, Fraction]:
    return scale * size / step, offset * size / step
