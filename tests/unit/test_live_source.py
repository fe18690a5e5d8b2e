"""Live buses through python-can: what is particular to it.

What every source does is in tests/pipeline/test_source_behaviour.py.
"""

import time

import can
import pytest

from agent.errors import ConfigError, SourceError
from agent.frames import Frames
from agent.sources.python_can import LiveSource

DEADLINE_S = 10


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


@pytest.mark.parametrize(
    ("source", "said"),
    [
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
