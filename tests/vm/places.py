"""Where the host's side keeps things: everything below .cache/vm, and the digest that names what was built from what."""

import fcntl
import hashlib
import shutil
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".cache" / "vm"


def digest(*parts):
    """16 hex digits over strings and paths: of a folder the name and content of every file in it."""
    told = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            told.update(part.encode() + b"\0")
            continue
        files = sorted(file for file in part.rglob("*") if file.is_file()) if part.is_dir() else [part]
        for file in files:
            if "__pycache__" not in file.parts:
                name = file.relative_to(part.parent).as_posix()
                told.update(name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return told.hexdigest()[:16]


def keep_newest(pattern):
    """Make room in the cache before something is built: of its kind only the newest stays, for whoever uses it now."""
    kept = sorted(CACHE.glob(pattern), key=lambda folder: folder.stat().st_mtime)
    for folder in kept[:-1]:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def only_one(name):
    """Two runs in one checkout build a thing once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
