"""What a machine left behind, and the verdict over it: green only where every stage ran to its end and every job passed."""

import json
from dataclasses import dataclass
from pathlib import Path

PASSING = {"passed", "xfailed"}  # the machine was made for the jobs: one that is skipped there has shown nothing
LAST_LINES = 15


@dataclass(frozen=True, slots=True)
class Outcome:
    """A machine's run: the failures in words (none: it passed), the number of jobs by outcome, and measured figures."""

    machine: str
    failures: tuple[str, ...]
    counts: dict[str, int]
    figures: tuple[dict[str, object], ...]


def judge(machine: str, share: Path, stages: list[str], given_up: str = "") -> Outcome:
    """The outcome of what lies in a share; a stage without a status has failed, whatever its jobs said.

    `given_up` says why the machine did not go off by itself.
    """
    last: dict[str, str] = {}
    for line in _lines(share / "results.jsonl", "job", "is"):
        last[str(line["job"])] = _worse(last.get(str(line["job"])), str(line["is"]))
    statuses = dict(words for line in _text(share / "statuses").splitlines() if len(words := line.split()) == 2)
    failures = [f"{job}: {_words(told, given_up)}" for job, told in last.items() if told not in PASSING]
    for stage in stages:
        if stage not in statuses:
            failures.append(f"stage {stage}: {given_up or 'the machine went off'} before it left a status")
        elif statuses[stage] != "0" and not failures:
            failures.append(f"stage {stage}: pytest ended with {statuses[stage]} (see {share}/out)")
    if given_up and not failures:
        failures.append(f"{given_up} before it went off")
    if given_up or not statuses.keys() >= set(stages):
        failures[-1] += f"{_last_words(share)}{_ends(share)}"
    if not last and not failures:
        failures.append(f"no job told of itself (see {share}/out)")
    counts = {told: list(last.values()).count(told) for told in sorted(set(last.values()))}
    return Outcome(machine, tuple(failures), counts, tuple(_lines(share / "figures.jsonl", "name", "value", "unit")))


def _worse(before: str | None, now: str) -> str:
    """A job that failed in its end has failed, though its call had passed."""
    return before if before == "failed" else now


def _words(told: str, given_up: str) -> str:
    if told != "started":
        return told
    return f"it still ran when {given_up}" if given_up else "it never ended: this is where the machine died"


def _last_words(share: Path) -> str:
    """What the emulator itself complained of, if it did."""
    said = _text(share / "qemu").strip()
    return f"; the emulator said: {said.splitlines()[-1]}" if said else ""


def _ends(share: Path) -> str:
    """The last lines of what the machine wrote, for who has to find out why it died or hung."""
    told = ""
    for name in ("console", "out"):
        lines = _text(share / name).splitlines()[-LAST_LINES:]
        told += f"\n  the end of {share / name}{':' if lines else ' (it is empty)'}"
        told += "".join(f"\n    {line}" for line in lines)
    return told


def _lines(file: Path, *keys: str) -> list[dict[str, object]]:
    """The whole lines of a file that a dying machine may have left cut: JSON objects that have all these keys."""
    found = []
    for line in _text(file).splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and value.keys() >= set(keys):
            found.append(value)
    return found


def _text(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""
