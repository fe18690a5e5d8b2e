"""packseal-agent selftest: one line for everything that a start needs, harmless, and an exit code that says what to mend."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from agent import checkup, selftest
from agent.outbox import Outbox
from agent.profile_store import load_profile, profile_directories
from agent.selftest import Finding
from tests.agent_world import PACK, Ledger, kept, reading
from tests.programs import call, command, failed

NAMES = [
    "signatures",
    "configuration",
    "state folder",
    "store",
    "profile kona-ev",
    f"key of {PACK}",
    f"source of {PACK}",
]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    made = tmp_path_factory.mktemp("selftest")
    configured(made)
    assert call("packseal-agent", "keys", "new", PACK, "--config", "agent.toml", cwd=made).returncode == 0
    load_profile("kona-ev", profile_directories(), made / "state" / "profiles")
    return made


@pytest.fixture
def folder(template, tmp_path):
    return shutil.copytree(template, tmp_path / "agent")


@pytest.fixture
def tty():
    """The path of a serial device that is there."""
    master, slave = pty.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


@pytest.fixture
def answering():
    """The port of somebody who answers as a broker does, as far as TCP goes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def configured(folder, channel="/dev/nowhere", interface="slcan", broker="mqtt://127.0.0.1:1", more=""):
    (folder / "agent.toml").write_text(
        f'gateway = "gw-1"\nregistrar = "packs.example,2026"\nstate_dir = "state"\n{more}'
        f'[ledger]\nkey = "{Ledger().name}"\n[broker]\nurl = "{broker}"\n[[pack]]\nid = "{PACK}"\nprofile = "kona-ev"\n'
        f'[pack.source]\ninterface = "{interface}"\nchannel = "{channel}"\n'
    )


def run(folder, *words):
    return call("packseal-agent", "selftest", "--config", "agent.toml", *words, cwd=folder)


def found(folder, *words):
    """The findings by name, and the exit code."""
    done = run(folder, "--json", *words)
    return {row["name"]: row for row in json.loads(done.stdout)}, done.returncode


def test_where_all_is_well_each_check_is_a_line_and_the_exit_code_is_0(folder, tty, answering):
    configured(folder, tty, broker=f"mqtt://localhost:{answering}")
    done = run(folder, "--require-broker")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line[5:].partition(": ")[0] for line in lines] == [*NAMES, "clock", "broker"]
    assert {line[:5] for line in lines if " clock: " not in line} == {"ok   "}
    assert "\x1b" not in done.stdout


def test_it_changes_nothing_in_the_state_folder(folder, tty):
    configured(folder, tty)
    with contextlib.closing(Outbox(folder / "state")) as outbox:
        kept(outbox, 2)

    def contents():
        return {
            path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
            for path in (folder / "state").rglob("*")
        }

    before = contents()
    rows, code = found(folder)
    assert (code, rows["store"]["what"]) == (0, "3 statements, 3 pending")
    assert contents() == before


def test_a_store_that_is_in_use_is_read_beside_its_agent(folder):
    with contextlib.closing(Outbox(folder / "state")) as outbox:
        kept(outbox, 1)
        rows, _ = found(folder)
        assert rows["store"]["result"] == "ok"
        assert rows["store"]["what"] == "2 statements, 2 pending"
        more = len(kept(outbox, 1, epoch=2))
        assert found(folder)[0]["store"]["what"] == f"{2 + more} statements, {2 + more} pending"


@pytest.mark.parametrize(
    ("damage", "name", "code", "cure"),
    [
        (lambda folder: configured(folder, "/dev/nowhere"), f"source of {PACK}", 69, "plug it in"),
        (lambda folder: configured(folder, folder / "agent.toml"), f"source of {PACK}", 78, "pack.source.channel"),
        (lambda folder: configured(folder, "nocan7", "socketcan"), f"source of {PACK}", 69, "`ip link` shows"),
        (
            lambda folder: configured(folder, "lo", "socketcan"),
            f"source of {PACK}",
            78,
            "`ip link show type can` shows",
        ),
        (lambda folder: configured(folder, "x" * 16, "socketcan"), f"source of {PACK}", 78, "as `ip link` shows it"),
        (lambda folder: (folder / "state/keys/pack-1.gw-1.key").unlink(), f"key of {PACK}", 78, "keys new pack-1"),
        (lambda folder: (folder / "state/keys/pack-1.gw-1.key").chmod(0o644), f"key of {PACK}", 78, "chmod 600"),
        (lambda folder: configured(folder, more='profile_dir = "none"\n'), "profile kona-ev", 78, "make it"),
        (lambda folder: shutil.rmtree(folder / "state"), "state folder", 74, "systemd-tmpfiles --create"),
        (lambda folder: (folder / "state/outbox.db").write_bytes(b"rotten" * 1000), "store", 74, "look at the disk"),
        (lambda folder: configured(folder, broker="http://x"), "broker", 78, "mqtt://"),
        (
            lambda folder: configured(folder, more='[keys]\nwrapping_key = "none-there"\n'),
            "wrapping key",
            78,
            "head -c 32",
        ),
    ],
)
def test_what_is_missing_or_broken_fails_by_name_with_its_cure_and_the_exit_code_of_its_kind(
    folder, tty, damage, name, code, cure
):
    configured(folder, tty)
    damage(folder)
    rows, ended = found(folder)
    row = rows[name]
    assert row["result"] == "FAIL"
    assert cure in f"{row['what']}; {row['cure']}"
    first = next(each for each in rows.values() if each["result"] == "FAIL")
    assert ended == code or first["name"] != name
    assert "checks failed" in failed(run(folder), ended)


