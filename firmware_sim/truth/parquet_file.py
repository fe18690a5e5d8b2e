"""The truth as Parquet; the only module that imports pyarrow.

A Parquet file can be read only once its end is written: it grows beside its name and takes it when it is complete.
One that cannot be completed is taken away.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from firmware_sim.truth.table import Column, Value
from packseal.program import InputOutputError

ROW_GROUP = 3_600
PROBLEMS = (OSError, pa.ArrowException)
TYPES = {
    "number": pa.float64(),
    "whole": pa.int64(),
    "flag": pa.bool_(),
    "text": pa.dictionary(pa.int32(), pa.string()),
}


class ParquetFile:
    """Collects rows into row groups; unit and meaning of every column are in the file's schema."""

    def __init__(self, path: Path, table: Sequence[Column]) -> None:
        self._path, self._growing, self._broken = path, path.with_name(path.name + ".part"), False
        if path.is_dir():  # it would show only when the whole run is done
            raise InputOutputError(f"{path}: Is a directory")
        fields = [
            pa.field(column.name, TYPES[column.kind], False, {"unit": column.unit, "meaning": column.meaning})
            for column in table
        ]
        self._schema = pa.schema(fields)
        self._columns: list[list[Value]] = [[] for _ in fields]
        try:
            self._writer = parquet.ParquetWriter(self._growing, self._schema, compression="zstd")
        except PROBLEMS as problem:
            raise InputOutputError(f"{self._growing}: {getattr(problem, 'strerror', None) or problem}") from None

    def add(self, values: Sequence[Value]) -> None:
        """Take one row; none any more once it is broken, which was said then."""
        if self._broken:
            return
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)
        if len(self._columns[0]) >= ROW_GROUP:
            self._write_group()

    def close(self) -> None:
        """Write the rest and the file's end, and give it its name."""
        if self._broken:
            return
        try:
            if self._columns[0]:
                self._write_group()
            self._writer.close()
            self._growing.replace(self._path)
        except PROBLEMS as problem:
            raise self._given_up(problem) from None

    def _write_group(self) -> None:
        arrays = [pa.array(column, field.type) for column, field in zip(self._columns, self._schema, strict=True)]
        try:
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=ROW_GROUP)
        except PROBLEMS as problem:
            raise self._given_up(problem) from None
        for column in self._columns:
            column.clear()

    def _given_up(self, problem: Exception) -> InputOutputError:
        self._broken = True
        with contextlib.suppress(*PROBLEMS):
            self._writer.close()
        with contextlib.suppress(OSError):
            self._growing.unlink()
        return InputOutputError(f"{self._path}: {getattr(problem, 'strerror', None) or problem}")
