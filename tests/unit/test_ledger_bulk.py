"""Registering a whole list: what it says in the register, in which batches, and what a bad line costs."""

from __future__ import annotations

import json

import pytest

from evidence.keys import NamedKey
from ledger import cli, founding, keyfiles
from ledger.bulk import LONGEST_LINE
from ledger.store import Reader
from packseal import program
from tests.ledger_world import REGISTRAR, Gateway, World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "ledger")


@pytest.fixture
def register(world, tmp_path, capsys):
    """Registers a list: exit code, lines of stdout and of stderr."""

    def call(lines, *more):
        path = tmp_path / "packs.jsonl"
        path.write_bytes(b"".join(line if isinstance(line, bytes) else line.encode() + b"\n" for line in lines))
        code = cli.main(["register", "--from", str(path), "--state-dir", str(world.folder), *more])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return call


def line(number, **changes):
    gateway = Gateway(pack=f"pack-{number}", name=f"gw-{number}", seed=number)
    entry = {"pack": gateway.pack, "gateway": gateway.name, "key": str(gateway.named_key)}
    return json.dumps({**entry, "attributes": {"model": "LR75", "serial": str(number)}} | changes)


GATEWAY = REGISTRAR.gateway("gw-1")


def shown(world):
    sequencer = world.sequencer()
    try:
        return dict(sequencer.register.packs), dict(sequencer.register.keys)
    finally:
        sequencer.store.close()


def test_every_line_becomes_a_pack_with_its_gateway_key_and_attributes(world, register):
    code, out, err = register(["# a fleet", line(1), "", line(2), json.dumps({"pack": "bare"})])
    assert (code, err) == (program.OK, [])
    assert out == ["3 of 3 registrations stand: 7 new acts, 0 were there already, 0 refused"]
    packs, keys = shown(world)
    assert packs.keys() == {REGISTRAR.pack(each) for each in ("pack-1", "pack-2", "bare")}
    assert packs[REGISTRAR.pack("pack-2")].attributes == (("model", "LR75"), ("serial", "2"))
    assert {bound.gateway for bound in keys.values()} == {REGISTRAR.gateway("gw-1"), REGISTRAR.gateway("gw-2")}


def test_a_list_may_be_handed_in_again_and_again(world, register):
    register([line(1), line(2)])
    with Reader(world.folder) as reader:
        before = reader.size()
    code, out, _ = register([line(1), line(2), line(3)])
    assert (code, out) == (
        program.OK,
        ["3 of 3 registrations stand: 3 new acts, 6 were there already, 0 refused"],
    )
    with Reader(world.folder) as reader:
        assert len(reader.acts(before, reader.size())) == 3


@pytest.mark.soak
def test_more_lines_than_one_batch_holds_all_come_into_the_register(world, register):
    code, out, _ = register([line(number) for number in range(700)])
    assert (code, out[-1].split(":")[0]) == (program.OK, "700 of 700 registrations stand")
    packs, keys = shown(world)
    assert (len(packs), len(keys)) == (700, 700)


