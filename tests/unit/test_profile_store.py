import subprocess
import sys

import pytest

from agent.errors import ConfigError
from agent.profile_compile import compile_profile
from agent.profile_store import load_profile, profile_directories
from tests.profiles import signal, write_profile

STATUS = 'BO_ 291 Status: 8 BMS\n SG_ Volts : 0|16@1+ (0.1,0) [0|0] "V" BMS\n'
ENTRY = signal("Voltage", "Status", "Volts", "mV")


@pytest.mark.parametrize("name", ["kona-ev", "pylontech", "tesla-model3"])
def test_the_shipped_profiles_compile(name, tmp_path):
    profile = load_profile(name, profile_directories(), tmp_path)
    assert profile.name == name
    assert len(profile.schema) < 16_000  # it travels with every start
    assert load_profile(name, profile_directories(), tmp_path) == profile


def test_the_first_folder_that_has_a_profile_gives_it(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    path = write_profile(own, STATUS, ENTRY, "kona-ev")
    assert load_profile("kona-ev", profile_directories([own])).title == "for tests"
    path.unlink()
    assert load_profile("kona-ev", profile_directories([own])).title != "for tests"


def test_an_unknown_profile_is_one_line_that_says_which_there_are(tmp_path):
    with pytest.raises(ConfigError, match=r"no profile 'kona' in .*there are: .*kona-ev.*tesla-model3"):
        load_profile("kona", profile_directories([tmp_path]))


def test_compiled_tables_are_kept_and_used(tmp_path):
    write_profile(tmp_path, STATUS, ENTRY)
    cache = tmp_path / "state" / "profiles"
    profile = load_profile("made", [tmp_path], cache)
    (kept,) = cache.iterdir()
    assert kept.read_bytes() == profile.schema
    changed = kept.stat().st_mtime_ns
    assert load_profile("made", [tmp_path], cache) == profile
    assert kept.stat().st_mtime_ns == changed


def test_a_changed_dbc_or_mapping_is_compiled_anew(tmp_path):
    path = write_profile(tmp_path, STATUS, ENTRY)
    cache = tmp_path / "cache"
    first = load_profile("made", [tmp_path], cache)
    (tmp_path / "made.dbc").write_text((tmp_path / "made.dbc").read_text().replace("(0.1,0)", "(0.2,0)"))
    second = load_profile("made", [tmp_path], cache)
    path.write_text(path.read_text().replace("for tests", "again"))
    third = load_profile("made", [tmp_path], cache)
    assert len({first.digest, second.digest, third.digest}) == 3


def test_damaged_tables_in_the_cache_are_compiled_anew(tmp_path):
    write_profile(tmp_path, STATUS, ENTRY)
    cache = tmp_path / "cache"
    profile = load_profile("made", [tmp_path], cache)
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:-3])
    assert load_profile("made", [tmp_path], cache) == profile
    assert kept.read_bytes() == profile.schema


def test_a_cache_that_cannot_be_written_costs_time_not_the_start(tmp_path):
    write_profile(tmp_path, STATUS, ENTRY)
    (tmp_path / "file").write_text("in the way")
    assert load_profile("made", [tmp_path], tmp_path / "file" / "cache").name == "made"


def test_a_mistake_found_by_the_compiler_is_the_same_one_line(tmp_path):
    write_profile(tmp_path, STATUS, signal("Voltage", "Status", "Gone", "mV"))
    with pytest.raises(ConfigError) as direct:
        compile_profile("made", tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_profile("made", [tmp_path])
    assert str(caught.value) == str(direct.value)


def test_the_compiler_is_a_program_that_fails_with_one_line(tmp_path):
    command = [
        sys.executable,
        "-m",
        "agent.profile_compile",
        "none",
        "--profile-dir",
        str(tmp_path),
        "--out",
        str(tmp_path / "x"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert done.stderr.count("\n") == 1
    assert "none.toml: cannot be read" in done.stderr


def test_loading_does_not_import_cantools(tmp_path):
    code = (
        "import sys; from agent.profile_store import *; load_profile('kona-ev', profile_directories());"
        "sys.exit('cantools' in sys.modules or 'msgspec' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
