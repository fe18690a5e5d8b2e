"""Finds the folder of published vectors and recordings that is kept beside the checkout, never in it."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shared(path: str) -> Path:
    """A file below $PACKSEAL_SHARED or ../shared; skips the test, saying so, where it is absent."""
    folder = Path(os.environ.get("PACKSEAL_SHARED", ROOT.parent / "shared"))
    found = folder / path
    if not found.exists():
        pytest.skip(f"{path} is not in PACKSEAL_SHARED or ../shared")
    return found
