"""However a program ends, it ends with its documented code and at most one line on stderr."""

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from packseal import program
from packseal.program import Failure, Parser, UsageError, run
from tests.agent_world import ROOT


def raising(problem):
    def main():
        raise problem

    return main


@pytest.mark.parametrize(
    ("problem", "code", "line"),
    [
        (Failure("it is false"), 65, "p: it is false"),
        (UsageError("no such thing"), 64, "p: no such thing"),
        (program.Unavailable("not there"), 69, "p: not there"),
        (program.InputOutputError("f: unreadable"), 74, "p: f: unreadable"),
        (program.ConfigurationError("f: wrong"), 78, "p: f: wrong"),
        (FileNotFoundError(2, "No such file or directory", "f"), 74, "p: f: No such file or directory"),
        (OSError("odd"), 74, "p: odd"),
        (Failure("two\nlines \t and\r\nmore"), 65, "p: two lines and more"),
        (Failure("a\x1b[2Jb\x9b31m\u202ec"), 65, "p: a\ufffd[2Jb\ufffd31m\ufffdc"),
    ],
)
def test_a_failure_is_one_line_that_no_terminal_obeys_and_its_exit_code(capsys, problem, code, line):
    assert run("p", raising(problem)) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", line + "\n")


def test_a_normal_end_is_0_and_an_answer_is_passed_on(capsys):
    assert run("p", lambda: None) == 0
    assert run("p", lambda: 65) == 65
    assert capsys.readouterr().err == ""


def test_ctrl_c_is_130_without_a_word(capsys):
    assert run("p", raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr() == ("", "")


def test_a_missing_library_says_how_to_get_it(capsys):
    assert run("packseal-ledger", raising(ModuleNotFoundError("x", name="psycopg.rows"))) == 69
    assert "psycopg is missing: pip install 'packseal[ledger]'" in capsys.readouterr().err
    assert run("packseal-agent", raising(ModuleNotFoundError("x", name="can"))) == 69
    assert capsys.readouterr().err.endswith("pip install 'packseal'\n")


def test_a_module_of_our_own_that_is_missing_is_our_bug_and_not_hidden():
    with pytest.raises(ModuleNotFoundError):
        run("packseal-agent", raising(ModuleNotFoundError("x", name="agent.nowhere")))


def test_a_wrong_command_line_is_64_and_one_line_that_points_to_the_help(capsys):
    parser = Parser(prog="p")
    parser.add_argument("--number", type=int)
    for words in (["--numbr", "1"], ["--number", "x\x1b[2J"], ["surplus"]):
        assert run("p", partial(parser.parse_args, words)) == 64
        err = capsys.readouterr().err
        assert err.startswith("p: ")
        assert err.endswith("see p --help\n")
        assert err.count("\n") == 1
        assert err[:-1].isprintable()


def test_examples_in_a_help_keep_their_lines():
    assert "example:\n  p --x 1\n" in Parser(prog="p", epilog="example:\n  p --x 1\n").format_help()
    assert isinstance(Parser(prog="p"), argparse.ArgumentParser)


def python(code, **settings):
    """Run a program of one line, with its output buffered as it is in a pipe."""
    head = "import sys\nfrom packseal.program import run\n"
    command = [sys.executable, "-c", head + code]
    settings.setdefault("env", {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"})
    return subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, check=False, timeout=60, **settings)


def test_a_full_disk_under_the_output_is_74_and_one_line():
    with Path("/dev/full").open("w") as full:
        done = python("sys.exit(run('p', lambda: print('x')))", stdout=full)
    assert (done.returncode, done.stderr) == (74, b"p: standard output: No space left on device\n")


@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("length", [1, 9_000, 10**6])
@pytest.mark.parametrize(
    ("main", "code", "end"),
    [
        ("told", 74, "No space left on device"),
        ("lambda: run('p', told)", 74, "No space left on device"),
        ("told_and_failed", 65, "it is false"),
    ],
)
def test_a_full_disk_under_the_output_is_never_a_second_line(main, code, end, length, environment):
    head = (
        "from packseal.program import Failure\n"
        f"def told():\n print('x' * {length})\n"
        "def told_and_failed():\n sys.stdout.write('x')\n raise Failure('it is false')\n"
    )
    with Path("/dev/full").open("w") as full:
        done = python(f"{head}sys.exit(run('p', {main}))", stdout=full, env={"PATH": "/usr/bin", **environment})
    said = done.stderr.decode()
    assert said.count("\n") == 1
    assert said.startswith("p: ")
    if main == "told_and_failed" and environment:  # there it is the writing that fails first
        assert done.returncode == 74
    else:
        assert (done.returncode, said.endswith(f"{end}\n")) == (code, True)


@pytest.mark.parametrize(("answer", "code"), [(0, 74), (65, 65)])
def test_a_reader_that_has_gone_is_not_told_and_an_answer_that_nobody_read_is_no_success(answer, code):
    done = python(
        "import os\nr, w = os.pipe()\nos.dup2(w, 1); os.close(w); os.close(r)\n"
        f"sys.exit(run('p', lambda: print('x') or {answer}))",
    )
    assert (done.returncode, done.stderr) == (code, b"")


def test_a_reader_that_goes_in_the_middle_is_not_told_either():
    done = python(
        "import os\nr, w = os.pipe()\nos.dup2(w, 1); os.close(w); os.close(r)\n"
        "sys.exit(run('p', lambda: print('x' * 10**6)))",
    )
    assert (done.returncode, done.stderr) == (74, b"")


def test_output_that_a_terminal_cannot_encode_is_written_as_far_as_it_can():
    environment = {"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin"}
    done = python("sys.exit(run('p', lambda: print('25 \u00b0C')))", stdout=subprocess.PIPE, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"25 \\xb0C\n", b"")


def test_a_closed_output_is_survived():
    done = python("sys.stdout = None\nsys.exit(run('p', lambda: print('x')))")
    assert (done.returncode, done.stderr) == (0, b"")
