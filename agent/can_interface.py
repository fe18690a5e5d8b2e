"""What the kernel says of a CAN interface: whether it is there, up, at which bit rate, and in which state. It changes nothing.

One RTM_GETLINK over rtnetlink(7); the attributes of CAN interfaces are those of linux/can/netlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from agent.errors import ConfigError, SourceError

_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr
_LINK: Final = struct.Struct("=BxHiII")  # struct ifinfomsg
_ATTRIBUTE: Final = struct.Struct("=HH")  # struct rtattr
_NLM_F_REQUEST, _NLMSG_ERROR, _RTM_GETLINK, _RTM_NEWLINK = 1, 2, 18, 16
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_INFO_KIND, _IFLA_INFO_DATA = 3, 18, 1, 2
_IFLA_CAN_BITTIMING, _IFLA_CAN_STATE, _IFLA_CAN_CTRLMODE = 1, 4, 5
_ARPHRD_CAN, _IFF_UP, _LISTEN_ONLY = 280, 1, 2
_LONGEST_NAME: Final = 15
_ATTRIBUTE_TYPE: Final = 0x3FFF  # the two bits above are flags
_PATIENCE_S: Final = 2.0

STATES: Final = ("error-active", "error-warning", "error-passive", "bus-off", "stopped", "sleeping")
BUS_OFF: Final = "bus-off"


@dataclass(frozen=True, slots=True)
class CanInterface:
    """One interface; bit rate in bit/s and state are None where the kernel knows none, as of a virtual one."""

    name: str
    kind: str
    up: bool
    bitrate: int | None = None
    state: str | None = None
    listen_only: bool = False


def look(name: str) -> CanInterface:
    """The interface of this name. SourceError if there is none, ConfigError if it is none for CAN."""
    if not 0 < len(name.encode()) <= _LONGEST_NAME:
        raise ConfigError(f"{name[:40]!r} cannot be an interface: names have 1 to {_LONGEST_NAME} bytes")
    encoded = name.encode() + b"\0"
    wanted = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(encoded), _IFLA_IFNAME) + encoded
    wanted += bytes(-len(wanted) % 4)
    body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + wanted
    request = _HEADER.pack(_HEADER.size + len(body), _RTM_GETLINK, _NLM_F_REQUEST, 1, 0) + body
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
            kernel.settimeout(_PATIENCE_S)
            kernel.send(request)
            answer = kernel.recv(1 << 16)
    except OSError as problem:
        raise SourceError(f"{name}: the kernel cannot be asked: {problem.strerror or problem}") from None
    return read(name, answer)


def read(name: str, answer: bytes) -> CanInterface:
    """What the kernel answered; errors as of `look`."""
    try:
        _, kind, *_ = _HEADER.unpack_from(answer)
        if kind == _NLMSG_ERROR:
            (code,) = struct.unpack_from("=i", answer, _HEADER.size)
            if -code == errno.ENODEV:
                raise SourceError(f"no interface {name}; `ip link` shows which there are")
            raise SourceError(f"{name}: the kernel says: {os.strerror(-code)}")
        if kind != _RTM_NEWLINK:
            raise SourceError(f"{name}: the kernel's answer is of kind {kind}")
        _, hardware, _, flags, _ = _LINK.unpack_from(answer, _HEADER.size)
        if hardware != _ARPHRD_CAN:
            raise ConfigError(f"{name} is no CAN interface; `ip link show type can` shows which there are")
        return _described(name, bool(flags & _IFF_UP), answer[_HEADER.size + _LINK.size :])
    except struct.error:
        raise SourceError(f"{name}: the kernel's answer is cut short") from None


def _described(name: str, up: bool, attributes: bytes) -> CanInterface:
    information = dict(_attributes(dict(_attributes(attributes)).get(_IFLA_LINKINFO, b"")))
    kind = information.get(_IFLA_INFO_KIND, b"can").rstrip(b"\0").decode(errors="replace")
    can = dict(_attributes(information.get(_IFLA_INFO_DATA, b""))) if kind == "can" else {}
    bitrate = struct.unpack_from("=I", can[_IFLA_CAN_BITTIMING])[0] if _IFLA_CAN_BITTIMING in can else 0
    state = struct.unpack_from("=I", can[_IFLA_CAN_STATE])[0] if _IFLA_CAN_STATE in can else len(STATES)
    modes = struct.unpack_from("=II", can[_IFLA_CAN_CTRLMODE])[1] if _IFLA_CAN_CTRLMODE in can else 0
    named = STATES[state] if state < len(STATES) else None
    return CanInterface(name, kind, up, bitrate or None, named, bool(modes & _LISTEN_ONLY))


def _attributes(packed: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(packed):
        length, kind = _ATTRIBUTE.unpack_from(packed, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _ATTRIBUTE_TYPE, packed[at + _ATTRIBUTE.size : at + length]
        at += length + -length % 4
