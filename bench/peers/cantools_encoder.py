"""A straightforward script: cantools encodes the pack's messages signal by signal, python-can writes them into a log.

It has no pack behind it: its values are a few sines, its times a plain grid. So it does less than the simulator, but for
the encoding, which it does as one does it who has a DBC and these two libraries.

    python bench/peers/cantools_encoder.py --seconds 60 --out x.log
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import can
import cantools

DBC = Path(__file__).resolve().parents[2] / "config" / "profiles" / "tesla-model3.dbc"
PERIODS_MS = {
    "ID132HVBattAmpVolt": 10,
    "ID401CellVoltages": 25,
    "ID20AHVP_contactorState": 100,
    "ID212BMS_status": 100,
    "ID252BMS_powerAvailable": 100,
    "ID292BMS_SOC": 100,
    "ID2D2BMSVAlimits": 100,
    "ID312BMSthermal": 100,
    "ID332BattCellMinMax": 100,
    "ID320BMS_alertMatrix": 333,
    "ID352BMS_energyStatus": 1_000,
    "ID3D2TotalChargeDischarge": 1_000,
}
PAGES = {"ID401CellVoltages": 32, "ID332BattCellMinMax": 2, "ID320BMS_alertMatrix": 3}


def main() -> None:
    parser = argparse.ArgumentParser(description="The pack's messages by cantools and python-can.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    database = cantools.database.load_file(DBC, strict=False)
    messages = {name: database.get_message_by_name(name) for name in PERIODS_MS}
    writer = can.CanutilsLogWriter(options.out)
    for time_ms, name, turn in _timetable(round(options.seconds * 1_000)):
        message = messages[name]
        payload = message.encode(_values(message, turn, time_ms / 1_000), strict=False)
        writer.on_message_received(
            can.Message(
                timestamp=time_ms / 1_000,
                arbitration_id=message.frame_id,
                data=payload,
                is_extended_id=False,
                channel="can0",
            )
        )
    writer.stop()


def _timetable(end_ms: int) -> Iterator[tuple[int, str, int]]:
    for time_ms in range(end_ms):
        for name, period_ms in PERIODS_MS.items():
            if time_ms % period_ms == 0:
                yield time_ms, name, time_ms // period_ms


def _values(message: cantools.database.Message, turn: int, time_s: float) -> dict[str, float]:
    wave = 0.5 + 0.5 * math.sin(time_s / 30.0)
    page = turn % PAGES.get(message.name, 1)
    values: dict[str, float] = {}
    for signal in message.signals:
        if signal.is_multiplexer:
            values[signal.name] = page
        elif signal.multiplexer_ids is None or page in signal.multiplexer_ids:
            low, high = signal.minimum or 0.0, signal.maximum or 1.0
            values[signal.name] = low + (high - low) * wave if signal.length > 4 else 1
    return values


if __name__ == "__main__":
    main()
