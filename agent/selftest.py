"""Checks of everything that the agent needs, harmless beside a running one: for people, health checks and updates.

Each yields findings and never raises. Nothing is sent on the bus, the store is only read, and what is written to the state
folder is removed again, but for compiled profiles: the next start finds them ready.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar

from agent import can_interface, database
from agent.errors import ConfigError, SourceError, StoreError
from agent.keystore import Keystore
from agent.reading import NONE, NTP, Reading
from evidence.errors import EvidenceError
from evidence.keys import SigningKey, verify
from packseal.program import FAILED, OK, UNAVAILABLE, Failure

T = TypeVar("T")
Result = Literal["ok", "warn", "FAIL"]

LEAST_FREE_MB: Final = 20
LITTLE_FREE_MB: Final = 200
_PATIENCE_S: Final = 3.0

# RFC 8032, section 7.1, test 1: the signature of the empty message.
_KNOWN_SEED: Final = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
_KNOWN_PUBLIC: Final = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
_KNOWN_SIGNATURE: Final = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `exit_code` is that of its kind of failure, 0 unless it failed."""

    name: str
    result: Result
    what: str
    cure: str = ""
    exit_code: int = OK

    def __str__(self) -> str:
        return f"{self.name}: {self.what}{'; ' + self.cure if self.cure else ''}"


def attempt(name: str, make: Callable[[], T], say: Callable[[T], str]) -> tuple[Finding, T | None]:
    """What `make` makes and what `say` says of it; or None, and what is wrong as the error says it: problem; cure."""
    try:
        made = make()
        return Finding(name, "ok", say(made)), made
    except Failure as failure:
        what, _, cure = str(failure).partition("; ")
        return Finding(name, "FAIL", what, cure, failure.exit_code), None
    except OSError as problem:
        return Finding(name, "FAIL", f"{problem.filename or name}: {problem.strerror}", "", StoreError.exit_code), None


def tried(name: str, check: Callable[[], str]) -> Finding:
    """What `check` says, or what is wrong."""
    return attempt(name, check, str)[0]


def signatures() -> Finding:
    """Whether the library signs and refuses as RFC 8032 has it."""
    key = SigningKey(_KNOWN_SEED)
    right = key.public == _KNOWN_PUBLIC and key.sign(b"") == _KNOWN_SIGNATURE and _verifies(key, b"", _KNOWN_SIGNATURE)
    if right and not _verifies(key, b"\0", _KNOWN_SIGNATURE):
        return Finding("signatures", "ok", "Ed25519 gives the published answer")
    return Finding("signatures", "FAIL", "Ed25519 does not give RFC 8032's answer", "install PyNaCl again", FAILED)


def signing_key(keystore: Keystore, pack: str) -> Finding:
    """Whether a pack's key is there, opens, signs and verifies."""

    def check() -> str:
        key = keystore.load(pack)
        message = os.urandom(32)
        if not _verifies(key, message, key.sign(message)):
            raise ConfigError(f"the key of {pack} signs what it does not verify; make a new one")
        return f"signs as {key.kid.hex()}, {'sealed' if keystore.sealed(pack) else 'plain'} at rest"

    return tried(f"key of {pack}", check)


def _verifies(key: SigningKey, message: bytes, signature: bytes) -> bool:
    try:
        verify(key.public, message, signature)
    except EvidenceError:
        return False
    return True


def state_folder(folder: Path) -> Finding:
    """Whether something can be kept there, and how much more."""

    def check() -> str:
        if not folder.is_dir():
            raise StoreError(f"{folder}: no such folder; systemd-tmpfiles --create, or make it for the agent's user")
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".selftest-") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
        if free_mb(folder) < LEAST_FREE_MB:
            raise StoreError(f"{folder}: {free_mb(folder)} MB are free; make room, or nothing can be kept")
        return f"{folder} can be written, {free_mb(folder)} MB free"

    found = tried("state folder", check)
    if found.result == "ok" and free_mb(folder) < LITTLE_FREE_MB:
        return Finding(found.name, "warn", found.what, "make room")
    return found


def free_mb(folder: Path) -> int:
    """Free megabytes for who is not root."""
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize // 1_000_000


def store(folder: Path) -> Finding:
    """Whether the outbox can be read by this version."""

    def check() -> str:
        found = database.inspect(folder)
        if found is None:
            return "none yet, the first start makes it"
        return f"{found.statements} statements, {found.pending} pending"

    return tried("store", check)


def socketcan(pack: str, interface: str, bitrate: int | None) -> Finding:
    """Whether a SocketCAN interface is up and on its bus; `bitrate` is what the configuration says, if it says one."""

    def check() -> str:
        found = can_interface.look(interface)
        if not found.up:
            raise SourceError(
                f"{interface} is down; set it up with systemd-networkd (80-can.network), or `ip link set`"
            )
        if found.state == can_interface.BUS_OFF:
            raise SourceError(f"{interface} has left the bus; look at wiring and bit rate, then set it down and up")
        if bitrate is not None and found.bitrate not in (None, bitrate):
            raise ConfigError(f"{interface} runs at {found.bitrate} bit/s, the configuration says {bitrate}; mend one")
        if found.bitrate is None:
            return f"{interface} is up, {'virtual' if found.kind == 'vcan' else 'bit rate unknown'}"
        return f"{interface} is up, {found.bitrate} bit/s{', listen-only' if found.listen_only else ''}, {found.state}"

    return tried(f"source of {pack}", check)


def serial_adapter(pack: str, channel: str) -> Finding:
    """Whether a serial adapter is there and ours to read."""

    def check() -> str:
        path = Path(channel.partition("@")[0])
        try:
            kind = path.stat().st_mode
        except OSError as problem:
            raise SourceError(f"{path}: {problem.strerror}; plug it in, or look below /dev/serial/by-id") from None
        if not stat.S_ISCHR(kind):
            raise ConfigError(f"{path} is no serial device; name one in pack.source.channel")
        if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
            raise SourceError(f"{path}: not ours to read; the agent's user must be in the group of the device: dialout")
        return f"{path.resolve()} is there"

    return tried(f"source of {pack}", check)


def other_source(pack: str, interface: str) -> Finding:
    """A bus that cannot be looked at without opening it."""
    return Finding(f"source of {pack}", "warn", f"{interface} is not looked at: only socketcan and slcan are")


def clock(now: Reading) -> Finding:
    """What the wall clock is worth. It never fails: capturing does not wait for the time."""
    if now.quality == NONE:
        return Finding(
            "clock", "warn", "worth nothing: neither synchronized nor set by a hardware clock", "let it be set"
        )
    return Finding(
        "clock", "ok", "synchronized" if now.quality >= NTP else "not synchronized, but a clock vouches for it"
    )


def broker(host: str, port: int, *, required: bool) -> Finding:
    """Whether the broker's name resolves and somebody answers there; a warning unless `required`."""
    try:
        with contextlib.closing(socket.create_connection((host, port), _PATIENCE_S)):
            return Finding("broker", "ok", f"{host} port {port} answers")
    except (OSError, UnicodeError) as problem:  # a name that cannot be one is a UnicodeError
        said = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
        what, cure = f"{host} port {port}: {said}", "statements are kept until it is there"
        return Finding("broker", "FAIL" if required else "warn", what, cure, UNAVAILABLE if required else OK)
