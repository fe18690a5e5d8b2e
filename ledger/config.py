"""The ledger's configuration file: parsed once, unknown keys refused, every error one line that names file and key."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from evidence import names
from evidence.errors import FormatError
from ledger.errors import ConfigError
from link import endpoint
from link.endpoint import Endpoint, Tls
from link.errors import LinkError
from link.retry import Mode

PLACES: Final = (Path("ledger.toml"), Path("/etc/packseal/ledger.toml"))
LARGEST_DOCUMENT: Final = 4 * 1024 * 1024 + 4096
_Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class LedgerSection(_Section):
    """Which log this is and where it is kept."""

    origin: str | None = None
    registrar: str | None = None
    id: _Identifier = "main"
    state_dir: str = "/var/lib/packseal/ledger"

    @field_validator("origin")
    @classmethod
    def _origin(cls, text: str | None) -> str | None:
        return text if text is None else _evidence(names.origin, text)

    @field_validator("registrar")
    @classmethod
    def _registrar(cls, text: str | None) -> str | None:
        return text if text is None else _evidence(names.Registrar, text).authority


class BrokerSection(_Section):
    """How the ledger reaches its gateways."""

    url: str = "mqtt://127.0.0.1:1883"
    password_file: str | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    protocol: Mode = "auto"
    keepalive_s: Annotated[int, Field(ge=1, le=65535)] = 30
    shared_subscription: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9-]{0,47})?$")] = ""


class LogSection(_Section):
    """How the log is kept."""

    checkpoint_interval_s: Annotated[float, Field(ge=0.05, le=3600, strict=False)] = 1.0
    time_interval_s: Annotated[int, Field(ge=1, le=3600)] = 60
    heads_interval_s: Annotated[int, Field(ge=1, le=86400)] = 3600
    batch: Annotated[int, Field(ge=1, le=65536)] = 256


class Config(_Section):
    """A whole ledger.toml."""

    ledger: LedgerSection = LedgerSection()
    broker: BrokerSection = BrokerSection()
    log: LogSection = LogSection()

    @property
    def folder(self) -> Path:
        """The state folder."""
        return Path(self.ledger.state_dir).expanduser()

    def endpoint(self, url: str | None = None) -> Endpoint:
        """The broker's endpoint, with its files checked; ConfigError in one line."""
        broker = self.broker
        files = (broker.ca, broker.certificate, broker.key)
        try:
            made = endpoint.parse_url(
                url or broker.url,
                client_id=f"packseal-ledger-{self.ledger.id}",
                password_file=_path(broker.password_file),
                tls=Tls(*(_path(each) for each in files)) if any(files) else None,
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
        parsed = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise ConfigError(f"{path}: {getattr(problem, 'strerror', None) or problem}") from None
    return _rooted(read(parsed, str(path)), path.resolve().parent)


def _rooted(config: Config, folder: Path) -> Config:
    """Relative paths in the file are relative to the file."""
    files = {name: getattr(config.broker, name) for name in ("password_file", "ca", "certificate", "key")}
    broker = {name: _under(folder, text) for name, text in files.items() if text is not None}
    ledger = {"state_dir": _under(folder, config.ledger.state_dir)}
    return config.model_copy(
        update={
            "ledger": config.ledger.model_copy(update=ledger),
            "broker": config.broker.model_copy(update=broker),
        }
    )


def _under(folder: Path, text: str) -> str:
    return str(folder / Path(text).expanduser())


def read(parsed: dict[str, Any], where: str) -> Config:
    """The configuration of parsed TOML; ConfigError naming `where` and the first wrong key."""
    try:
        return Config.model_validate(parsed)
    except ValidationError as problem:
        first = problem.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        what = "is not a key of ledger.toml" if first["type"] == "extra_forbidden" else first["msg"]
        raise ConfigError(f"{where}: {key}: {what}") from None


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text).expanduser()


def _evidence(check: Any, text: str) -> Any:  # noqa: ANN401 - what `check` makes of the text
    try:
        return check(text)
    except FormatError as problem:
        raise ValueError(str(problem)) from None
