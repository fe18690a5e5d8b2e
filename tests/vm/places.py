"""Where the host's side keeps things: everything below .cache/vm, and the digest that names what was built from what."""

import fcntl
import hashlib
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.vm.tools import Unavailable, ended

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


def built(kind):
    """What the cache has of a kind (image, libraries), oldest first."""
    return sorted(set(CACHE.glob(f"{kind}-*/")) - _unfinished(kind), key=lambda folder: folder.stat().st_mtime)


def keep_newest(kind):
    """Make room in the cache before something is built: of its kind only the newest stays, for whoever uses it now."""
    for folder in (*built(kind)[:-1], *_unfinished(kind)):
        shutil.rmtree(folder, ignore_errors=True)


def _unfinished(kind):
    return set(CACHE.glob(f"{kind}-*.part/"))


@contextmanager
def only_one(name):
    """Two runs in one checkout build a thing once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        while not _taken(lock):
            if ended.wait(0.2):
                raise Unavailable("ended while it waited for another run")
        yield


@contextmanager
def alone_in(folder):
    """A run has its folder for itself; a second one in it is refused at once, as its verdict would be of both."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        if not _taken(lock):
            raise Unavailable(f"another run uses {folder}: wait for its end, or name another folder by --out")
        yield


def _taken(lock):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def give_back():
    """After `sudo make vm-test` what root made belongs to whom the checkout is: never a file that is somebody else's."""
    user, group = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() == 0 and user.isdecimal() and group.isdecimal():
        _give(CACHE.parent, int(user), int(group))
        for top in (CACHE, HERE / "__pycache__"):
            for folder, _, files in os.walk(top):
                for name in ("", *files):
                    _give(Path(folder, name), int(user), int(group))


def _give(path, user, group):
    with suppress(OSError):
        if path.lstat().st_uid == 0:
            os.chown(path, user, group, follow_symlinks=False)
