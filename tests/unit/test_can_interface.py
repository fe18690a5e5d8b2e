"""What the kernel says of CAN interfaces, read from answers put together as rtnetlink.h and can/netlink.h lay them out."""

from __future__ import annotations

import struct

import pytest

from agent import can_interface, selftest
from agent.can_interface import CanInterface
from agent.errors import ConfigError, SourceError


def attribute(kind, content):
    return struct.pack("=HH", 4 + len(content), kind) + content + bytes(-len(content) % 4)


def answer(*, flags=0x1, hardware=280, kind=b"can\0", data=b"", before=b""):
    information = attribute(18 | 0x8000, attribute(1, kind) + attribute(2 | 0x8000, data))  # as kernels mark nesting
    body = struct.pack("=BxHiII", 0, hardware, 3, flags, 0) + before + information
    return struct.pack("=IHHII", 16 + len(body), 16, 0, 1, 99) + body


def controller(bitrate=500_000, state=0, modes=0):
    timing = struct.pack("=8I", bitrate, 875, 125, 6, 7, 2, 1, 10)
    return attribute(1, timing) + attribute(4, struct.pack("=I", state)) + attribute(5, struct.pack("=II", 2, modes))


def failure(code):
    return struct.pack("=IHHII", 36, 2, 0, 1, 99) + struct.pack("=i", -code) + bytes(16)


def test_a_controller_is_read_with_its_bit_rate_state_and_whether_it_only_listens():
    name = attribute(3, b"can0\0")
    read = can_interface.read("can0", answer(data=controller(250_000, 2, 2), before=name + attribute(99, b"odd")))
    assert read == CanInterface("can0", "can", True, 250_000, "error-passive", True)
    assert can_interface.read("can0", answer(flags=0, data=controller(0, 4))) == CanInterface(
        "can0", "can", False, None, "stopped", False
    )


def test_a_virtual_interface_has_neither_bit_rate_nor_state():
    assert can_interface.read("vcan0", answer(kind=b"vcan\0")) == CanInterface("vcan0", "vcan", True)


def test_a_state_that_we_do_not_know_is_none():
    assert can_interface.read("can0", answer(data=controller(state=77))).state is None


@pytest.mark.parametrize(
    ("said", "error", "text"),
    [
        (failure(19), SourceError, "no interface can0"),
        (failure(1), SourceError, "Operation not permitted"),
        (answer(hardware=772), ConfigError, "no CAN interface"),
        (b"", SourceError, "cut short"),
        (answer()[:20], SourceError, "cut short"),
        (answer(data=attribute(1, b"\1")), SourceError, "cut short"),
        (struct.pack("=IHHII", 16, 3, 0, 1, 99), SourceError, "of kind 3"),
    ],
)
def test_every_other_answer_is_one_error(said, error, text):
    with pytest.raises(error, match=text):
        can_interface.read("can0", said)


def test_every_cut_of_an_answer_is_read_or_refused():
    whole = answer(data=controller())
    for at in range(len(whole)):
        try:
            can_interface.read("can0", whole[:at])
        except SourceError:
            continue


def test_attributes_of_no_length_end_the_reading():
    assert can_interface.read("can0", answer(before=struct.pack("=HH", 0, 18))) == CanInterface("can0", "can", True)


@pytest.mark.parametrize(
    ("interface", "bitrate", "verdict", "text"),
    [
        (
            CanInterface("can0", "can", True, 500_000, "error-active", True),
            500_000,
            "ok",
            "500000 bit/s, listen-only, error-",
        ),
        (CanInterface("can0", "can", True, 250_000, "error-active"), None, "ok", "250000 bit/s, error-active"),
        (CanInterface("can0", "can", True, 250_000, "error-active"), 500_000, "FAIL", "the configuration says 500000"),
        (CanInterface("can0", "can", False, 500_000, "stopped"), 500_000, "FAIL", "is down"),
        (CanInterface("can0", "can", True, 500_000, "bus-off"), 500_000, "FAIL", "has left the bus"),
        (CanInterface("vcan0", "vcan", True), 500_000, "ok", "virtual"),
    ],
)
def test_the_selftest_judges_what_the_kernel_says(monkeypatch, interface, bitrate, verdict, text):
    monkeypatch.setattr(can_interface, "look", lambda _name: interface)
    found = selftest.socketcan("pack-1", interface.name, bitrate)
    assert found.result == verdict
    assert text in str(found)
