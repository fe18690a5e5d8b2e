"""What a connection's owner asks of its thread: plain values, checked before they are taken.

A value that paho or a broker would choke on must fail in the caller's hands: in the thread it would end the connection,
and the caller, sending it again, would end the next.
"""

from __future__ import annotations

from dataclasses import dataclass

from link import topics
from link.errors import LinkError

_LONGEST_PACKET = 268_435_455
# A PUBLISH's fixed header, topic length, packet id and the heads of its properties never take more than this.
_HEAD_BYTES = 64
_LONGEST_EXPIRY_S = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One publish on its way to the broker; 3.1.1 leaves the MQTT 5 properties out. LinkError for the impossible."""

    token: int
    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    content_type: str | None = None
    text: bool = False
    expiry_s: int | None = None
    response_topic: str | None = None

    def __post_init__(self) -> None:
        topics.check_name(self.topic)
        if self.response_topic is not None:
            topics.check_name(self.response_topic)
        if self.content_type is not None:
            topics.check_text(self.content_type)
        if self.qos not in (0, 1):
            raise LinkError(f"{self.topic}: QoS {self.qos} is not used: 0 or 1")
        if self.expiry_s is not None and not 0 <= self.expiry_s <= _LONGEST_EXPIRY_S:
            raise LinkError(f"{self.topic}: an expiry of {self.expiry_s} s: MQTT allows 0 to {_LONGEST_EXPIRY_S}")
        if self.packet_bytes() > _LONGEST_PACKET:
            raise LinkError(f"{self.topic}: {len(self.payload)} bytes do not fit into an MQTT packet")

    def packet_bytes(self) -> int:
        """What the packet takes on the wire, never too little."""
        texts = (self.topic, self.content_type or "", self.response_topic or "")
        return _HEAD_BYTES + sum(len(text.encode()) for text in texts) + len(self.payload)

    def application_bytes(self) -> int:
        """Topic and payload."""
        return len(self.topic.encode()) + len(self.payload)


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Filters with the highest QoS wanted for each."""

    filters: dict[str, int]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Filters no longer wanted."""

    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The message of this token has been dealt with."""

    token: int


Request = Outgoing | Subscribe | Unsubscribe | Acknowledge
