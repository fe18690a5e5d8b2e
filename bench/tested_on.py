"""Writes the measured values of a run of the emulated machines into docs/tested-on.md.

    make vm-test vm-test vm-soak && python bench/tested_on.py .cache/vm/last/figures-*.json

Each kind of run leaves a file of its own; the first `make vm-test` of a fresh clone is the one from nothing.

A row of its tables names a figure; its last cell is filled with the value. 65 when a row's figure is not in the run, so that no
value of an older run stays beside newer ones.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path

from packseal.program import Failure, InputOutputError, run

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "tested-on.md"
ROW = re.compile(r"^(\| [^|\n]+ \| `([a-z_]+: [^`|]+)` \|)([^|\n]*)\|$", re.MULTILINE)


def names(document: str) -> list[str]:
    """The figures that the document shows."""
    return [match[2] for match in ROW.finditer(document)]


def filled(document: str, figures: Mapping[str, tuple[object, str]]) -> str:
    """The document with the values of `figures` (name: value and unit); Failure names what the run does not have."""
    missing = [name for name in names(document) if name not in figures]
    if missing:
        where = "run `make vm-soak`, and name the figures of `make vm-test` too"
        raise Failure(f"{DOCUMENT.name}: not in these runs: {', '.join(missing)}; {where}")

    def row(match: re.Match[str]) -> str:
        value, unit = figures[match[2]]
        return f"{match[1]} {value} {unit}".rstrip() + " |"

    return ROW.sub(row, document)


def main() -> int:
    """Entry point."""
    return run("tested-on", _main)


def _main() -> int:
    parser = argparse.ArgumentParser(description="Fill the figures of a run into docs/tested-on.md.")
    parser.add_argument(
        "figures", type=Path, nargs="+", help="figures of runs; of several, the last one that has a figure counts"
    )
    figures = {}
    try:
        for path in parser.parse_args().figures:
            figures |= {name: (value, unit) for name, (value, unit) in json.loads(path.read_text()).items()}
        DOCUMENT.write_text(filled(DOCUMENT.read_text(), figures))
    except OSError as problem:
        raise InputOutputError(f"{problem.filename}: {problem.strerror}") from problem
    except (ValueError, TypeError, AttributeError) as problem:
        raise Failure(f"{path}: not the figures of a run of the machines: {problem}") from problem
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
