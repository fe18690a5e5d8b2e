"""The machine's system: kernel, initial file system and root disk, built once for each recipe and kept."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.vm import places
from tests.vm.tools import Unavailable, run

RECIPE = places.HERE / "image"
SUITE = "bookworm"
HOST_SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))


@dataclass(frozen=True, slots=True)
class Image:
    """A bootable system; its root disk is only ever written to through a throw-away copy."""

    kernel: Path
    initrd: Path
    root: Path


def recipe_digest(recipe=RECIPE):
    """What names a built image: changes with every file of the recipe, and where a Python is there that precompiles."""
    return places.digest(recipe, "precompiled" if compiler() else "plain")


def compiler():
    """A Python 3.11, the machine's version, that can precompile for it; None where the host has no such thing."""
    candidates = (
        sys.executable if sys.version_info[:2] == (3, 11) else None,
        shutil.which("python3.11"),
        "/usr/bin/python3.11",
    )
    return next((found for found in candidates if found and Path(found).exists()), None)


def is_built():
    """Whether the cache has the image of this recipe."""
    return (_folder() / "root.ext4").exists()


def ensure(say):
    """The image of this recipe; builds it where the cache has none."""
    with places.only_one("image"):
        folder = _folder()
        if not is_built():
            say("building the image (once for each recipe)")
            places.keep_newest("image")
            _build(folder)
    return Image(folder / "vmlinuz", folder / "initrd.gz", folder / "root.ext4")


def _folder():
    return places.CACHE / f"image-{recipe_digest()}"


def _build(folder):
    work = folder.with_suffix(".part")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    sources = _sources()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    run(str(RECIPE / "build.sh"), str(work), str(sources), compiler() or "", environment=environment)
    if not (work / "root.ext4").exists():
        raise Unavailable("the image's build left no root disk")
    work.rename(folder)


def _sources():
    """The host's own apt sources where they are of the machine's release (a mirror nearby), else "": then Debian's own."""
    for theirs in HOST_SOURCES:
        if theirs.exists() and SUITE in theirs.read_text() and "cdrom:" not in theirs.read_text():
            return theirs
    return ""
