"""Puts a load run together from its options: fleet, library, chains, connections. The composition root of this package."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import time
from collections.abc import Callable
from typing import Final

from evidence.merkle import Digest
from firmware_sim.cells.spec import PackSpec
from firmware_sim.fleet import library, members
from firmware_sim.fleet.answers import Answers
from firmware_sim.fleet.ends import ChainEnds
from firmware_sim.fleet.figures import Figures
from firmware_sim.fleet.library import Library
from firmware_sim.fleet.load import AHEAD_MAX, Load, Signer
from firmware_sim.fleet.members import Fleet, Member
from firmware_sim.fleet.statements import Chain
from firmware_sim.fleet.timetable import Timetable
from firmware_sim.simulated_pack import SimulatedPack
from link.connection import Connection
from link.endpoint import Tls, parse_url
from link.errors import EndpointError
from packseal.keytext import named_keys
from packseal.program import ConfigurationError, InputOutputError, UsageError

_LIBRARY_CELLS: Final = 96
_LIBRARY_S: Final = 30
_LIBRARY: Final = ((0.83, 24.0), (0.55, 12.0), (0.21, -4.0))  # state of charge and ambient degC of its packs
_PROGRESS_S: Final = 1.0


def load(options: argparse.Namespace) -> Figures:
    """Run the load that the options describe; what it measured."""
    keys = named_keys(options.ledger_key)
    if len(keys) != 1:
        raise UsageError(f"{options.ledger_key}: one ledger's key is wanted, this file holds {len(keys)}")
    fleet = members.opened(options.keys, options.registrar, options.packs)
    timetable = Timetable.of(options.packs, options.rate, options.duration)
    if options.sign_ahead and timetable.size > AHEAD_MAX:
        raise UsageError(f"--sign-ahead holds at most {AHEAD_MAX} statements in memory, these are {timetable.size}")
    connections = _connections(options, fleet.tag)
    with ChainEnds(options.keys) as ends:
        own = fleet.members()
        signer = Signer(
            _chains(fleet, own, ends.of, keys[0].name, _library(with_cells=options.documents), options.gap_share),
            timetable,
        )
        _say(options, f"{len(own)} gateways, {timetable.size} statements in {timetable.size / timetable.rate:.0f} s")
        signing_s = signer.sign_ahead() if options.sign_ahead else 0.0
        made = Load(
            own,
            [fleet.registrar.pack(member.pack) for member in own],
            signer,
            ends,
            Answers(keys[0]),
            connections,
            options.documents,
            options.patience,
            stopped=_stop_request(),
            progress=_progress(options),
        )
        made.figures.signing_s = signing_s
        return made.run()


def _library(*, with_cells: bool) -> Library:
    """Windows of three packs in different weather, simulated now."""
    specs = [PackSpec(cells=_LIBRARY_CELLS, soc=soc, ambient_c=ambient_c) for soc, ambient_c in _LIBRARY]
    packs = [SimulatedPack(spec, seed) for seed, spec in enumerate(specs, 1)]
    return library.record(packs, _LIBRARY_S, with_cells=with_cells)


def _chains(
    fleet: Fleet,
    own: list[Member],
    end_of: Callable[[int], Digest | None],
    ledger: str,
    windows: Library,
    gap_share: float,
) -> list[Chain]:
    registrar, start_ms = fleet.registrar, time.time_ns() // 1_000_000
    return [
        Chain(
            member,
            registrar.gateway(member.gateway),
            registrar.pack(member.pack),
            ledger,
            windows,
            fleet.secret,
            secrets.randbits(53),
            start_ms,
            gap_share,
            end_of(member.number),
        )
        for member in own
    ]


def _connections(options: argparse.Namespace, tag: str) -> list[Connection]:
    if not 1 <= options.connections <= 256:
        raise UsageError(f"--connections {options.connections}: 1 to 256")
    tls = Tls(ca=options.ca) if options.ca is not None else None
    try:
        endpoints = [
            parse_url(
                options.broker,
                client_id=f"packseal-sim-fleet-{tag}-{number}",
                password_file=options.password_file,
                tls=tls,
            )
            for number in range(1, min(options.connections, options.packs) + 1)
        ]
        endpoints[0].check()
    except EndpointError as problem:
        raise ConfigurationError(str(problem)) from None
    return [Connection(endpoint) for endpoint in endpoints]


def write_registrations(options: argparse.Namespace) -> int:
    """Write what the ledger must register, a line for each member; how many there are."""
    fleet = members.opened(options.keys, options.registrar, options.packs)
    path = options.register_only
    try:
        with path.open("w", encoding="utf-8") as file:
            for number in range(1, fleet.count + 1):
                file.write(fleet.registration(fleet.member(number)) + "\n")
    except OSError as problem:
        raise InputOutputError(f"{path}: {problem.strerror}") from None
    return fleet.count


def _progress(options: argparse.Namespace) -> Callable[[Figures, float], None]:
    """Says on a terminal, once a second, how far it is."""
    said_s = 0.0

    def progress(figures: Figures, now_s: float) -> None:
        nonlocal said_s
        if now_s - said_s >= _PROGRESS_S:
            said_s = now_s
            refused = sum(figures.refused.values())
            _say(options, f"{now_s:.0f} s: {figures.sent} sent, {figures.proven} proven, {refused} refused")

    return progress


def _say(options: argparse.Namespace, text: str) -> None:
    if sys.stderr.isatty() and not options.json:
        print(f"packseal-sim: {text}", file=sys.stderr, flush=True)


def _stop_request() -> Callable[[], bool]:
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received_number, _frame: received.append(received_number))
    return lambda: bool(received)
