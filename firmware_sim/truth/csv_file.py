"""The truth as CSV: a header line, a line for each row, complete lines only whenever the program stops."""

from __future__ import annotations

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
        try:
            # Unbuffered, for whole batches are written, and so that nothing is left to fail when it is closed.
            self._file = path.open("wb", buffering=0)
        except OSError as problem:
            raise InputOutputError(f"{path}: {problem.strerror}") from None

    def add(self, values: Sequence[Value]) -> None:
        """Take one row."""
        self._lines.append(",".join(map(written, values)) + "\n")
        if len(self._lines) >= BATCH:
            self._hand_over()

    def close(self) -> None:
        """Write the rest."""
        try:
            self._hand_over()
        finally:
            self._file.close()

    def _hand_over(self) -> None:
        left = "".join(self._lines).encode("ascii")
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as problem:
            raise InputOutputError(f"{self._path}: {problem.strerror}") from None
        self._lines.clear()
