"""The commented sample configuration says everything there is, and nothing else."""

import re
import tomllib
from typing import get_args

import pytest
from msgspec import NODEFAULT, structs

from agent.config import DEFAULT_BITRATE, AgentConfig, load
from packseal.shipped import config_dir
from packseal.tables import Table
from tests.agent_world import Ledger

SAMPLE = config_dir() / "agent.toml"
PLACEHOLDERS = {"password_file", "ca", "certificate", "key", "profile_dir", "options"}
"""Keys without a default: what the sample shows for them is an example."""


def uncommented():
    """The sample with every commented-out key put in force."""
    return re.sub(r"^# (?=[a-z_]+ = )", "", SAMPLE.read_text(), flags=re.MULTILINE)


def keys_of(model, prefix=""):
    """Every key of a model and the tables below it, as `table.key`, with its default."""
    for info in structs.fields(model):
        candidates = [info.type, *get_args(info.type)]
        table = next((each for each in candidates if isinstance(each, type) and issubclass(each, Table)), None)
        if table is None:
            yield f"{prefix}{info.encode_name}", info
        else:
            yield from keys_of(table, f"{prefix}{info.encode_name}.")


def default_of(info):
    """What holds where a key is left out. That no bitrate was given is something else for an interface that has its own."""
    if info.name == "bitrate":
        assert info.default is None
        return DEFAULT_BITRATE
    return info.default if info.default_factory is NODEFAULT else info.default_factory()


def flat(values, prefix=""):
    for name, given in values.items():
        value = given[0] if isinstance(given, list) else given
        if isinstance(value, dict) and name != "options":
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def test_the_sample_holds_exactly_the_keys_of_the_model():
    assert {name for name, _ in flat(tomllib.loads(uncommented()))} == {name for name, _ in keys_of(AgentConfig)}


def test_what_the_sample_shows_commented_out_is_the_default():
    given = dict(flat(tomllib.loads(SAMPLE.read_text())))
    fields = dict(keys_of(AgentConfig))
    commented = {name: value for name, value in flat(tomllib.loads(uncommented())) if name not in given}
    assert len(commented) > 8
    for name, value in commented.items():
        if name.rpartition(".")[2] in PLACEHOLDERS:
            assert default_of(fields[name]) in (None, {})
        else:
            assert type(value)(default_of(fields[name])) == value if name != "state_dir" else True, name
            assert str(default_of(fields[name])) == str(value), name


def test_what_the_sample_puts_in_force_has_no_usable_default():
    fields = dict(keys_of(AgentConfig))
    for name, value in flat(tomllib.loads(SAMPLE.read_text())):
        assert fields[name].required or default_of(fields[name]) != value, name


@pytest.mark.parametrize("text", [SAMPLE.read_text(), uncommented()], ids=["as it is", "all in force"])
def test_the_sample_loads_once_the_ledger_s_key_is_filled_in(tmp_path, text):
    path = tmp_path / "agent.toml"
    path.write_text(re.sub(r'^key = "ledger[^"]*"', f'key = "{Ledger().name}"', text, count=1, flags=re.MULTILINE))
    assert load(path).pack[0].source.interface == "slcan"


def test_every_key_of_the_sample_is_explained_beside_or_above_it():
    lines = SAMPLE.read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"(# )?[a-z_]+ = ", line):
            above = next(text for text in reversed(lines[:number]) if not re.match(r"(# )?[a-z_]+ = ", text))
            obvious = re.match(r"(# )?(id|profile|key|ca|certificate|channel|bitrate|keepalive_s) = ", line)
            assert "#" in line[2:] or above.startswith("# ") or obvious, line
