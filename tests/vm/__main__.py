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
    chosen = [m for m in machine.MACHINES if wanted.machine in (None, m.name) and runs.selected(m, selection)]
    try:
        with ending.orderly():
            try:
                with places.alone_in(wanted.out):
                    return _run(wanted, chosen, selection)
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


def _run(wanted, chosen, selection):
    cold = not image.is_built()
    added = tools.install()
    say(f"tools ready ({', '.join(added) or 'all were there'})")
    with ThreadPoolExecutor() as side_by_side:
        building = side_by_side.submit(image.ensure, say)
        disk = application.ensure(wanted.out, say)
        system = building.result()
    installed = installation.of(wanted.out, system, disk)
    every = runs.Runs(system, disk, installed, selection, wanted, say)
    if wanted.shell:
        return _shell(chosen[0], every)
    needed = runs.with_installation(chosen, selection, installed, whole=wanted.whole)
    anew = any(one.installs for one in needed)
    if not anew and any(one.goes_on_with for one in needed):
        say(
            "installed is what an earlier run installed: nothing has changed since (`make vm-soak` installs in any case)"
        )
    state = BUILT[0 if cold else 1 if anew else 2]
    return _tell(every.together(needed), wanted.out, f"{SCOPES[wanted.whole]} {state}")


def _shell(one, every):
    if one.goes_on_with and not every.installed.is_kept():
        why = f"nothing is installed for {one.name} yet"
        raise tools.Unavailable(f"{why}; run `make vm-test`, or take a bare machine: MACHINE={one.goes_on_with}")
    disks = machine.Disks(every.image.root if one.installs else every.disks(one).system, every.application)
    return machine.shell(one, every.image, disks, every.wanted.out)


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
    figures[f"host: {state}"] = [round(time.monotonic() - BEGAN), f"s on {os.cpu_count()} processors"]
    figures[RUN] = [time.strftime("%Y-%m-%d", time.gmtime()), f"of commit {_commit()}"]
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
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
