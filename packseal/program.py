"""How every packseal program ends: documented exit codes, one clear line, never a traceback at a user."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import sys
from collections.abc import Callable
from typing import NoReturn

OK = 0
USAGE = 64
FAILED = 65
UNAVAILABLE = 69
INPUT_OUTPUT = 74
CONFIGURATION = 78
INTERRUPTED = 130

_OWN_PACKAGES = {"agent", "evidence", "firmware_sim", "ledger", "link", "packseal"}

_WITH_EXTRA = {"packseal-ledger", "packseal-sim"}


class Failure(Exception):
    """A program's one-line answer to what went wrong, with the exit code of its kind (sysexits.h)."""

    exit_code = FAILED


class UsageError(Failure):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = USAGE


class Unavailable(Failure):
    """Something outside is not there: broker, adapter, ledger, an optional library."""

    exit_code = UNAVAILABLE


class InputOutputError(Failure):
    """A file or folder cannot be read or written."""

    exit_code = INPUT_OUTPUT


class ConfigurationError(Failure):
    """A configuration file or key is wrong."""

    exit_code = CONFIGURATION


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are a UsageError of one line, and whose examples keep their lines."""

    def __init__(self, **settings: object) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**settings)  # type: ignore[arg-type]  # argparse's own settings, passed on

    def error(self, message: str) -> NoReturn:
        """Complain in one line and point to the help."""
        raise UsageError(f"{message}; see {self.prog} --help")


def run(name: str, main: Callable[[], int | None]) -> int:
    """Run a program's main and turn every way it can end into an exit code and at most one line on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        with contextlib.suppress(OSError):  # of an output that is broken already; it shows when it is written to
            sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that cannot show a sign still gets the line
    try:
        return _written(name, main() or OK)
    except Failure as failure:
        _out_or_let_go()
        return _fail(name, str(failure), failure.exit_code)
    except KeyboardInterrupt:
        _out_or_let_go()
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`| head`). No word about it, but no success either: nobody read the answer.
        _let_go_of_output()
        return INPUT_OUTPUT
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package in _OWN_PACKAGES:
            raise
        extra = f"[{name.removeprefix('packseal-')}]" if name in _WITH_EXTRA else ""
        return _fail(name, f"the library {package} is missing: pip install 'packseal{extra}'", UNAVAILABLE)
    except OSError as problem:
        ours = "" if _out_or_let_go() else "standard output"
        where = f"{problem.filename or ours}: ".lstrip(": ")
        return _fail(name, f"{where}{problem.strerror or problem}", INPUT_OUTPUT)


def start(name: str, module: str) -> int:
    """Import a program's command line and run it: a library that is missing is one line, not a traceback."""
    return run(name, lambda: int(importlib.import_module(module).main()))


def printable(text: str) -> str:
    """`text` without signs that a terminal would obey instead of showing them."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _written(name: str, code: int) -> int:
    """`code`, once all output is out: at the interpreter's exit a full disk would be a traceback."""
    try:
        print(end="", flush=True)
    except BrokenPipeError:
        _let_go_of_output()
        return code or INPUT_OUTPUT
    except OSError as problem:
        _let_go_of_output()
        return _fail(name, f"standard output: {problem.strerror}", code or INPUT_OUTPUT)
    return code


def _out_or_let_go() -> bool:
    """Whether what was printed so far is out. If it cannot be, nothing more is said of it: one line is enough."""
    try:
        print(end="", flush=True)
    except OSError:
        _let_go_of_output()
        return False
    return True


def _let_go_of_output() -> None:
    """The interpreter's own flush at exit must find nobody to miss."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(name: str, message: str, code: int) -> int:
    line = printable(" ".join(message.split()))
    print(f"{name}: {line}", file=sys.stderr)
    return code
