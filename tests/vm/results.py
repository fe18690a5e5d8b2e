"""What a machine left behind, and the verdict over it: green only where every stage ran to its end and every job passed."""

import json
from dataclasses import dataclass
from pathlib import Path

PASSING = {"passed", "skipped", "xfailed"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A machine's run: the failures in words (none: it passed), the number of jobs by outcome, and measured figures."""

    machine: str
    failures: tuple[str, ...]
    counts: dict[str, int]
    figures: tuple[dict[str, object], ...]


def judge(machine: str, share: Path, stages: list[str], *, timed_out: bool) -> Outcome:
    """The outcome of what lies in a share; a stage without a status has failed, whatever its jobs said."""
    last: dict[str, str] = {}
    for line in _lines(share / "results.jsonl"):
        last[str(line["job"])] = _worse(last.get(str(line["job"])), str(line["is"]))
    statuses = dict(line.split() for line in _text(share / "statuses").splitlines())
    failures = [f"{job}: {_words(told, timed_out)}" for job, told in last.items() if told not in PASSING]
    for stage in stages:
        if stage not in statuses:
            why = "the time was over" if timed_out else "the machine went off"
            failures.append(
                f"stage {stage}: {why} before it left a status (see {share}/console and out){_last_words(share)}"
            )
        elif statuses[stage] != "0" and not failures:
            failures.append(f"stage {stage}: pytest ended with {statuses[stage]} (see {share}/out)")
    if not last and not failures:
        failures.append(f"no job told of itself (see {share}/out)")
    counts = {told: list(last.values()).count(told) for told in sorted(set(last.values()))}
    return Outcome(machine, tuple(failures), counts, tuple(_lines(share / "figures.jsonl")))


def _worse(before: str | None, now: str) -> str:
    """A job that failed in its end has failed, though its call had passed."""
    return before if before == "failed" else now


def _words(told: str, timed_out: bool) -> str:
    if told != "started":
        return told
    return "it still ran when the time was over" if timed_out else "it never ended: this is where the machine died"


def _last_words(share: Path) -> str:
    """What the emulator itself complained of, if it did."""
    said = _text(share / "qemu").strip()
    return f"; the emulator said: {said.splitlines()[-1]}" if said else ""


def _lines(file: Path) -> list[dict[str, object]]:
    """The whole lines of JSON of a file that a dying machine may have left cut."""
    found = []
    for line in _text(file).splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _text(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""
