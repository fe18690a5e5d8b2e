"""Finds and reads scenario files; everything that is wrong with one is one line that names the file and the key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from firmware_sim.faults import catalogue
from firmware_sim.faults.timeline import MAX_ENTRIES
from firmware_sim.scenario.duration import shown
from firmware_sim.scenario.plan import longest_s
from firmware_sim.scenario.schema import AcStep, DcStep, DriveStep, LoadStep, ParkStep, RoutineStep, Scenario
from packseal.program import ConfigurationError, InputOutputError
from packseal.shipped import config_dir

MAX_BYTES = 1 << 20
MODULES = 4
# How many cells in series a firmware is made for, by chemistry.
CELLS = {
    ("tesla-model3", "NMC"): (96, 108),
    ("tesla-model3", "LFP"): (96, 108),
    ("pylontech", "LFP"): (13, 16),
    ("pylontech", "NMC"): (12, 14),
}
_STEPS = (DriveStep, ParkStep, AcStep, DcStep, LoadStep, RoutineStep)
_DOINGS = {str(step.model_fields["do"].annotation.__args__[0]) for step in _STEPS}  # type: ignore[union-attr]
_SHIPPED_NAME = re.compile(r"[a-z0-9][a-z0-9-]*", re.ASCII)


def shipped() -> list[Path]:
    """The scenario files that come with packseal, by name."""
    return sorted((config_dir() / "scenarios").glob("*.toml"))


def find(name: str) -> Path:
    """The file of a shipped scenario of this name, else the path itself."""
    if _SHIPPED_NAME.fullmatch(name):
        known = {path.stem: path for path in shipped()}
        if name in known:
            return known[name]
        if not Path(name).exists():
            raise ConfigurationError(f"no scenario {name}: `packseal-sim scenarios` lists those that are shipped")
    return Path(name)


def load(path: Path) -> Scenario:
    """The scenario in a file, checked in itself; ConfigurationError or InputOutputError says what to mend."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as problem:
        raise InputOutputError(f"{path}: {problem.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ConfigurationError(f"{path}: more than {MAX_BYTES >> 20} MiB: this is no scenario")
    try:
        values = tomllib.loads(content.decode())
        _check_wholes(values)
    except (ValueError, RecursionError) as problem:  # not TOML, not UTF-8, a number of 5,000 digits, 5,000 brackets
        raise ConfigurationError(f"{path}: not TOML: {problem}") from None
    _root_logs(values, path.resolve().parent)
    try:
        scenario = Scenario.model_validate(values)
    except ValidationError as problem:
        raise ConfigurationError(f"{path}: {_first(problem)}") from None
    complaint = next(_contradictions(scenario), None)
    if complaint is not None:
        raise ConfigurationError(f"{path}: {complaint}")
    _check_faults(scenario, path)
    return scenario


def _check_wholes(values: dict[str, Any]) -> None:
    """ValueError for a whole number that TOML does not promise to hold: some are too long even to be shown."""
    waiting: list[object] = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise ValueError("a whole number of more than 64 bits")


def _root_logs(values: dict[str, Any], folder: Path) -> None:
    """Relative paths in the file are relative to the file; what else is wrong with the tables is said later."""
    faults = values.get("fault")
    for fault in faults if isinstance(faults, list) else ():
        log = fault.get("log") if isinstance(fault, dict) else None
        if isinstance(log, str) and log:
            fault["log"] = str(folder / log)


def _contradictions(scenario: Scenario) -> Iterator[str]:
    """What no single table can know of itself."""
    pack, firmware = scenario.pack, scenario.bms.firmware
    low, high = CELLS[firmware, pack.chemistry]
    if not low <= pack.cells <= high:
        yield f"pack.cells: {pack.cells} in series; {firmware} with {pack.chemistry} has {low} to {high}"
    names = [routine.name for routine in scenario.routine]
    for number, name in enumerate(names, 1):
        if name in names[: number - 1]:
            yield f"routine.{number}.name: {name} is there twice; give each its own name"
    for number, phase in enumerate(scenario.phase, 1):
        for place, step in enumerate(phase.step, 1):
            if isinstance(step, RoutineStep) and step.name not in names:
                known = ", ".join(names) or "none"
                yield f"phase.{number}.step.{place}.name: no routine {step.name}; there are: {known}"
    if scenario.uds.enabled and firmware == "pylontech":
        yield "uds.enabled: a pylontech store knows no diagnostic requests; leave it out"
    identifiers = (scenario.uds.request, scenario.uds.response, scenario.uds.functional)
    if len(set(identifiers)) < len(identifiers):
        yield "uds: request, response and functional must be three different identifiers"


def _check_faults(scenario: Scenario, path: Path) -> None:
    length = longest_s(scenario)
    if len(scenario.fault) > MAX_ENTRIES:
        raise ConfigurationError(f"{path}: fault: there are {len(scenario.fault)}; {MAX_ENTRIES} at most are planned")
    for number, fault in enumerate(scenario.fault, 1):
        where = f"{path}: fault.{number}"
        read = catalogue.read(fault.own(), where, cells=scenario.pack.cells, modules=MODULES)
        if catalogue.KINDS[read.kind].momentary and fault.for_s is not None:
            raise ConfigurationError(f"{where}.for: {read.kind} happens in a moment; leave `for` out")
        log = read.parameters.get("log")
        if log and not Path(str(log)).is_file():
            raise ConfigurationError(f"{where}.log: {log}: there is no such file; paths are relative to the scenario")
        if fault.at_s >= length:
            raise ConfigurationError(
                f"{where}.at: {shown(fault.at_s)} is after the end; the scenario lasts {shown(length)} at most"
            )


def _first(problem: ValidationError) -> str:
    """The first complaint as `key: what is wrong`, with what to do where the kind of error allows it."""
    errors = problem.errors(include_url=False, include_context=True)
    # A mistyped key shows twice, as one that is missing and one that is unknown: what was typed says more.
    error = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    key = ".".join(_place(error["loc"])) or "the file"
    match error["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key; see the commented commuting-day.toml for the keys there are"
        case "missing":
            return f"{key}: missing; add it"
        case "tuple_type":
            return f"{key}: write [[{key}]], in double brackets, once for each"
        case "too_short":
            return f"{key}: there must be at least one"
        case "union_tag_not_found":
            return f"{key}.do: missing; there are {_doings(error['loc'])}"
        case "union_tag_invalid":
            return f"{key}.do: {_unknown_doing(str(error['ctx']['tag']), error['loc'])}"
        case _:
            given = f", not {error['input']!r:.100}" if isinstance(error["input"], str | int | float) else ""
            return f"{key}: {error['msg'].removeprefix('Value error, ')}{given}"


def _unknown_doing(said: str, location: tuple[int | str, ...]) -> str:
    if said in _DOINGS:
        return f"a routine can hold no other {said}; there are {_doings(location)}"
    return f"{said!r:.60} is unknown; there are {_doings(location)}"


def _doings(location: tuple[int | str, ...]) -> str:
    """What a step there can do."""
    return ", ".join(sorted(_DOINGS - {"routine"} if location[0] == "routine" else _DOINGS))


def _place(location: tuple[int | str, ...]) -> Iterator[str]:
    """A key's path as people count: tables from 1, and without the tags that tell the kinds of steps apart."""
    before: int | str = ""
    for part in location:
        if not (isinstance(before, int) and part in _DOINGS):
            yield str(part + 1) if isinstance(part, int) else part
        before = part
