"""Draws one day of the simulator's truth into one-day.svg: `python docs/plots/one_day.py [--truth DAY.csv]`.

Without a truth file it runs the shipped scenario `commuting-day` first. The drawing depends on nothing but the truth:
the same day gives the same bytes with the same matplotlib.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl

mpl.use("svg")

from matplotlib import dates
from matplotlib import pyplot as plt

HERE = Path(__file__).resolve().parent
SCENARIO = "commuting-day"
POINTS = 1_600  # across the drawing; of the rows between two points the lowest and the highest are kept
MODES = {"drive": "#f3d9a4", "charge-ac": "#cfe6cf"}


class Moment(NamedTuple):
    """What is drawn of one row of the truth."""

    time: datetime.datetime
    mode: str
    soc: float
    volts: float
    amperes: float
    module_c: float
    ambient_c: float
    spread_mv: float


def main() -> int:
    """Read the day, or live it first, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--truth", type=Path, help="a truth file of that scenario, CSV (default: run it now)")
    parser.add_argument("--out", type=Path, default=HERE / "one-day.svg", help="where the drawing goes")
    options = parser.parse_args()
    if options.truth is not None:
        draw(list(day(options.truth)), options.out)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        truth = Path(folder) / "day.csv"
        words = ["run", "--scenario", SCENARIO, "--out", "/dev/null", "--truth", str(truth)]
        subprocess.run([sys.executable, "-m", "firmware_sim", *words], check=True)  # noqa: S603 - our own program
        draw(list(day(truth)), options.out)
    return 0


def day(truth: Path) -> Iterator[Moment]:
    """The rows of a truth file."""
    with truth.open(newline="") as file:
        for row in csv.DictReader(file):
            volts = [float(value) for name, value in row.items() if name.startswith("cell_")]
            modules = [float(value) for name, value in row.items() if name.startswith("module_")]
            yield Moment(
                datetime.datetime.fromtimestamp(int(row["unix_ms"]) / 1_000, datetime.UTC),
                row["mode"],
                100.0 * float(row["soc_mean"]),
                float(row["pack_volts"]),
                float(row["current_a"]),
                sum(modules) / len(modules),
                float(row["ambient_c"]),
                1_000.0 * (max(volts) - min(volts)),
            )


def thinned(moments: list[Moment], name: str) -> tuple[list[datetime.datetime], list[float]]:
    """The moments of one curve that a drawing can show: in every slice of the day the lowest and the highest."""
    begin, end = moments[0].time, moments[-1].time
    slices: dict[int, list[Moment]] = {}
    for moment in moments:
        slices.setdefault(int(POINTS / 2 * ((moment.time - begin) / (end - begin))), []).append(moment)
    kept: list[Moment] = []
    for group in slices.values():
        extremes = {min(group, key=lambda each: getattr(each, name)), max(group, key=lambda each: getattr(each, name))}
        kept += sorted(extremes | {group[0], group[-1]} if len(group) < 4 else extremes)
    return [each.time for each in kept], [getattr(each, name) for each in kept]


def draw(moments: list[Moment], out: Path) -> None:
    """Five panels over one day, with driving and charging behind them."""
    mpl.rcParams.update({"svg.hashsalt": "packseal", "svg.fonttype": "path", "font.size": 8, "path.simplify": True})
    figure, panels = plt.subplots(5, 1, figsize=(9, 8), sharex=True, layout="constrained")
    curves = (
        ("state of charge, %", (("soc", "#1f4e79", "true, mean of the cells"),)),
        ("pack, V", (("volts", "#1f4e79", "terminals"),)),
        ("current, A", (("amperes", "#1f4e79", "into the battery"),)),
        ("temperature, degC", (("module_c", "#a33", "cells, mean"), ("ambient_c", "#777", "around the car"))),
        ("cell spread, mV", (("spread_mv", "#1f4e79", "highest less lowest cell"),)),
    )
    for panel, (label, lines) in zip(panels, curves, strict=True):
        for begin, end, mode in stretches(moments):
            panel.axvspan(begin, end, color=MODES[mode], linewidth=0)
        for name, colour, meaning in lines:
            panel.plot(*thinned(moments, name), color=colour, linewidth=0.7, label=meaning)
        panel.set_ylabel(label)
        panel.grid(alpha=0.25, linewidth=0.4)
        panel.legend(loc="upper right", frameon=False)
    panels[0].set_title("One day of the simulated pack (commuting-day): driving shaded sand, charging green")
    panels[-1].xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
    panels[-1].set_xlim(moments[0].time, moments[-1].time)
    figure.savefig(out, metadata={"Date": None, "Creator": "docs/plots/one_day.py"})


def stretches(moments: list[Moment]) -> Iterator[tuple[datetime.datetime, datetime.datetime, str]]:
    """From when to when the car drove or charged."""
    begin = moments[0]
    for moment in (*moments[1:], moments[-1]._replace(mode="over")):
        if moment.mode != begin.mode:
            if begin.mode in MODES:
                yield begin.time, moment.time, begin.mode
            begin = moment


if __name__ == "__main__":
    sys.exit(main())
