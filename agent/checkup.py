"""Puts the checks of `packseal-agent selftest` together: everything that a start needs, in the order in which it needs it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from agent import app, config, configured_keys, selftest, wrapping_key
from agent.clock import SystemClock
from agent.config import AgentConfig, PackTable
from agent.errors import ConfigError
from agent.keystore import Keystore
from agent.ownership import as_owner_of
from agent.profile import Profile
from agent.selftest import Finding


def findings(path: Path | None, *, require_broker: bool) -> Iterator[Finding]:
    """What is found with the configuration in `path`, one by one. Root looks with the eyes of the state folder's owner."""
    yield selftest.signatures()
    found, settings = selftest.attempt("configuration", partial(config.load, path), partial(_named, path))
    yield found
    if settings is None:
        return
    keys = configured_keys.keystore(settings)
    if settings.keys.wrapping_key != wrapping_key.NONE:
        # Before root looks with other eyes: only root can ask for the credential.
        yield selftest.attempt("wrapping key", keys.unlock, lambda _key: "is there")[0]
    with as_owner_of(settings.state_dir):
        yield from _readable(config.find(path))
        yield selftest.state_folder(settings.state_dir)
        yield selftest.store(settings.state_dir)
        for table in settings.pack:
            yield from _pack(settings, table, keys)
        yield selftest.clock(SystemClock().read())
        yield _broker(settings, require_broker)


def _named(path: Path | None, settings: AgentConfig) -> str:
    if not settings.pack:
        raise ConfigError(f"{config.find(path)}: no [[pack]]; say what to listen to")
    return f"{config.find(path)} names {', '.join(table.id for table in settings.pack)}"


def _readable(path: Path) -> Iterator[Finding]:
    if not os.access(path, os.R_OK, effective_ids=True):
        what, cure = f"{path} cannot be read by the agent's user", f"chmod a+r {path}"
        yield Finding("configuration", "FAIL", what, cure, ConfigError.exit_code)


def _pack(settings: AgentConfig, table: PackTable, keys: Keystore) -> Iterator[Finding]:
    compiled = selftest.attempt(f"profile {table.profile}", partial(app.profile, settings, table.profile), _size)
    found, profile = compiled
    yield found
    yield selftest.signing_key(keys, table.id)
    if profile is not None:
        yield _source(table, profile)


def _size(profile: Profile) -> str:
    return f"{len(profile.signals)} signals from {len(profile.messages)} messages"


def _source(table: PackTable, profile: Profile) -> Finding:
    wanted = table.source
    configured = selftest.tried(f"source of {table.id}", lambda: app.source(wanted, profile).name)
    if configured.result != "ok":
        return configured
    match wanted.interface:
        case "socketcan":
            return selftest.socketcan(table.id, wanted.channel, wanted.bitrate)
        case "slcan":
            return selftest.serial_adapter(table.id, wanted.channel)
        case other:
            return selftest.other_source(table.id, other)


def _broker(settings: AgentConfig, required: bool) -> Finding:
    found, endpoint = selftest.attempt("broker", lambda: app.endpoint(settings), str)
    return found if endpoint is None else selftest.broker(endpoint.host, endpoint.port, required=required)
