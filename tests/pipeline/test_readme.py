"""The README's commands do what it says: its shell blocks are run as they stand, against a real broker."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo.broker import Broker

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PROGRAMS = ("packseal-agent", "packseal-ledger", "packseal-sim", "packseal-tail", "packseal-verify")


def _blocks():
    return re.findall(r"^```sh\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_the_commands_of_the_readme_end_in_a_verified_bundle(tmp_path):
    said = tmp_path / "said.log"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with Broker(tmp_path / "broker") as broker, said.open("w") as output:
        script = "set -eu\n" + "".join(_blocks()).replace("mqtt://127.0.0.1:1883", broker.url)
        # The ledger is started in the background, as a person would, who then waits for its line.
        await_ledger = "until grep -q serving ledger.log; do sleep 0.1; done"
        script = script.replace(f"{broker.url} &\n", f"{broker.url} > ledger.log 2>&1 &\n{await_ledger}\n")
        process = subprocess.Popen(
            ["/bin/sh", "-c", script],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            start_new_session=True,
        )
        try:
            ended = process.wait(timeout=120)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert ended == 0, said.read_text()
    assert "VERIFIED" in said.read_text()


def test_the_two_commands_are_targets_of_the_makefile():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test", "check"} <= set(targets)
    assert "make demo\nmake test\n" in README
    assert "make check" in (ROOT / ".ci/run").read_text()


def test_every_program_and_file_that_the_readme_names_exists():
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
    for program in set(re.findall(r"packseal-[a-z]+(?=\s)", README)) - {"packseal-agent.service"}:
        assert program in PROGRAMS, program


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_has_a_help_text_with_an_example(program):
    executable = str(Path(sys.executable).with_name(program))
    helped = subprocess.run([executable, "--help"], capture_output=True, text=True, check=True).stdout
    assert "example" in helped
    for command in re.findall(r"^    ([a-z]+)  ", helped, re.MULTILINE):
        inner = subprocess.run([executable, command, "--help"], capture_output=True, text=True, check=True).stdout
        assert "example" in inner, f"{program} {command}"


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_wrong_command_line_is_one_line_and_64(program):
    executable = str(Path(sys.executable).with_name(program))
    wrong = subprocess.run([executable, "--no-such-thing"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 64
    assert wrong.stderr.count("\n") == 1, wrong.stderr
