"""The machine's second disk, seen as /app: the project's wheel and its aarch64 libraries, as wheels and laid out ready.

/app/wheels  what pip in the machine installs from     /app/site   the same, importable: packseal as installed
/app/tools   pytest and the tests' own libraries, never seen by packseal's programs
"""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.vm import image, places
from tests.vm.tools import Unavailable, run
from tests.vm.wheels import lay_out, repacked

LIBRARIES = (
    "cantools",
    "cbor2",
    "msgspec",
    "numpy",
    "paho-mqtt",
    "pynacl",
    "pyserial",
    "python-can",
    "can-isotp",
    "msgpack",
)
TOOLS = ("pytest", "pytest-timeout", "udsoncan")
LOCK = places.ROOT / "requirements-dev.lock"
PACKED = ("agent", "evidence", "firmware_sim", "ledger", "link", "packseal", "config", "systemd", "pyproject.toml")
PLATFORM = (
    *("--only-binary=:all:", "--platform", "manylinux2014_aarch64", "--platform", "manylinux_2_28_aarch64"),
    *("--python-version", "3.11", "--implementation", "cp"),
)


def ensure(folder, say):
    """The second disk of this checkout's state, in a folder of this run; built anew where anything of it changed."""
    libraries = _libraries(say)
    packed = (places.ROOT / name for name in PACKED)
    state = places.digest(*packed, Path(__file__), libraries.name)
    disk, mark = folder / "app.ext4", folder / "app.digest"
    if disk.exists() and mark.exists() and mark.read_text() == state:
        return disk
    say("building the project's wheel and the second disk")
    folder.mkdir(parents=True, exist_ok=True)
    laid_out = folder / "app"
    shutil.rmtree(laid_out, ignore_errors=True)
    run("cp", "-a", "--no-preserve=ownership", "--reflink=auto", str(libraries), str(laid_out))
    wheel = repacked(_project_wheel(folder / "wheel"), laid_out / "wheels", image.compiler())
    lay_out([wheel], laid_out / "site")
    _programs(laid_out / "site")
    _disk(laid_out, disk)
    shutil.rmtree(laid_out)
    mark.write_text(state)
    return disk


def pinned(lock):
    """The lock's exact versions as constraints, and the digests that its files may have."""
    text = lock.read_text()
    constraints = re.findall(r"^[A-Za-z0-9._-]+==[^ ;\\]+", text, re.MULTILINE)
    return constraints, set(re.findall(r"sha256:([0-9a-f]{64})", text))


def _libraries(say):
    """Every pinned library for aarch64, compiled and laid out; fetched once for each lock file."""
    with places.only_one("libraries"):
        recipe = places.digest(
            LOCK, places.HERE / "wheels.py", *LIBRARIES, *TOOLS, *PLATFORM, str(image.compiler() is None)
        )
        kept = places.CACHE / f"libraries-{recipe}"
        if kept.exists():
            return kept
        say("fetching the libraries for aarch64")
        places.keep_newest("libraries")
        work = kept.with_suffix(".part")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        for names, wheels, laid_out in ((LIBRARIES, "wheels", "site"), (TOOLS, "tool-wheels", "tools")):
            fetched = _fetch(names, work / f"{wheels}.fetched")
            compiled = [repacked(wheel, work / wheels, image.compiler()) for wheel in sorted(fetched.glob("*.whl"))]
            lay_out(compiled, work / laid_out)
            shutil.rmtree(fetched)
        shutil.rmtree(work / "tool-wheels")
        work.rename(kept)
    return kept


def _fetch(names, folder):
    folder.mkdir()
    constraints, digests = pinned(LOCK)
    (folder / "constraints.txt").write_text("\n".join(constraints))
    run(*_pip(), "download", "-q", "-d", str(folder), *PLATFORM, "-c", str(folder / "constraints.txt"), *names)
    for wheel in folder.glob("*.whl"):
        if hashlib.sha256(wheel.read_bytes()).hexdigest() not in digests:
            raise Unavailable(
                f"{wheel.name} is not a file that {LOCK.name} pins: look at your package index, or `make lock`"
            )
    return folder


def _project_wheel(folder):
    shutil.rmtree(folder, ignore_errors=True)
    ready = places.ROOT / ".venv" / "bin" / "python"
    known = ready.exists() and _succeeds(ready, "-c", "import hatchling, pip")
    pip = (str(ready), "-m", "pip") if known else _pip()
    isolation = ("--no-build-isolation",) if known else ()
    run(
        *pip, "wheel", "-q", "--disable-pip-version-check", *isolation, "--no-deps", "-w", str(folder), str(places.ROOT)
    )
    (wheel,) = folder.glob("packseal-*.whl")
    return wheel


def _pip():
    for python in (sys.executable, "/usr/bin/python3"):
        if _succeeds(python, "-m", "pip", "--version"):
            return python, "-m", "pip", "--disable-pip-version-check"
    raise Unavailable("no Python here has pip: apt-get install python3-pip")


def _succeeds(*words):
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def _programs(site):
    """The programs as pip would write them, for the machine's Python."""
    (points,) = site.glob("packseal-*.dist-info/entry_points.txt")
    (site / "bin").mkdir(exist_ok=True)
    for name, module, function in re.findall(r"^([\w-]+) = ([\w.]+):(\w+)$", points.read_text(), re.MULTILINE):
        program = site / "bin" / name
        program.write_text(f"#!/usr/bin/python3\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n")
        program.chmod(0o755)


def _disk(folder, disk):
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) * 14 // 10 // 2**20 + 32
    disk.unlink(missing_ok=True)
    words = ("-q", "-t", "ext4", "-O", "^has_journal", "-m0", "-E", "root_owner=0:0")
    run("mke2fs", *words, "-d", str(folder), str(disk), f"{size}M")
