"""The truth as CSV: a header line, a line for each row, complete lines only whenever the program stops."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from firmware_sim.truth.table import Column, Value
from packseal.program import InputOutputError

BATCH = 64


def written(value: Value) -> str:
    """A value as it stands in the file: numbers in their shortest exact form, truth values as 1 and 0."""
    if isinstance(value, bool):
        return "1" if value else "0"
    return repr(value) if isinstance(value, float) else str(value)


class CsvFile:
    """Collects lines and hands them to the system in batches."""

    def __init__(self, path: Path, table: Sequence[Column]) -> None:
        self._path, self._lines = path, [",".join(column.name for column in table) + "\n"]
        self._length, self._broken = 0, False
        try:
            # Unbuffered, for whole batches are written, and so that nothing is left to fail when it is closed.
            self._file = path.open("wb", buffering=0)
        except OSError as problem:
            raise InputOutputError(f"{path}: {problem.strerror}") from None

    def add(self, values: Sequence[Value]) -> None:
        """Take one row; none any more once it is broken, which was said then."""
        if self._broken:
            return
        self._lines.append(",".join(map(written, values)) + "\n")
        if len(self._lines) >= BATCH:
            self._hand_over()

    def close(self) -> None:
        """Write the rest."""
        try:
            if not self._broken:
                self._hand_over()
        finally:
            self._file.close()

    def _hand_over(self) -> None:
        batch = "".join(self._lines).encode("ascii")
        taken = 0
        try:
            while taken < len(batch):
                taken += self._file.write(batch[taken:])
        except OSError as problem:
            self._broken = True
            whole = self._length + batch.rfind(b"\n", 0, taken) + 1
            with contextlib.suppress(OSError):  # a device has no length
                self._file.truncate(whole)
            raise InputOutputError(f"{self._path}: {problem.strerror}") from None
        self._length += taken
        self._lines.clear()
