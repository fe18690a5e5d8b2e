"""Every fault that can be asked for: its name, its parameters with their bounds, and the one reader that checks them.

Pure. A scenario's `[[fault]]` table and `packseal-sim inject` pass through the same `read`. Cells, modules and sensors
are numbered from 1, as the columns of the written truth are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from firmware_sim.faults.parameters import MAX_ID, Choice, Flag, Identifiers, Number, Parameter, Text, Value
from packseal.program import ConfigurationError

Place = Literal["pack", "bus", "adapter"]

MAX_CELLS = 108
MAX_MODULES = 16
MAX_SENSORS = 8
MAX_TEXT = 64
MAX_PATH = 4_096
MAX_PAST_S = 300.0
SENSORS_NUMBERED = {"cell": MAX_CELLS, "temperature": MAX_SENSORS}


@dataclass(frozen=True, slots=True)
class Kind:
    """One fault that can be asked for. A momentary one happens and has no end; `place` says what it acts on."""

    name: str
    meaning: str
    place: Place
    parameters: tuple[Parameter, ...] = ()
    momentary: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault with all its parameters; made by `read` only, so the values are within their bounds."""

    kind: str
    parameters: Mapping[str, Value]

    def number(self, name: str) -> float:
        """A number among the parameters."""
        value = self.parameters[name]
        assert isinstance(value, int | float), name  # noqa: S101 - the catalogue and its user disagree
        return value

    def text(self, name: str) -> str:
        """A word among the parameters."""
        return str(self.parameters[name])

    def identifiers(self, name: str) -> tuple[int, ...]:
        """A list of identifiers among the parameters."""
        value = self.parameters[name]
        assert isinstance(value, tuple), name  # noqa: S101 - the catalogue and its user disagree
        return value


_CELL = Number("cell", "which cell of the string, from 1", 1, MAX_CELLS, 1, whole=True)
_IDS = Identifiers("ids", "only these identifiers; none: all")


def _share(default: float, meaning: str) -> Number:
    return Number("share", meaning, 0.0, 1.0, default)


_ALL = (
    Kind(
        "cell-short",
        "a short inside a cell, through a resistance between its terminals",
        "pack",
        (_CELL, Number("ohm", "resistance of the short", 0.02, 100.0, 1.0, "ohm")),
    ),
    Kind(
        "weak-cell",
        "a cell that has lost capacity and gained resistance; it stays so until the fault ends",
        "pack",
        (
            _CELL,
            Number("capacity_factor", "capacity left, as a fraction of its own", 0.1, 1.0, 0.8),
            Number("resistance_factor", "resistance, as a multiple of its own", 1.0, 10.0, 1.5),
        ),
    ),
    Kind(
        "thermal-event",
        "heat that no current explains, in one module",
        "pack",
        (
            Number("module", "which module, from 1", 1, MAX_MODULES, 1, whole=True),
            Number("watts", "heat", 1.0, 50_000.0, 3_000.0, "W"),
        ),
    ),
    Kind(
        "isolation-loss",
        "a conducting path from the pack to the car's body",
        "pack",
        (Number("kohm", "insulation resistance that is left", 0.0, 5_000.0, 20.0, "kohm"),),
    ),
    Kind(
        "contactor-welded",
        "a contactor that stays closed when told to open",
        "pack",
        (Choice("pole", "which contactor", ("positive", "negative", "both"), "both"),),
    ),
    Kind(
        "sensor-stuck",
        "a sensor that repeats its last reading",
        "pack",
        (
            Choice("sensor", "which kind of sensor", ("current", "pack-voltage", "cell", "temperature"), "temperature"),
            Number("number", "which cell tap or thermistor, from 1", 1, MAX_CELLS, 1, whole=True),
        ),
    ),
    Kind("soc-frozen", "the state of charge that the firmware reports stands still", "pack"),
    Kind("soh-zero", "the firmware reports a state of health of 0, and a full pack of 0 kWh", "pack"),
    Kind(
        "bms-reset",
        "the firmware starts anew",
        "pack",
        (Flag("clear_counters", "lifetime counters begin again from 0", default=True),),
        momentary=True,
    ),
    Kind(
        "board-swapped",
        "another BMS board in the same pack: other serial number, other counters",
        "pack",
        (Text("board_serial", "serial number of the new board", 32, "SIM-BOARD-2"),),
        momentary=True,
    ),
    Kind(
        "vin-mislabelled",
        "the VIN query (F190) is answered with something that is no VIN",
        "pack",
        (Text("answer", "what is answered", MAX_TEXT, "OSEV__ BMS"),),
    ),
    Kind(
        "frames-dropped",
        "frames that never reach the bus",
        "bus",
        (_share(0.1, "how many of them, as a fraction"), _IDS),
    ),
    Kind(
        "frame-burst",
        "frames are withheld and then sent back to back, again and again",
        "bus",
        (Number("hold_ms", "how long they are withheld each time", 10.0, 10_000.0, 500.0, "ms"),),
    ),
    Kind(
        "wrong-ids",
        "payloads travel under each other's identifiers, among those of one length",
        "bus",
        (Identifiers("ids", "only among these identifiers; none: all"),),
    ),
    Kind(
        "corrupted-payload",
        "bits of payloads are flipped, as no checksum of the bus would let pass",
        "bus",
        (
            _share(0.1, "how many frames, as a fraction"),
            Number("bits", "how many bits in each", 1, 64, 1, whole=True),
            _IDS,
        ),
    ),
    Kind("bus-off", "the controller is off the bus: nothing is sent, nothing is heard", "adapter"),
    Kind("adapter-unplugged", "the adapter is gone; at the end another one is plugged in in its place", "adapter"),
    Kind(
        "clock-jump",
        "the clock that stamps the frames steps, and steps back at the end",
        "adapter",
        (Number("seconds", "forward if positive, back if negative", -1e9, 1e9, 3_600.0, "s"),),
    ),
    Kind(
        "frame-flood",
        "another node sends one identifier over and over",
        "bus",
        (
            Number("id", "the identifier; a low one delays everybody", 0, MAX_ID, 0x001, whole=True),
            Number("rate", "how often", 1.0, 4_000.0, 2_000.0, "frames/s"),
        ),
    ),
    Kind(
        "replayed-log",
        "old frames are sent instead of what the pack says, over and over, as a cheating driver's box does",
        "bus",
        (
            Text("log", "a candump .log or GVRET .csv; none: what this pack has sent before", MAX_PATH, "", path=True),
            Number("past_s", "without a log: how much of the past", 1.0, MAX_PAST_S, 60.0, "s"),
        ),
    ),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}


