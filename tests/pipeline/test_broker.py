"""The demo's broker: found or unpacked, started, killed and started again."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from demo import mosquitto
from demo.broker import Broker
from demo.mosquitto import Mosquitto, find, unpacked
from packseal.program import Unavailable
from tests.pipeline.link_watch import eventually

needs_apt = pytest.mark.skipif(not shutil.which("apt-get"), reason="apt-get is not here: not a Debian")


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_broker_accepts_after_start_and_no_longer_after_stop(tmp_path):
    with Broker(tmp_path / "broker") as broker:
        assert accepts(broker.port)
        assert broker.url == f"mqtt://127.0.0.1:{broker.port}"
    assert not accepts(broker.port)


def test_a_killed_broker_starts_again_on_the_same_port(tmp_path):
    with Broker(tmp_path / "broker") as broker:
        for _ in range(3):
            broker.kill()
            assert not accepts(broker.port)
            broker.start()
            assert accepts(broker.port)


@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not here")
def test_a_broker_does_not_outlive_a_killed_owner(tmp_path):
    program = (
        "import sys, time, pathlib; from demo.broker import Broker\n"
        "with Broker(pathlib.Path(sys.argv[1])) as broker: print(broker.port, flush=True); time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    port = int(owner.stdout.readline())
    assert accepts(port)
    owner.kill()
    owner.communicate()
    assert eventually(lambda: not accepts(port))


def test_two_brokers_do_not_share_a_port(tmp_path):
    with Broker(tmp_path / "one") as one, Broker(tmp_path / "two") as two:
        assert one.port != two.port


def test_a_setting_that_the_broker_refuses_is_one_line_from_its_log(tmp_path):
    with pytest.raises(Unavailable, match="Unknown configuration variable") as refused:
        Broker(tmp_path, settings=["no_such_setting 1"]).start()
    assert "\n" not in str(refused.value)


def test_passwords_are_written_hashed_and_for_the_owner_only(tmp_path):
    with Broker(tmp_path, users={"agent": "a secret"}, acl="user agent\ntopic readwrite #\n"):
        written = tmp_path / "passwords"
        assert "a secret" not in written.read_text()
        assert written.stat().st_mode & 0o077 == 0


def test_the_which_line_names_version_and_place():
    found = find()
    assert str(found).startswith("mosquitto 2.")
    assert str(found.program) in str(found)


@needs_apt
def test_an_unpacked_broker_misses_no_library_and_runs(tmp_path):
    broker = unpacked(tmp_path / "cache")
    assert broker.missing() == []
    assert "unpacked from Debian's packages" in str(broker)
    with Broker(tmp_path / "broker", mosquitto=broker) as running:
        assert accepts(running.port)
    assert [path.name for path in (tmp_path / "cache/mosquitto").iterdir()] == [broker.program.parents[2].name]


@needs_apt
@pytest.mark.soak
def test_processes_that_race_for_the_cache_all_get_the_same_running_broker(tmp_path):
    program = "import sys, pathlib; from demo.mosquitto import unpacked; print(unpacked(pathlib.Path(sys.argv[1])))"
    command = [sys.executable, "-c", program, str(tmp_path)]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = {racer.communicate(timeout=120)[0] for racer in racers}
    assert [racer.returncode for racer in racers] == [0, 0]
    assert len(said) == 1
    assert len(list((tmp_path / "mosquitto").iterdir())) == 1


@needs_apt
def test_a_damaged_cache_is_replaced_and_a_good_one_is_used_without_fetching(tmp_path, monkeypatch):
    first = unpacked(tmp_path)
    next(first.libraries[0].glob("libcjson.so.*.*")).unlink()
    assert unpacked(tmp_path).missing() == []
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(Mosquitto, "missing", lambda self: [] if self.program.is_file() else ["all"])
    assert unpacked(tmp_path).program.is_file()


def test_without_broker_and_apt_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(mosquitto, "_PLACES", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Unavailable, match="apt install mosquitto") as absent:
        find(tmp_path)
    assert absent.value.exit_code == 69
    assert "\n" not in str(absent.value)


@needs_apt
def test_a_fetch_that_fails_is_one_line_and_leaves_nothing_half_unpacked(tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("dpkg", "dpkg-query", "ldd"):
        (tools / name).symlink_to(shutil.which(name))
    (tools / "apt-get").write_text("#!/bin/sh\necho 'E: no network here' >&2\nexit 100\n")
    (tools / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}/bin")
    with pytest.raises(Unavailable, match="E: no network here") as failed:
        unpacked(tmp_path / "cache")
    assert "\n" not in str(failed.value)
    assert list((tmp_path / "cache/mosquitto").iterdir()) == []


@needs_apt
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become nobody")
@pytest.mark.soak
def test_unpacking_and_running_need_no_root(tmp_path):
    become_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    new_enough = ["-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([*become_nobody, python, *new_enough], check=False, capture_output=True).returncode == 0:
            break
    else:
        pytest.skip("no Python 3.11 that every user may run")
    program = (
        "import sys, pathlib; sys.dont_write_bytecode = True\n"
        "from demo.mosquitto import unpacked; from demo.broker import Broker\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "with Broker(here / 'broker', mosquitto=unpacked(here / 'cache')) as running: print('ran', running.port)\n"
    )
    # pytest's folders are private to its user: this one can be reached by everybody.
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    try:
        os.chown(folder, 65534, 65534)
        command = [*become_nobody, python, "-c", program, str(folder)]
        root = Path(mosquitto.__file__).parents[1]
        ended = subprocess.run(
            command, check=False, cwd=root, capture_output=True, text=True, timeout=120, env={"HOME": str(folder)}
        )
        assert ended.stdout.startswith("ran "), ended.stderr
    finally:
        shutil.rmtree(folder)
