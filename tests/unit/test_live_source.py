"""Live buses through python-can: what is particular to its virtual bus and to slcan on a pseudo-terminal.

What every source does is in tests/pipeline/test_source_behaviour.py.
"""

import time

import can
import pytest

from agent.errors import ConfigError, SourceError
from agent.frames import Frames
from agent.sources.python_can import LiveSource
from tests.slcan_adapter import Adapter

DEADLINE_S = 10


@pytest.fixture
def adapter():
    adapter = Adapter()
    yield adapter
    adapter.stop()


def slcan(path, **options):
    return LiveSource("slcan", path, 500_000, {"sleep_after_open": 0, **options})


def collect(source, count):
    """Read until so many frames and faults have come; fails at a deadline."""
    parts, malformed, complaints = [], 0, []
    until = time.monotonic() + DEADLINE_S
    while sum(map(len, parts)) + malformed < count:
        assert time.monotonic() < until, "the frames did not come"
        intake = source.read(0.1)
        parts.append(intake.frames)
        malformed += intake.malformed
        complaints += intake.complaints
    return Frames.concat(parts), malformed, complaints


MESSAGES = [
    can.Message(1.0, 0x123, is_extended_id=False, data=b"\x01\x02\x03"),
    can.Message(1.1, 0x18FF50E5, is_extended_id=True, data=bytes(range(8))),
    can.Message(1.2, 0x7FF, is_extended_id=False, is_remote_frame=True, dlc=0),
    can.Message(1.3, 0x100, is_extended_id=False, data=b""),
]


def test_times_are_those_of_the_injected_clock(tmp_path):
    ticks = iter(range(1000, 2000))
    source = LiveSource("virtual", str(tmp_path), clock_us=lambda: next(ticks))
    source.open()
    with can.Bus(interface="virtual", channel=str(tmp_path)) as bus:
        for message in MESSAGES:
            bus.send(message)
        frames, _, _ = collect(source, 4)
    source.close()
    assert frames.time_us.tolist() == [1000, 1001, 1002, 1003]


def test_slcan_lines_that_cannot_be_true_are_counted_and_skipped(adapter):
    source = slcan(adapter.path)
    source.open()
    adapter.say(
        b"t12",  # python-can raises IndexError
        b"tXYZ0",  # ValueError
        b"t123200",  # a byte is missing
        b"tFFF0",  # twelve bits
        b"t12390001020304050607",  # nine bytes
        b"\xff\xfe",  # not text: python-can keeps such a line and would read it for ever
        b"t1233010203",
    )
    frames, malformed, complaints = collect(source, 7)
    source.close()
    assert frames.ids.tolist() == [0x123]
    assert malformed == 6
    assert complaints[0].startswith(f"slcan {adapter.path}: unreadable message: ")


def test_a_second_reader_of_a_serial_port_is_refused_before_it_disturbs_the_first(adapter):
    first, second = slcan(adapter.path), slcan(adapter.path)
    first.open()
    with pytest.raises(SourceError, match=r"in use by another program; stop it first"):
        second.open()
    first.close()
    until = time.monotonic() + DEADLINE_S
    while not adapter.heard.endswith(b"O\rC\r"):
        assert time.monotonic() < until
        time.sleep(0.001)
    assert adapter.heard == b"C\rS6\r\rO\rO\rC\r"  # one opening and one closing
    second.open()
    second.close()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (LiveSource("slcan", "/dev/no-such-adapter"), "slcan /dev/no-such-adapter: cannot be opened: No such file"),
        (LiveSource("socketcan", "no-such-can"), "socketcan no-such-can: cannot be opened: "),
    ],
)
def test_a_bus_that_cannot_be_opened_is_one_line(source, said):
    with pytest.raises(SourceError) as caught:
        source.open()
    assert str(caught.value).startswith(said)
    assert caught.value.exit_code == 69
    assert "\n" not in str(caught.value)


def test_an_interface_that_python_can_does_not_know_is_a_wrong_configuration_not_an_outage():
    with pytest.raises(
        ConfigError, match=r"interface 'slcam' is none that python-can knows; take one of .*slcan"
    ) as caught:
        LiveSource("slcam", "can0")
    assert caught.value.exit_code == 78


def test_a_wrong_bitrate_is_one_line_and_lets_go_of_the_port(adapter):
    wrong = LiveSource("slcan", adapter.path, 123_456, {"sleep_after_open": 0})
    with pytest.raises(SourceError, match="bitrate"):
        wrong.open()
    right = slcan(adapter.path)
    right.open()
    right.close()


class Failing:
    """A bus whose adapter goes away after one message."""

    def __init__(self):
        self.messages = [MESSAGES[0]]

    def recv(self, timeout):
        if self.messages:
            return self.messages.pop()
        raise can.CanOperationError("device reports readiness to read but returned no data")

    def shutdown(self):
        raise can.CanOperationError("cannot write")


def test_what_came_before_the_adapter_went_away_is_given_first(monkeypatch):
    source = LiveSource("virtual", "any")
    monkeypatch.setattr(source, "_bus", Failing())
    intake = source.read(1)
    assert intake.frames.ids.tolist() == [0x123]
    with pytest.raises(SourceError, match="virtual any: adapter gone: device reports"):
        source.read(1)
