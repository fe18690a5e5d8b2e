"""The agent's configuration file: read once, unknown keys refused, every error one line that names file and key.

Only `cli` and `app` see it; everything else receives live objects.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, field, structs

from agent.errors import ConfigError
from evidence import names
from evidence.keys import NamedKey
from packseal import tables
from packseal.tables import Broken, Table, hold

SEARCHED: Final = (Path("agent.toml"), Path("/etc/packseal/agent.toml"))
DEFAULT_BITRATE: Final = 500_000


class KeysTable(Table):
    """[keys]: what the key files are sealed with: none, credential, or the path of a file."""

    wrapping_key: Annotated[
        str, Meta(min_length=1, max_length=4096, description="none, credential or the path of a file")
    ] = "none"

    def __post_init__(self) -> None:
        hold(self, tables.path, "wrapping_key")


class LedgerTable(Table):
    """[ledger]: whose proofs count."""

    key: str

    def __post_init__(self) -> None:
        hold(self, NamedKey.parse, "key")


class BrokerTable(Table):
    """[broker]: the MQTT broker that statements go to."""

    url: str = "mqtt://127.0.0.1:1883"
    password_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = 30


class UplinkTable(Table):
    """[uplink]: when something is sent again, and whether documents are sent at all."""

    proof_timeout_s: Annotated[float, Meta(ge=0.1, le=3600)] = 10.0
    documents: Literal["archive", "keep"] = "archive"


class SegmentTable(Table):
    """[segment]: how much one signature covers."""

    seconds: Annotated[int, Meta(ge=1, le=900)] = 300
    window_ms: Annotated[int, Meta(ge=100, le=60_000)] = 1000


class SourceTable(Table):
    """[pack.source]: where a pack's frames come from, in python-can's terms. Without a bitrate it is DEFAULT_BITRATE."""

    interface: str
    channel: str
    bitrate: Annotated[int, Meta(ge=10_000, le=1_000_000)] | None = None
    options: dict[str, str | int | float | bool] = field(default_factory=dict)


class PackTable(Table):
    """[[pack]]: one pack on one bus."""

    id: str
    profile: str
    source: SourceTable

    def __post_init__(self) -> None:
        hold(self, names.identifier, "id", "profile")


class AgentConfig(Table, kw_only=True):
    """The whole file."""

    gateway: str
    registrar: str
    state_dir: Path = Path("/var/lib/packseal/agent")
    profile_dir: Path | None = None
    keys: KeysTable = KeysTable()
    ledger: LedgerTable
    broker: BrokerTable = BrokerTable()
    uplink: UplinkTable = UplinkTable()
    segment: SegmentTable = SegmentTable()
    pack: tuple[PackTable, ...] = ()

    def __post_init__(self) -> None:
        hold(self, names.identifier, "gateway")
        hold(self, names.Registrar, "registrar")
        if len({pack.id for pack in self.pack}) != len(self.pack):
            raise Broken("pack", "a pack is listed twice")


def find(path: Path | None) -> Path:
    """`path`, or the first of the usual places that is there; ConfigError if none is."""
    # Path.exists would raise where the working folder is not ours to enter.
    chosen = path or next((each for each in SEARCHED if os.path.exists(each)), None)  # noqa: PTH110
    if chosen is None:
        raise ConfigError(f"no configuration: give --config FILE or write {' or '.join(map(str, SEARCHED))}")
    return chosen


def load(path: Path | None) -> AgentConfig:
    """The configuration in `path`, or in the first of the usual places; ConfigError names file, key and cure."""
    chosen = find(path)
    try:
        config = tables.read(tables.parsed(chosen.read_bytes()), AgentConfig, chosen.resolve().parent)
    except OSError as problem:
        raise ConfigError(f"{chosen}: {problem.strerror}") from None
    except tables.Complaint as problem:
        raise ConfigError(f"{chosen}: {problem}") from None
    if config.keys.wrapping_key in ("none", "credential"):
        return config
    file = chosen.resolve().parent / tables.path(config.keys.wrapping_key)
    return structs.replace(config, keys=KeysTable(wrapping_key=str(file)))
