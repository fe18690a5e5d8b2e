"""The ledger's errors, by blame. Every one is a single line for a person: what, where, what to do.

packseal.program.Failure
└── LedgerError
    ├── ConfigError     78  the operator's: ledger.toml or the command line contradicts itself or the log
    ├── KeyFileError    78  the operator's: a key file is missing, readable by others or not a key
    ├── StoreError      74  the disk's: the database cannot be read or written
    ├── Busy            69  another process holds the ledger's folder, or does not answer
    ├── LinkUnusable    69  the broker refuses us for good, or does not deliver what we subscribe to
    ├── DoorLost        69  tools cannot reach this process any more: its supervisor restarts it
    ├── Erased          65  a statement is in the log, but its bytes were erased: nobody can be shown it
    ├── LogDamaged      65  the log contradicts itself or its checkpoints; nothing is signed over it
    └── ActRefused      65  the rules refuse what was asked for; names the rule
        └── NoBundle    65  there is no bundle of this pack that would verify; says why

A library's exceptions never pass its adapter: each becomes one of these there.
"""

from __future__ import annotations

from packseal.program import CONFIGURATION, FAILED, INPUT_OUTPUT, UNAVAILABLE, Failure


class LedgerError(Failure):
    """Anything that the ledger reports by itself."""


class ConfigError(LedgerError):
    """A configuration key is wrong; names the file, the key and the cure."""

    exit_code = CONFIGURATION


class KeyFileError(LedgerError):
    """A key file cannot be used; names the file, never its content."""

    exit_code = CONFIGURATION


class StoreError(LedgerError):
    """The database cannot be read or written; what was not committed has not happened."""

    exit_code = INPUT_OUTPUT


class Busy(LedgerError):
    """Another process holds the ledger's folder and does not answer."""

    exit_code = UNAVAILABLE


class LinkUnusable(LedgerError):
    """The broker does not let the ledger do its work."""

    exit_code = UNAVAILABLE


class DoorLost(LedgerError):
    """The running ledger no longer hears tools."""

    exit_code = UNAVAILABLE


class Erased(LedgerError):
    """A statement's bytes were erased; its entry and place stand. Always answered where it is met, never fatal."""

    exit_code = FAILED


class LogDamaged(LedgerError):
    """Entries, checkpoints and keys do not agree with each other: refuse to sign anything."""

    exit_code = FAILED


class ActRefused(LedgerError):
    """The rules of the register refuse an act."""

    exit_code = FAILED


class NoBundle(ActRefused):
    """No bundle that would verify can be made."""
