"""What can go wrong on the link, by blame. None of paho's, ssl's or the socket's exceptions leaves this package.

LinkError
|-- TopicError      ours: a topic, filter or identifier that DESIGN's topic table does not know
|-- EndpointError   the operator's: broker URL, TLS file, password file
|-- PresenceError   the peer's: a `state` payload that is not one
`-- LinkDown        the world's: one connection has ended, or never came about
"""

from __future__ import annotations

import enum


class LinkError(Exception):
    """Root of everything the link reports; one line of text."""


class TopicError(LinkError):
    """A topic name, filter or identifier that is not one of ours or not valid MQTT (5.0, section 4.7)."""


class EndpointError(LinkError):
    """A broker address or the files named with it cannot be used; the text says which and why."""


class PresenceError(LinkError):
    """A presence payload is not the JSON object that the `state` topic carries."""


class Outcome(enum.Enum):
    """How a connection ended, as far as the choice of the next protocol version depends on it."""

    LOST = "lost"
    UNSUPPORTED = "unsupported"
    UNANSWERED = "unanswered"
    MALFORMED = "malformed"


class LinkDown(LinkError):
    """One connection's end: why, and whether trying again soon could help (`permanent` means it could not)."""

    def __init__(self, reason: str, *, permanent: bool = False, outcome: Outcome = Outcome.LOST) -> None:
        self.reason = " ".join(reason.split())
        self.permanent = permanent
        self.outcome = outcome
        super().__init__(self.reason)
