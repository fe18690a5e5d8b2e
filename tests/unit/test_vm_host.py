"""The host's side of `make vm-test`: what it builds from what, what it says when it cannot, and when it is green."""

import base64
import errno
import gzip
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.vm import __main__ as program
from tests.vm import application, ending, image, installation, machine, places, results, runs, tools, wheels

NOWHERE = image.Image(Path("vmlinuz"), Path("initrd.gz"), Path("root.ext4"))
DISKS = machine.Disks(NOWHERE.root, Path("app.ext4"))


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


@pytest.fixture
def main(tmp_path, monkeypatch):
    """Runs the program in a folder of its own up to the installation of its tools, where `instead` is called."""
    monkeypatch.setattr(tools, "missing_rights", lambda: None)
    monkeypatch.setattr(places, "CACHE", tmp_path / "cache")
    monkeypatch.delenv("SUDO_UID", raising=False)

    def run(instead):
        monkeypatch.setattr(tools, "install", instead)
        return program.main(["--out", str(tmp_path / "out")])

    return run


def test_a_package_that_cannot_be_had_is_named_and_gives_69(main, capsys):
    def refuse():
        raise tools.Unavailable("apt-get install qemu-system-arm ended with 100:\nno network")

    assert main(refuse) == 69
    assert "qemu-system-arm" in capsys.readouterr().err


FULL = os.strerror(errno.ENOSPC)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, FULL, "/cache/root.ext4"), f"/cache/root.ext4: {FULL}"),
        (OSError(errno.ENOSPC, FULL), FULL),
        (shutil.Error([("a", "b", f"[Errno 28] {FULL}: 'b'"), ("c", "d", "more")]), f"[Errno 28] {FULL}: 'b'"),
    ],
)
def test_a_file_that_cannot_be_written_is_said_in_one_line_and_gives_74(error, said, main, capsys):
    def fail():
        raise error

    assert main(fail) == 74
    assert capsys.readouterr().err == f"tests.vm: {said}\n"


def test_a_second_run_in_a_folder_is_refused_in_one_line_with_69_and_leaves_the_first_ones_share(
    main, tmp_path, capsys
):
    share = tmp_path / "out" / "bus"
    share.mkdir(parents=True)
    with places.alone_in(tmp_path / "out"):
        assert main(lambda: pytest.fail("the second run went on")) == 69
    said = capsys.readouterr().err
    assert (f"another run uses {tmp_path}/out" in said, said.count("\n"), share.exists()) == (True, 1, True)


def test_a_folder_is_free_again_after_a_run(main, tmp_path):
    def refuse():
        raise tools.Unavailable("nothing")

    assert [main(refuse), main(refuse)] == [69, 69]
    with places.alone_in(tmp_path / "out"):
        pass


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_run_and_the_command_it_waits_for_with_one_line(number, code, main, tmp_path, capsys):
    before = [signal.getsignal(each) for each in ending.SIGNALS]
    ready, mark = tmp_path / "ready", tmp_path / "tidied"
    command = (
        "import signal, sys; from pathlib import Path; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
        "Path(sys.argv[1]).touch(); signal.sigwait([signal.SIGTERM]); Path(sys.argv[2]).touch()"
    )

    def signal_it():
        _until(lambda: ready.exists() and tools._running)
        os.kill(os.getpid(), number)

    other = threading.Thread(target=signal_it)
    other.start()
    assert main(lambda: tools.run(sys.executable, "-c", command, ready, mark)) == code
    other.join()
    assert capsys.readouterr().err == f"tests.vm: ended by {number.name}\n"
    assert mark.exists()
    assert [signal.getsignal(each) for each in ending.SIGNALS] == before


def test_who_waits_for_another_runs_building_is_ended_too(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "CACHE", tmp_path)
    tools.ended.clear()
    with places.only_one("image"):
        threading.Timer(0.05, tools.stop).start()
        with pytest.raises(tools.Unavailable, match="ended"), places.only_one("image"):
            pytest.fail("two runs build at once")
    tools.ended.clear()


def test_a_program_that_is_missing_is_named_and_unavailable():
    with pytest.raises(tools.Unavailable, match="packseal-no-such-program cannot be started"):
        tools.run("packseal-no-such-program", "x")


