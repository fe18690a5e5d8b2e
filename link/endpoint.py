"""Where the broker is and how to be let in: the URL, the TLS files and the password, checked in one place.

Secrets are read when they are needed and never shown: not in a repr, not in an error. The file is read again at each
connection, so that a password can be changed without a restart.
"""

from __future__ import annotations

import secrets
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from link.errors import EndpointError
from link.retry import Mode
from link.sockets import ClosedOnFailure

PORTS = {"mqtt": 1883, "mqtts": 8883}
_MAX_SECRET_BYTES = 65535


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: whom to trust (`ca`; None: the system's roots) and who we are (`certificate`, `key`)."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """A client context that checks the broker's name and certificate, TLS 1.2 or newer; EndpointError."""
        for path in filter(None, (self.ca, self.certificate, self.key)):
            _readable(path)
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate:
                # A password prompt would hang a service: an encrypted key is refused instead.
                context.load_cert_chain(self.certificate, self.key, password=lambda: b"")
        except (OSError, ValueError) as problem:
            files = ", ".join(str(path) for path in (self.ca, self.certificate, self.key) if path)
            raise EndpointError(f"TLS files {files}: {_reason(problem)}") from None
        context.sslsocket_class = ClosedOnFailure
        return context


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A broker and the identity used there. `password_file` wins over `password`.

    With a `session_expiry_s` of 0 every session is clean; else the broker keeps ours so long (on 3.1.1: as it likes).
    """

    host: str
    port: int
    client_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None
    tls: Tls | None = None
    keepalive_s: int = 30
    protocol: Mode = "auto"
    session_expiry_s: int = 0

    def __post_init__(self) -> None:
        if not self.host or not 0 < self.port < 65536:
            raise EndpointError(f"{self.host!r} port {self.port} is not a broker's address")
        if not self.client_id or not _is_mqtt_string(self.client_id, 256):
            raise EndpointError(f"{self.client_id[:80]!r} cannot be an MQTT client id")
        if not _is_mqtt_string(self.username or "", 65535) or not _is_mqtt_string(self.password or "", 65535):
            raise EndpointError("user name and password must be text that UTF-8 can carry, at most 65535 bytes")
        if not 1 <= self.keepalive_s <= 65535:
            raise EndpointError(f"a keepalive of {self.keepalive_s} s: MQTT allows 1 to 65535")
        if not 0 <= self.session_expiry_s <= 0xFFFFFFFF:
            raise EndpointError(f"a session expiry of {self.session_expiry_s} s: MQTT allows 0 to 4294967295")
        if self.protocol not in ("auto", "5", "3.1.1"):
            raise EndpointError(f"protocol {self.protocol!r}: write auto, 5 or 3.1.1")
        if not self.username and (self.password is not None or self.password_file):
            raise EndpointError(f"{self}: a password without a user name")

    def __str__(self) -> str:
        """The URL, without the password: what logs and status lines show."""
        scheme = "mqtts" if self.tls else "mqtt"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{self.username + '@' if self.username else ''}{host}:{self.port}"

    def secret(self) -> str | None:
        """The password, freshly read; EndpointError names the file, never its content."""
        if not self.password_file:
            return self.password
        content = _readable(self.password_file)
        try:
            lines = content.decode().splitlines()
        except UnicodeDecodeError:
            lines = []
        if len(lines) != 1 or not lines[0]:
            raise EndpointError(f"{self.password_file}: must hold the password as one line of UTF-8 text")
        return lines[0]

    def check(self) -> None:
        """Raise EndpointError now for what would otherwise fail at each connection: unusable TLS or password files."""
        self.secret()
        if self.tls:
            self.tls.context()


def parse_url(
    url: str,
    *,
    client_id: str = "",
    password_file: Path | None = None,
    tls: Tls | None = None,
    keepalive_s: int = 30,
    protocol: Mode = "auto",
    session_expiry_s: int = 0,
) -> Endpoint:
    """Read `mqtt[s]://[user[:password]@]host[:port]` (1883, TLS 8883); EndpointError in one line, without the password.

    Without a client id a random one is made, which only suits programs that keep no session at the broker.
    """
    if any(character.isspace() or not character.isprintable() for character in url):
        raise EndpointError("the broker's URL has spaces or control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise EndpointError("the broker's URL cannot be read: write mqtt://[user@]host[:port]") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise EndpointError("the broker's URL must be mqtt://[user@]host[:port], or mqtts:// for TLS")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise EndpointError(f"the broker's URL ends with its port: nothing may follow {parts.hostname}")
    if parts.scheme == "mqtt" and tls is not None:
        raise EndpointError(f"TLS files are set, but the broker's URL is plain: write mqtts://{parts.hostname}")
    if tls is not None and (tls.certificate is None) != (tls.key is None):
        raise EndpointError("a client certificate and its key go together: set both or neither")
    if session_expiry_s and not client_id:
        raise EndpointError("a session kept by the broker needs a client id of our own")
    return Endpoint(
        host=parts.hostname,
        port=PORTS[parts.scheme] if port is None else port,
        client_id=client_id or f"packseal-{secrets.token_hex(6)}",
        username=_unquoted(parts.username),
        password=_unquoted(parts.password),
        password_file=password_file,
        tls=(tls or Tls()) if parts.scheme == "mqtts" else None,
        keepalive_s=keepalive_s,
        protocol=protocol,
        session_expiry_s=session_expiry_s,
    )


def _is_mqtt_string(text: str, longest: int) -> bool:
    try:
        return "\0" not in text and len(text.encode()) <= longest
    except UnicodeEncodeError:
        return False


def _unquoted(text: str | None) -> str | None:
    try:
        return unquote(text, errors="strict") if text else None
    except UnicodeDecodeError:
        raise EndpointError("the broker's URL: user name and password must be percent-encoded UTF-8") from None


def _readable(path: Path) -> bytes:
    """At most the first 64 KiB of a file that must be readable; EndpointError with its name otherwise."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_SECRET_BYTES)
    except OSError as problem:
        raise EndpointError(f"{path}: {_reason(problem)}") from None


def _reason(problem: Exception) -> str:
    if isinstance(problem, ssl.SSLError):
        return f"not usable PEM ({problem.reason or 'unreadable'})"
    return (problem.strerror if isinstance(problem, OSError) else None) or str(problem) or type(problem).__name__
