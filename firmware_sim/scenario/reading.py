"""Finds and reads scenario files; everything that is wrong with one is one line that names the file and the key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from firmware_sim.faults import catalogue
from firmware_sim.faults.timeline import MAX_ENTRIES
from firmware_sim.scenario.duration import shown
from firmware_sim.scenario.plan import longest_s
from firmware_sim.scenario.schema import RoutineStep, Scenario
from packseal import tables
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
        values = tables.parsed(content)
        _set_apart(values, path.resolve().parent)
        scenario = tables.read(values, Scenario)
    except tables.Complaint as problem:
        raise ConfigurationError(f"{path}: {problem}") from None
    complaint = next(_contradictions(scenario), None)
    if complaint is not None:
        raise ConfigurationError(f"{path}: {complaint}")
    _check_faults(scenario, path)
    return scenario


def _set_apart(values: dict[str, Any], folder: Path) -> None:
    """Each fault's own keys into a table `own`, a log's path relative to the file; what else is wrong is said later."""
    faults = values.get("fault")
    if not isinstance(faults, list):
        return
    for place, fault in enumerate(faults):
        if isinstance(fault, dict):
            own = {key: value for key, value in fault.items() if key not in ("at", "for")}
            if isinstance(log := own.get("log"), str) and log:
                own["log"] = str(folder / log)
            faults[place] = {key: value for key, value in fault.items() if key not in own} | {"own": own}


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
        read = catalogue.read(fault.own, where, cells=scenario.pack.cells, modules=MODULES)
        if catalogue.KINDS[read.kind].momentary and fault.for_s is not None:
            raise ConfigurationError(f"{where}.for: {read.kind} happens in a moment; leave `for` out")
        log = read.parameters.get("log")
        if log and not Path(str(log)).is_file():
            raise ConfigurationError(f"{where}.log: {log}: there is no such file; paths are relative to the scenario")
        if fault.at_s >= length:
            raise ConfigurationError(
                f"{where}.at: {shown(fault.at_s)} is after the end; the scenario lasts {shown(length)} at most"
            )