def test_commands_find_the_systems_programs_where_the_user_does_not(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin:/sbin")
    assert tools.run("sh", "-c", 'printf %s "$PATH"') == "/usr/bin:/bin:/sbin:/usr/sbin"
    assert tools.run("sh", "-c", 'printf %s "$PATH"', environment={"PATH": "/bin"}) == "/bin:/usr/sbin:/sbin"


def test_of_what_is_built_only_the_newest_that_is_whole_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "CACHE", tmp_path)
    for age, name in enumerate(("image-c.part", "image-b", "image-a", "libraries-x", "libraries-y.part")):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    assert [folder.name for folder in places.built("image")] == ["image-a", "image-b"]
    places.keep_newest("image")
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["image-b", "libraries-x", "libraries-y.part"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files that are root's")
def test_what_root_made_for_a_user_belongs_to_the_user_and_nothing_else_does(tmp_path, monkeypatch):
    cache, outside = tmp_path / ".cache" / "vm", tmp_path / "outside"
    (cache / "last").mkdir(parents=True)
    outside.touch()
    theirs, made, link = (cache / "last" / name for name in ("theirs", "made", "link"))
    theirs.touch()
    os.chown(theirs, 4321, 4321)
    made.touch()
    link.symlink_to(outside)
    monkeypatch.setattr(places, "CACHE", cache)
    monkeypatch.setattr(places, "HERE", tmp_path / "nowhere")
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "1235")
    places.give_back()
    for path in (cache.parent, cache, cache / "last", made, link):
        assert (path.lstat().st_uid, path.lstat().st_gid) == (1234, 1235), path
    assert (theirs.stat().st_uid, outside.stat().st_uid) == (4321, 0)


