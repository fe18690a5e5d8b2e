"""Finds vehicle profiles and loads their tables, compiling them in a process of its own when they changed.

The service never imports cantools: it would stay in memory for as long as the service runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agent.errors import ConfigError
from agent.profile import Profile
from packseal.shipped import config_dir
from packseal.version import __version__

SYSTEM_FOLDER: Final = Path("/etc/packseal/profiles")
_COMPILER: Final = Path(__file__).with_name("profile_compile.py")
_LONGEST_COMPILE_S: Final = 120


def profile_directories(first: Sequence[Path] = ()) -> tuple[Path, ...]:
    """Where profiles are searched, in order: the folders asked for, the system's, the shipped ones."""
    return (*first, SYSTEM_FOLDER, config_dir() / "profiles")


def load_profile(name: str, directories: Sequence[Path], cache_dir: Path | None = None) -> Profile:
    """The profile NAME from the first folder that has NAME.toml, compiled if it is not in the cache as it is now.

    ConfigError if no folder has it or it does not compile. A cache that cannot be written costs time, not the start.
    """
    folder = _find(name, directories)
    cached = None if cache_dir is None else cache_dir / f"{name}-{_cache_key(name, folder)}.profile"
    if cached is not None and (profile := _read(cached)) is not None:
        return profile
    with tempfile.TemporaryDirectory(prefix="packseal-profile-") as scratch:
        tables = Path(scratch) / "tables"
        _compile(name, folder, tables)
        content = tables.read_bytes()
    profile = Profile.from_bytes(content)
    if cached is not None:
        _keep(cached, content)
    return profile


def _find(name: str, directories: Sequence[Path]) -> Path:
    known: set[str] = set()
    for folder in directories:
        found = {path.stem for path in folder.glob("*.toml")}
        if name in found:
            return folder
        known |= found
    searched = ", ".join(str(folder) for folder in directories)
    raise ConfigError(f"no profile {name!r} in {searched}; there are: {', '.join(sorted(known)) or 'none'}")


def _cache_key(name: str, folder: Path) -> str:
    """Digest of everything that decides the tables: mapping, DBC and compiler."""
    mapping = folder / f"{name}.toml"
    parts = [__version__.encode(), _content(_COMPILER), _content(mapping)]
    try:
        parts.append(_content(folder / tomllib.loads(parts[2].decode())["profile"]["dbc"]))
    except (KeyError, TypeError, ValueError):
        parts.append(b"")  # the compiler says what is wrong with the mapping
    lengths = b"".join(len(part).to_bytes(8, "big") for part in parts)
    return hashlib.sha256(lengths + b"".join(parts)).hexdigest()[:24]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _read(path: Path) -> Profile | None:
    try:
        return Profile.from_bytes(path.read_bytes())
    except (OSError, ConfigError):
        return None


def _compile(name: str, folder: Path, tables: Path) -> None:
    command = [
        sys.executable,
        "-P",
        "-m",
        "agent.profile_compile",
        name,
        "--profile-dir",
        str(folder),
        "--out",
        str(tables),
    ]
    # The compiler must be this very package's, however it came onto this process's path.
    search = os.pathsep.join([str(_COMPILER.parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        done = subprocess.run(  # noqa: S603 - our own module, the name and folder are arguments and no shell reads them
            command,
            env={**os.environ, "PYTHONPATH": search},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LONGEST_COMPILE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise ConfigError(f"profile {name} in {folder}: its compiler could not run: {problem}") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ConfigError(last.removeprefix("profile_compile: "))


def _keep(path: Path, content: bytes) -> None:
    """Keep tables for the next start: all of them or none, and no matter if that fails."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            scratch.unlink()
