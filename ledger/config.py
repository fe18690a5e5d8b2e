"""The ledger's configuration file: parsed once, unknown keys refused, every error one line that names file and key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Meta

from evidence import names
from ledger.errors import ConfigError
from link import endpoint
from link.endpoint import Endpoint, Tls
from link.errors import LinkError
from link.retry import Mode
from packseal import tables
from packseal.tables import Table, hold

PLACES: Final = (Path("ledger.toml"), Path("/etc/packseal/ledger.toml"))
LARGEST_DOCUMENT: Final = 4 * 1024 * 1024 + 4096


class LedgerSection(Table):
    """Which log this is and where it is kept."""

    origin: str | None = None
    registrar: str | None = None
    id: str = "main"
    state_dir: Path = Path("/var/lib/packseal/ledger")

    def __post_init__(self) -> None:
        hold(self, names.origin, "origin")
        hold(self, names.Registrar, "registrar")
        hold(self, names.identifier, "id")


class BrokerSection(Table):
    """How the ledger reaches its gateways."""

    url: str = "mqtt://127.0.0.1:1883"
    password_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    protocol: Mode = "auto"
    keepalive_s: Annotated[int, Meta(ge=1, le=65535)] = 30
    shared_subscription: str = ""

    def __post_init__(self) -> None:
        if self.shared_subscription:
            hold(self, names.identifier, "shared_subscription")


class LogSection(Table):
    """How the log is kept."""

    checkpoint_interval_s: Annotated[float, Meta(ge=0.05, le=3600)] = 1.0
    time_interval_s: Annotated[int, Meta(ge=1, le=3600)] = 60
    heads_interval_s: Annotated[int, Meta(ge=1, le=86400)] = 3600
    batch: Annotated[int, Meta(ge=1, le=65536)] = 256


class Config(Table):
    """A whole ledger.toml."""

    ledger: LedgerSection = LedgerSection()
    broker: BrokerSection = BrokerSection()
    log: LogSection = LogSection()

    @property
    def folder(self) -> Path:
        """The state folder."""
        return self.ledger.state_dir

    def endpoint(self, url: str | None = None) -> Endpoint:
        """The broker's endpoint, with its files checked; ConfigError in one line."""
        broker = self.broker
        files = (broker.ca, broker.certificate, broker.key)
        try:
            made = endpoint.parse_url(
                url or broker.url,
                client_id=f"packseal-ledger-{self.ledger.id}",
                password_file=broker.password_file,
                tls=Tls(*files) if any(files) else None,
                keepalive_s=broker.keepalive_s,
                protocol=broker.protocol,
            )
            made.check()
        except LinkError as problem:
            raise ConfigError(f"broker: {problem}") from None
        return made


def load(path: Path | None) -> Config:
    """The configuration of a file, or of the first of the usual places; without any file the defaults. ConfigError."""
    if path is None:
        # Path.is_file would raise where the working folder is not ours to enter.
        path = next((place for place in PLACES if os.path.isfile(place)), None)  # noqa: PTH113
    if path is None:
        return Config()
    try:
        return read(tables.parsed(path.read_bytes()), str(path), path.resolve().parent)
    except OSError as problem:
        raise ConfigError(f"{path}: {problem.strerror}") from None
    except tables.Complaint as problem:
        raise ConfigError(f"{path}: {problem}") from None


def read(parsed: dict[str, Any], where: str, folder: Path = Path()) -> Config:
    """The configuration of parsed TOML, its paths relative to `folder`; ConfigError naming `where` and the wrong key."""
    try:
        return tables.read(parsed, Config, folder)
    except tables.Complaint as problem:
        raise ConfigError(f"{where}: {problem}") from None
