"""How fast the cells are: one pack, and many packs at once, on one core, stepped every 10 ms and settled every 100 ms.

The real-time factor is simulated seconds per CPU second. Beside it, on the same currents in the same run, a plain
reference: one pack whose every cell is moved at every step, as one writes it with numpy. Its last voltages are compared
with ours, so that both did the same work.

    python bench/cells_speed.py --packs 100 --seconds 20
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from firmware_sim.cells.chemistry import GRID
from firmware_sim.cells.physics import PackPhysics
from firmware_sim.cells.spec import PackSpec
from firmware_sim.cells.strings import CellStrings
from packseal.program import run

STEP_S = 0.01
STEPS_PER_SETTLE = 10
SEED = 1


def main() -> int:
    return run("cells-speed", _main)


def _main() -> int:
    options = _parser().parse_args()
    steps = round(options.seconds / STEP_S)
    currents = np.random.default_rng(SEED).normal(-40.0, 90.0, steps)
    pack, plain = PackPhysics(PackSpec(), SEED), Plain(PackPhysics(PackSpec(), SEED))
    packs = CellStrings(PackSpec(), range(options.packs))
    for_one, for_all = currents.tolist(), [np.full(options.packs, each) for each in currents]
    singles, plains, alls = [], [], []
    for _ in range(options.repeats):
        singles.append(_cpu_s(lambda: _live(pack, for_one)))
        plains.append(_cpu_s(lambda: plain.live(for_one)))
        alls.append(_cpu_s(lambda: _live(packs, for_all)))
    apart = float(np.abs(pack.cell_volts() - plain.volts()).max())
    one, many, reference = (options.seconds / statistics.median(each) for each in (singles, alls, plains))
    figures = {
        "one_pack_factor": round(one, 1),
        "packs": options.packs,
        "packs_factor": round(many, 2),
        "pack_seconds_per_cpu_second": round(many * options.packs),
        "plain_factor": round(reference, 1),
        "one_pack_against_plain": round(one / reference, 2),
        "packs_against_plain": round(many * options.packs / reference, 1),
        "step_us": round(_each_us(lambda: pack.step(-20.0, STEP_S), options.calls), 2),
        "settle_us": round(_settle_us(pack, options.calls), 1),
        "volts_apart": round(apart, 6),
    }
    _print(figures, as_json=options.json)
    return 0


class Plain:
    """The same pack the plain way: all cells at every step, their heat, and the energies."""

    def __init__(self, twin: PackPhysics) -> None:
        ohms, design = twin.resistances, twin.spec.cell
        self.soc, self.capacity_as = twin.soc, twin.capacity_as
        self.ohms = ohms.ohmic, ohms.fast, ohms.slow
        self.decay = np.exp(-STEP_S / design.fast_s), np.exp(-STEP_S / design.slow_s)
        self.curve = GRID, twin.spec.chemistry.grid_volts
        self.fast = self.slow = np.zeros_like(self.soc)
        self.celsius, self.design, self.ambient_c = np.full_like(self.soc, 20.0), design, 20.0
        self.current = self.delivered = self.heat = 0.0

    def live(self, currents: list[float]) -> None:
        ohmic, fast, slow = self.ohms
        for current in currents:
            self.current = current
            self.fast = current * fast + (self.fast - current * fast) * self.decay[0]
            self.slow = current * slow + (self.slow - current * slow) * self.decay[1]
            self.soc = self.soc + current * STEP_S / self.capacity_as
            heat_w = current**2 * ohmic + self.fast**2 / fast + self.slow**2 / slow
            loss_w = self.design.loss_w_per_k * (self.celsius - self.ambient_c)
            self.celsius = self.celsius + (heat_w - loss_w) * STEP_S / self.design.heat_j_per_k
            self.delivered += float(self.volts().sum()) * current * STEP_S
            self.heat += float(heat_w.sum()) * STEP_S

    def volts(self) -> np.ndarray:
        return np.interp(self.soc, *self.curve) + self.current * self.ohms[0] + self.fast + self.slow


def _live(strings: CellStrings, currents: list) -> None:
    for step, current in enumerate(currents, 1):
        strings.step(current, STEP_S)
        if step % STEPS_PER_SETTLE == 0:
            strings.settle()


def _cpu_s(work: Callable[[], None]) -> float:
    begin = time.process_time()
    work()
    return max(time.process_time() - begin, 1e-9)


def _each_us(work: Callable[[], None], calls: int) -> float:
    return _cpu_s(lambda: [work() for _ in range(calls)] and None) / calls * 1e6


def _settle_us(pack: PackPhysics, calls: int) -> float:
    def step_and_settle() -> None:
        pack.step(-20.0, STEP_S)
        pack.settle()

    return _each_us(step_and_settle, calls) - _each_us(lambda: pack.step(-20.0, STEP_S), calls)


def _print(figures: dict[str, float], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures))
        return
    print(
        f"one pack            {figures['one_pack_factor']:>9} x real time, {figures['one_pack_against_plain']} x plain"
    )
    print(f"{figures['packs']:>4} packs at once   {figures['packs_factor']:>9} x real time on one core")
    print(f"  pack-seconds/s    {figures['pack_seconds_per_cpu_second']:>9}, {figures['packs_against_plain']} x plain")
    print(f"plain, one pack     {figures['plain_factor']:>9} x real time")
    print(f"one step            {figures['step_us']:>9} us")
    print(f"one settling        {figures['settle_us']:>9} us")
    print(f"ours against plain  {figures['volts_apart']:>9} V apart at the end")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--packs", type=int, default=100, help="how many packs at once (100)")
    parser.add_argument("--seconds", type=float, default=20.0, help="simulated seconds of each run (20)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of which the median counts (5)")
    parser.add_argument(
        "--calls", type=int, default=5_000, help="calls for the time of one step and one settling (5000)"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
