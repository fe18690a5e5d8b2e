"""packseal-agent at the command line: keys, offline replays, and one line for everything an operator can get wrong."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess

import pytest

from agent.outbox import Outbox
from agent.profile_store import load_profile, profile_directories
from evidence import chain, statement
from evidence.bodies import Segment
from evidence.keys import NamedKey
from packseal.shipped import config_dir
from tests.agent_world import PACK, REGISTRAR, Ledger
from tests.pipeline.link_watch import eventually
from tests.programs import call, command, failed, run

ROW = "({time:.6f}) can0 594#0000000000000000\n"
GVRET = "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A folder with a configuration, a key, a short recording and the profile's compiled tables."""
    made = tmp_path_factory.mktemp("agent")
    configured(made)
    assert run("packseal-agent", "keys", "new", PACK, "--config", "agent.toml", cwd=made).returncode == 0
    load_profile("kona-ev", profile_directories(), made / "state" / "profiles")
    (made / "drive.log").write_text("".join(ROW.format(time=100 + second / 2) for second in range(20)))
    return made


@pytest.fixture
def folder(template, tmp_path):
    """A copy of the template, of the test's own."""
    return shutil.copytree(template, tmp_path / "agent")


def configured(folder, more="", pack=True):
    text = f'gateway = "gw-1"\nregistrar = "packs.example,2026"\nstate_dir = "state"\n{more}[ledger]\nkey = "{Ledger().name}"\n'
    if pack:
        text += '[[pack]]\nid = "pack-1"\nprofile = "kona-ev"\n[pack.source]\ninterface = "slcan"\nchannel = "/dev/nowhere"\n'
    (folder / "agent.toml").write_text(text)


def agent(folder, *words, program=call):
    return program("packseal-agent", *words, "--config", "agent.toml", cwd=folder)


def replay(folder, *words, program=call):
    return agent(folder, "replay", "--pack", PACK, "--profile", "kona-ev", "--offline", *words, program=program)


def said(folder):
    outbox = Outbox(folder / "state")
    try:
        return [statement.read(outbox.body(row)) for row in outbox.pending(PACK, 1000)]
    finally:
        outbox.close()


def test_a_key_is_made_shown_and_listed_and_its_seed_never_appears(folder):
    made = agent(folder, "keys", "new", "pack-2")
    text = made.stdout.strip()
    assert NamedKey.parse(text).name == REGISTRAR.pack("pack-2")
    assert agent(folder, "keys", "show", "pack-2").stdout.strip() == text
    assert json.loads(agent(folder, "keys", "show", "pack-2", "--json").stdout) == {"pack": "pack-2", "key": text}
    listed = agent(folder, "keys", "list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["pack-1", "pack-2"]
    seed = (folder / "state/keys/pack-2.gw-1.key").read_text().strip()
    assert seed not in made.stdout + made.stderr + "".join(listed)


def test_plain_keys_are_sealed_by_one_command_and_then_no_longer_taken_plain(folder):
    public = agent(folder, "keys", "show", PACK).stdout
    assert "wrapping_key is none" in failed(agent(folder, "keys", "seal"), 78)
    configured(folder, '[keys]\nwrapping_key = "wrapping"\n')
    assert "no " in failed(agent(folder, "keys", "show", PACK), 78)
    (folder / "wrapping").touch(0o600)
    (folder / "wrapping").write_bytes(bytes(range(32)))
    assert "keys seal" in failed(agent(folder, "keys", "show", PACK), 78)
    assert json.loads(agent(folder, "keys", "list", "--json").stdout)[0]["sealed"] is False
    done = agent(folder, "keys", "seal")
    assert done.stdout.startswith("pack-1: sealed\nOverwriting does not erase flash")
    assert agent(folder, "keys", "show", PACK).stdout == public
    assert json.loads(agent(folder, "keys", "list", "--json").stdout)[0]["sealed"] is True
    assert agent(folder, "keys", "seal").stdout == "pack-1: was sealed already\n"
    assert json.loads(agent(folder, "keys", "seal", PACK, "--json").stdout) == {"sealed": [], "already": [PACK]}
    assert agent(folder, "replay", "--pack", PACK, "--profile", "kona-ev", "--offline", "drive.log").returncode == 0


def test_an_agent_that_lacks_its_wrapping_key_signs_nothing_and_says_so_before_it_opens_the_store(folder):
    configured(folder, '[keys]\nwrapping_key = "wrapping"\n')
    assert "[keys] wrapping_key: no " in failed(agent(folder, "run"), 78)
    assert not (folder / "state" / "outbox.db").exists()


def test_keys_end_in_one_line_when_they_cannot_be_had(folder):
    assert "exists already" in failed(agent(folder, "keys", "new", PACK), 78)
    assert "no key for this pack" in failed(agent(folder, "keys", "show", "pack-9"), 78)
    assert "is not 1 to 48" in failed(agent(folder, "keys", "new", "../x"), 78)
    (folder / "state/keys/pack-1.gw-1.key").write_text("garbage")
    assert "not a key file" in failed(agent(folder, "keys", "show", PACK), 78)


def test_an_offline_replay_says_what_it_sealed_and_keeps_it(folder):
    done = replay(folder, "drive.log", program=run)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "20 frames seen, 0 unreadable, 9.500 s, 10 windows in 1 segments",
        "3 statements: 0 proven, 3 pending, 0 refused",
    ]
    kept = said(folder)
    assert chain.in_order(kept) == kept
    assert [each.kind for each in kept] == ["open", "segment", "close"]


