"""The agent's configuration file: read once, unknown keys refused, every error one line that names file and key.

Only `cli` and `app` see it; everything else receives live objects.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from agent.errors import ConfigError
from evidence import names
from evidence.errors import FormatError
from evidence.keys import NamedKey

SEARCHED: Final = (Path("agent.toml"), Path("/etc/packseal/agent.toml"))


def _identifier(text: str) -> str:
    return _checked(names.identifier, text)


def _registrar(text: str) -> str:
    return _checked(lambda each: names.Registrar(each).authority, text)


def _vkey(text: str) -> str:
    return _checked(lambda each: str(NamedKey.parse(each)), text)


def _file(path: Path) -> Path:
    _no_nul(str(path))
    return path


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("a path cannot contain a NUL")
    return text


def _checked(check: Any, text: str) -> str:  # noqa: ANN401 - any of the parsers above
    try:
        return str(check(text))
    except FormatError as problem:
        raise ValueError(str(problem)) from None


Identifier = Annotated[str, AfterValidator(_identifier)]
# Paths are texts in TOML, and lists are not tuples: these two alone are not taken strictly.
File = Annotated[Path, Field(strict=False), AfterValidator(_file)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class KeysTable(_Table):
    """[keys]: what the key files are sealed with: none, credential, or the path of a file."""

    wrapping_key: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_no_nul)] = "none"


class LedgerTable(_Table):
    """[ledger]: whose proofs count."""

    key: Annotated[str, AfterValidator(_vkey)]


class BrokerTable(_Table):
    """[broker]: the MQTT broker that statements go to."""

    url: str = "mqtt://127.0.0.1:1883"
    password_file: File | None = None
    ca: File | None = None
    certificate: File | None = None
    key: File | None = None
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    keepalive_s: int = Field(30, ge=5, le=3600)


class UplinkTable(_Table):
    """[uplink]: when something is sent again, and whether documents are sent at all."""

    proof_timeout_s: float = Field(10.0, ge=0.1, le=3600)
    documents: Literal["archive", "keep"] = "archive"


class SegmentTable(_Table):
    """[segment]: how much one signature covers."""

    seconds: int = Field(300, ge=1, le=900)
    window_ms: int = Field(1000, ge=100, le=60_000)


class SourceTable(_Table):
    """[pack.source]: where a pack's frames come from, in python-can's terms."""

    interface: str
    channel: str
    bitrate: int | None = Field(500_000, ge=10_000, le=1_000_000)
    options: dict[str, str | int | float | bool] = {}


class PackTable(_Table):
    """[[pack]]: one pack on one bus."""

    id: Identifier
    profile: Identifier
    source: SourceTable


class AgentConfig(_Table):
    """The whole file."""

    gateway: Identifier
    registrar: Annotated[str, AfterValidator(_registrar)]
    state_dir: File = Path("/var/lib/packseal/agent")
    profile_dir: File | None = None
    keys: KeysTable = KeysTable()
    ledger: LedgerTable
    broker: BrokerTable = BrokerTable()
    uplink: UplinkTable = UplinkTable()
    segment: SegmentTable = SegmentTable()
    pack: Annotated[tuple[PackTable, ...], Field(strict=False)] = ()

    @field_validator("pack")
    @classmethod
    def _each_pack_once(cls, packs: tuple[PackTable, ...]) -> tuple[PackTable, ...]:
        ids = [pack.id for pack in packs]
        if len(set(ids)) != len(ids):
            raise ValueError("a pack is listed twice")
        return packs


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
        values = tomllib.loads(chosen.read_text(encoding="utf-8"))
    except OSError as problem:
        raise ConfigError(f"{chosen}: {problem.strerror}") from None
    except (ValueError, RecursionError) as problem:  # not TOML, not UTF-8, a number of 5,000 digits, 5,000 brackets
        raise ConfigError(f"{chosen}: not TOML: {problem}") from None
    try:
        config = AgentConfig.model_validate(values)
    except ValidationError as problem:
        raise ConfigError(f"{chosen}: {_first(problem)}") from None
    return config.model_copy(update=_rooted(config, chosen.resolve().parent))


def _rooted(config: AgentConfig, folder: Path) -> dict[str, object]:
    """Relative paths in the file are relative to the file."""
    update: dict[str, object] = {"state_dir": folder / config.state_dir}
    if config.profile_dir is not None:
        update["profile_dir"] = folder / config.profile_dir
    if config.keys.wrapping_key not in ("none", "credential"):
        update["keys"] = KeysTable(wrapping_key=str(folder / config.keys.wrapping_key))
    files = {name: getattr(config.broker, name) for name in ("password_file", "ca", "certificate", "key")}
    rooted = {name: folder / path for name, path in files.items() if path is not None}
    update["broker"] = config.broker.model_copy(update=rooted)
    return update


def _first(problem: ValidationError) -> str:
    """The first complaint as `key: what is wrong`, with what to do where the kind of error allows it."""
    errors = problem.errors(include_url=False, include_context=False)
    # A mistyped key shows twice, as one that is missing and one that is unknown: what was typed says more.
    error = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    key = ".".join(str(part + 1) if isinstance(part, int) else part for part in error["loc"]) or "the file"
    match error["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key; see the commented sample for the keys there are"
        case "missing":
            return f"{key}: missing; add it"
        case "tuple_type":
            return f"{key}: write [[{key}]], in double brackets, once for each"
        case _:
            given = f", not {error['input']!r:.200}" if isinstance(error["input"], str | int | float) else ""
            return f"{key}: {error['msg'].removeprefix('Value error, ')}{given}"
