"""Finds the folder of published vectors and recordings that is kept beside the checkout, never in it."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shared(path: str) -> Path:
    """A file below $PACKSEAL_SHARED or ../shared; skips the test, saying so, where it is absent."""
    folder = Path(os.environ.get("PACKSEAL_SHARED", ROOT.parent / "shared"))
    found = folder / path
    if not found.exists():
        absent(f"{path} is not in PACKSEAL_SHARED or ../shared")
    return found


def absent(what: str) -> NoReturn:
    """Skip the test for want of something, or fail it where $PACKSEAL_REQUIRE_ALL says that nothing may be missing."""
    if os.environ.get("PACKSEAL_REQUIRE_ALL") == "1":
        pytest.fail(what)
    pytest.skip(what)