def test_a_second_gateway_of_a_pack_of_the_same_batch_follows_the_first(world, register):
    other = Gateway(pack="pack-1", name="gw-9", seed=9)
    second = json.dumps({"pack": "pack-1", "gateway": "gw-9", "key": str(other.named_key)})
    code, out, _ = register([line(1), second])
    assert (code, out[-1]) == (program.OK, "2 of 2 registrations stand: 5 new acts, 1 were there already, 0 refused")
    assert shown(world)[0][REGISTRAR.pack("pack-1")].gateways.keys() == {REGISTRAR.gateway(g) for g in ("gw-1", "gw-9")}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{", "not a line of JSON"),
        ("[" * 20_000, "not a line of JSON"),
        (b"\xff\n", "not a line of JSON"),
        ('{"pack": "p", "pack": "q"}', "a key stands twice"),
        ('{"pack": "p", "attributes": {"x": "1", "x": "2"}}', "a key stands twice"),
        (json.dumps({"pack": "p", "attributes": {f"x{n}": "y" for n in range(65)}}), "65 attributes; a pack has 64 at"),
        ("[]", "not an object"),
        ("{}", "not an object"),
        ('{"pack": "p", "colour": "red"}', "not an object"),
        ('{"pack": 7}', "are texts"),
        ('{"pack": "p", "attributes": ["x"]}', "object of texts"),
        ('{"pack": "p", "attributes": {"x": 1}}', "object of texts"),
        ('{"pack": "Pack 1"}', "'Pack 1'"),
        ('{"pack": "p", "key": "x"}', "name the gateway"),
        ('{"pack": "p", "gateway": "g", "key": "a+b+c"}', "verifier key"),
        ('{"pack": "p", "attributes": {"x": "\\ud800"}}', ""),
        (line(8, pack="pack-9"), "named for"),
        (line(1, gateway="gw-2"), f"is bound to {REGISTRAR.pack('pack-1')} at {GATEWAY}, earlier in this list"),
        (line(1, attributes={"model": "other"}), "is registered with other attributes, earlier in this list"),
        (json.dumps({"pack": "p", "attributes": {"x": "y" * 40_000}}), ""),
        (json.dumps({"pack": "p", "attributes": {"x": "y" * LONGEST_LINE}}), "more than"),
    ],
)
def test_a_line_that_is_refused_is_named_and_stops_no_other(world, register, bad, said):
    code, out, err = register([line(1), bad, line(2)])
    assert code == program.FAILED
    refused, summary = out
    assert "packs.jsonl:2: " in refused
    assert said in refused
    assert summary.startswith("2 of 3 registrations stand")
    assert len(err) == 1
    assert "1 of 3 registrations are refused" in err[0]
    assert shown(world)[1].keys() == {Gateway(seed=number).key.kid for number in (1, 2)}


def test_what_the_log_says_otherwise_is_named_by_its_entry(world, register):
    register([line(1)])
    (pack,), (key,) = (known.values() for known in shown(world))
    _, out, _ = register([line(1, attributes={"model": "other"}), line(1, gateway="gw-2")])
    assert out[0].endswith(f"is registered with other attributes, at entry {pack.index}")
    assert out[1].endswith(f"is bound to {pack.uri} at {GATEWAY}, at entry {key.index}")


def test_the_help_says_which_lines_are_passed_over(capsys):
    with pytest.raises(SystemExit):
        cli.main(["register", "--help"])
    assert "begin with # are passed over" in " ".join(capsys.readouterr().out.split())


def test_a_key_that_the_log_itself_uses_is_refused_by_the_ledger_and_the_rest_goes_on(world, register):
    maker = keyfiles.load(world.folder, founding.party_key("maker"))
    stolen = str(NamedKey(REGISTRAR.pack("pack-5"), maker.public))
    more = json.dumps({"pack": "pack-5", "gateway": "gw-6"})
    code, out, _ = register([line(1), line(5, key=stolen), more, line(2)])
    assert code == program.FAILED
    assert "packs.jsonl:2: refused (key-used)" in out[0]
    assert out[1] == "3 of 4 registrations stand: 9 new acts, 1 were there already, 1 refused"


def test_a_list_does_not_go_with_a_single_pack(world, register):
    code, _, err = register([line(1)], "--pack", "pack-1")
    assert (code, len(err)) == (program.USAGE, 1)


def test_a_list_that_is_not_there_is_an_input_error(world, capsys, tmp_path):
    absent = str(tmp_path / "absent.jsonl")
    assert cli.main(["register", "--from", absent, "--state-dir", str(world.folder)]) == program.INPUT_OUTPUT
    assert absent in capsys.readouterr().err


def test_an_empty_list_registers_nothing_and_is_no_error(register):
    assert register([])[:2] == (0, ["0 of 0 registrations stand: 0 new acts, 0 were there already, 0 refused"])
