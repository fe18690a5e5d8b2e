"""Whatever happens to a pack, its energy books balance: nothing comes from nowhere and nothing is lost."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.cells.chemistry import CHEMISTRIES
from firmware_sim.cells.physics import PackPhysics
from firmware_sim.cells.spec import PackSpec

CELLS, MODULES = 9, 4


@dataclass(frozen=True)
class Stretch:
    """So many steps of one current, after something has befallen the pack."""

    current_a: float
    steps: int
    dt_s: float
    settle_every: int
    befalls: tuple


befallings = st.one_of(
    st.tuples(st.just("nothing")),
    st.tuples(st.just("short"), st.integers(0, CELLS - 1), st.one_of(st.none(), st.floats(0.02, 100.0))),
    st.tuples(st.just("weaken"), st.integers(0, CELLS - 1), st.floats(0.2, 1.0), st.floats(1.0, 5.0)),
    st.tuples(st.just("heat_module"), st.integers(0, MODULES - 1), st.floats(0.0, 500.0)),
    st.tuples(st.just("bleed"), st.lists(st.booleans(), min_size=CELLS, max_size=CELLS)),
    st.tuples(st.just("ambient"), st.floats(-30.0, 45.0)),
)
stretches = st.lists(
    st.builds(
        Stretch,
        current_a=st.floats(-600.0, 300.0),
        steps=st.integers(1, 60),
        dt_s=st.sampled_from([0.01, 0.01, 0.1, 1.0, 20.0]),
        settle_every=st.integers(1, 12),
        befalls=befallings,
    ),
    min_size=1,
    max_size=8,
)
specs = st.builds(
    PackSpec,
    chemistry=st.sampled_from(list(CHEMISTRIES.values())),
    cells=st.just(CELLS),
    soc=st.floats(0.0, 1.0),
    ambient_c=st.floats(-30.0, 45.0),
    age_years=st.sampled_from([0.0, 8.0]),
    ageing_acceleration=st.sampled_from([0.0, 1.0, 1_000.0]),
    self_discharge_per_month=st.sampled_from([0.0, 0.01, 0.3]),
)


def befall(physics, what, *details):
    if what == "bleed":
        physics.bleed = np.array(details[0])
    elif what == "ambient":
        physics.ambient_c = details[0]
    elif what != "nothing":
        getattr(physics, what)(*details)


@dataclass
class Meter:
    """Watches a pack from outside: work at its terminals, and the currents in its branches by their equation."""

    physics: PackPhysics
    work_j: float = 0.0
    turned_over_j: float = 0.0
    fast_a: float = 0.0
    slow_a: float = 0.0

    def carry(self, current_a, dt_s):
        """One step, with the voltage read right after the current has begun and at the step's end."""
        self.physics.step(current_a, 1e-9)
        first = self.physics.pack_volts()
        self.physics.step(current_a, dt_s)
        work = (first + self.physics.pack_volts()) / 2 * current_a * dt_s
        self.work_j += work
        self.turned_over_j += abs(work)
        cell = self.physics.spec.cell
        for length in (1e-9, dt_s):
            self.fast_a += (current_a - self.fast_a) * -math.expm1(-length / cell.fast_s)
            self.slow_a += (current_a - self.slow_a) * -math.expm1(-length / cell.slow_s)

    def stored_j(self):
        """Chemistry by a sum over fine slices of the curve, branches as capacitors of time constant over resistance."""
        total, cell, ohms = 0.0, self.physics.spec.cell, self.physics.resistances
        for soc, coulombs in zip(self.physics.soc, self.physics.capacity_as, strict=True):
            points = np.linspace(0.0, soc, 20_001)
            volts = self.physics.spec.chemistry.open_circuit_volts(points)
            total += float(np.sum((volts[1:] + volts[:-1]) / 2 * np.diff(points))) * coulombs
        fast = cell.fast_s / ohms.fast * (ohms.fast * self.fast_a) ** 2 / 2
        slow = cell.slow_s / ohms.slow * (ohms.slow * self.slow_a) ** 2 / 2
        return total + float(np.sum(fast + slow))


@given(spec=specs, seed=st.integers(0, 1_000), life=stretches)
def test_delivered_is_stored_and_heat_and_aged_within_a_millionth(spec, seed, life):
    physics = PackPhysics(spec, seed)
    meter = Meter(physics)
    begin = meter.stored_j()
    for stretch in life:
        befall(physics, *stretch.befalls)
        for step in range(1, stretch.steps + 1):
            meter.carry(stretch.current_a, stretch.dt_s)
            if step % stretch.settle_every == 0:
                physics.settle()
        physics.settle()
    books, stored = physics.energy, meter.stored_j()
    assert physics.stored_j() == pytest.approx(stored, rel=1e-6, abs=1e-6 * max(abs(begin), 1.0))
    balance = books.delivered - (stored - begin) - books.heat - books.aged
    moved = max(meter.turned_over_j, abs(begin))
    assert abs(balance) <= 1e-6 * moved + 1e-3
    # A trapezoid is for steps that are short against the branches' time constants.
    if max(stretch.dt_s for stretch in life) <= 0.1:
        assert books.delivered == pytest.approx(meter.work_j, abs=1e-3 * meter.turned_over_j + 1e-6)


@given(spec=specs, seed=st.integers(0, 1_000), currents=st.lists(st.floats(-400.0, 200.0), min_size=1, max_size=20))
def test_heat_and_work_have_the_signs_that_nature_gives_them(spec, seed, currents):
    physics = PackPhysics(spec, seed)
    last = physics.energy
    for current in currents:
        heat, into, out = last.ohmic, last.delivered_in, last.delivered_out
        for _ in range(10):
            physics.step(current, 0.1)
        physics.settle()
        last = physics.energy
        assert last.ohmic >= heat
        assert last.self_discharge >= 0
        assert last.delivered_in >= into - 1e-9
        assert last.delivered_out >= out - 1e-9
