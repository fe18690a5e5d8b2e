"""What the sub-commands' arguments have in common: their kinds and bounds, and the outputs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final, TypeAlias

from packseal.program import Parser

LEAST_FACTOR: Final = 0.001
AFTER_UNIX_S: Final = 7_289_654_400  # 2201; the formats of logs know no years without end

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # argparse gives it no public name


def command(commands: Commands, name: str, text: str, examples: str, about: str | None = None) -> Parser:
    """A sub-command with its help, which ends with examples; it takes no abbreviated options."""
    return commands.add_parser(
        name, help=text, description=text if about is None else about, epilog=examples, allow_abbrev=False
    )


def whole(text: str) -> int:
    """A whole number from 0 up."""
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def number(text: str) -> float:
    """A number from 0 up."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1e12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 up")
    return value


def bits_per_second(text: str) -> int:
    """A rate that a bus can have."""
    value = whole(text)
    if not 0 < value <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate of a classic CAN bus: give 1 to 1000000 bit/s")
    return value


def factor(text: str) -> float:
    """0, or a number that is not so small that times grow beyond all bounds by it."""
    value = number(text)
    if 0.0 < value < LEAST_FACTOR:
        raise argparse.ArgumentTypeError(f"{text!r} is neither 0 nor a number from {LEAST_FACTOR} up")
    return value


def unix_time(text: str) -> float:
    """Seconds of Unix time, to the end of the year 2200."""
    value = number(text)
    if value >= AFTER_UNIX_S:
        raise argparse.ArgumentTypeError(f"{text!r} is after the year 2200, which ends at {AFTER_UNIX_S}")
    return value


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Where frames go, and what else is told about them."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--slcan-link", type=Path, metavar="PATH", help="be an slcan adapter; PATH links to its port")
    where.add_argument("--interface", metavar="I", help="send on this python-can interface")
    where.add_argument(
        "--out", metavar="FILE", help="write a log: candump, or by suffix .asc or .blf; - is standard output"
    )
    parser.add_argument("--channel", metavar="C", help="channel of --interface; name in the log of --out (can0)")
    parser.add_argument("--bitrate", type=bits_per_second, default=500_000, help="of --interface (default 500000)")
    parser.add_argument("--wait", action="store_true", help="begin only when somebody listens")
    parser.add_argument("--linger", type=number, default=0.0, metavar="S", help="keep the output after the last frame")
    parser.add_argument("--sent-log", type=Path, metavar="FILE", help="a line for each frame that was written")
    parser.add_argument("--json", action="store_true", help="print the summary as one line of JSON")