def test_as_a_program_it_leaves_no_compiled_files_of_its_modules():
    words = ("-c", "import sys; sys.argv[0] = '-m'; import tests.vm; print(sys.dont_write_bytecode)")
    done = subprocess.run([sys.executable, *words], cwd=places.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize(("python", "told"), [("", False), ("/usr/bin/python3.11", True)])
def test_pip_in_the_machine_is_told_not_to_compile_only_where_we_compiled(python, told, tmp_path):
    (tmp_path / "etc").mkdir()
    lines = [line for line in (image.RECIPE / "build.sh").read_text().splitlines() if "pip.conf" in line]
    words = ["bash", "-euc", "\n".join(lines)]
    subprocess.run(words, env={**os.environ, "root": str(tmp_path), "python": python}, check=True)
    written = (tmp_path / "etc/pip.conf").read_text()
    assert ("compile = false" in written, "no-index = true" in written) == (told, True)


def test_the_initial_file_system_has_every_module_once_and_in_order_also_from_a_folder_with_a_space(tmp_path):
    root, stand_ins, out = tmp_path / "a root", tmp_path / "bin", tmp_path / "initrd.gz"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/busybox").touch()
    stand_ins.mkdir()
    for name in ("first", "second"):
        (root / f"{name}.ko").write_text(name)
    modprobe = 'printf "builtin ext4\\ninsmod %s/first.ko \\ninsmod %s/$6.ko debug=1\\n" "$2" "$2"'
    for name, script in (("modprobe", modprobe), ("cpio", "cat order; sort")):
        (stand_ins / name).write_text(f"#!/bin/sh\n{script}\n")
        (stand_ins / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{stand_ins}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(root)}
    words = [image.RECIPE / "initrd.sh", root, "6.1", out, "first", "second"]
    subprocess.run(words, env=environment, check=True)
    packed = gzip.decompress(out.read_bytes()).decode().split()
    assert packed[:2] == ["first.ko", "second.ko"]
    assert {"./modules/first.ko", "./modules/second.ko", "./bin/busybox", "./init"} <= set(packed)


def test_a_comma_in_a_path_is_written_twice_where_the_emulator_splits_at_commas():
    system = image.Image(Path("/a,b/vmlinuz"), Path("/a,b/initrd.gz"), Path("/a,b/root.ext4"))
    disks = machine.Disks(system.root, Path("/a,b/app.ext4"))
    words = machine.command(machine.MACHINES[0], system, disks, Path("/a,b/bus"), "file:/a,b/c", (3, 4))
    for option in ("file=/a,,b/root.ext4", "file=/a,,b/app.ext4", "path=/a,,b/bus"):
        assert any(option in word for word in words), option
    assert {"file:/a,b/c", "/a,b/vmlinuz", "/a,b/initrd.gz"} <= set(words)


def test_every_stage_of_every_machine_has_jobs():
    stages = [stage for one in machine.MACHINES for stage in (*one.stages, *one.long_stages)]
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


def _judged(share, lines, statuses, stages=("car",), given_up=""):
    (share / "results.jsonl").write_text(lines)
    (share / "statuses").write_text(statuses)
    return results.judge("car", share, list(stages), given_up)


STARTED = '{"job": "car/test_1.py::test_a", "is": "started"}\n'
PASSED = STARTED + '{"job": "car/test_1.py::test_a", "is": "passed", "seconds": 1.0}\n'
FAILED = PASSED + '{"job": "car/test_1.py::test_a", "is": "failed", "seconds": 0.1}\n'


@pytest.mark.parametrize(
    ("lines", "statuses", "failures"),
    [
        (PASSED, "car 0\n", []),
        (PASSED.replace("passed", "xfailed"), "car 0\n", []),
        (PASSED.replace("passed", "xpassed"), "car 0\n", ["test_a: xpassed"]),
        (PASSED.replace("passed", "skipped"), "car 0\n", ["test_a: skipped"]),
        (FAILED, "car 1\n", ["test_a: failed"]),
        (FAILED + PASSED, "car 1\n", ["test_a: failed"]),
        (PASSED, "car 4\n", ["pytest ended with 4"]),
        (PASSED, "", ["before it left a status"]),
        (PASSED + STARTED.replace("test_a", "test_b"), "", ["test_b: it never ended", "before it left a status"]),
        (PASSED + '{"job": "car/te', "car 0\n", []),
        (PASSED + '5\n"x"\nnull\n[]\n{"job": "car/test_2.py::test_c"}\n\xff\n', "car 0\n", []),
        (PASSED, "car\n", ["before it left a status"]),
        (PASSED, "\ncar_after 0 0\ncar 0\n", []),
        ("", "car 0\n", ["no job"]),
    ],
)
def test_a_machine_is_green_only_when_every_job_passed_and_every_stage_ended(lines, statuses, failures, tmp_path):
    outcome = _judged(tmp_path, lines, statuses)
    assert len(outcome.failures) == len(failures)
    for said, expected in zip(outcome.failures, failures, strict=True):
        assert expected in said


def test_a_machine_that_hangs_is_told_with_the_job_at_which_it_hung(tmp_path):
    outcome = _judged(tmp_path, STARTED, "", ("car", "car_after_reboot"), "the time was over")
    assert outcome.failures[0] == "car/test_1.py::test_a: it still ran when the time was over"
    assert [line.partition(":")[0] for line in outcome.failures[1:]] == ["stage car", "stage car_after_reboot"]
    assert all("the time was over" in line for line in outcome.failures[1:])


def test_a_machine_that_hangs_after_its_last_job_is_not_green(tmp_path):
    outcome = _judged(tmp_path, PASSED, "car 0\n", given_up="the machine had said nothing for 300 s")
    assert outcome.failures[0].startswith("the machine had said nothing for 300 s before it went off")


def test_of_a_machine_that_died_the_last_lines_of_console_and_output_are_shown(tmp_path):
    (tmp_path / "console").write_text("".join(f"console {number}\n" for number in range(100)))
    (tmp_path / "out").write_text("one line\n")
    said = _judged(tmp_path, "", "").failures[-1].splitlines()
    assert said[2:17] == [f"    console {number}" for number in range(85, 100)]
    assert said[17:] == [f"  the end of {tmp_path}/out:", "    one line"]


def test_a_figure_that_was_cut_is_left_out(tmp_path):
    (tmp_path / "figures.jsonl").write_text('{"name": "RSS", "value": 1, "unit": "MB"}\n{"name": "CPU"}\n7\n{"na')
    assert [line["name"] for line in _judged(tmp_path, PASSED, "car 0\n").figures] == ["RSS"]


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


def _outcome(tmp_path, said, timeout_s=60.0, which=0):
    given = machine.MACHINES[which], NOWHERE, DISKS, tmp_path, [], said.append, timeout_s
    run = machine.Run(*given, whole=True)
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


def test_a_machine_is_given_up_with_its_last_lines_when_nothing_of_it_grows_any_more(emulator, tmp_path):
    emulator("exec sleep 600")
    run = machine.Run(machine.MACHINES[0], NOWHERE, DISKS, tmp_path, [], print, 60.0, quiet_s=0.0)
    for name in ("console", "out", "results.jsonl"):
        with (run.share / name).open("a") as file:
            file.write("so far\n")
        assert run.poll() is None
    (said,) = _until(run.poll).failures
    assert "had said nothing for 0 s" in said
    assert said.endswith(f"{run.share}/console:\n    so far\n  the end of {run.share}/out:\n    so far")


def test_a_machine_that_boots_more_often_than_it_has_stages_is_given_up(emulator, tmp_path):
    emulator('printf "9.1\\n8.2\\n8.3\\n" >$share/boots; exec sleep 600')
    assert "booted 3 times for 2 stages" in _outcome(tmp_path, [], which=2).failures[0]


def test_a_machine_whose_kernel_panics_again_and_again_before_any_job_is_given_up(emulator, tmp_path):
    emulator('echo "[ 1.2] Kernel panic - not syncing: no init" >$share/console; exec sleep 600')
    said = _outcome(tmp_path, [], which=2).failures
    assert "kernel had panicked" in said[0]
    assert "not syncing: no init" in said[-1]


@pytest.fixture
def every(tmp_path):
    """A run of a system that is a few bytes, in a folder of its own."""
    system = image.Image(tmp_path / "vmlinuz", tmp_path / "initrd.gz", tmp_path / "root.ext4")
    system.root.write_text("bare")
    application_disk = tmp_path / "app.ext4"
    application_disk.with_suffix(".digest").write_text("of this commit")
    wanted = SimpleNamespace(out=tmp_path, timeout=60.0, no_parallel=False)
    installed = installation.of(tmp_path, system, application_disk)
    return runs.Runs(system, application_disk, installed, wanted, [].append)


def _plan(every, *names, selection=(), whole=False):
    return runs.plan(names or ("bus", "install", "car"), list(selection), every.installed, whole=whole)


def _planned(*given, **more):
    plan = _plan(*given, **more)
    return [one.name for one in plan.machines], plan.installs


INSTALLER = """
case $share in */install)
  for word in "$@"; do case $word in id=d0,*) disk=${word#*file=}; disk=${disk%%,*};; esac; done
  echo installed >$disk; case "$*" in *snapshot=off*) ;; *) exit 1;; esac;;
esac
name=${share##*/}; echo "$name 0" >$share/statuses
[ "$failing" = "$name" ] && result=failed || result=passed
echo "{\\"job\\": \\"$name/test_1.py::test_a\\", \\"is\\": \\"$result\\"}" >$share/results.jsonl
echo "$*" >$share/words
"""


PART = "install/test_install.py::test_a"


def test_the_car_goes_on_with_the_disk_on_which_was_installed(every, emulator, tmp_path):
    emulator(INSTALLER)
    outcomes = every.together(_plan(every, "install", "car"))
    assert [(outcome.machine, outcome.failures) for outcome in outcomes] == [("install", ()), ("car", ())]
    assert every.installed.disk.read_text() == "installed\n"
    assert f"file={every.installed.disk},format=raw,if=none,snapshot=on" in (tmp_path / "car" / "words").read_text()
    assert every.installed.is_kept()


@pytest.mark.parametrize(
    ("named", "more", "without", "kept"),
    [
        ((), {}, (["bus", "install", "car"], True), (["bus", "car"], False)),
        ((), {"whole": True}, (["bus", "install", "car"], True), (["bus", "install", "car"], True)),
        (("car",), {}, (["install", "car"], True), (["car"], False)),
        (("car",), {"whole": True}, (["install", "car"], True), (["install", "car"], True)),
        (("install",), {}, (["install"], True), (["install"], True)),
        (("bus",), {"whole": True}, (["bus"], False), (["bus"], False)),
        ((), {"selection": [PART]}, (["install"], False), (["install"], False)),
        ((), {"selection": [PART, "car"]}, (["install", "car"], True), (["install", "car"], False)),
        ((), {"selection": ["bus/test_cpu.py"]}, (["bus"], False), (["bus"], False)),
    ],
)
def test_it_is_installed_anew_where_nothing_is_kept_or_the_whole_is_wanted(named, more, without, kept, every):
    assert _planned(every, *named, **more) == without
    every.installed.begin(every.image.root)
    every.installed.keep()
    assert _planned(every, *named, **more) == kept


def test_a_part_of_the_installation_is_tried_on_a_bare_disk_and_leaves_the_kept_one_alone(every, emulator, tmp_path):
    every.installed.begin(every.image.root)
    every.installed.disk.write_text("kept")
    every.installed.keep()
    emulator(INSTALLER.replace("echo installed >$disk; ", "").replace("*snapshot=off*)", "*snapshot=on*)"))
    plan = _plan(every, selection=[PART, "car"])
    assert plan.jobs(plan.machines[0]) == [PART]
    assert [outcome.failures for outcome in every.together(plan)] == [(), ()]
    assert f"file={every.image.root},format=raw,if=none,snapshot=on" in (tmp_path / "install" / "words").read_text()
    assert every.installed.disk.read_text() == "kept"
    assert every.installed.is_kept()


def test_an_installation_that_others_wait_for_is_made_by_all_of_its_jobs(every):
    plan = _plan(every, selection=[PART, "car/test_2_service.py"])
    assert [plan.jobs(one) for one in plan.machines] == [[], ["car/test_2_service.py"]]


@pytest.mark.parametrize("failing", ["install", "car"])
def test_an_installation_that_failed_or_on_which_somebody_failed_is_made_anew(failing, every, emulator, monkeypatch):
    monkeypatch.setenv("failing", failing)
    emulator(INSTALLER)
    outcomes = every.together(_plan(every, "car"))
    assert [outcome.machine for outcome in outcomes] == (["install"] if failing == "install" else ["install", "car"])
    assert not every.installed.is_kept()


@pytest.mark.parametrize("changed", ["application", "image", "recipe"])
def test_an_installation_of_something_else_does_not_serve(changed, every, tmp_path):
    every.installed.begin(every.image.root)
    every.installed.keep()
    system = every.image
    if changed == "application":
        every.application.with_suffix(".digest").write_text("of the next commit")
    elif changed == "image":
        os.utime(system.root, (1, 1))
    else:
        system = replace(system, root=tmp_path / "other.ext4")
        system.root.write_text("bare")
    assert not installation.of(tmp_path, system, every.application).is_kept()


def test_of_an_installation_that_is_cut_short_nothing_is_kept(every):
    every.installed.begin(every.image.root)
    every.installed.keep()
    every.installed.begin(every.image.root)
    assert every.installed.disk.read_text() == "bare"
    assert not every.installed.is_kept()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_machines_end_with_the_run_however_it_ends(number, emulator, tmp_path):
    emulator("echo $$ >$share/number; mv $share/number $share/out; exec sleep 600")
    runner = (
        "import sys, types; from pathlib import Path; from tests.vm import ending, image, machine, runs\n"
        "wanted = types.SimpleNamespace(out=Path(sys.argv[1]), timeout=60.0, no_parallel=False)\n"
        "every = runs.Runs(image.Image(*map(Path, 'abc')), Path('app.ext4'), None, wanted, print)\n"
        "with ending.orderly():\n"
        " every.together(runs.Plan(machine.MACHINES[:1], [], whole=False, installs=False))\n"
    )
    words = [sys.executable, "-c", runner, str(tmp_path)]
    with subprocess.Popen(words, cwd=places.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        _until((tmp_path / "bus" / "out").exists)
        machine_number = int((tmp_path / "bus" / "out").read_text())
        run.send_signal(number)
    _until(lambda: not _runs(machine_number))


def _until(condition, within_s=30.0):
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def _runs(number):
    """Whether a process is there and not only waiting to be collected."""
    stat = Path(f"/proc/{number}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
