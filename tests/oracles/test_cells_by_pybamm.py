"""Our cells under PyBaMM's equivalent circuit (Thevenin, two RC elements, lumped heat), which shares no code with us."""

import json
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest

from firmware_sim.cells.chemistry import CHEMISTRIES, GRID, LFP, NMC
from firmware_sim.cells.physics import PackPhysics
from firmware_sim.cells.spec import CellDesign, PackSpec
from tests.oracles.environment import python_with

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1_200)]  # its environment is 760 MB

HERE = Path(__file__).parent
STEP_S = 0.01
EDGE_S = 0.1
UNIFORM = {"capacity_spread": 0.0, "resistance_spread": 0.0, "soc_spread": 0.0, "leakage_spread": 0.0}
STILL = {"ageing_acceleration": 0.0, "self_discharge_per_month": 0.0}
ISOTHERMAL = CellDesign(0.5e-3, 0.1e-3, 0.18e-3, heat_j_per_k=1e9, loss_w_per_k=0.0, link_w_per_k=0.0)
WARMING = CellDesign(0.5e-3, 0.1e-3, 0.18e-3, heat_j_per_k=1_500.0, loss_w_per_k=0.4, link_w_per_k=0.0)


def stepped(*levels):
    """A profile of constant currents: (A, s), with short ramps between them."""
    points, time = [(0.0, 0.0)], 0.0
    for amperes, seconds in levels:
        points += [(time + EDGE_S, amperes), (time + seconds, amperes)]
        time += seconds
    return points


def driven(seconds, seed):
    """A drive: every few seconds another pull, push or rest, joined by ramps."""
    source, points, time = random.Random(seed), [(0.0, 0.0)], 0.0
    while time < seconds:
        time = round(time + source.choice((0.5, 1.0, 3.0, 8.0)), 3)
        points.append((time, round(source.choice((0.0, source.uniform(-450, 0), source.uniform(0, 150))), 3)))
    return points


def ours(question, chemistry, design):
    """The same question answered by one cell of ours."""
    spec = PackSpec(
        chemistry=chemistry, cells=1, capacity_ah=question["cell"]["capacity_ah"], design=design, soc=question["soc"],
        ambient_c=question["celsius"], **UNIFORM, **STILL,
    )  # fmt: skip
    physics = PackPhysics(spec, 1)
    physics.ambient_c = question["ambient_c"]
    seconds, amperes = np.array(question["profile"]).T
    middles = np.arange(round(seconds[-1] / STEP_S)) * STEP_S + STEP_S / 2
    currents = np.interp(middles, seconds, amperes).tolist()
    at = {round(each / STEP_S) for each in question["at"]}
    answer = {"volts": [], "soc": [], "celsius": []}
    for step, current in enumerate(currents, 1):
        physics.step(current, STEP_S)
        if step % 10 == 0:
            physics.settle()
        if step in at:
            physics.step(float(np.interp(step * STEP_S, seconds, amperes)), 1e-9)
            answer["volts"].append(physics.pack_volts())
            answer["soc"].append(float(physics.soc[0]))
            # PyBaMM takes for heat what goes into a branch, we what its resistor gives off: the rest is still stored.
            charge_j = float(physics.capacity_as[0] * chemistry.stored_volt_fraction(physics.soc)[0])
            answer["celsius"].append(float(physics.module_c[0]) + (physics.stored_j() - charge_j) / design.heat_j_per_k)
    return {name: np.array(values) for name, values in answer.items()}


def question(profile, chemistry, design, soc, celsius=25.0, ambient_c=25.0):
    cell = {name: getattr(design, name) for name in CellDesign.__slots__} | {
        "capacity_ah": 100.0,
        "activation_k": chemistry.activation_k,
        "soc": GRID.tolist(),
        "volts": chemistry.grid_volts.tolist(),
    }
    return {
        "profile": profile,
        "at": np.arange(1.0, profile[-1][0], 1.0).tolist(),
        "cell": cell,
        "soc": soc,
        "celsius": celsius,
        "ambient_c": ambient_c,
    }


PULSES = stepped((-300, 20), (0, 60), (150, 30), (0, 600), (-100, 900), (0, 300), (50, 600), (0, 1_200))
CASES = {
    "NMC, pulses and rests": (PULSES, NMC, ISOTHERMAL, 0.6, 25.0, 25.0),
    "LFP, pulses and rests": (PULSES, LFP, ISOTHERMAL, 0.6, 25.0, 25.0),
    "NMC, a drive": (driven(1_800, 3), NMC, ISOTHERMAL, 0.8, 25.0, 25.0),
    "LFP, a drive": (driven(1_800, 4), LFP, ISOTHERMAL, 0.8, 25.0, 25.0),
    "NMC, a drive in the cold that warms the cell": (driven(1_800, 5), NMC, WARMING, 0.8, -5.0, -10.0),
    "LFP, a drive in the heat": (driven(1_800, 6), LFP, WARMING, 0.8, 30.0, 40.0),
}


@pytest.fixture(scope="module")
def theirs():
    """Asks the oracle all questions in one run."""
    python = python_with(HERE / "pybamm.lock")
    done = subprocess.run(
        [str(python), "-I", str(HERE / "judge_by_pybamm.py")],
        input=json.dumps([question(*case) for case in CASES.values()]),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_voltage_charge_and_temperature_are_those_of_pybamm(theirs, name):
    profile, chemistry, design, *_ = CASES[name]
    mine = ours(question(*CASES[name]), chemistry, design)
    volts = mine["volts"] - np.array(theirs[name]["volts"])
    # Where a cell warms, ours lets its resistance follow once a second.
    rms, most, kelvins = (1e-6, 1e-5, 1e-4) if design is ISOTHERMAL else (0.6e-3, 1.5e-3, 0.03)
    assert np.sqrt(np.mean(volts**2)) < rms
    assert np.abs(volts).max() < most
    assert np.allclose(mine["soc"], theirs[name]["soc"], atol=1e-8)
    assert np.allclose(mine["celsius"], theirs[name]["celsius"], atol=kelvins)
    if design is WARMING:
        assert np.ptp(mine["celsius"]) > 5
    assert np.ptp(mine["volts"]) > 0.1
    assert len(profile) > 10


def test_both_chemistries_were_judged():
    assert {case[1].name for case in CASES.values()} == set(CHEMISTRIES)
