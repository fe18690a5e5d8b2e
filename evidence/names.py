"""Identifiers and the URIs made of them (RFC 4151 `tag:` URIs under the registrar's domain and year)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NewType

from evidence.errors import FormatError
from evidence.keys import is_key_name

PackId = NewType("PackId", str)
GatewayId = NewType("GatewayId", str)

_IDENTIFIER: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,47}", re.ASCII)
_REGISTRAR: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,126}[a-z0-9],[12][0-9]{3}", re.ASCII)
_URI: Final = re.compile(r"tag:([^:]+):(pack|gw|party)/([^/]+)", re.ASCII)


def identifier(text: str, what: str = "identifier") -> str:
    """`text` if it is an identifier (`[a-z0-9][a-z0-9-]{0,47}`); FormatError naming `what` otherwise."""
    if not _IDENTIFIER.fullmatch(text):
        raise FormatError(f"{what} {text!r} is not 1 to 48 of a-z, 0-9 and '-' with no leading '-'")
    return text


def origin(text: str) -> str:
    """`text` if it may be a ledger's origin, a schema-less URL (C2SP tlog-checkpoint); FormatError otherwise."""
    if not is_key_name(text) or not text.isascii() or "://" in text:
        raise FormatError(f"origin {text!r} is not a schema-less URL such as ledger.example/packs")
    return text


@dataclass(frozen=True, slots=True)
class Registrar:
    """The tagging authority `domain,year` under which packs, gateways and parties are named."""

    authority: str

    def __post_init__(self) -> None:
        if not _REGISTRAR.fullmatch(self.authority):
            raise FormatError(f"registrar {self.authority!r} is not domain,year such as packs.example,2026")

    def pack(self, pack: str) -> str:
        """URI of a pack."""
        return f"tag:{self.authority}:pack/{identifier(pack, 'pack')}"

    def gateway(self, gateway: str) -> str:
        """URI of a gateway."""
        return f"tag:{self.authority}:gw/{identifier(gateway, 'gateway')}"

    def party(self, party: str) -> str:
        """URI of a party."""
        return f"tag:{self.authority}:party/{identifier(party, 'party')}"


def parse_uri(text: str, kind: str) -> tuple[Registrar, str]:
    """Registrar and identifier of a URI of `kind` (pack, gw, party); FormatError otherwise."""
    match = _URI.fullmatch(text)
    if match is None or match[2] != kind:
        raise FormatError(f"{text!r} is not the URI of a {kind}")
    return Registrar(match[1]), identifier(match[3], kind)
