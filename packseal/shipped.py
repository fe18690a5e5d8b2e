"""Finds the files that packseal ships beside its code, in an installed wheel as in a checkout."""

from __future__ import annotations

from pathlib import Path

from packseal.program import Unavailable

_PACKAGE = Path(__file__).resolve().parent


def config_dir() -> Path:
    """Folder with the sample configurations and `profiles/`: the wheel's own, else the checkout's."""
    return _find("_config", "config")


def systemd_dir() -> Path:
    """Folder with the service units: the wheel's own, else the checkout's."""
    return _find("_systemd", "systemd")


def _find(installed: str, checkout: str) -> Path:
    for candidate in (_PACKAGE / installed, _PACKAGE.parent / checkout):
        if candidate.is_dir():
            return candidate
    raise Unavailable(f"{_PACKAGE / installed}: missing from this installation; reinstall packseal")
