"""The agent's errors, by blame. Every one is a single line for a person: what, where, what to do.

packseal.program.Failure
└── AgentError
    ├── ConfigError         78  ours or the operator's: a file, key, profile or unit that cannot be used
    ├── SourceError         69  the world's: an adapter, bus or log file that is not there or went away
    │   ├── BusOff          69  the controller's: it is there, but has left the bus after too many errors
    │   ├── RecordingError  65  the file's: it can be read, but it is not a recording that we know
    │   └── RecordingUnreadable  74  the disk's: the recording cannot be opened or read
    └── StoreError          74  the disk's: the outbox or a key file cannot be read or written

A library's exceptions never pass its adapter: each becomes one of these there.
"""

from __future__ import annotations

from packseal.program import CONFIGURATION, FAILED, INPUT_OUTPUT, UNAVAILABLE, Failure


class AgentError(Failure):
    """Anything that the agent reports by itself."""


class ConfigError(AgentError):
    """A configuration file, profile, mapping or key is wrong; names the file, the key and the cure."""

    exit_code = CONFIGURATION


class SourceError(AgentError):
    """Frames cannot be had from a source; names the adapter or file and what it said."""

    exit_code = UNAVAILABLE


class BusOff(SourceError):
    """A controller has left the bus after too many errors and hears nothing; names the interface and the cure."""


class RecordingError(SourceError):
    """A file was read but is not a recording in a form that we know; names the file and what was expected."""

    exit_code = FAILED


class RecordingUnreadable(SourceError):
    """A recording cannot be opened or read at all; names the file and the system's reason."""

    exit_code = INPUT_OUTPUT


class StoreError(AgentError):
    """The outbox or a key file cannot be read or written; names the file."""

    exit_code = INPUT_OUTPUT
