import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.bus.frame import CanFrame
from firmware_sim.outputs.lawicel import Adapter, Channel, frame_line, parse_frame
from firmware_sim.outputs.output import HEARD_MAX

FRAMES = [
    (CanFrame(0x132, bytes.fromhex("01ABff")), b"t1323" + b"01ABFF"),
    (CanFrame(0x7FF, b""), b"t7FF0"),
    (CanFrame(0x18DAF110, bytes(8), extended=True), b"T18DAF1108" + b"00" * 8),
    (CanFrame(0x20, b"", remote=True, requested=4), b"r0204"),
    (CanFrame(0x1FFFFFFF, b"", extended=True, remote=True), b"R1FFFFFFF0"),
]


@pytest.mark.parametrize(("frame", "line"), FRAMES)
def test_a_frame_is_told_as_the_manual_says_and_understood_back(frame, line):
    assert frame_line(frame) == line
    assert parse_frame(line) == frame


@pytest.mark.parametrize(
    "line", [b"t8000", b"t1239" + b"00" * 9, b"t12320011aa", b"t123", b"t1232 0 0", b"T200000000", b"r123200"]
)
def test_a_malformed_frame_is_none(line):
    assert parse_frame(line) is None


def test_a_usual_session_is_answered_as_by_a_real_adapter():
    adapter = Adapter()
    assert adapter.feed(b"\r\rC\rV\rN\rS6\rZ1\rO\r") == b"\r\r\aV1013\rNPS01\r\r\r\r"
    assert adapter.channel is Channel.OPEN
    assert adapter.feed(b"O\rS5\rZ0\rs031C\rF\r") == b"\a\a\a\aF00\r"
    assert adapter.feed(b"t12320102\rT000001230\rr1230\rR000001230\r") == b"z\rZ\rz\rZ\r"
    assert adapter.received == 4
    assert adapter.line(FRAMES[0][0], 61_234_000) == b"t132301ABFF04D2\r"
    assert adapter.feed(b"C\rC\rF\rs031C\r") == b"\r\a\a\r"
    assert not adapter.is_open


def test_what_python_can_sends_at_opening_opens_the_channel():
    adapter = Adapter()
    adapter.feed(b"C\rS6\r\rO\rO\r")
    assert adapter.channel is Channel.OPEN


def test_what_the_host_puts_on_the_bus_is_heard_once_and_never_more_than_is_bounded():
    adapter = Adapter(Channel.OPEN)
    for frame, line in FRAMES:
        adapter.feed(line + b"\r")
        assert adapter.heard() == [frame]
        assert adapter.heard() == []
    adapter.feed(b"".join(b"t1002%04X\r" % number for number in range(HEARD_MAX + 100)))
    assert [int.from_bytes(frame.payload, "big") for frame in adapter.heard()] == list(range(100, HEARD_MAX + 100))
    adapter.feed(b"t1000\r")
    adapter.reset()
    assert adapter.heard() == [], "what a host that has gone has said is nobody's"


def test_in_listen_only_the_host_may_not_transmit():
    adapter = Adapter()
    assert adapter.feed(b"L\rt1230\r") == b"\r\a"
    assert adapter.is_open
    assert adapter.received == 0


def test_an_overrun_is_told_once_by_the_status_flags():
    adapter = Adapter(Channel.OPEN, overrun=True)
    assert adapter.feed(b"F\rF\r") == b"F01\rF00\r"


@pytest.mark.parametrize("command", [b"S9", b"S", b"S66", b"s12", b"sGGGG", b"X1", b"Z2", b"v1", b"OO", b"\x00"])
def test_an_unknown_command_is_refused_with_bell(command):
    assert Adapter().feed(command + b"\r") == b"\a"


def test_an_endless_command_is_forgotten_up_to_its_end():
    adapter = Adapter()
    assert adapter.feed(b"O" * 100_000) == b""
    assert adapter.feed(b"\rV\r") == b"\aV1013\r"


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_in_any_pieces_are_answered_once_for_each_carriage_return(pieces):
    whole, parts = Adapter(), Adapter()
    together = whole.feed(b"".join(pieces))
    assert together == b"".join(parts.feed(piece) for piece in pieces)
    assert together.count(b"\r") + together.count(b"\a") == b"".join(pieces).count(b"\r")
