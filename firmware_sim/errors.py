"""What can go wrong in the simulator, by blame.

Failure (packseal.program)
|- UsageError           64, the command line (packseal.program)
|- RecordingError       65, the log that was given to be played
|- OutputError          69, the world: pty, bus or link that cannot be had or went away
|- InputOutputError     74, the world: a file that cannot be read or written (packseal.program)
`- ConfigurationError   78, a pack that cannot exist (packseal.program)
"""

from __future__ import annotations

from packseal.program import FAILED, Failure, Unavailable


class RecordingError(Failure):
    """The recording holds nothing that can be played."""

    exit_code = FAILED


class OutputError(Unavailable):
    """The output cannot be opened, or has gone away for good."""
