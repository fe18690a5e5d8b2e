"""Fetches the wrapping key that sealed key files are opened with: a credential of the service manager's, or a file.

systemd hands a service its credentials in a folder of its own (systemd.exec(5), "Credentials"). Root, who has no such folder,
asks systemd-creds(1) for the same credential, so that `packseal-agent keys new` by hand makes what the service can open.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from agent.errors import ConfigError, StoreError
from agent.sealed_key import WrappingKey, wrapping_key

NONE: Final = "none"
CREDENTIAL: Final = "credential"
NAME: Final = "packseal-wrapping-key"
_ENCRYPTED: Final = Path("/etc/credstore.encrypted") / NAME
_LONGEST_DECRYPT_S: Final = 30
_CURE: Final = 'see "The wrapping key" in docs/install.md'


def fetch(setting: str) -> WrappingKey | None:
    """The wrapping key that `[keys] wrapping_key` says; None for none. ConfigError and StoreError name what is in the way."""
    match setting:
        case "none":
            return None
        case "credential":
            return _credential()
        case path:
            return _from_file(Path(path))


def _credential() -> WrappingKey:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    handed = None if folder is None else Path(folder) / NAME
    if handed is not None and os.path.exists(handed):  # noqa: PTH110 - Path.exists raises in a folder that is another's
        return wrapping_key(_content(handed), f"the credential {NAME}")
    if os.geteuid() == 0:
        return wrapping_key(_decrypted(), str(_ENCRYPTED))
    raise ConfigError(
        f"[keys] wrapping_key: no credential {NAME} was handed over; for the service {_CURE}, by hand run this as root"
    )


def _decrypted() -> bytes:
    if not _ENCRYPTED.exists():
        raise ConfigError(f"[keys] wrapping_key: no {_ENCRYPTED}; make it with systemd-creds encrypt, {_CURE}")
    command = ["systemd-creds", "decrypt", f"--name={NAME}", str(_ENCRYPTED), "-"]
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, no shell; found as every system program is
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LONGEST_DECRYPT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise ConfigError(f"[keys] wrapping_key: systemd-creds could not run: {problem}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise ConfigError(f"[keys] wrapping_key: {_ENCRYPTED} cannot be decrypted: {said[-1]}; {_CURE}")
    return done.stdout


def _from_file(path: Path) -> WrappingKey:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise ConfigError(
            f"[keys] wrapping_key: no {path}; make it: (umask 077; head -c 32 /dev/urandom > {path})"
        ) from None
    except OSError as problem:
        raise StoreError(f"{path}: {problem.strerror}") from None
    if mode & 0o077:
        raise ConfigError(f"{path}: readable by others; chmod 600 it, and make new keys if anyone may have read it")
    return wrapping_key(_content(path), str(path))


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4096)
    except OSError as problem:
        raise StoreError(f"{path}: {problem.strerror}") from None
