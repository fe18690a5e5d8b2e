"""One MQTT connection from CONNECT to its end. The only module that touches paho-mqtt; everything runs in one thread.

A paho client is used for one connection and thrown away. Used again it would send all that it still holds at once,
whatever the broker's Receive Maximum, and queue what is published in between. Its own loops are not used either: they
write from the publisher's thread, sleep through a publish for up to a second, and die with a callback's exception while
still claiming to be connected. Here the owner's thread waits (`step`), and every end is a LinkDown.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from paho.mqtt.client import (
    MQTT_CLEAN_START_FIRST_ONLY,
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
    error_string,
)
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from link import sockets
from link.endpoint import Endpoint
from link.errors import LinkDown, Outcome
from link.events import Denied, Dropped, Event, Message, Published, Subscribed, Up, Version, Will
from link.requests import Outgoing

UNHEARD = 0x10
CONNECT_TIMEOUT_S = 10.0
# Refusals that repetition cannot mend: client id, credentials, authorisation, ban, authentication method; a broker
# without retained messages or QoS 1; and another client of our id, which would replace us back for ever.
_PERMANENT = frozenset({0x85, 0x86, 0x87, 0x8A, 0x8C, 0x8E, 0x9A, 0x9B})
_UNSUPPORTED_VERSION = 0x84
# Far above what is reported as too large, so that a broker withholds only what could exhaust memory.
_PACKET_LIMIT_FACTOR = 16
# Messages that a broker may send ahead of our acknowledgements (MQTT 5; 3.1.1 leaves it to the broker).
_INBOUND_WINDOW = 256


class Session:
    """One connection; `emit` gets each event in order, from within `step`."""

    def __init__(
        self,
        endpoint: Endpoint,
        version: Version,
        birth: int,
        will: Will | None,
        *,
        window: int,
        inbound_limit_bytes: int,
        tokens: Iterator[int],
        emit: Callable[[Event], None],
    ) -> None:
        self._endpoint = endpoint
        self._version = version
        self._birth = birth
        self._window = window
        self._inbound_limit = inbound_limit_bytes
        self._tokens = tokens
        self._emit = emit
        self._accepted = False
        self._leaving = False
        self._end: LinkDown | None = None
        self._answer_by = 0.0
        self._packet_limit: int | None = None
        self._retain_available = True
        self._sent: dict[int, int] = {}
        self._asked: dict[int, tuple[str, ...]] = {}
        self._unacked: dict[int, tuple[int, int]] = {}
        self._client = self._build(will)

    def connect(self) -> None:
        """Open the socket and send CONNECT; waits at most CONNECT_TIMEOUT_S. The answer arrives in `step`."""
        here = self._endpoint
        properties: Properties | None = None
        clean_start: bool | Literal[3] = MQTT_CLEAN_START_FIRST_ONLY
        if self._version == "5":
            clean_start = here.session_expiry_s == 0
            properties = _properties(
                PacketTypes.CONNECT,
                SessionExpiryInterval=here.session_expiry_s,
                ReceiveMaximum=_INBOUND_WINDOW,
                MaximumPacketSize=min(self._inbound_limit * _PACKET_LIMIT_FACTOR, 0xFFFFFFFF),
            )
        try:
            self._client.connect(here.host, here.port, here.keepalive_s, clean_start=clean_start, properties=properties)
        except ssl.SSLError as problem:
            reason = getattr(problem, "verify_message", "") or problem.reason or "handshake failed"
            raise LinkDown(f"{here}: TLS: {reason}") from None
        except (OSError, ValueError) as problem:
            raise LinkDown(f"{here}: {getattr(problem, 'strerror', None) or problem}") from None
        sockets.tune(self._client.socket(), self._endpoint.keepalive_s)
        self._answer_by = time.monotonic() + CONNECT_TIMEOUT_S

    def step(self, wake: int, timeout_s: float) -> None:
        """Wait for the network, or for the descriptor `wake`, and do what is due; LinkDown when it is over."""
        client = self._client
        link = client.socket()
        if link is None:
            raise self._ended(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        buffered = sockets.buffered(link)
        timeout_s = 0.0 if buffered else timeout_s
        readable = sockets.wait(
            link.fileno(), wake=wake, reading=True, writing=client.want_write(), timeout_s=timeout_s
        )
        code = client.loop_read() if readable or buffered else MQTTErrorCode.MQTT_ERR_SUCCESS
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS and client.want_write():
            code = client.loop_write()
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS:
            code = client.loop_misc()
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self._end:
            raise self._ended(code)
        if not self._accepted and time.monotonic() > self._answer_by:
            raise LinkDown(f"{self._endpoint}: no answer to CONNECT", outcome=Outcome.UNANSWERED)

    def publish(self, message: Outgoing) -> bool:
        """Hand one message to paho, which sends it at once (the owner keeps to the window); False if it cannot go."""
        if self._packet_limit is not None and message.packet_bytes() > self._packet_limit:
            reason = f"Packet too large: this broker takes {self._packet_limit} bytes"
            self._emit(Published(message.token, ok=False, reason=reason))
            return False
        info = self._client.publish(
            message.topic,
            message.payload,
            message.qos,
            message.retain and self._retain_available,
            _publish_properties(message) if self._version == "5" else None,
        )
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._emit(Published(message.token, ok=False, reason=error_string(info.rc)))
            return False
        self._sent[info.mid] = message.token
        return True

    def subscribe(self, filters: Mapping[str, int]) -> None:
        """Ask for these filters with their QoS; the answer is a Subscribed, or a Denied for each refused one."""
        _code, identifier = self._client.subscribe(list(filters.items()))
        if identifier is not None:
            self._asked[identifier] = tuple(filters)

    def unsubscribe(self, filters: list[str]) -> None:
        """Take filters back."""
        self._client.unsubscribe(filters)

    def acknowledge(self, token: int) -> None:
        """Acknowledge a message of this connection; a token of an earlier one means nothing here and is ignored."""
        identifier, qos = self._unacked.pop(token, (0, 0))
        if qos:
            self._client.ack(identifier, qos)

    def disconnect(self, timeout_s: float) -> None:
        """Send what is written but not sent, then DISCONNECT, so that the broker drops the will."""
        self._leaving = True
        deadline = time.monotonic() + timeout_s
        self._client.disconnect()
        while (link := self._client.socket()) is not None and time.monotonic() < deadline:
            left_s = deadline - time.monotonic()
            sockets.wait(link.fileno(), wake=None, reading=False, writing=True, timeout_s=left_s)
            self._client.loop_write()

    def abandon(self) -> None:
        """Close the socket without a word: the broker publishes the will."""
        link = self._client.socket()
        if link is not None:
            link.close()

    def _build(self, will: Will | None) -> Client:
        here = self._endpoint
        five = self._version == "5"
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=here.client_id,
            clean_session=None if five else here.session_expiry_s == 0,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        # A second line behind the owner's window: paho itself takes no more than this.
        client.max_inflight_messages_set(self._window)
        client.max_queued_messages_set(self._window)
        if here.username:
            client.username_pw_set(here.username, here.secret())
        if here.tls:
            client.tls_set_context(here.tls.context())
        if will:
            properties = _properties(PacketTypes.WILLMESSAGE, ContentType=will.content_type) if five else None
            client.will_set(will.topic, will.payload, will.qos, will.retain, properties)
        client.on_connect = lambda _c, _u, flags, reason, found: self._on_connect(flags, reason, found)
        client.on_disconnect = lambda _c, _u, flags, reason, _found: self._on_disconnect(flags, reason)
        client.on_publish = lambda _c, _u, identifier, reason, _found: self._on_publish(identifier, reason)
        client.on_subscribe = lambda _c, _u, identifier, reasons, _found: self._on_subscribe(identifier, reasons)
        client.on_message = lambda _c, _u, message: self._on_message(message)
        client.on_socket_close = lambda _c, _u, link: self._on_close(link)
        # With this set paho leaves all writing to loop_write, instead of writing inside publish().
        client.on_socket_register_write = lambda _c, _u, _link: None
        return client

    def _ended(self, code: MQTTErrorCode) -> LinkDown:
        if self._end:
            return self._end
        if code == MQTTErrorCode.MQTT_ERR_PROTOCOL and not self._accepted and self._version == "3.1.1":
            # paho says no more than this when a broker refuses 3.1.1 as a version.
            return LinkDown(f"{self._endpoint}: refused MQTT 3.1.1", outcome=Outcome.UNSUPPORTED)
        if code == MQTTErrorCode.MQTT_ERR_PROTOCOL:
            return LinkDown(f"{self._endpoint}: a packet that paho cannot read", outcome=Outcome.MALFORMED)
        if not self._accepted:
            return LinkDown(f"{self._endpoint}: hung up before answering CONNECT", outcome=Outcome.UNANSWERED)
        return LinkDown(f"{self._endpoint}: connection lost")

    def _on_connect(self, flags: ConnectFlags, reason: ReasonCode, found: Properties | None) -> None:
        if reason.is_failure:
            unsupported = reason.value == _UNSUPPORTED_VERSION
            self._end = LinkDown(
                f"{self._endpoint}: refused: {reason}",
                permanent=reason.value in _PERMANENT or (unsupported and self._endpoint.protocol != "auto"),
                outcome=Outcome.UNSUPPORTED if unsupported else Outcome.LOST,
            )
            return
        self._accepted = True
        self._window = min(self._window, getattr(found, "ReceiveMaximum", 65535))
        self._packet_limit = getattr(found, "MaximumPacketSize", None)
        self._retain_available = bool(getattr(found, "RetainAvailable", 1))
        self._emit(Up(self._version, self._window, self._birth, flags.session_present))

    def _on_disconnect(self, flags: DisconnectFlags, reason: ReasonCode | int | None) -> None:
        # Comes twice on a keepalive timeout; the first reason stands.
        if self._end or self._leaving or not isinstance(reason, ReasonCode):
            return
        if flags.is_disconnect_packet_from_server:
            self._end = LinkDown(
                f"{self._endpoint}: disconnected by the broker: {reason}", permanent=reason.value in _PERMANENT
            )
        elif reason == "Keep alive timeout":
            self._end = LinkDown(f"{self._endpoint}: no sign of life from the broker within the keepalive")

    def _on_publish(self, identifier: int, reason: ReasonCode) -> None:
        token = self._sent.pop(identifier, None)
        if token is not None:
            self._emit(Published(token, not reason.is_failure, str(reason), reason.value == UNHEARD))

    def _on_subscribe(self, identifier: int, reasons: list[ReasonCode]) -> None:
        answers = list(zip(self._asked.pop(identifier, ()), reasons, strict=False))
        if granted := tuple(name for name, reason in answers if not reason.is_failure):
            self._emit(Subscribed(granted))
        for name, reason in answers:
            if reason.is_failure:
                self._emit(Denied(name, str(reason)))

    def _on_message(self, message: MQTTMessage) -> None:
        token = next(self._tokens)
        if message.qos:
            self._unacked[token] = (message.mid, message.qos)
        payload = bytes(message.payload)
        complaint = None
        try:
            topic = message.topic
        except UnicodeDecodeError as problem:
            topic = bytes(problem.object).decode(errors="backslashreplace")
            complaint = "the topic is not UTF-8"
        if len(payload) > self._inbound_limit:
            complaint = f"larger than {self._inbound_limit} bytes"
        if complaint:
            self._emit(Dropped(topic, len(payload), complaint))
            self.acknowledge(token)
            return
        content_type = getattr(message.properties, "ContentType", None)
        response_topic = getattr(message.properties, "ResponseTopic", None)
        self._emit(Message(topic, payload, content_type, token, message.qos, message.retain, response_topic))

    def _on_close(self, link: object) -> None:
        if self._leaving:
            sockets.finish(link)


def _publish_properties(message: Outgoing) -> Properties:
    return _properties(
        PacketTypes.PUBLISH,
        PayloadFormatIndicator=int(message.text),
        ContentType=message.content_type,
        MessageExpiryInterval=message.expiry_s,
        ResponseTopic=message.response_topic,
    )


def _properties(packet: int, **values: int | str | None) -> Properties:
    properties = Properties(packet)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        if value is not None:
            setattr(properties, name, value)
    return properties
