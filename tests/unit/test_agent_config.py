"""The agent's configuration: what is wrong is said in one line that names file and key."""

import os

import pytest

from agent import config
from agent.errors import ConfigError
from tests.agent_world import Ledger

VKEY = str(Ledger().name)
LEAST = f'gateway = "gw-01"\nregistrar = "packs.example,2026"\n[ledger]\nkey = "{VKEY}"\n'
SOURCE = '[pack.source]\ninterface = "slcan"\nchannel = "/dev/ttyACM0"\n'
ONE_PACK = f'[[pack]]\nid = "pack-1"\nprofile = "kona-ev"\n{SOURCE}'


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "agent.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


def complaint(path):
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: ")
    assert caught.value.exit_code == 78
    return text.removeprefix(f"{path}: ")


def test_the_least_configuration_has_the_documented_defaults(write):
    loaded = config.load(write(LEAST))
    assert (loaded.broker.url, loaded.segment.seconds, loaded.segment.window_ms) == ("mqtt://127.0.0.1:1883", 300, 1000)
    assert loaded.pack == ()


def test_relative_paths_are_relative_to_the_file(write, tmp_path):
    head, tail = LEAST.split("[ledger]")
    extra = '[broker]\npassword_file = "secret"\nca = "/etc/ca.pem"\n'
    loaded = config.load(write(f'state_dir = "state"\nprofile_dir = "p"\n{head}[ledger]{tail}{extra}'))
    assert (loaded.state_dir, loaded.profile_dir) == (tmp_path / "state", tmp_path / "p")
    assert loaded.broker.password_file == tmp_path / "secret"
    assert str(loaded.broker.ca) == "/etc/ca.pem"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (LEAST + "[segment]\nsecond = 5\n", "segment.second"),
        ("color = 1\n" + LEAST, "color"),
        (LEAST + ONE_PACK + "speed = 3\n", "pack.1.source.speed"),
        (LEAST + "[mqtt]\nurl = 'x'\n", "mqtt"),
    ],
)
def test_an_unknown_or_mistyped_key_is_named(write, text, key):
    assert complaint(write(text)).startswith(f"{key}: unknown key")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (LEAST + '[segment]\nseconds = "5"\n', "segment.seconds"),
        (LEAST + "[segment]\nseconds = true\n", "segment.seconds"),
        (LEAST + "[segment]\nseconds = 5.0\n", "segment.seconds"),
        (LEAST + "[segment]\nseconds = 0\n", "segment.seconds"),
        (LEAST + "[segment]\nseconds = 901\n", "segment.seconds"),
        (LEAST + "[segment]\nseconds = 1979-05-27\n", "segment.seconds"),
        (LEAST + "[uplink]\nproof_timeout_s = nan\n", "uplink.proof_timeout_s"),
        (LEAST + "[uplink]\nproof_timeout_s = inf\n", "uplink.proof_timeout_s"),
        (LEAST + '[broker]\nprotocol = "4"\n', "broker.protocol"),
        (LEAST + "[broker]\nca = 5\n", "broker.ca"),
        (LEAST + '[broker]\nca = "a\\u0000b"\n', "broker.ca"),
        (LEAST + "[broker]\nurl = ['a']\n", "broker.url"),
        (LEAST + '[[pack]]\nid = "Pack"\nprofile = "kona-ev"\n' + SOURCE, "pack.1.id"),
        (LEAST + '[[pack]]\nid = "a"\nprofile = "../x"\n' + SOURCE, "pack.1.profile"),
        (LEAST + ONE_PACK + 'bitrate = "fast"\n', "pack.1.source.bitrate"),
        (LEAST + ONE_PACK + "options = { a = [1] }\n", "pack.1.source.options.a"),
        (LEAST.replace("gw-01", "gw\\u001b[2J"), "gateway"),
        (LEAST.replace("packs.example,2026", "packs.example"), "registrar"),
        (LEAST.replace(VKEY, VKEY[:-4] + "AAAA"), "ledger.key"),
        (LEAST.replace(VKEY, "x"), "ledger.key"),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_named_and_never_bent_into_shape(write, text, key):
    said = complaint(write(text))
    assert said.startswith(f"{key}: ")
    assert said.isprintable()


