"""Runs in the oracle's own environment: solves one cell under a current profile and answers with JSON.

The question has the profile as points (s, A positive into the battery) that are joined by straight lines.
"""

import json
import os
import sys

os.environ["PYBAMM_DISABLE_TELEMETRY"] = "true"

import numpy as np
import pybamm

JOULE_PER_K_OF_SURROUNDINGS = 1e12


def solved(question):
    """Terminal volts, charge and temperature at the times asked for."""
    seconds, amperes = np.array(question["profile"]).T
    cell = question["cell"]

    def ohm(name):
        def resistance(celsius, current, soc):
            kelvin = celsius + 273.15
            return cell[name] * pybamm.exp(cell["activation_k"] * (1 / kelvin - 1 / 298.15))

        return resistance

    def farad(name, time_constant):
        return lambda celsius, current, soc: cell[time_constant] / ohm(name)(celsius, current, soc)

    def rested(soc):
        return pybamm.Interpolant(np.array(cell["soc"]), np.array(cell["volts"]), soc)

    model = pybamm.equivalent_circuit.Thevenin(options={"number of rc elements": 2})
    values = model.default_parameter_values.copy()
    values.update(
        {
            # PyBaMM's current is positive out of the battery.
            "Current function [A]": pybamm.Interpolant(seconds, -amperes, pybamm.t),
            "Cell capacity [A.h]": cell["capacity_ah"],
            "Nominal cell capacity [A.h]": cell["capacity_ah"],
            "Initial SoC": question["soc"],
            "Open-circuit voltage [V]": rested,
            "R0 [Ohm]": ohm("ohmic_ohm"),
            "R1 [Ohm]": ohm("fast_ohm"),
            "C1 [F]": farad("fast_ohm", "fast_s"),
            "R2 [Ohm]": ohm("slow_ohm"),
            "C2 [F]": farad("slow_ohm", "slow_s"),
            "Element-1 initial overpotential [V]": 0,
            "Element-2 initial overpotential [V]": 0,
            "Entropic change [V/K]": lambda volts, celsius: 0 * volts,
            "Initial temperature [K]": question["celsius"] + 273.15,
            "Ambient temperature [K]": question["ambient_c"] + 273.15,
            "Cell thermal mass [J/K]": cell["heat_j_per_k"],
            "Cell-jig heat transfer coefficient [W/K]": cell["loss_w_per_k"],
            # The jig is the surroundings: so heavy, and so well coupled to them, that it keeps their temperature.
            "Jig thermal mass [J/K]": JOULE_PER_K_OF_SURROUNDINGS,
            "Jig-air heat transfer coefficient [W/K]": JOULE_PER_K_OF_SURROUNDINGS,
            "Lower voltage cut-off [V]": 0.0,
            "Upper voltage cut-off [V]": 10.0,
            "RCR lookup limit [A]": 1e6,
        },
        check_already_exists=False,
    )
    solver = pybamm.IDAKLUSolver(rtol=1e-9, atol=1e-10)
    simulation = pybamm.Simulation(model, parameter_values=values, solver=solver)
    solution = simulation.solve(seconds, t_interp=np.array(question["at"]))
    names = {"volts": "Voltage [V]", "soc": "SoC", "celsius": "Cell temperature [degC]"}
    return {mine: solution[theirs](np.array(question["at"])).tolist() for mine, theirs in names.items()}


if __name__ == "__main__":
    json.dump([solved(question) for question in json.load(sys.stdin)], sys.stdout)
