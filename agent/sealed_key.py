"""The form of a key file whose seed is sealed at rest: one line of text. Pure; docs/formats.md, "Key file".

The box holds the seed together with whose it is, so that a file under another's name is refused instead of signing for it.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable
from typing import Final, NewType

from nacl import bindings
from nacl.exceptions import CryptoError

from agent.errors import ConfigError

WrappingKey = NewType("WrappingKey", bytes)  # 32 bytes
WRAPPING_BYTES: Final = 32
SEED_BYTES: Final = 32
_VERSION: Final = "packseal-key-v1"
_NONCE_BYTES: Final = bindings.crypto_secretbox_NONCEBYTES


def wrapping_key(content: bytes, where: str) -> WrappingKey:
    """The wrapping key as it was stored: 32 bytes, or 64 hexadecimal digits; ConfigError names where it lies."""
    if len(content) == WRAPPING_BYTES:
        return WrappingKey(content)
    text = content.strip()
    try:
        if len(text) == 2 * WRAPPING_BYTES:
            return WrappingKey(binascii.unhexlify(text))
    except binascii.Error:
        pass
    raise ConfigError(
        f"{where}: a wrapping key is {WRAPPING_BYTES} bytes or {2 * WRAPPING_BYTES} hexadecimal digits,"
        f" this is neither ({len(content)} bytes)"
    )


def is_sealed(content: bytes) -> bool:
    """Whether a key file holds a sealed key, of this or a later version."""
    return content.startswith(b"packseal-key-")


def seal(
    seed: bytes, key: WrappingKey, pack: str, gateway: str, random_bytes: Callable[[int], bytes] = os.urandom
) -> str:
    """The line of a key file for the seed of (pack, gateway)."""
    nonce = random_bytes(_NONCE_BYTES)
    box = bindings.crypto_secretbox(seed + f"{pack}/{gateway}".encode(), nonce, key)
    return f"{_VERSION} {base64.b64encode(nonce + box).decode()}\n"


def unseal(content: bytes, key: WrappingKey, pack: str, gateway: str, where: str) -> bytes:
    """The seed of (pack, gateway); ConfigError if the line is none, of another wrapping key, or another pack's."""
    version, _, encoded = content.decode(errors="replace").strip().partition(" ")
    if version != _VERSION:
        raise ConfigError(f"{where}: sealed in a form that this version does not know; use the one that made it")
    try:
        sealed = base64.b64decode(encoded, validate=True)
        opened = bindings.crypto_secretbox_open(sealed[_NONCE_BYTES:], sealed[:_NONCE_BYTES], key)
    except (CryptoError, ValueError):  # not base64, cut short, or not authentic
        raise ConfigError(
            f"{where}: sealed with another wrapping key, or damaged; bring that wrapping key back, or make a new key"
        ) from None
    seed, owner = opened[:SEED_BYTES], opened[SEED_BYTES:].decode(errors="replace")
    if owner != f"{pack}/{gateway}":
        raise ConfigError(f"{where}: holds the key of {owner}, not of {pack}/{gateway}; each key is for its own file")
    return seed
