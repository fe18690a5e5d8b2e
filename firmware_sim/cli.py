"""`packseal-sim`: the command line of the simulator; what it asks for is put together in `app`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from firmware_sim import app
from packseal import program
from packseal.program import UsageError
from packseal.version import __version__

NAME = "packseal-sim"

_EXAMPLES = """\
examples:
  packseal-sim run --slcan-link /tmp/pack1              a pack on virtual serial, until Ctrl-C
  packseal-sim run --duration 600 --out drive.log       ten minutes into a candump log, at once
  packseal-sim play drive.log --slcan-link /tmp/pack1   that log again, at its own pace
"""
_RUN_EXAMPLES = """\
examples:
  packseal-sim run --seed 7 --soc 0.8 --ambient -5 --slcan-link /tmp/pack1
  packseal-sim run --interface socketcan --channel vcan0
  packseal-sim run --duration 60 --out - | head
"""
_PLAY_EXAMPLES = """\
examples:
  packseal-sim play recording.csv --bus-number 0 --slcan-link /tmp/pack1 --wait
  packseal-sim play recording.csv --bus-number 0 --loop --slcan-link /tmp/pack1 --sent-log sent.csv
  packseal-sim play drive.log --pace 0 --interface socketcan --channel vcan0
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `packseal-sim`; returns the exit code."""
    return program.run(NAME, lambda: _main(sys.argv[1:] if argv is None else argv))


def _main(argv: Sequence[str]) -> int:
    options = parser().parse_args(argv)
    app.run(app.simulation(options) if options.command == "run" else app.playback(options), options)
    return program.OK


def parser() -> argparse.ArgumentParser:
    """The whole command line, for the program and for whoever documents it."""
    top = _command(None, NAME, "A simulated battery pack on a CAN bus, or a recording played onto one.", _EXAMPLES)
    top.add_argument("--version", action="version", version=f"{NAME} {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="run|play", parser_class=_Parser)
    run = _command(
        commands, "run", "Simulate a tesla-model3 pack in a car that drives, parks and charges.", _RUN_EXAMPLES
    )
    run.add_argument("--cells", type=_whole, default=96, help="bricks in series, 1 to 108 (default 96)")
    run.add_argument("--seed", type=_whole, default=1, help="same seed, same bytes (default 1)")
    run.add_argument("--ambient", type=float, default=20.0, metavar="DEGC", help="ambient temperature (default 20)")
    run.add_argument("--soc", type=float, default=0.62, help="state of charge at the start, 0 to 1 (default 0.62)")
    run.add_argument("--duration", type=_number, default=0.0, metavar="S", help="simulated seconds; 0 = without end")
    run.add_argument("--speed", type=_number, metavar="X", help="with --out: times real time; 0 = at once (default)")
    run.add_argument("--start", type=_number, default=0.0, metavar="UNIX_S", help="with --out: the log's first time")
    _add_outputs(run)
    play = _command(commands, "play", "Play a candump .log or a GVRET .csv recording.", _PLAY_EXAMPLES)
    play.add_argument("log", type=Path, metavar="LOG", help="the recording")
    play.add_argument("--bus-number", type=_whole, metavar="N", help="play this bus only (default: all)")
    play.add_argument("--loop", action="store_true", help="begin again at the end, until stopped")
    play.add_argument(
        "--pace",
        type=_number,
        metavar="X",
        help="times the recorded pace; 0 = as fast as the output takes, "
        "without losing a frame (default 1; with --out 0)",
    )
    play.add_argument("--max-rate", type=_number, metavar="F", help="not more than F frames a second")
    _add_outputs(play)
    return top


def _command(
    commands: argparse._SubParsersAction[_Parser] | None, name: str, text: str, examples: str
) -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    if commands is None:
        return _Parser(prog=name, description=text, epilog=examples, formatter_class=layout, allow_abbrev=False)
    return commands.add_parser(
        name, help=text, description=text, epilog=examples, formatter_class=layout, allow_abbrev=False
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--slcan-link", type=Path, metavar="PATH", help="be an slcan adapter; PATH links to its port")
    where.add_argument("--interface", metavar="I", help="send on this python-can interface")
    where.add_argument("--out", metavar="FILE", help="write a candump log; - is standard output")
    parser.add_argument("--channel", metavar="C", help="channel of --interface; name in the log of --out (can0)")
    parser.add_argument("--bitrate", type=_whole, default=500_000, help="of --interface (default 500000)")
    parser.add_argument("--wait", action="store_true", help="begin only when somebody listens")
    parser.add_argument("--linger", type=_number, default=0.0, metavar="S", help="keep the output after the last frame")
    parser.add_argument("--sent-log", type=Path, metavar="FILE", help="a line for each frame that was written")
    parser.add_argument("--json", action="store_true", help="print the summary as one line of JSON")


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1e12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 up")
    return value