def test_a_configuration_that_cannot_be_read_is_a_finding_and_the_last(folder):
    (folder / "agent.toml").write_text("gateway = 5\n")
    rows, code = found(folder)
    assert list(rows) == ["signatures", "configuration"]
    assert code == 78
    assert rows["configuration"]["what"].startswith("agent.toml: ")


def test_a_configuration_without_packs_fails(folder):
    text = (folder / "agent.toml").read_text()
    (folder / "agent.toml").write_text(text.partition("[[pack]]")[0])
    rows, code = found(folder)
    assert (rows["configuration"]["result"], code) == ("FAIL", 78)


def test_a_broker_that_is_away_is_a_warning_unless_it_is_required(folder, tty):
    configured(folder, tty)
    rows, code = found(folder)
    assert (rows["broker"]["result"], code) == ("warn", 0)
    rows, code = found(folder, "--require-broker")
    assert (rows["broker"]["result"], code) == ("FAIL", 69)
    configured(folder, tty, broker="mqtt://" + "a" * 70 + ".example:1")  # no label of a name is so long
    assert found(folder)[0]["broker"]["result"] == "warn"


def test_another_interface_than_it_can_look_at_is_a_warning(folder):
    configured(folder, "test", "virtual")
    rows, code = found(folder)
    assert (rows[f"source of {PACK}"]["result"], code) == ("warn", 0)


def test_a_store_of_a_newer_version_is_said_before_an_update_is_taken_back(folder, tty):
    configured(folder, tty)
    with contextlib.closing(Outbox(folder / "state")) as outbox:
        outbox._connection.execute("PRAGMA user_version = 99")
    rows, code = found(folder)
    assert code == 74
    assert "written by a newer packseal (schema 99)" in rows["store"]["what"]


def test_a_clock_that_is_worth_nothing_is_a_warning(folder):
    assert selftest.clock(reading(0, quality=0)).result == "warn"
    assert [selftest.clock(reading(0, quality=quality)).result for quality in (1, 2)] == ["ok", "ok"]


def test_little_room_is_a_warning_and_none_a_failure(tmp_path, monkeypatch):
    for free, verdict in ((199, "warn"), (19, "FAIL"), (201, "ok")):
        monkeypatch.setattr(selftest, "free_mb", lambda _folder, free=free: free)
        assert selftest.state_folder(tmp_path).result == verdict
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_signs_wrongly_is_found_out(monkeypatch):
    assert selftest.signatures().result == "ok"
    monkeypatch.setattr(selftest, "verify", lambda *_: None)
    assert selftest.signatures() == Finding(
        "signatures", "FAIL", "Ed25519 does not give RFC 8032's answer", "install PyNaCl again", 65
    )


def test_the_known_answer_is_one_that_another_library_gives_as_well():
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    other = ed25519.Ed25519PrivateKey.from_private_bytes(selftest._KNOWN_SEED)
    assert other.public_key().public_bytes_raw() == selftest._KNOWN_PUBLIC
    assert other.sign(b"") == selftest._KNOWN_SIGNATURE


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("1", False)])
def test_colours_are_for_terminals_whose_user_has_not_said_no(folder, no_color, coloured):
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environment |= {"NO_COLOR": no_color} if no_color else {}
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0) as screen:
        words = command("packseal-agent", "selftest", "--config", "agent.toml")
        process = subprocess.Popen(words, cwd=folder, stdout=slave, stderr=subprocess.DEVNULL, env=environment)
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: the program has ended
            while part := screen.read(4096):
                shown += part
        process.wait(60)
    assert (b"\x1b[31mFAIL\x1b[0m" in shown) == coloured
    assert b"FAIL" in shown


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_root_looks_with_the_eyes_of_the_owner_of_the_state_folder(folder, tty):
    configured(folder, tty)
    top = Path("/tmp") / f"packseal-selftest-{os.getpid()}"
    shutil.copytree(folder, top)
    try:
        top.chmod(0o755)
        for path in (top / "state", *(top / "state").rglob("*")):
            os.chown(path, 4711, 4712)
        (top / "agent.toml").chmod(0o600)
        (top / "state/keys/pack-1.gw-1.key").chmod(0o400)
        os.chown(top / "state/keys/pack-1.gw-1.key", 0, 0)
        rows = {str(each): each.result for each in checkup.findings(top / "agent.toml", require_broker=False)}
    finally:
        shutil.rmtree(top)
    said = [text for text, verdict in rows.items() if verdict == "FAIL"]
    assert any("agent.toml cannot be read by the agent's user; chmod" in text for text in said)
    assert any("pack-1.gw-1.key: Permission denied" in text for text in said)
    assert any(tty in text and "not ours to read" in text for text in said)
    assert os.geteuid() == 0
