"""`packseal-sim scenarios`: what is shipped to be run."""

from __future__ import annotations

import argparse
import json

from firmware_sim.commands.arguments import Commands, command

EXAMPLES = """\
examples:
  packseal-sim scenarios          the shipped scenarios, how long each can last, and what it shows
  packseal-sim scenarios --json   the same for a machine
"""


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    parser = command(commands, "scenarios", "List the scenarios that come with packseal.", EXAMPLES)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Print them."""
    # Imported here so that playing a recording does not pay for it.
    from firmware_sim.scenario import reading
    from firmware_sim.scenario.duration import shown
    from firmware_sim.scenario.plan import longest_s

    found = [(path, reading.load(path)) for path in reading.shipped()]
    if options.json:
        rows = [
            {
                "name": path.stem,
                "title": scenario.title,
                "firmware": scenario.bms.firmware,
                "seconds_at_most": round(longest_s(scenario), 1),
                "faults": sorted({str(fault.own.get("kind")) for fault in scenario.fault}),
                "path": str(path),
            }
            for path, scenario in found
        ]
        print(json.dumps(rows))
        return
    width = max((len(path.stem) for path, _ in found), default=0)
    for path, scenario in found:
        print(f"{path.stem:{width}}  {shown(longest_s(scenario)):>8}  {scenario.title}")
