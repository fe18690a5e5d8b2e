"""The numbers of UDS that this server speaks (ISO 14229-1): sessions, services and negative response codes."""

from __future__ import annotations

import enum


class Session(enum.IntEnum):
    """Diagnostic session (ISO 14229-1, table 25)."""

    DEFAULT = 0x01
    EXTENDED = 0x03


class Sid(enum.IntEnum):
    """Service identifier of a request; its positive response has 0x40 more."""

    SESSION_CONTROL = 0x10
    RESET = 0x11
    CLEAR_TROUBLE_CODES = 0x14
    READ_TROUBLE_CODES = 0x19
    READ_BY_IDENTIFIER = 0x22
    COMMUNICATION_CONTROL = 0x28
    WRITE_BY_IDENTIFIER = 0x2E
    ROUTINE_CONTROL = 0x31
    TESTER_PRESENT = 0x3E


class Nrc(enum.IntEnum):
    """Negative response code (ISO 14229-1, annex A)."""

    SERVICE_NOT_SUPPORTED = 0x11
    SUB_FUNCTION_NOT_SUPPORTED = 0x12
    INCORRECT_LENGTH_OR_FORMAT = 0x13
    RESPONSE_TOO_LONG = 0x14
    BUSY_REPEAT_REQUEST = 0x21
    CONDITIONS_NOT_CORRECT = 0x22
    REQUEST_OUT_OF_RANGE = 0x31
    SECURITY_ACCESS_DENIED = 0x33
    RESPONSE_PENDING = 0x78
    SUB_FUNCTION_NOT_IN_SESSION = 0x7E
    SERVICE_NOT_IN_SESSION = 0x7F


NEGATIVE = 0x7F
POSITIVE = 0x40
SUPPRESS_POSITIVE = 0x80

UNSAID_WHEN_FUNCTIONAL = frozenset({
    Nrc.SERVICE_NOT_SUPPORTED, Nrc.SUB_FUNCTION_NOT_SUPPORTED, Nrc.REQUEST_OUT_OF_RANGE,
    Nrc.SUB_FUNCTION_NOT_IN_SESSION, Nrc.SERVICE_NOT_IN_SESSION,
})  # fmt: skip
"""To a request to everybody, who does not know the question keeps silent (ISO 14229-1, 7.5.3.3)."""
