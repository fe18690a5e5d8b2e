"""What the sub-commands' arguments have in common: their kinds, the parser that answers in one line, the outputs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn, TypeAlias

from packseal.program import UsageError


class Parser(argparse.ArgumentParser):
    """An argument parser that takes no abbreviations, keeps the lines of examples, and raises UsageError."""

    def __init__(self, **settings: object) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        settings.setdefault("allow_abbrev", False)
        super().__init__(**settings)  # type: ignore[arg-type]  # argparse's own settings, passed on

    def error(self, message: str) -> NoReturn:
        """Complain in one line and point to the help."""
        raise UsageError(f"{message} (see {self.prog} --help)")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # argparse gives it no public name


def command(commands: Commands, name: str, text: str, examples: str) -> Parser:
    """A sub-command with its help, which ends with examples."""
    return commands.add_parser(name, help=text, description=text, epilog=examples)


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


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Where frames go, and what else is told about them."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--slcan-link", type=Path, metavar="PATH", help="be an slcan adapter; PATH links to its port")
    where.add_argument("--interface", metavar="I", help="send on this python-can interface")
    where.add_argument(
        "--out", metavar="FILE", help="write a log: candump, or by suffix .asc or .blf; - is standard output"
    )
    parser.add_argument("--channel", metavar="C", help="channel of --interface; name in the log of --out (can0)")
    parser.add_argument("--bitrate", type=whole, default=500_000, help="of --interface (default 500000)")
    parser.add_argument("--wait", action="store_true", help="begin only when somebody listens")
    parser.add_argument("--linger", type=number, default=0.0, metavar="S", help="keep the output after the last frame")
    parser.add_argument("--sent-log", type=Path, metavar="FILE", help="a line for each frame that was written")
    parser.add_argument("--json", action="store_true", help="print the summary as one line of JSON")
