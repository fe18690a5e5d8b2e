"""No file is written twice at once, or over what is being read: a recording would be gone before it is played."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path

from firmware_sim.outputs.candump_log import STDOUT
from packseal.program import UsageError


def written(options: argparse.Namespace) -> dict[str, Path | None]:
    """The files that a run's options let it write, by the options' names."""
    out = None if options.out in (None, STDOUT) else Path(options.out)
    return {"--out": out, "--truth": getattr(options, "truth", None), "--sent-log": options.sent_log}


def keep_apart(made: Mapping[str, Path | None], read: Iterable[tuple[str, Path]] = ()) -> None:
    """UsageError when two of the files that are `made` are one, or one of them is `read`. Devices are no files."""
    outputs = [(name, path) for name, path in made.items() if path is not None]
    pairs = [*combinations(outputs, 2), *((output, each) for each in read for output in outputs)]
    for (name, path), (other, its_path) in pairs:
        if _same(path, its_path):
            raise UsageError(f"{name} and {other} are the same file, {path}: give each its own")


def _same(one: Path, other: Path) -> bool:
    try:
        if one.exists() and other.exists():
            return one.is_file() and one.samefile(other)
        return os.path.realpath(one) == os.path.realpath(other)
    except (OSError, ValueError):
        return False  # it cannot be opened either, and that is told better there
