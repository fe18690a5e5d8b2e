"""Which kind of log a file name asks for."""

from __future__ import annotations

import re
from pathlib import Path

from firmware_sim.outputs.candump_log import STDOUT, CandumpLog
from firmware_sim.outputs.output import Completed, Output, nobody_asks
from packseal.program import UsageError

_NAME = re.compile(r"[!-~]{1,64}")


def file_output(path: str, interface: str, start_us: int = 0, completed: Completed = nobody_asks) -> Output:
    """The log that `path` names: `.asc` and `.blf` are Vector's, everything else is a candump log; `-` is standard output.

    `interface` is the name in a candump log, `start_us` the Unix time of the run's start in microseconds.
    UsageError when a log could not be read again with such a name in it.
    """
    if not _NAME.fullmatch(interface):
        raise UsageError(f"--channel {interface!r}: the name in a log is of 1 to 64 printable ASCII signs, no blanks")
    if path == STDOUT or Path(path).suffix.lower() not in (".asc", ".blf"):
        return CandumpLog(path, interface, start_us, completed)
    # python-can costs 27 MB and a tenth of a second; a candump log does without.
    from firmware_sim.outputs.python_can_files import PythonCanFile

    return PythonCanFile(Path(path), start_us, completed)
