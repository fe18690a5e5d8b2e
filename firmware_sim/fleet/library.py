"""The library of windows that a fleet's statements are made of: a few packs, simulated once, half a minute each.

Windows hold what the firmware knew, read from its reports; no bus and no decoder was there, so `frames` counts reports.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from evidence import cbor
from evidence.merkle import Digest
from evidence.segment import digest
from evidence.window import ArrayRecord, Record, ScalarRecord
from firmware_sim.bms.report import BmsReport

WINDOW_MS: Final = 1_000
WINDOWS: Final = 5  # of a segment
REPORTS: Final = 10  # of a window
_KINDS: Final = {"scalar": 0, "array": 2}  # as the agent's profile schema numbers them


class Pack(Protocol):
    """A simulated pack."""

    def advance_to(self, time_us: int) -> bool:
        """Move it on."""

    def report(self) -> BmsReport:
        """What its firmware knows."""


_SCALARS: Final[tuple[tuple[str, str, Callable[[BmsReport], float]], ...]] = (
    ("CurrentVoltage", "mV", lambda r: r.pack_volts * 1e3),
    ("CurrentCurrent", "mA", lambda r: r.current_a * 1e3),
    ("StateOfCharge.Current", "permille", lambda r: r.soc.mean * 1e3),
    ("CellVoltage.Max", "mV", lambda r: max(r.cell_volts) * 1e3),
    ("CellVoltage.Min", "mV", lambda r: min(r.cell_volts) * 1e3),
    ("Temperature.Max", "mdegC", lambda r: max(r.temperatures_c) * 1e3),
    ("Temperature.Min", "mdegC", lambda r: min(r.temperatures_c) * 1e3),
)


@dataclass(frozen=True, slots=True)
class Library:
    """The profile document of a fleet's epochs and, for each segment that there is, the records of its windows."""

    schema: bytes
    segments: tuple[tuple[tuple[Record, ...], ...], ...]

    @property
    def profile(self) -> Digest:
        """The digest by which segments name the profile document."""
        return digest(self.schema)


def record(packs: Sequence[Pack], seconds: int, *, with_cells: bool) -> Library:
    """The library of these packs, moved on by `seconds` each; a segment for every five of them.

    Every cell's voltage makes documents as large as an agent's, and costs every statement that names one its time.
    """
    segments: list[tuple[tuple[Record, ...], ...]] = []
    for pack in packs:
        windows = [_window(pack, second, with_cells=with_cells) for second in range(seconds)]
        segments += [tuple(windows[at : at + WINDOWS]) for at in range(0, seconds - WINDOWS + 1, WINDOWS)]
    cells = len(packs[0].report().cell_volts) if with_cells else 0
    return Library(_schema(cells), tuple(segments))


def _window(pack: Pack, second: int, *, with_cells: bool) -> tuple[Record, ...]:
    reports: list[BmsReport] = []
    for turn in range(1, REPORTS + 1):
        pack.advance_to(second * 1_000_000 + turn * 1_000_000 // REPORTS)
        reports.append(pack.report())
    scalars = [_scalar([round(ask(report)) for report in reports]) for _, _, ask in _SCALARS]
    return (*scalars, _cells(reports)) if with_cells else tuple(scalars)


def _scalar(values: Sequence[int]) -> ScalarRecord:
    n = len(values)
    return n, min(values), max(values), (2 * sum(values) + n) // (2 * n), values[-1]


def _cells(reports: Sequence[BmsReport]) -> ArrayRecord:
    rows = [[round(volts * 1e6) for volts in report.cell_volts] for report in reports]
    n, low, high, mean, _ = _scalar([value for row in rows for value in row])
    lowest, highest = (
        [min(column) for column in zip(*rows, strict=True)],
        [max(column) for column in zip(*rows, strict=True)],
    )
    return n, low, high, mean, lowest.index(low), highest.index(high), tuple(rows[-1])


def _schema(cells: int) -> bytes:
    """A document of the agent's form, with signals and no messages: nothing was decoded from a bus."""
    signals: list[cbor.Value] = [[name, unit, _KINDS["scalar"], 1] for name, unit, _ in _SCALARS]
    if cells:
        signals.append(["CellVoltage.CellVoltages", "uV", _KINDS["array"], cells])
    title = "Windows of simulated packs, repeated by a load generator"
    return cbor.encode(
        {1: 1, 2: "packseal-sim-fleet", 3: title, 4: "no bus: read from the firmware", 5: signals, 6: []}
    )
