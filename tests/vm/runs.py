"""Which machines a run wants, on which disks, and in which order: `car` goes on with the disk that `install` leaves."""

import time
from dataclasses import dataclass
from pathlib import Path

from tests.vm import machine
from tests.vm.image import Image
from tests.vm.installation import Installation


@dataclass(frozen=True, slots=True)
class Plan:
    """The machines to start, the jobs that were asked for (none: all), and whether the installation is made anew."""

    machines: tuple
    selection: list
    whole: bool
    installs: bool

    def jobs(self, one):
        """The machine's jobs of the selection. An installation that others wait for is made by all of its jobs."""
        return [] if one.installs and self.installs else [job for job in self.selection if is_of(one, job)]


def is_of(one, job):
    """Whether a job is one of the machine's."""
    return job.partition("/")[0] in one.stages + one.long_stages


def plan(names, selection, installed, *, whole):
    """What to start of the machines named; with the installation anew in a whole run, and where its disk is not kept."""
    chosen = [
        one
        for one in machine.MACHINES
        if one.name in names and (not selection or any(is_of(one, j) for j in selection))
    ]
    maker = next(one for one in machine.MACHINES if one.installs)
    going_on = any(one.goes_on_with for one in chosen)
    if going_on:
        anew = whole or not installed.is_kept()
        asked = maker in chosen and bool(selection)
        chosen = [
            one
            for one in machine.MACHINES
            if (one in chosen and one is not maker) or (one is maker and (anew or asked))
        ]
    else:
        anew = maker in chosen and not selection
    return Plan(tuple(chosen), selection, whole, anew)


@dataclass(frozen=True, slots=True)
class Runs:
    """What all machines of a run share."""

    image: Image
    application: Path
    installed: Installation
    wanted: object
    say: object

    def together(self, plan):
        """Run the machines side by side (or not) to their outcomes; one that goes on with another's disk, after that one."""
        waiting, running, outcomes = list(plan.machines), [], {}
        try:
            while waiting or running:
                for one in tuple(waiting):
                    awaited = one.goes_on_with if plan.installs else ""
                    if awaited and awaited not in outcomes:
                        continue
                    if awaited and outcomes[awaited].failures:
                        waiting.remove(one)
                        self.say(f"{one.name} is not started: {awaited} has failed")
                    elif not (running and self.wanted.no_parallel):
                        waiting.remove(one)
                        self.say(f"{one.name} starts")
                        running.append(self._start(one, plan))
                time.sleep(0.2)
                for run in tuple(running):
                    if (outcome := run.poll()) is not None:
                        running.remove(run)
                        outcomes[outcome.machine] = outcome
                        self._ended(run.machine, outcome, plan)
        finally:
            for run in running:
                run.kill()
        return list(outcomes.values())

    def disks(self, one, *, installs):
        """The disks of a machine. What a part of the installation's jobs do is done on a bare disk, and thrown away."""
        stays = one.installs and installs
        root = self.installed.disk if stays or one.goes_on_with else self.image.root
        return machine.Disks(root, self.application, stays)

    def _start(self, one, plan):
        disks = self.disks(one, installs=plan.installs)
        if disks.stays:
            self.installed.begin(self.image.root)
        given = one, self.image, disks, self.wanted.out, plan.jobs(one), self.say, self.wanted.timeout
        return machine.Run(*given, whole=plan.whole)

    def _ended(self, one, outcome, plan):
        self.say(f"{one.name} is off")
        if one.installs and plan.installs and not outcome.failures:
            self.installed.keep()
        elif one.goes_on_with and outcome.failures:
            self.installed.forget()
