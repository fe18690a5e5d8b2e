"""`packseal-sim run`: a simulated pack, by options or by a scenario, onto a bus or into a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from firmware_sim.commands.arguments import Commands, add_outputs, command, factor, number, unix_time, whole
from firmware_sim.outputs.candump_log import STDOUT
from packseal.program import UsageError

EXAMPLES = """\
examples:
  packseal-sim run --seed 7 --soc 0.8 --ambient 5 --slcan-link /tmp/pack1
  packseal-sim run --interface socketcan --channel vcan0
  packseal-sim run --duration 60 --out - | head
  packseal-sim run --scenario commuting-day --out day.log --truth day.csv
  packseal-sim run --slcan-link /tmp/pack1 --control /tmp/pack1.sock
"""


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    run = command(commands, "run", "Simulate a pack in a car that drives, parks and charges.", EXAMPLES)
    run.add_argument("--scenario", metavar="NAME", help="a shipped scenario (see `packseal-sim scenarios`) or a file")
    run.add_argument("--cells", type=whole, help="bricks in series, 1 to 108 (default 96)")
    run.add_argument("--seed", type=whole, help="same seed, same bytes (default 1, or the scenario's)")
    run.add_argument("--ambient", type=float, metavar="DEGC", help="ambient temperature (default 20)")
    run.add_argument("--soc", type=float, help="state of charge at the start, 0 to 1 (default 0.62)")
    run.add_argument("--duration", type=number, default=0.0, metavar="S", help="simulated seconds; 0 = to the end")
    run.add_argument("--speed", type=factor, metavar="X", help="with --out: times real time; 0 = at once (default)")
    run.add_argument(
        "--start",
        type=unix_time,
        metavar="UNIX_S",
        help="with --out: the log's first time (default 0, or the scenario's)",
    )
    run.add_argument("--profile", metavar="DBC", help="speak as this DBC has it: a file, or a shipped profile's name")
    run.add_argument(
        "--bus-load", type=number, metavar="X", help="fill the bus to this share with other nodes' messages"
    )
    run.add_argument("--control", type=Path, metavar="PATH", help="make a socket for `packseal-sim inject`")
    run.add_argument("--truth", type=Path, metavar="FILE", help="write what really was: .csv or .parquet")
    run.add_argument(
        "--truth-period",
        type=number,
        metavar="S",
        help="a row so often (default 1); while the pack sleeps it is one a minute",
    )
    run.add_argument(
        "--truth-leap-period",
        type=number,
        metavar="S",
        help="the same where time leaps (default 3600)",
    )
    run.add_argument("--progress", action="store_true", help="say on a terminal how far it is")
    add_outputs(run)
    run.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Run what is described."""
    if options.out is None and options.speed is not None:
        raise UsageError("--speed is for --out; a bus runs in real time")
    if options.truth is None and (options.truth_period is not None or options.truth_leap_period is not None):
        raise UsageError("--truth-period and --truth-leap-period say how often --truth FILE is written: give it, too")
    endless = options.scenario is None and not options.duration and not options.speed
    if options.out not in (None, STDOUT) and endless:
        raise UsageError("--out without an end fills the disk: give --duration, --speed or --scenario")
    if options.scenario is not None:
        for name in ("cells", "ambient", "soc"):
            if getattr(options, name) is not None:
                raise UsageError(f"--{name} is the scenario's to say; copy it and change it there")
    # Imported here so that playing a recording does not pay for numpy.
    from firmware_sim import staged_run

    staged_run.run(options)
