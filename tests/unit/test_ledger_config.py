"""ledger.toml: the sample is complete and true, and every mistake is one line that names file and key."""

from __future__ import annotations

import re
import tomllib

import pytest
from msgspec import structs

from ledger import config
from ledger.config import Config
from ledger.errors import ConfigError
from packseal.shipped import config_dir
from packseal.tables import Table

SAMPLE = config_dir() / "ledger.toml"


def keys_of(model: type[Table], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for field in structs.fields(model):
        nested = isinstance(field.type, type) and issubclass(field.type, Table)
        found |= keys_of(field.type, f"{prefix}{field.name}.") if nested else {prefix + field.name}
    return found


def flat(parsed: dict, prefix: str = "") -> set[str]:
    return {
        key
        for name, value in parsed.items()
        for key in (flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name})
    }


def uncommented() -> str:
    return re.sub(r"(?m)^# (\w+ = )", r"\1", SAMPLE.read_text())


def test_the_sample_shows_every_key_and_no_other():
    assert flat(tomllib.loads(uncommented())) == keys_of(Config)


def test_the_sample_as_shipped_is_what_holds_without_it():
    assert config.load(SAMPLE) == Config()


def test_the_sample_parses_with_every_key_in_force():
    read = config.read(tomllib.loads(uncommented()), "sample")
    assert (read.ledger.origin, read.ledger.registrar) == ("ledger.example/packs", "packs.example,2026")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[ledger]\noriginn = 'x'", "ledger.originn: unknown key"),
        ("[ledgers]", "ledgers: unknown key"),
        ("[log]\nbatch = '256'", "log.batch"),
        ("[log]\nbatch = 0", "log.batch"),
        ("[log]\nbatch = true", "log.batch"),
        ("[log]\ncheckpoint_interval_s = 'often'", "log.checkpoint_interval_s"),
        ("[ledger]\norigin = 'has space'", "ledger.origin"),
        ("[ledger]\nregistrar = 'nobody'", "ledger.registrar"),
        ("[ledger]\nid = 'Main'", "ledger.id"),
        ("[broker]\nprotocol = '4'", "broker.protocol"),
        ("[broker]\nshared_subscription = 'a/b'", "broker.shared_subscription"),
        ("[log]\ncheckpoint_interval_s = '1'", "log.checkpoint_interval_s: write a number from 0.05 to 3600, not '1'"),
        (
            "[log]\ncheckpoint_interval_s = true",
            "log.checkpoint_interval_s: write a number from 0.05 to 3600, not true",
        ),
        ('[ledger]\nid = "main\\n"', "ledger.id: identifier"),
        ('[ledger]\nstate_dir = "a\\u0000b"', "ledger.state_dir: a path cannot contain a NUL"),
        ("[log]\nbatch = 99999999999999999999", "log.batch: a whole number of more than 64 bits"),
        (f"[log]\nbatch = 1{'0' * 5_000}", "not TOML: "),
        (f"x = {'[' * 5_000}", "not TOML: "),
        ("[broker", "ledger.toml"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_key(tmp_path, text, named):
    path = tmp_path / "ledger.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(named)) as caught:
        config.load(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 78


def test_relative_paths_are_relative_to_the_file_and_a_home_folder_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    path = tmp_path / "ledger.toml"
    path.write_text("[ledger]\nstate_dir = 'state'\n[broker]\nca = '~/ca.pem'\nkey = '/k.pem'\n")
    loaded = config.load(path)
    assert loaded.folder == tmp_path / "state"
    assert (str(loaded.broker.ca), str(loaded.broker.key)) == ("/home/me/ca.pem", "/k.pem")


def test_a_file_that_was_named_must_be_there(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        config.load(tmp_path / "absent.toml")


@pytest.mark.parametrize("url", ["http://x", "mqtt://", "mqtt://host:99999", "mqtts://host/path"])
def test_a_broker_that_cannot_be_is_named(url):
    with pytest.raises(ConfigError, match="broker"):
        Config().endpoint(url)


def test_a_missing_password_file_is_named_before_anything_starts(tmp_path):
    path = tmp_path / "password"
    settings = config.read({"broker": {"url": "mqtt://me@localhost", "password_file": str(path)}}, "test")
    with pytest.raises(ConfigError, match=re.escape(str(path))):
        settings.endpoint()
