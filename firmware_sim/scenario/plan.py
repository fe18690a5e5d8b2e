"""From a scenario's steps to what the car is out to do: unrolled one by one, seeded, never all at once. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from firmware_sim.car.cycles import CYCLES, trace
from firmware_sim.car.errand import Drive, Errand, Load, Parked, Surroundings, ac_charge, dc_charge
from firmware_sim.car.scenario_driver import Outing
from firmware_sim.car.vehicle import Road, Vehicle
from firmware_sim.scenario.schema import (
    AcStep,
    DcStep,
    DriveStep,
    LoadStep,
    Pace,
    ParkStep,
    PlainStep,
    RoutineStep,
    RoutineTable,
    Scenario,
)

AC_AT_MOST_S = 48 * 3_600.0
DC_AT_MOST_S = 3 * 3_600.0
VARIANTS = 5  # of a cycle: a car does not drive the same way twice, and made traces are kept


class PlannedStep(NamedTuple):
    """One step as it will be done, and at which pace."""

    step: PlainStep
    pace: Pace


def unrolled(scenario: Scenario) -> Iterator[PlannedStep]:
    """Every step in the order in which it is done, routines and repetitions written out; lazily, for there are many."""
    routines = {routine.name: routine for routine in scenario.routine}
    for phase in scenario.phase:
        for _ in range(phase.times):
            for step in phase.step:
                yield from _steps(step, phase.pace, routines)


def longest_s(scenario: Scenario) -> float:
    """How long the scenario can take at most: charging may be done sooner."""
    routines = {routine.name: routine for routine in scenario.routine}
    total = 0.0
    for phase in scenario.phase:
        once = 0.0
        for step in phase.step:
            if isinstance(step, RoutineStep):
                once += step.times * _sum_s(routines[step.name].step)
            else:
                once += at_most_s(step)
        total += phase.times * once
    return total


def at_most_s(step: PlainStep) -> float:
    """How long one step can take."""
    match step:
        case DriveStep():
            lap = sum(phase.seconds for phase in CYCLES[step.cycle])
            return step.for_s or float((step.repeat or 1) * lap)
        case AcStep():
            return step.for_s or AC_AT_MOST_S
        case DcStep():
            return step.for_s or DC_AT_MOST_S
        case ParkStep() | LoadStep():
            return step.for_s


def outings(scenario: Scenario, seed: int, surroundings: Surroundings) -> Iterator[Outing]:
    """The scenario as a driver does it."""
    vehicle = Vehicle()
    for number, (step, pace) in enumerate(unrolled(scenario)):
        yield Outing(_errand(step, number, seed, vehicle, surroundings), pace == "leap")


def _steps(step: PlainStep | RoutineStep, pace: Pace, routines: Mapping[str, RoutineTable]) -> Iterator[PlannedStep]:
    if not isinstance(step, RoutineStep):
        yield PlannedStep(step, step.pace or pace)
        return
    for _ in range(step.times):
        for each in routines[step.name].step:
            yield PlannedStep(each, each.pace or step.pace or pace)


def _errand(step: PlainStep, number: int, seed: int, vehicle: Vehicle, surroundings: Surroundings) -> Errand:
    left_s = at_most_s(step)
    match step:
        case DriveStep():
            made = trace(step.cycle, seed * VARIANTS + number % VARIANTS)
            return Drive(made, left_s, vehicle, Road(f"{seed} {number}"), surroundings)
        case ParkStep():
            return Parked(left_s)
        case AcStep():
            watts, stays = step.power_kw * 1_000.0, step.for_s is not None
            return ac_charge(watts, step.until_soc, left_s, surroundings, stays=stays)
        case DcStep():
            watts, stays = step.power_kw * 1_000.0, step.for_s is not None
            return dc_charge(watts, step.until_soc, left_s, surroundings, stays=stays)
        case LoadStep():
            return Load(step.power_kw * 1_000.0, left_s, step.floor_soc, f"{seed} {number}")


def _sum_s(steps: Sequence[PlainStep]) -> float:
    return sum(at_most_s(step) for step in steps)


def leaps(scenario: Scenario) -> bool:
    """Whether any time is leaped over."""
    routines = {routine.name: routine for routine in scenario.routine}
    return any(
        (each.pace or step.pace or phase.pace) == "leap"
        for phase in scenario.phase
        for step in phase.step
        for each in (routines[step.name].step if isinstance(step, RoutineStep) else (step,))
    )
