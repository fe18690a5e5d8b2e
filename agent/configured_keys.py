"""The folder of keys that a configuration names, with what seals them."""

from __future__ import annotations

from agent import wrapping_key
from agent.config import AgentConfig
from agent.keystore import Keystore
from evidence.names import Registrar


def keystore(config: AgentConfig) -> Keystore:
    """The configured folder of keys."""
    setting = config.keys.wrapping_key
    folder = config.state_dir / "keys"
    return Keystore(folder, Registrar(config.registrar), config.gateway, lambda: wrapping_key.fetch(setting))