def read(table: Mapping[str, object], where: str, *, cells: int | None = None, modules: int | None = None) -> Fault:
    """The fault that `table` (a `kind` and its parameters) describes, missing parameters at their defaults.

    `cells` and `modules` are what the pack has, where that is known. ConfigurationError names `where`, the key and
    what is allowed.
    """
    kind = _kind(table, where)
    known = {parameter.name for parameter in kind.parameters}
    for key in table:
        if key != "kind" and key not in known:
            allowed = f"it has {', '.join(sorted(known))}" if known else "it has no parameters"
            raise ConfigurationError(f"{where}: {key}: {kind.name} has no such key; {allowed}")
    values = {parameter.name: _value(parameter, table, where) for parameter in kind.parameters}
    _check_numbers(kind.name, values, where, {"cell": cells, "module": modules})
    return Fault(kind.name, values)


def read_text(kind: str, given: Mapping[str, str], where: str) -> Fault:
    """The same for parameters as words of a command line."""
    parameters = {parameter.name: parameter for parameter in _kind({"kind": kind}, where).parameters}
    table = {key: parameters[key].from_text(text) if key in parameters else text for key, text in given.items()}
    return read({"kind": kind, **table}, where)


def _kind(table: Mapping[str, object], where: str) -> Kind:
    name = table.get("kind")
    if not isinstance(name, str) or name not in KINDS:
        said = f"{name!r} is not a fault" if "kind" in table else "is missing"
        raise ConfigurationError(f"{where}: kind: {said}; there are {', '.join(KINDS)}")
    return KINDS[name]


def _value(parameter: Parameter, table: Mapping[str, object], where: str) -> Value:
    if parameter.name not in table:
        if parameter.default is None:
            raise ConfigurationError(f"{where}: {parameter.name}: is missing; give {parameter.allowed()}")
        return parameter.default
    given = table[parameter.name]
    try:
        return parameter.read(given)
    except ValueError as refused:
        raise ConfigurationError(f"{where}: {parameter.name}: {_shown(given)} is not {refused}") from None


def _shown(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 40 else text[:37] + "..."


def _check_numbers(kind: str, values: Mapping[str, Any], where: str, has: Mapping[str, int | None]) -> None:
    for name, count in has.items():
        if count is not None and values.get(name, 0) > count:
            raise ConfigurationError(f"{where}: {name}: there is no {name} {values[name]}; the pack has {count}")
    if kind == "sensor-stuck":
        sensor, number = values["sensor"], values["number"]
        most = has["cell"] if sensor == "cell" and has["cell"] else SENSORS_NUMBERED.get(sensor, 1)
        if number > most:
            raise ConfigurationError(f"{where}: number: there is no {sensor} sensor {number}; the pack has {most}")
    if kind == "wrong-ids" and len(values["ids"]) == 1:
        raise ConfigurationError(f"{where}: ids: one identifier alone has none to swap with; give two or more, or none")
    if kind == "clock-jump" and not values["seconds"]:
        raise ConfigurationError(f"{where}: seconds: a jump of 0 is none")
