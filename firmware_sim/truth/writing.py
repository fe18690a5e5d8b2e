"""Writes the truth as it comes: the file's kind by its name, a row at every due instant, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from firmware_sim.truth.csv_file import CsvFile
from firmware_sim.truth.table import Column, TruthRow, Value, columns
from packseal.program import UsageError

SHORTEST_S = 0.01


class Sheet(Protocol):
    """A file that takes rows. InputOutputError or Unavailable is all that it raises."""

    def add(self, values: Sequence[Value]) -> None:
        """Take one row."""

    def close(self) -> None:
        """Finish the file; what was added is then readable."""


def sheet(path: Path, table: Sequence[Column]) -> Sheet:
    """A new file of the kind that its name ends with; UsageError when that is no kind of ours."""
    match path.suffix.lower():
        case ".csv":
            return CsvFile(path, table)
        case ".parquet":
            # A large library that most runs do without.
            from firmware_sim.truth.parquet_file import ParquetFile

            return ParquetFile(path, table)
        case _:
            raise UsageError(f"--truth {path}: the name must end with .csv or .parquet")


class Witnessed(Protocol):
    """A pack whose truth is written."""

    @property
    def time_us(self) -> int:
        """Up to when it has been moved on."""

    @property
    def leaping(self) -> bool:
        """Whether its time passes in leaps now."""

    def truth(self) -> TruthRow:
        """What really is now."""


@dataclass(slots=True)
class TruthWriter:
    """Adds a row whenever one is due: on multiples of a period, a longer one while time is leaped over."""

    path: Path
    cells: int
    modules: int
    period_s: float = 1.0
    leap_period_s: float = 3_600.0
    rows: int = 0
    _columns: tuple[Column, ...] = field(init=False)
    _sheet: Sheet = field(init=False)
    _last_us: int = -1

    def __post_init__(self) -> None:
        if not self.period_s >= SHORTEST_S or not self.leap_period_s >= self.period_s:
            raise UsageError(f"--truth-period is {SHORTEST_S} s at least, and --truth-leap-period not shorter than it")
        self._columns = columns(self.cells, self.modules)
        self._sheet = sheet(self.path, self._columns)

    def witness(self, pack: Witnessed) -> int:
        """Write the row that is due; returns when the next one is, microseconds after the start."""
        self._write(pack)
        period_us = round((self.leap_period_s if pack.leaping else self.period_s) * 1e6)
        return pack.time_us - pack.time_us % period_us + period_us

    def close(self, pack: Witnessed | None = None) -> None:
        """Finish the file, with a last row of how it ended."""
        try:
            if pack is not None and pack.time_us != self._last_us:
                self._write(pack)
        finally:
            self._sheet.close()

    def _write(self, pack: Witnessed) -> None:
        row = pack.truth()
        self._sheet.add([column.value(row) for column in self._columns])
        self.rows += 1
        self._last_us = pack.time_us