def test_as_json_the_result_is_one_object(folder):
    row = json.loads(replay(folder, "--json", "drive.log").stdout)
    assert (row["frames"], row["segments"], row["pending"], row["span_ms"]) == (20, 1, 3, 9500)


def test_corrupt_lines_are_named_counted_and_skipped_and_the_segment_says_how_many(folder):
    lines = (folder / "drive.log").read_text().splitlines(keepends=True)
    lines[5] = "(102.500000) can0 garbage\x1b[2J\n"
    lines[9] = "\x00\x00\n"
    (folder / "bad.log").write_text("".join(lines)[:-20])
    done = replay(folder, "bad.log", program=run)
    assert done.returncode == 0
    complaints = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in complaints] == ["bad.log:6", "bad.log:10", "bad.log:20"]
    assert all(line.isprintable() for line in complaints)
    assert done.stdout.startswith("17 frames seen, 3 unreadable")
    assert [each.body.malformed for each in said(folder) if isinstance(each.body, Segment)] == [3]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.log", b""),
        ("text.log", b"this is not a recording\n" * 50),
        ("bytes.csv", bytes(range(256)) * 40),
        ("header.csv", GVRET.replace("Time Stamp", "Zeit").encode()),
        ("short.blf", b"LOGG"),
        ("one.asc", b"\x1b[2J"),
        ("zeros.log", bytes(10_000)),
    ],
)
def test_a_file_that_is_no_recording_is_one_line_or_a_count_and_never_a_traceback(folder, name, content):
    (folder / name).write_bytes(content)
    done = replay(folder, name, program=run)
    assert "Traceback" not in done.stderr
    assert all(line.isprintable() and line.startswith("packseal-agent: ") for line in done.stderr.splitlines())
    assert done.returncode in (0, 65)
    if done.returncode:
        failed(done, 65)
        assert said(folder) == []


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (
            ("replay", "--offline", "--pack", PACK, "--profile", "kona-ev", "missing.log"),
            74,
            "missing.log: cannot be opened",
        ),
        (("replay", "--offline", "--pack", PACK, "--profile", "kona-ev", "."), 74, "cannot be"),
        (("replay", "--offline", "--pack", PACK, "--profile", "no-car", "drive.log"), 78, "no profile 'no-car'"),
        (("replay", "--offline", "--pack", "pack-9", "--profile", "kona-ev", "drive.log"), 78, "no key for this pack"),
        (("replay", "--offline", "--pack", "P\x1b[2J", "--profile", "kona-ev", "drive.log"), 78, "is not 1 to 48"),
    ],
)
def test_what_is_not_there_is_one_line_and_nothing_is_signed(folder, words, code, text):
    assert text in failed(agent(folder, *words, program=run), code)
    assert said(folder) == []


