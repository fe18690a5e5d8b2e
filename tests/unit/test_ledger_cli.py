"""The command line, in process: what it prints, and what it ends with."""

from __future__ import annotations

import json

import pytest

from evidence import verify
from evidence.keys import NamedKey
from ledger import cli
from ledger.store import Store
from packseal import program
from tests.ledger_world import Gateway, World

NEW = ("--origin", "ledger.example/packs", "--registrar", "packs.example,2026")


@pytest.fixture
def packseal_ledger(tmp_path, capsys):
    """Runs the program on one state folder: its exit code, stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        try:
            code = cli.main([*arguments, "--state-dir", str(tmp_path / "ledger")])
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def founded(packseal_ledger):
    code, out, _ = packseal_ledger("init", *NEW)
    assert code == program.OK
    return NamedKey.parse(out.strip())


def test_init_prints_the_key_that_key_prints_and_may_be_repeated(packseal_ledger, founded):
    assert packseal_ledger("key")[1].strip() == str(founded)
    assert packseal_ledger("init", *NEW)[1].strip() == str(founded)


def test_init_does_not_take_over_another_log(packseal_ledger, founded):
    for origin, registrar in (
        ("other.example/log", "packs.example,2026"),
        ("ledger.example/packs", "other.example,2026"),
    ):
        code, _, err = packseal_ledger("init", "--origin", origin, "--registrar", registrar)
        assert (code, err.count("\n")) == (program.CONFIGURATION, 1)
        assert "already holds the log" in err
    assert packseal_ledger("key")[1].strip() == str(founded)


def test_registering_says_what_is_new_and_what_was_there(packseal_ledger, founded):
    key = str(Gateway().named_key)
    _, out, _ = packseal_ledger("register", "--pack", "pack-1", "--gateway", "gw-1", "--attribute", "model=LR")
    assert [line.rpartition(": entry ")[0] for line in out.splitlines()] == [
        "pack tag:packs.example,2026:pack/pack-1",
        "gateway tag:packs.example,2026:gw/gw-1",
    ]
    _, out, _ = packseal_ledger("register", "--pack", "pack-1", "--gateway", "gw-1", "--key", key)
    assert [line.split(": ")[1].startswith("already") for line in out.splitlines()] == [True, True, False]
    _, again, _ = packseal_ledger("register", "--pack", "pack-1", "--gateway", "gw-1", "--key", key)
    assert all("already entry" in line for line in again.splitlines())


def test_a_key_may_be_given_as_a_file(packseal_ledger, founded, tmp_path):
    path = tmp_path / "pack.pub"
    path.write_text(f"# of the first car\n{Gateway().named_key}\n")
    code, out, _ = packseal_ledger("register", "--pack", "pack-1", "--gateway", "gw-1", "--key", str(path))
    assert (code, len(out.splitlines())) == (program.OK, 3)


def test_a_key_file_with_more_than_one_key_is_not_chosen_from(packseal_ledger, founded, tmp_path):
    path = tmp_path / "packs.pub"
    path.write_text(f"# two\n{Gateway().named_key}\n{Gateway(pack='pack-2', seed=2).named_key}\n")
    code, _, err = packseal_ledger("register", "--pack", "pack-1", "--gateway", "gw-1", "--key", str(path))
    assert (code, "holds 2" in err) == (program.USAGE, True)


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("register", "--pack", "pack-1", "--key", "x"), program.USAGE, "--gateway"),
        (("register", "--pack", "Pack 1"), program.CONFIGURATION, "Pack 1"),
        (("register", "--pack", "pack-1", "--gateway", "gw-1", "--key", "a+b+c"), program.USAGE, "verifier key"),
        (("register", "--pack", "p", "--gateway", "g", "--key", "absent.pub"), program.USAGE, "absent.pub"),
        (("register", "--pack", "pack-1", "--party", "nobody"), program.CONFIGURATION, "party-nobody.key"),
        (("register", "--pack", "pack-1", "--attribute", "x"), program.USAGE, "name=value"),
        (("show", "pack-9"), program.FAILED, "pack-9"),
        (("bundle", "pack-9", "--out", "never"), program.FAILED, "pack-9"),
        (("bundle", "pack-1", "--out", "never", "--window", "xyz"), program.USAGE, "ENTRY:INDEX"),
        (("serve", "--broker", "http://nowhere"), program.CONFIGURATION, "mqtt://"),
        (("log", "check", "--ledger-key", "a+b+c"), program.USAGE, "verifier key"),
        (("nonsense",), program.USAGE, "nonsense"),
    ],
)
def test_every_mistake_is_one_line_and_a_documented_code(packseal_ledger, founded, arguments, code, named):
    ended, out, err = packseal_ledger(*arguments)
    assert (ended, out) == (code, "")
    assert named in err
    assert len(err.splitlines()) == 1


def test_a_pack_key_named_for_another_pack_is_not_bound(packseal_ledger, founded):
    key = str(Gateway(pack="pack-2").named_key)
    code, _, err = packseal_ledger("register", "--pack", "pack-1", "--gateway", "gw-1", "--key", key)
    assert (code, "pack-2" in err) == (program.FAILED, True)


def test_one_key_is_bound_once_ever(packseal_ledger, founded):
    key = str(Gateway().named_key)
    packseal_ledger("register", "--pack", "pack-1", "--gateway", "gw-1", "--key", key)
    code, _, err = packseal_ledger("register", "--pack", "pack-1", "--gateway", "gw-2", "--key", key)
    assert (code, "key-used" in err) == (program.FAILED, True)


def test_a_folder_without_a_log_is_named(packseal_ledger, tmp_path):
    for arguments in (("show",), ("key",), ("log", "check"), ("register", "--pack", "p"), ("serve",)):
        code, _, err = packseal_ledger(*arguments)
        assert code == program.INPUT_OUTPUT
        assert str(tmp_path) in err
        assert len(err.splitlines()) == 1


def test_show_bundle_and_check_tell_of_what_was_admitted(packseal_ledger, tmp_path):
    world = World(tmp_path / "ledger")
    gateway = Gateway()
    sequencer = world.sequencer()
    world.register(sequencer, gateway)
    sequencer.integrate([gateway.arrival(each) for each in (gateway.open(), gateway.segment(), gateway.close())])
    sequencer.checkpoint()
    sequencer.store.close()
    (shown,) = json.loads(packseal_ledger("show", "pack-1", "--json")[1])
    assert [shown["keys"][0][name] for name in ("statements", "reachable", "last_index")] == [3, 3, 8]
    assert "statements   3" in packseal_ledger("show")[1]
    out = tmp_path / "pack.bundle"
    assert packseal_ledger("bundle", "pack-1", "--out", str(out))[0] == program.OK
    assert len(verify.verify(out.read_bytes(), world.ledger, [gateway.key.public]).statements) == 3
    checked = json.loads(packseal_ledger("log", "check", "--json")[1])
    assert (checked["statements"], checked["heads"], checked["equivocations"]) == (3, 1, 0)


@pytest.mark.parametrize(
    "command", [(), ("init",), ("serve",), ("register",), ("show",), ("bundle",), ("log",), ("key",)]
)
def test_every_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as leaving:
        cli.main([*command, "--help"])
    assert leaving.value.code in (0, None)
    assert "packseal-ledger" in capsys.readouterr().out.split("example")[1]


def test_show_names_a_fork(packseal_ledger, tmp_path):
    world = World(tmp_path / "ledger")
    gateway = Gateway()
    with Store(world.folder) as store:
        sequencer = world.sequencer(store)
        world.register(sequencer, gateway)
        first = gateway.open()
        clone = Gateway(epoch=7, prev=first.entry)
        sequencer.integrate([gateway.arrival(each) for each in (first, gateway.open(), clone.say("open", first.body))])
    assert f"FORK         two statements of key {gateway.key.kid.hex()}" in packseal_ledger("show")[1]


def test_a_share_on_the_command_line_replaces_only_itself_and_is_checked_like_the_file(
    packseal_ledger, founded, tmp_path
):
    path = tmp_path / "ledger.toml"
    path.write_text("[broker]\nurl = 'http://broker.example'\n")
    code, _, said = packseal_ledger("serve", "--config", str(path), "--share", "two")
    assert (code, "the broker's URL must be" in said) == (program.CONFIGURATION, True)
    code, _, said = packseal_ledger("serve", "--config", str(path), "--share", "a/b")
    assert (code, said.count("\n")) == (program.CONFIGURATION, 1)
    assert "command line: broker.shared_subscription: identifier 'a/b'" in said
