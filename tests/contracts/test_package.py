"""The wheel, installed in a clean environment away from the checkout, is the product."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("packseal-agent", "packseal-ledger", "packseal-sim", "packseal-tail", "packseal-verify")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    words = ("-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-build-isolation", "--no-deps", "-w")
    subprocess.run([sys.executable, *words, str(folder), str(ROOT)], check=True, capture_output=True)
    (built,) = folder.glob("packseal-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The programs' folder of an environment that holds the wheel, and the libraries of this one by path."""
    home = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(home, with_pip=False)
    site = next((home / "lib").glob("python3*")) / "site-packages"
    _install(home, wheel)
    libraries = Path(pytest.__file__).parents[1]
    # The libraries themselves, but not this environment's editable packseal: its .pth is not followed from a path entry.
    (site / "libraries.pth").write_text(f"{libraries}\n")
    return home / "bin"


def _install(home, wheel):
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(home / "bin" / "python"))
    subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True)


def _run(installed, tmp_path, program, *words):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(installed / program), *words], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )


def test_the_wheel_carries_the_configurations_profiles_schemas_and_units(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for shipped in (ROOT / "config").rglob("*.*"):
        assert f"packseal/_config/{shipped.relative_to(ROOT / 'config')}" in names
    for unit in (ROOT / "systemd").iterdir():
        assert f"packseal/_systemd/{unit.name}" in names
    for schema in ("agent", "ledger"):
        assert f"{schema}/schema/0001.sql" in names
    tops = {"agent", "evidence", "firmware_sim", "ledger", "link", "packseal"}
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == tops


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_installed_program_tells_its_version_and_gives_an_example(installed, tmp_path, program):
    version = _run(installed, tmp_path, program, "--version")
    assert (version.returncode, version.stdout.split()[0]) == (0, program)
    helped = _run(installed, tmp_path, program, "--help")
    assert helped.returncode == 0
    assert "example" in helped.stdout


def test_an_installed_agent_finds_the_shipped_profiles_and_compiles_them(installed, tmp_path):
    from evidence.keys import NamedKey, SigningKey

    key = NamedKey("ledger.example/packs", SigningKey(bytes(32)).public)
    (tmp_path / "agent.toml").write_text(
        f'gateway = "gw-01"\nregistrar = "packs.example,2026"\nstate_dir = "state"\n[ledger]\nkey = "{key}"\n'
    )
    (tmp_path / "drive.log").write_text("(1700000000.000000) can0 132#50B80000000000FF\n" * 3)
    made = _run(installed, tmp_path, "packseal-agent", "keys", "new", "pack-0001")
    assert made.returncode == 0, made.stderr
    words = ("--offline", "--pack", "pack-0001", "--profile", "tesla-model3", "drive.log")
    replayed = _run(installed, tmp_path, "packseal-agent", "replay", *words)
    assert replayed.returncode == 0, replayed.stderr
    assert replayed.stdout.startswith("3 frames seen")


def test_a_missing_library_is_named_in_one_line_with_the_extra_that_brings_it(wheel, tmp_path):
    home = tmp_path / "bare"
    venv.create(home, with_pip=False)
    _install(home, wheel)
    missing = _run(home / "bin", tmp_path, "packseal-ledger", "--help")
    assert missing.returncode == 69
    assert missing.stderr.count("\n") == 1
    assert "pip install 'packseal[ledger]'" in missing.stderr
