"""Where every member's chain ended, so that the next run's epochs continue them: without it each run would fork all.

A file of 32 bytes for each member, written before a statement leaves. It outlives the process, not a power cut: then
the ledger shows forks, which is the truth.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from evidence.merkle import HASH_BYTES, Digest
from packseal.program import InputOutputError, Unavailable

FILE: Final = "chain-ends"
_NONE: Final = bytes(HASH_BYTES)


class ChainEnds:
    """The newest entry of each member's chain; one process at a time speaks for a fleet."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as problem:
            raise InputOutputError(f"{self._path}: {problem.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise Unavailable(f"{self._path}: another packseal-sim fleet speaks for these gateways now") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def of(self, number: int) -> Digest | None:
        """The last entry of a member's chain; None if it has not begun."""
        found = os.pread(self._file, HASH_BYTES, number * HASH_BYTES)
        return None if len(found) < HASH_BYTES or found == _NONE else Digest(found)

    def put(self, number: int, entry: Digest) -> None:
        """A member's chain now ends here."""
        try:
            os.pwrite(self._file, entry, number * HASH_BYTES)
        except OSError as problem:
            raise InputOutputError(f"{self._path}: {problem.strerror}") from None
