"""Finds a mosquitto broker, or unpacks Debian's into a cache folder: no root, nothing installed, nothing on the system
changed. Two processes may race for the cache; whoever renames its finished folder first wins."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packseal.program import Unavailable

# Debian keeps daemons where a normal user's PATH does not look.
_PLACES = (Path("/usr/sbin/mosquitto"), Path("/usr/local/sbin/mosquitto"))
_CHECKOUT = Path(__file__).resolve().parent.parent
_INSTALL_IT = "install it (apt install mosquitto) or put it on PATH"
_DEEPEST_DEPENDENCY = 5
_TIMEOUT_S = 180


@dataclass(frozen=True, slots=True)
class Mosquitto:
    """A broker program that runs here; `libraries` are the folders that it needs beyond the system's."""

    program: Path
    libraries: tuple[Path, ...] = ()

    def environment(self) -> dict[str, str]:
        """Environment to start it in."""
        environment = dict(os.environ)
        if self.libraries:
            environment["LD_LIBRARY_PATH"] = os.pathsep.join(str(folder) for folder in self.libraries)
        return environment

    def __str__(self) -> str:
        """Which one it is, for a person: version and where from."""
        origin = "unpacked from Debian's packages at" if self.libraries else "at"
        return f"mosquitto {self.version()} {origin} {self.program}"

    def version(self) -> str:
        """Version that the program itself reports, e.g. 2.0.11."""
        said = _run([str(self.program), "-h"], environment=self.environment(), check=False)
        found = re.search(r"version (\S+)", said)
        return found.group(1) if found else "of unknown version"

    def missing(self) -> list[str]:
        """Shared libraries that it would not find, by the loader's own account; also its name if it is not there."""
        if not self.program.is_file():
            return [self.program.name]
        said = _run(["ldd", str(self.program)], environment=self.environment(), check=False)
        return re.findall(r"^\s*(\S+) => not found", said, re.MULTILINE)


def find(cache: Path | None = None) -> Mosquitto:
    """The installed mosquitto, else the cached one, else a freshly unpacked one; Unavailable says what to install."""
    on_path = shutil.which("mosquitto")
    for program in (*([Path(on_path)] if on_path else []), *_PLACES):
        if os.access(program, os.X_OK):
            return Mosquitto(program)
    return unpacked(cache or default_cache())


def default_cache() -> Path:
    """$PACKSEAL_CACHE, else `.cache` in the checkout."""
    return Path(os.environ.get("PACKSEAL_CACHE") or _CHECKOUT / ".cache")


def unpacked(cache: Path) -> Mosquitto:
    """Debian's mosquitto from below `cache`, unpacked there first if it is not there yet or does not run any more."""
    home = cache / "mosquitto" / _system()
    broker = _in(home)
    if not broker.missing():
        return broker
    for tool in ("apt-get", "dpkg", "dpkg-query", "ldd"):
        if not shutil.which(tool):
            raise Unavailable(f"mosquitto is not installed, and without {tool} it cannot be unpacked: {_INSTALL_IT}")
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="unpacking-", dir=home.parent) as scratch:
            _unpack_into(Path(scratch))
            _put_in_place(Path(scratch), home)
    except (OSError, subprocess.SubprocessError) as problem:
        said = str(getattr(problem, "stderr", "") or problem).strip().splitlines()[-1]
        raise Unavailable(f"mosquitto is not installed, and unpacking it failed ({said}): {_INSTALL_IT}") from None
    return _in(home)


def _unpack_into(scratch: Path) -> None:
    """Fetch and unpack the broker, then the libraries that it declares, until the loader misses nothing."""
    root = scratch / "root"
    wanted, seen = ["mosquitto"], set[str]()
    for _ in range(_DEEPEST_DEPENDENCY):
        seen.update(wanted)
        packages = _download(wanted, scratch)
        for package in packages:
            _run(["dpkg", "-x", str(package), str(root)])
        missing = _in(root).missing()
        if not missing:
            return
        wanted = sorted({name for package in packages for name in _libraries_of(package)} - seen)
        if not wanted:
            break
    raise Unavailable(f"mosquitto from Debian's packages lacks {', '.join(missing)}: {_INSTALL_IT}")


def _download(names: list[str], scratch: Path) -> list[Path]:
    """Fetch packages by apt, which checks them; with package lists of our own where the system's are absent or old."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    fetch = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *names]
    try:
        _run(fetch, cwd=folder)
    except subprocess.CalledProcessError:
        lists = scratch / "apt"
        for needed in ("lists/partial", "cache/archives/partial"):
            (lists / needed).mkdir(parents=True, exist_ok=True)
        own = ["-o", f"Dir::State::lists={lists}/lists", "-o", f"Dir::Cache={lists}/cache"]
        _run([*fetch[:4], *own, "update"], cwd=folder)
        _run([*fetch[:4], *own, *fetch[4:]], cwd=folder)
    return sorted(folder.glob("*.deb"))


def _libraries_of(package: Path) -> Iterator[str]:
    """Names of the library packages that this one depends on and that are not installed."""
    for group in _run(["dpkg", "-f", str(package), "Depends"]).split(","):
        names = [name.split("(")[0].split(":")[0].strip() for name in group.split("|")]
        libraries = [name for name in names if name.startswith("lib")]
        if libraries and not any(_is_installed(name) for name in names):
            yield libraries[0]


def _is_installed(name: str) -> bool:
    return "installed" in _run(["dpkg-query", "-W", "-f", "${db:Status-Status}\n", name], check=False).split()


def _put_in_place(scratch: Path, home: Path) -> None:
    """Rename the finished folder to its final name; a broken one there is moved aside, a good one is kept."""
    for _ in range(2):
        with contextlib.suppress(OSError):
            (scratch / "root").rename(home)
            return
        if not _in(home).missing():
            return
        with contextlib.suppress(FileNotFoundError):
            home.rename(scratch / "broken")
    raise OSError(f"{home} cannot be replaced")


def _in(root: Path) -> Mosquitto:
    folders = {found.parent for pattern in ("lib*.so", "lib*.so.*") for found in root.rglob(pattern)}
    return Mosquitto(root / "usr/sbin/mosquitto", tuple(sorted(folders)))


def _system() -> str:
    """Names the system that the unpacked program belongs to, so that a cache on a shared disk is not misused."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    name = f"{release.get('ID', 'linux')}-{release.get('VERSION_ID', 'unknown')}-{platform.machine()}"
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


def _run(
    command: list[str], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None, check: bool = True
) -> str:
    finished = _process(command, cwd=cwd, env={**(environment or os.environ), "LC_ALL": "C"}, check=check)
    return finished.stdout + finished.stderr


_process = functools.partial(
    subprocess.run, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S
)