@pytest.mark.parametrize("missing", ["gateway", "registrar", "key"])
def test_a_missing_key_is_named(write, missing):
    text = "\n".join(line for line in LEAST.splitlines() if not line.startswith(missing))
    assert complaint(write(text)).endswith("missing; add it")


def test_a_pack_table_in_single_brackets_is_told_how_to_be_written(write):
    assert complaint(write(LEAST + '[pack]\nid = "a"\n')).startswith("pack: write [[pack]]")


def test_the_same_pack_twice_is_refused_in_a_short_line(write):
    assert complaint(write(LEAST + ONE_PACK + ONE_PACK)) == "pack: a pack is listed twice"


@pytest.mark.parametrize(
    "content",
    [b"gateway = ", b"\xff\xfe", b"a = " + b"[" * 5000, b"a = " + b"1" * 5000, b"\x00", b"a = 1\na = 2", b"[a]\n[a]"],
)
def test_what_is_not_toml_is_one_line_whatever_it_is(write, content):
    assert complaint(write(content)).startswith("not TOML: ")


def test_a_file_that_is_not_there_or_a_folder_is_said(tmp_path):
    assert complaint(tmp_path / "none.toml") == "No such file or directory"
    assert complaint(tmp_path) == "Is a directory"


def test_without_any_configuration_the_places_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config, "SEARCHED", (tmp_path / "agent.toml",))
    with pytest.raises(ConfigError, match="give --config FILE or write"):
        config.load(None)


@pytest.mark.parametrize(("given", "meant"), [("none", "none"), ("credential", "credential"), ("/k/w", "/k/w")])
def test_a_wrapping_key_is_none_a_credential_or_a_file(write, given, meant):
    assert config.load(write(f'{LEAST}[keys]\nwrapping_key = "{given}"\n')).keys.wrapping_key == meant


def test_a_wrapping_key_s_file_is_relative_to_the_configuration(write, tmp_path):
    assert config.load(write(LEAST + '[keys]\nwrapping_key = "w"\n')).keys.wrapping_key == str(tmp_path / "w")
    assert complaint(write(LEAST + '[keys]\nwrapping_key = ""\n')).startswith("keys.wrapping_key: ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_in_a_folder_that_is_not_ours_to_enter_the_next_place_is_looked_at(tmp_path, monkeypatch):
    theirs = tmp_path / "theirs"
    theirs.mkdir(0o700)
    monkeypatch.chdir(theirs)
    monkeypatch.setattr(config, "SEARCHED", (config.SEARCHED[0], tmp_path / "none.toml"))
    os.seteuid(4711)
    try:
        with pytest.raises(ConfigError, match="give --config FILE or write"):
            config.load(None)
    finally:
        os.seteuid(0)


def test_a_configuration_cannot_be_changed_after_it_was_read(write):
    with pytest.raises(AttributeError, match="immutable"):
        config.load(write(LEAST)).gateway = "other"


def test_a_mistyped_key_is_named_as_it_was_typed_though_the_right_one_is_missing_too(write):
    assert complaint(write(LEAST.replace("gateway =", "gatewya ="))).startswith("gatewya: unknown key")
    assert complaint(write(LEAST.replace("key =", "kye =") + ONE_PACK + "[segment]\nseconds = 0\n")).startswith(
        "ledger.kye: unknown key"
    )


@pytest.mark.parametrize("number", ["99999999999999999999", "-9223372036854775809", "0x" + "F" * 5_000])
def test_a_number_that_toml_does_not_promise_to_hold_is_one_line_with_its_key(write, number):
    said = complaint(write(f"{LEAST}[segment]\nseconds = {number}\n"))
    assert said == "segment.seconds: a whole number of more than 64 bits; write a smaller one"


def test_a_bitrate_that_was_not_given_is_known_not_to_have_been_given(write):
    given, left_out = config.load(
        write(f"{LEAST}{ONE_PACK}bitrate = 250000\n{ONE_PACK.replace('pack-1', 'pack-2')}")
    ).pack
    assert (given.source.bitrate, left_out.source.bitrate) == (250_000, None)