def test_a_missing_dbc_and_a_signal_that_it_does_not_have_are_named(folder):
    profiles = folder / "profiles"
    profiles.mkdir()
    configured(folder, 'profile_dir = "profiles"\n')
    shutil.copy(config_dir() / "profiles" / "kona-ev.toml", profiles / "kona-ev.toml")
    assert "kona-ev.dbc" in failed(replay(folder, "drive.log"), 78)
    shutil.copy(config_dir() / "profiles" / "kona-ev.dbc", profiles / "kona-ev.dbc")
    mapping = profiles / "kona-ev.toml"
    mapping.write_text(mapping.read_text().replace('"SoC_Maybe"', '"SoC_Perhaps"'))
    assert "SoC_Perhaps" in failed(replay(folder, "drive.log"), 78)
    mapping.write_text("not toml at all [")
    failed(replay(folder, "drive.log"), 78)
    assert said(folder) == []


@pytest.mark.parametrize(
    ("text", "key"),
    [("gateway = 5", "gateway"), ('gatway = "x"', "gatway"), ("[", "not TOML"), ("\xff", "registrar")],
)
def test_a_configuration_that_is_wrong_is_78_for_every_command(folder, text, key):
    good = (folder / "agent.toml").read_text()
    (folder / "agent.toml").write_text(good.replace('gateway = "gw-1"', text) if key != "registrar" else good[20:])
    for words in (("run",), ("keys", "list"), ("replay", "--pack", PACK, "--profile", "kona-ev", "drive.log")):
        assert "agent.toml: " in failed(agent(folder, *words), 78)


@pytest.mark.parametrize(
    "broker",
    [
        'url = "http://x"',
        'url = "mqtt://user:hunter2@x/y"',
        'password_file = "none"',
        'url = "mqtts://x"\nca = "none.pem"',
    ],
)
def test_a_broker_that_cannot_be_meant_is_78_before_anything_is_signed(folder, broker):
    with (folder / "agent.toml").open("a") as file:
        file.write(f"[broker]\n{broker}\n")
    line = failed(agent(folder, "run"), 78)
    assert "[broker]" in line
    assert "hunter2" not in line
    assert said(folder) == []


def test_an_agent_without_packs_says_what_is_missing(folder):
    configured(folder, pack=False)
    assert "no [[pack]]" in failed(agent(folder, "run"), 78)


def test_a_state_folder_that_is_a_file_is_74(folder):
    configured(folder, "", pack=True)
    text = (folder / "agent.toml").read_text()
    (folder / "agent.toml").write_text(text.replace('"state"', '"drive.log"'))
    failed(agent(folder, "run"), 74)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("walk",),
        ("run", "fast"),
        ("replay",),
        ("replay", "x"),
        ("keys",),
        ("keys", "new"),
        ("replay", "--timeout", "soon"),
    ],
)
def test_a_wrong_command_line_is_64_and_points_to_the_help(words, tmp_path):
    assert "--help" in failed(call("packseal-agent", *words, cwd=tmp_path), 64)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("run",),
        ("replay",),
        ("selftest",),
        ("keys",),
        ("keys", "new"),
        ("keys", "show"),
        ("keys", "list"),
        ("keys", "seal"),
    ],
)
def test_every_help_has_an_example(words):
    done = call("packseal-agent", *words, "--help")
    assert done.returncode == 0
    assert "example" in done.stdout
    assert "  packseal-agent " in done.stdout.partition("example")[2]


def test_a_replay_without_a_broker_keeps_what_it_sealed_and_says_so(folder):
    with (folder / "agent.toml").open("a") as file:
        file.write('[broker]\nurl = "mqtt://127.0.0.1:1"\n')
    done = agent(folder, "replay", "--pack", PACK, "--profile", "kona-ev", "--timeout", "0.5", "drive.log", program=run)
    assert done.returncode == 69
    assert done.stderr.splitlines()[-1].startswith("packseal-agent: 3 statements are not proven yet; they are kept")
    assert len(said(folder)) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_running_agent_in_order_even_without_bus_and_broker(folder, number):
    with (folder / "agent.toml").open("a") as file:
        file.write('[broker]\nurl = "mqtt://127.0.0.1:1"\n')
    log = folder / "agent.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command("packseal-agent", "run", "--config", "agent.toml"), cwd=folder, stderr=output
        )
        try:
            assert eventually(lambda: "cannot be opened" in log.read_text() and "not connected" in log.read_text())
            process.send_signal(number)
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()
    assert [each.kind for each in said(folder)] == ["open", "gap", "gap", "close"]
    assert "Traceback" not in log.read_text()
