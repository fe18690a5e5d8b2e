"""Composes a run: pack, bus, truth, faults and diagnostics, as the options and the scenario say."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from firmware_sim import app
from firmware_sim.breaking import breakable
from firmware_sim.bus.layout import compile_messages, located
from firmware_sim.bus.message import Message, Sendable
from firmware_sim.bus.simulation import Simulation
from firmware_sim.bus.traffic import NodeMessage, traffic
from firmware_sim.cells.spec import PackSpec
from firmware_sim.faults.timeline import Timeline
from firmware_sim.outputs.apart import keep_apart, written
from firmware_sim.outputs.stream import COARSE_STEP_US, Listener
from firmware_sim.pack_feed import PackFeed
from firmware_sim.progress import Progress
from firmware_sim.scenario import reading
from firmware_sim.scenario.plan import leaps, longest_s
from firmware_sim.scenario.schema import Scenario, UdsTable
from firmware_sim.scenario.staging import appointments_us, planned_faults, stage
from firmware_sim.simulated_pack import SimulatedPack
from firmware_sim.truth.writing import TruthWriter
from packseal.program import ConfigurationError, UsageError

DEFAULT_SEED, DEFAULT_CELLS, DEFAULT_SOC, DEFAULT_AMBIENT_C = 1, 96, 0.62, 20.0
DEFAULT_FIRMWARE = "tesla-model3"
LOADED_BITRATE = 500_000


def run(options: argparse.Namespace) -> None:
    """Run to the end, to the duration, or until stopped."""
    scenario = None if options.scenario is None else reading.load(reading.find(options.scenario))
    if scenario is not None and leaps(scenario) and (options.out is None or options.speed):
        raise UsageError("this scenario leaps over time with nobody on the bus: it runs into a file, with --out")
    keep_apart(written(options), _read(options, scenario))
    start_us = _start_us(options, scenario)
    pack = _simulated(options, start_us) if scenario is None else stage(scenario, _seed(options, scenario), start_us)
    firmware = DEFAULT_FIRMWARE if scenario is None else scenario.bms.firmware
    own = compile_messages(firmware, options.profile, pack.spec.cells)
    _keep_diagnosis_apart(options, scenario, own)
    messages: tuple[Sendable, ...] = (*own, *_others(options, scenario, own, pack.seed))
    duration_us = max(1, round(options.duration * 1e6)) if options.duration else None
    progress = _progress(options, pack, scenario, duration_us)
    stopped = app.StopRequest()
    between = progress.show if progress else app.nothing
    feed = PackFeed(Simulation(pack, messages, duration_us), pack, stopped, between)
    timeline = _timeline(pack, scenario)
    writer = _truth(options, pack)

    def close() -> None:
        if progress is not None:
            progress.end()
        if writer is not None:
            writer.close(pack)

    def counts() -> app.Counts:
        rows = {} if writer is None else {"truth_rows": writer.rows}
        return {"simulated_seconds": round(pack.time_us / 1e6, 3), **rows}

    programme = app.Programme(
        feed,
        1.0 if options.out is None else options.speed or 0.0,
        step_us=COARSE_STEP_US,
        start_us=start_us,
        listeners=_listeners(options, pack, scenario),
        close=close,
        counts=counts,
    )
    sent = frozenset(message.identifier for message in own) if len(messages) > len(own) else None
    app.run(breakable(programme, pack.seed, timeline, pack, options.control, sent), options, stopped)


def _read(options: argparse.Namespace, scenario: Scenario | None) -> Iterator[tuple[str, Path]]:
    """The files that a run reads, named as people know them."""
    if options.profile is not None:
        yield "--profile", located(options.profile)
    if scenario is not None:
        yield "--scenario", reading.find(options.scenario)
        for fault in scenario.fault:
            if log := fault.own.get("log"):
                yield "a fault's log", Path(str(log))


def _seed(options: argparse.Namespace, scenario: Scenario | None) -> int:
    if options.seed is not None:
        return int(options.seed)
    return DEFAULT_SEED if scenario is None else scenario.seed


def _start_us(options: argparse.Namespace, scenario: Scenario | None) -> int:
    if options.start is not None:
        return round(float(options.start) * 1e6)
    return 0 if scenario is None else round(scenario.start.timestamp() * 1e6)


def _simulated(options: argparse.Namespace, start_us: int) -> SimulatedPack:
    spec = PackSpec(
        cells=DEFAULT_CELLS if options.cells is None else options.cells,
        soc=DEFAULT_SOC if options.soc is None else options.soc,
        ambient_c=DEFAULT_AMBIENT_C if options.ambient is None else options.ambient,
    )
    # Whoever listens to a pack without a scenario always hears something.
    return SimulatedPack(spec, _seed(options, None), start_unix_us=start_us, sleeps=False)


def _others(
    options: argparse.Namespace, scenario: Scenario | None, own: Sequence[Message], seed: int
) -> tuple[NodeMessage, ...]:
    """What other nodes say, if the bus is to carry more than the pack."""
    uds = UdsTable() if scenario is None else scenario.uds
    load = options.bus_load
    if load is None:
        load = 0.0 if scenario is None else scenario.bus.load
    if load and options.bitrate != LOADED_BITRATE:
        raise UsageError(
            f"--bitrate {options.bitrate}: a bus load is reckoned at {LOADED_BITRATE} bit/s; leave one out"
        )
    return traffic(load, own, seed, avoid=(uds.request, uds.response, uds.functional))


def _keep_diagnosis_apart(options: argparse.Namespace, scenario: Scenario | None, own: Sequence[Message]) -> None:
    """ConfigurationError when the pack itself sends under an identifier of the diagnosis that is to be answered."""
    if not _answers(scenario) or (scenario is None and options.out is not None):
        return
    uds, names = UdsTable() if scenario is None else scenario.uds, {each.identifier: each.name for each in own}
    for key, identifier in (("request", uds.request), ("response", uds.response), ("functional", uds.functional)):
        if identifier in names:
            where = "" if scenario is None else f"{reading.find(options.scenario)}: "
            said = f"0x{identifier:X} is {names[identifier]}, which the pack sends; give a free identifier"
            raise ConfigurationError(f"{where}uds.{key}: {said}")


def _answers(scenario: Scenario | None) -> bool:
    return scenario is None or scenario.answers_diagnosis


def _progress(
    options: argparse.Namespace, pack: SimulatedPack, scenario: Scenario | None, duration_us: int | None
) -> Progress | None:
    if not options.progress or not sys.stderr.isatty():
        return None
    ends_us = [each for each in (duration_us, None if scenario is None else round(longest_s(scenario) * 1e6)) if each]
    return Progress(pack, min(ends_us, default=None), sys.stderr)


def _timeline(pack: SimulatedPack, scenario: Scenario | None) -> Timeline:
    timeline = Timeline()
    planned = [] if scenario is None else planned_faults(scenario)
    for each in planned:
        timeline.add(each.fault, each.start_us, each.end_us)
    pack.appointments_us = appointments_us(planned)
    pack.faults = lambda: timeline.marks(pack.time_us)
    return timeline


def _truth(options: argparse.Namespace, pack: SimulatedPack) -> TruthWriter | None:
    if options.truth is None:
        return None
    spec = pack.spec
    period_s = 1.0 if options.truth_period is None else options.truth_period
    leap_period_s = 3_600.0 if options.truth_leap_period is None else options.truth_leap_period
    writer = TruthWriter(options.truth, spec.cells, spec.modules, period_s, leap_period_s)
    pack.watch, pack.watch_us = writer.witness, writer.witness(pack)
    return writer


def _listeners(options: argparse.Namespace, pack: SimulatedPack, scenario: Scenario | None) -> tuple[Listener, ...]:
    """The diagnostic server, where somebody could ask it something."""
    if options.out is not None or not _answers(scenario):
        return ()
    try:
        # It brings a library that runs into files do without.
        from firmware_sim.uds.addresses import Addresses
        from firmware_sim.uds.endpoint import Endpoint
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("firmware_sim"):
            raise
        said = f"no diagnosis, the library {missing.name} is missing: pip install 'packseal[sim]'"
        print(f"packseal-sim: {said}", file=sys.stderr)
        return ()
    uds = None if scenario is None else scenario.uds
    addresses = Addresses() if uds is None else Addresses(uds.request, uds.response, uds.functional)
    bms = pack.bms
    return (Endpoint(addresses, pack.report, lambda: bms.reset(clear_counters=False), clear=bms.clear_faults),)
