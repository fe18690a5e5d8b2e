"""Build the machine if need be, run the jobs in it, say what came out: `python3 -m tests.vm`, which is `make vm-test`.

With --whole, which is `make vm-soak`, it runs the long jobs too.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.vm import application, ending, image, installation, machine, places, runs, tools

BEGAN = time.monotonic()
SCOPES = ("everyday", "whole")
BUILT = ("from nothing", "installed anew", "with all built")
RUN = "host: run"


def main(words=None):
    """0 where every job of every machine passed, 1 where one failed.

    69 where the machine could not be built or its folder is in use, 74 where a file could not be written,
    130 after Ctrl-C, 143 after SIGTERM.
    """
    wanted = _arguments(words)
    lacking = tools.missing_rights()
    if lacking:
        print(f"vm tests skipped: {lacking}")
        return 0
    selection = machine.share_paths(wanted.only)
    names = [wanted.machine] if wanted.machine else [one.name for one in machine.MACHINES]
    if selection and not any(
        runs.is_of(one, job) for one in machine.MACHINES if one.name in names for job in selection
    ):
        raise SystemExit(f"tests.vm: no job of --only is one of the machine {wanted.machine}")
    try:
        with ending.orderly():
            try:
                with places.alone_in(wanted.out):
                    return _run(wanted, names, selection)
            finally:
                places.give_back()
    except tools.Unavailable as unavailable:
        code, why = 69, unavailable
    except OSError as error:
        code, why = 74, _words(error)
    except ending.Ended as ended:
        code, why = 128 + ended.number, f"ended by {ended}"
    print(f"tests.vm: {why}", file=sys.stderr)
    return code


def _run(wanted, names, selection):
    cold = not image.is_built()
    added = tools.install()
    say(f"tools ready ({', '.join(added) or 'all were there'})")
    with ThreadPoolExecutor() as side_by_side:
        building = side_by_side.submit(image.ensure, say)
        disk = application.ensure(wanted.out, say)
        system = building.result()
    installed = installation.of(wanted.out, system, disk)
    every = runs.Runs(system, disk, installed, wanted, say)
    if wanted.shell:
        return _shell(wanted.machine or "bus", every)
    plan = runs.plan(names, selection, installed, whole=wanted.whole)
    if not plan.installs and any(one.goes_on_with for one in plan.machines):
        say("installed is what an earlier run installed: nothing that it was made from has changed")
    outcomes = every.together(plan)
    part = wanted.machine or selection or any(outcome.failures for outcome in outcomes)
    state = "" if part else f"{SCOPES[wanted.whole]} {BUILT[0 if cold else 1 if plan.installs else 2]}"
    return _tell(outcomes, wanted.out, state)


def _shell(name, every):
    one = next(one for one in machine.MACHINES if one.name == name)
    if one.goes_on_with and not every.installed.is_kept():
        why = f"for {name} nothing is installed of what is here now"
        raise tools.Unavailable(f"{why}; run `make vm-test`, or take a bare machine: MACHINE={one.goes_on_with}")
    return machine.shell(one, every.image, every.disks(one, installs=False), every.wanted.out)


def say(line):
    """A line of progress, with the seconds since the start."""
    print(f"{time.monotonic() - BEGAN:6.1f} s  {line}", flush=True)


def _commit():
    """What is being tested, as far as git knows it."""
    words = ("git", "-C", str(places.ROOT), "describe", "--always", "--dirty", "--abbrev=8")
    try:
        said = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        said = ""
    return said or "unknown"


def _words(error):
    """An error of the operating system in one line; the copy of a folder has many, of which the first says it."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        return error.args[0][0][-1]
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _arguments(words):
    parser = argparse.ArgumentParser(prog="python3 -m tests.vm", description=__doc__)
    parser.add_argument("--machine", choices=[m.name for m in machine.MACHINES], help="only this machine")
    parser.add_argument(
        "--only", action="append", default=[], metavar="JOB", help="only this file, folder or file::test of guest/"
    )
    parser.add_argument("--whole", action="store_true", help="the long jobs too, which are not for every day")
    parser.add_argument("--no-parallel", action="store_true", help="one machine after the other")
    parser.add_argument("--out", type=Path, default=places.CACHE / "last", help="where shares, output and figures go")
    parser.add_argument("--timeout", type=float, default=1500.0, metavar="SECONDS", help="for each machine")
    parser.add_argument("--shell", action="store_true", help="a shell on the machine's console instead of its jobs")
    wanted = parser.parse_args(words)
    wanted.out = wanted.out.resolve()
    return wanted


def _tell(outcomes, out, state):
    figures = {f"{o.machine}: {f['name']}": [f["value"], f["unit"]] for o in outcomes for f in o.figures}
    if state:
        figures[f"host: {state}"] = [round(time.monotonic() - BEGAN), f"s on {os.cpu_count()} processors"]
    figures[RUN] = [time.strftime("%Y-%m-%d", time.gmtime()), f"of commit {_commit()}"]
    (out / f"figures-{state.replace(' ', '-') or 'part'}.json").write_text(json.dumps(figures, indent=1) + "\n")
    for name, (value, unit) in figures.items():
        print(f"figure  {name} = {value} {unit}")
    for outcome in outcomes:
        for failure in outcome.failures:
            print(f"FAILED  {outcome.machine}: {failure}")
        counts = ", ".join(f"{number} {told}" for told, number in outcome.counts.items()) or "no job ran"
        print(f"{'FAILED' if outcome.failures else 'ok'}  {outcome.machine}: {counts}")
    say(f"done; figures and output in {out}")
    return 1 if any(outcome.failures for outcome in outcomes) or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
