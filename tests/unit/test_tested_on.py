"""docs/tested-on.md names the jobs that there are, all of them, and shows only figures that they record."""

import ast
import re

import pytest

from bench import tested_on
from packseal.program import Failure
from tests.shared import ROOT
from tests.vm.__main__ import BUILT, RUN, SCOPES

TEXT = (ROOT / "docs/tested-on.md").read_text()
GUEST = ROOT / "tests/vm/guest"
JOBS = re.findall(r"`([a-z_]+/test_\w+\.py)(?:::(test_\w+))?`", TEXT)


def _recorded():
    """A pattern for each figure that a job records: its machine, and its name, which may have places to be filled."""
    for path in GUEST.glob("*/*.py"):
        machine = path.parent.name.partition("_")[0]
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "figure":
                (name, *_) = call.args
                parts = name.values if isinstance(name, ast.JoinedStr) else [name]
                fixed = [re.escape(part.value) if isinstance(part, ast.Constant) else ".+" for part in parts]
                yield re.compile(f"{machine}: {''.join(fixed)}")


def test_every_job_that_the_document_names_exists():
    assert JOBS
    for file, test in JOBS:
        assert (GUEST / file).is_file(), file
        assert not test or f"def {test}(" in (GUEST / file).read_text(), test


def test_every_file_of_jobs_is_named_in_the_document():
    files = {path.relative_to(GUEST).as_posix() for path in GUEST.glob("*/test_*.py")}
    assert files == {file for file, _ in JOBS}


def test_every_figure_of_the_document_is_recorded_by_a_job():
    states = [f"host: {scope} {state}" for scope in SCOPES for state in BUILT]
    recorded = [*_recorded(), *map(re.compile, states), re.compile(RUN)]
    for name in tested_on.names(TEXT):
        assert any(pattern.fullmatch(name) for pattern in recorded), name


def test_every_figure_of_the_document_has_a_value():
    for match in tested_on.ROW.finditer(TEXT):
        assert match[3].strip(), match[2]


def test_every_link_of_the_document_leads_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / link).exists(), link


def test_what_still_needs_a_real_pi_is_said():
    needs = TEXT.partition("## What needs a real Pi")[2]
    for word in ("SD card", "CAN HAT", "firmware", "USB adapters", "time stamps", "power cuts"):
        assert word in needs, word


TABLE = "| figure | name | value |\n|---|---|---|\n| kernel | `bus: kernel` | |\n| a ratio | `bus: cpu_ratio` | 3 x |\n"


def test_the_values_of_a_run_replace_those_of_the_one_before():
    filled = tested_on.filled(TABLE, {"bus: kernel": ("6.1", ""), "bus: cpu_ratio": (8.5, "x"), "car: other": (1, "s")})
    assert filled.splitlines()[2:] == ["| kernel | `bus: kernel` | 6.1 |", "| a ratio | `bus: cpu_ratio` | 8.5 x |"]
    again = {"bus: kernel": ("6.2", ""), "bus: cpu_ratio": (9, "x")}
    assert tested_on.filled(filled, again) == tested_on.filled(TABLE, again)


def test_a_run_without_a_figure_of_the_document_is_refused_by_its_name():
    with pytest.raises(Failure, match="bus: cpu_ratio"):
        tested_on.filled(TABLE, {"bus: kernel": ("6.1", "")})
