"""An environment of its own for an oracle that must not be installed beside the project, built once and kept."""

import hashlib
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tests.shared import ROOT, absent


def python_with(lock: Path) -> Path:
    """The interpreter of an environment with exactly what `lock` names; skips the test where it cannot be had."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = f"oracle-{lock.stem}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}-py{version}"
    cache = Path(os.environ.get("PACKSEAL_CACHE", ROOT / ".cache"))
    environment = cache / name
    if not environment.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=f"{name}.") as folder:
            built = Path(folder) / "environment"
            build(built, lock)
            try:
                built.rename(environment)  # in one step: whoever sees it sees it whole
            except OSError:
                assert environment.exists()  # somebody else was faster
    return environment / "bin" / "python"


def build(environment: Path, lock: Path) -> None:
    """Install the lock's packages, with their hashes checked, whatever Python they ask for."""
    venv.create(environment, with_pip=False, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "install", "--quiet"]
    wanted = ["--ignore-requires-python", "--require-hashes", "--only-binary=:all:", "--no-deps", "-r", str(lock)]
    done = subprocess.run([*pip, *wanted], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        absent(f"{lock.name} could not be installed: {(done.stderr.strip().splitlines() or ['pip failed'])[-1]}")
