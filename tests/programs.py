"""Runs the project's programs as a user does, and holds them to one line on stderr."""

from __future__ import annotations

import contextlib
import importlib
import io
import subprocess
import sys
from pathlib import Path

MODULES = {"packseal-agent": "agent.cli", "packseal-verify": "packseal.verify", "packseal-tail": "packseal.tail"}


def command(name: str, *words: object) -> list[str]:
    """The command line of a program of this environment."""
    return [str(Path(sys.executable).with_name(name)), *(str(word) for word in words)]


def run(name: str, *words: object, cwd: Path | None = None, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, as a process."""
    return subprocess.run(
        command(name, *words), capture_output=True, text=True, check=False, cwd=cwd, timeout=timeout_s
    )


def call(name: str, *words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The same within this process, many times faster; what the program logs goes to the test's log instead of stderr."""
    main = importlib.import_module(MODULES[name]).main
    before, out, err = sys.argv, io.StringIO(), io.StringIO()
    sys.argv = command(name, *words)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(cwd or Path.cwd()):
            code = main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        argv, sys.argv = sys.argv, before
    return subprocess.CompletedProcess(argv, code, out.getvalue(), err.getvalue())


def failed(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one error line of a program that ended with `code`; no traceback, nothing that a terminal obeys."""
    assert done.returncode == code, (done.returncode, done.stderr)
    (line,) = done.stderr.splitlines()
    assert line.isprintable()
    name, colon, said = line.partition(": ")
    assert colon
    assert name.split()[0] == Path(done.args[0]).name
    return said
