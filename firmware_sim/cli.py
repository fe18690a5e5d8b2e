"""`packseal-sim`: the command line of the simulator; every sub-command is a module of `commands`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from firmware_sim.commands import fleet, inject, play, run, scenarios
from packseal import program
from packseal.program import Parser, UsageError
from packseal.version import __version__

NAME = "packseal-sim"
COMMANDS = (run, play, scenarios, inject, fleet)

_EXAMPLES = """\
examples:
  packseal-sim run --slcan-link /tmp/pack1              a pack on virtual serial, until Ctrl-C
  packseal-sim run --duration 600 --out drive.log       ten minutes into a candump log, at once
  packseal-sim run --scenario dc-charge --out x.log --truth t.csv   a planned run, with the truth beside it
  packseal-sim play drive.log --slcan-link /tmp/pack1   that log again, at its own pace
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `packseal-sim`; returns the exit code."""
    return program.run(NAME, lambda: _main(sys.argv[1:] if argv is None else argv))


def _main(argv: Sequence[str]) -> int:
    options, strange = parser().parse_known_args(argv)
    if strange:  # argparse itself would point to the program's help, which does not name the command's options
        raise UsageError(f"unrecognized arguments: {' '.join(strange)}; see {NAME} {options.command} --help")
    return int(options.execute(options) or program.OK)


def parser() -> Parser:
    """The whole command line, for the program and for whoever documents it."""
    text = "A simulated battery pack on a CAN bus, or a recording played onto one."
    top = Parser(prog=NAME, description=text, epilog=_EXAMPLES, allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"{NAME} {__version__}")
    names = [each.__name__.rpartition(".")[2] for each in COMMANDS]
    commands = top.add_subparsers(dest="command", required=True, metavar="|".join(names), parser_class=Parser)
    for each in COMMANDS:
        each.add(commands)
    return top
