"""The host's side of `make vm-test`: what it builds from what, what it says when it cannot, and when it is green."""

import base64
import hashlib
import os
import shutil
import time
import zipfile
from pathlib import Path

import pytest

from tests.vm import __main__ as program
from tests.vm import application, image, machine, results, tools, wheels

NOWHERE = image.Image(Path("vmlinuz"), Path("initrd.gz"), Path("root.ext4"))


def test_the_image_is_built_anew_when_any_file_of_its_recipe_changes(tmp_path):
    recipe = tmp_path / "image"
    shutil.copytree(image.RECIPE, recipe)
    digests = {image.recipe_digest(recipe)}
    assert digests == {image.recipe_digest(recipe)}
    for file in sorted(recipe.iterdir()):
        file.write_text(file.read_text() + "\n")
        digests.add(image.recipe_digest(recipe))
    (recipe / "another").write_text("")
    digests.add(image.recipe_digest(recipe))
    assert len(digests) == len(list(recipe.iterdir())) + 1


@pytest.mark.parametrize(
    ("user", "path", "reason"), [(1000, os.environ["PATH"], "root"), (0, "/nonexistent", "apt-get")]
)
def test_without_root_or_apt_it_says_so_in_one_line_and_is_content(user, path, reason, monkeypatch, capsys):
    if reason == "root" and tools.shutil.which("apt-get") is None:
        pytest.skip("this host has no apt-get, so its lack of root is not what is said")
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setenv("PATH", path)
    assert program.main([]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("vm tests skipped: ")
    assert (reason in said.out, said.out.count("\n"), said.err) == (True, 1, "")


def test_a_package_that_cannot_be_had_is_named_and_gives_69(monkeypatch, capsys):
    def refuse():
        raise tools.Unavailable("apt-get install qemu-system-arm ended with 100:\nno network")

    monkeypatch.setattr(tools, "missing_rights", lambda: None)
    monkeypatch.setattr(tools, "install", refuse)
    assert program.main([]) == 69
    assert "qemu-system-arm" in capsys.readouterr().err


def test_every_stage_of_every_machine_has_jobs():
    stages = [stage for one in machine.MACHINES for stage in one.stages]
    assert len(stages) == len(set(stages))
    for stage in stages:
        assert list((machine.GUEST / stage).glob("test_*.py")), stage
    assert {folder.name for folder in machine.GUEST.iterdir() if folder.is_dir() and folder.name[0] != "_"} == set(
        stages
    )


def test_jobs_are_named_from_the_checkout_or_from_their_folder_and_others_are_refused():
    assert machine.share_paths(["tests/vm/guest/bus/test_1_machine.py::test_x", "car"]) == [
        "bus/test_1_machine.py::test_x",
        "car",
    ]
    with pytest.raises(SystemExit, match="no such job"):
        machine.share_paths(["README.md"])


def test_every_library_is_pinned_and_every_pin_has_digests():
    constraints, digests = application.pinned(application.LOCK)
    names = {line.partition("==")[0] for line in constraints}
    assert names >= {*application.LIBRARIES, *application.TOOLS}
    assert len(digests) > len(names)


def test_a_repacked_wheel_lists_every_file_with_its_digest_and_has_lost_only_its_test_suite(tmp_path):
    wheel = tmp_path / "thing-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("thing/__init__.py", "value = 1\n")
        packed.writestr("thing/tests/test_thing.py", "")
        packed.writestr(
            "thing-1.dist-info/RECORD", "thing/__init__.py,,\nthing/tests/test_thing.py,,\nthing-1.dist-info/RECORD,,\n"
        )
    with zipfile.ZipFile(wheels.repacked(wheel, tmp_path / "again", os.sys.executable)) as packed:
        rows = dict(line.split(",", 1) for line in packed.read("thing-1.dist-info/RECORD").decode().splitlines())
        assert set(rows) == set(packed.namelist())
        assert "thing/tests/test_thing.py" not in rows
        assert any(name.endswith(".pyc") for name in rows)
        for name in set(rows) - {"thing-1.dist-info/RECORD"}:
            content = packed.read(name)
            told = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert rows[name] == f"sha256={told},{len(content)}"


def _judged(share, lines, statuses, stages=("car",), *, timed_out=False):
    (share / "results.jsonl").write_text(lines)
    (share / "statuses").write_text(statuses)
    return results.judge("car", share, list(stages), timed_out=timed_out)


STARTED = '{"job": "car/test_1.py::test_a", "is": "started"}\n'
PASSED = STARTED + '{"job": "car/test_1.py::test_a", "is": "passed", "seconds": 1.0}\n'
FAILED = PASSED + '{"job": "car/test_1.py::test_a", "is": "failed", "seconds": 0.1}\n'


@pytest.mark.parametrize(
    ("lines", "statuses", "failures"),
    [
        (PASSED, "car 0\n", []),
        (PASSED.replace("passed", "xfailed"), "car 0\n", []),
        (PASSED.replace("passed", "xpassed"), "car 0\n", ["test_a: xpassed"]),
        (FAILED, "car 1\n", ["test_a: failed"]),
        (FAILED + PASSED, "car 1\n", ["test_a: failed"]),
        (PASSED, "car 4\n", ["pytest ended with 4"]),
        (PASSED, "", ["before it left a status"]),
        (PASSED + STARTED.replace("test_a", "test_b"), "", ["test_b: it never ended", "before it left a status"]),
        (PASSED + '{"job": "car/te', "car 0\n", []),
        ("", "car 0\n", ["no job"]),
    ],
)
def test_a_machine_is_green_only_when_every_job_passed_and_every_stage_ended(lines, statuses, failures, tmp_path):
    outcome = _judged(tmp_path, lines, statuses)
    assert len(outcome.failures) == len(failures)
    for said, expected in zip(outcome.failures, failures, strict=True):
        assert expected in said


def test_a_machine_that_hangs_is_told_with_the_job_at_which_it_hung(tmp_path):
    outcome = _judged(tmp_path, STARTED, "", ("car", "car_after_reboot"), timed_out=True)
    assert outcome.failures[0] == "car/test_1.py::test_a: it still ran when the time was over"
    assert [line.partition(":")[0] for line in outcome.failures[1:]] == ["stage car", "stage car_after_reboot"]
    assert all("the time was over" in line for line in outcome.failures[1:])


@pytest.fixture
def emulator(tmp_path, monkeypatch):
    """Puts a shell script in QEMU's place; it finds the share in $share."""

    def play(script):
        stand_in = tmp_path / "bin" / "qemu-system-aarch64"
        stand_in.parent.mkdir()
        find = 'for word in "$@"; do case $word in local,*) share=${word#*path=}; share=${share%%,*};; esac; done\n'
        stand_in.write_text(f"#!/bin/sh\n{find}{script}\n")
        stand_in.chmod(0o755)
        monkeypatch.setenv("PATH", f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}")

    return play


def _outcome(tmp_path, said, timeout_s=60.0):
    run = machine.Run(machine.MACHINES[0], NOWHERE, Path("app.ext4"), tmp_path, [], said.append, timeout_s)
    while (outcome := run.poll()) is None:
        time.sleep(0.01)
    return outcome


def test_what_a_machine_says_is_printed_under_its_name_and_its_status_counts(emulator, tmp_path):
    emulator(
        'printf "one\\ntwo" >$share/out; echo bus 0 >$share/statuses; echo \'{"job": "bus/test_1.py::test_a", "is": "passed"}\' '
        '>$share/results.jsonl; echo \'{"name": "RSS", "value": 1, "unit": "MB"}\' >$share/figures.jsonl'
    )
    said = []
    outcome = _outcome(tmp_path, said)
    assert said == ["bus | one", "bus | two"]
    assert (outcome.failures, outcome.counts) == ((), {"passed": 1})
    assert outcome.figures == ({"name": "RSS", "value": 1, "unit": "MB"},)


def test_a_machine_that_dies_is_a_failure_and_its_last_words_are_shown(emulator, tmp_path):
    emulator("echo no such device; exit 1")
    outcome = _outcome(tmp_path, [])
    assert "no such device" in outcome.failures[-1]


def test_a_machine_whose_time_is_over_is_ended(emulator, tmp_path):
    emulator("exec sleep 600")
    assert "the time was over" in _outcome(tmp_path, [], timeout_s=0.0).failures[0]
