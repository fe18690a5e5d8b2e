"""Which machines a run wants, on which disks, and in which order: `car` goes on with the disk that `install` leaves."""

import time
from dataclasses import dataclass

from tests.vm import machine
from tests.vm.image import Image
from tests.vm.installation import Installation


def selected(one, selection):
    """Whether some job of a selection (none: all) is one of the machine's."""
    return not selection or any(word.partition("/")[0] in one.stages + one.long_stages for word in selection)


def with_installation(chosen, selection, installed, *, whole):
    """The machines to start; with the one that installs if its jobs were asked for, or the whole, or if its disk is missing."""
    maker = next(one for one in machine.MACHINES if one.installs)
    others = [one for one in chosen if one is not maker]
    going_on = any(one.goes_on_with for one in others)
    anew = maker in chosen and (whole or bool(selection) or not going_on)
    if anew or (going_on and not installed.is_kept()):
        return [one for one in machine.MACHINES if one is maker or one in others]
    return others


@dataclass(frozen=True, slots=True)
class Runs:
    """What all machines of a run share."""

    image: Image
    application: object
    installed: Installation
    selection: list
    wanted: object
    say: object

    def together(self, chosen):
        """Run the machines side by side (or not) to their outcomes; one that goes on with another's disk, after that one."""
        waiting, running, outcomes = list(chosen), [], {}
        try:
            while waiting or running:
                for one in tuple(waiting):
                    awaited = one.goes_on_with in [other.name for other in chosen]
                    if awaited and one.goes_on_with not in outcomes:
                        continue
                    if awaited and outcomes[one.goes_on_with].failures:
                        waiting.remove(one)
                        self.say(f"{one.name} is not started: {one.goes_on_with} has failed")
                    elif not (running and self.wanted.no_parallel):
                        waiting.remove(one)
                        self.say(f"{one.name} starts")
                        running.append(self._start(one))
                time.sleep(0.2)
                for run in tuple(running):
                    if (outcome := run.poll()) is not None:
                        running.remove(run)
                        self._ended(run, outcome)
                        outcomes[outcome.machine] = outcome
        finally:
            for run in running:
                run.kill()
        return list(outcomes.values())

    def disks(self, one):
        """The disks of a machine; where nothing is installed yet, nothing is on the one that goes on."""
        on_installed = one.installs or one.goes_on_with
        return machine.Disks(
            self.installed.disk if on_installed else self.image.root, self.application, stays=one.installs
        )

    def _start(self, one):
        if one.installs:
            self.installed.begin(self.image.root)
        own = self.selection if selected(one, self.selection) else []
        given = one, self.image, self.disks(one), self.wanted.out, own, self.say, self.wanted.timeout
        return machine.Run(*given, whole=self.wanted.whole)

    def _ended(self, run, outcome):
        self.say(f"{outcome.machine} is off")
        if run.machine.installs and not run.selection and not outcome.failures:
            self.installed.keep()
