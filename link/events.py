"""What a connection tells its owner: plain values, no library types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Version = Literal["5", "3.1.1"]


@dataclass(frozen=True, slots=True)
class Up:
    """The broker accepted us. `window` QoS 1 messages may be in flight; `birth` is the one that our will names."""

    protocol: Version
    window: int
    birth: int
    session_present: bool


@dataclass(frozen=True, slots=True)
class Down:
    """A connection, or an attempt at one, ended. Every token not yet answered is void: nothing is resent by the link.

    `permanent` means that repeating alone will not help (credentials, client id); it is still retried, slowly.
    """

    reason: str
    permanent: bool
    retry_in_s: float


@dataclass(frozen=True, slots=True)
class Message:
    """One message received. QoS 1 is redelivered until `Connection.ack(token)`, so ack only after committing."""

    topic: str
    payload: bytes
    content_type: str | None
    token: int
    qos: int
    retained: bool
    response_topic: str | None


@dataclass(frozen=True, slots=True)
class Published:
    """The broker's answer to a QoS 1 publish, or that a QoS 0 one has been written to the socket.

    `ok` False: denied, with the broker's reason (MQTT 5 only: 3.1.1 cannot tell). `unheard`: accepted, but nobody
    subscribes to the topic (reason 0x10). Neither is ever a reason to forget what was sent.
    """

    token: int
    ok: bool
    reason: str
    unheard: bool = False


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The broker granted these filters. It proves nothing about delivery: probe where that matters."""

    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Denied:
    """The broker refused a subscription."""

    filter: str
    reason: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """A received message was not passed on (too large, topic not UTF-8); it has been acknowledged to the broker."""

    topic: str
    size: int
    reason: str


Event = Up | Down | Message | Published | Subscribed | Denied | Dropped


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes for us when we vanish (MQTT 5.0, section 3.1.2.5)."""

    topic: str
    payload: bytes
    retain: bool = True
    qos: int = 1
    content_type: str | None = None
