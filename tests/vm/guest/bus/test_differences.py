"""What our SocketCAN source does that python-can's interface cannot: the reasons for having our own, as facts about both."""

import time

import pytest
from bus_machine import ERROR, image, raw, vcan
from source_behaviour import collect

from agent.errors import BusOff
from agent.frames import Frames
from agent.sources.python_can import LiveSource
from agent.sources.socketcan import SocketCanSource
from agent.sources.source import boottime_us


def ours(name):
    return SocketCanSource(name, coalesce_s=0.01)


def python_cans(name):
    return LiveSource("socketcan", name)


def and_python_cans(reason):
    """The fact for both, expected to fail for python-can's."""
    marks = pytest.mark.soak, pytest.mark.xfail(strict=True, reason=f"python-can's socketcan {reason}")
    return pytest.mark.parametrize("make", [ours, pytest.param(python_cans, marks=marks)])


@pytest.fixture
def bus(make):
    """(an open source, a socket that speaks on its bus)."""
    with vcan() as name, raw(name) as speaker:
        source = make(name)
        source.open()
        yield source, speaker
        source.close()


@and_python_cans("does not ask the kernel how many frames it had no room for")
def test_frames_that_the_kernel_dropped_are_counted(bus):
    source, speaker = bus
    for number in range(20_000):
        speaker.send(image(number & 0x7FF))
    seen, until = 0, time.monotonic() + 20
    while seen < 20_000 and time.monotonic() < until:
        reading = source.read(0.05)
        if not len(reading.frames) and not reading.lost:
            break
        seen += len(reading.frames) + reading.lost
    assert seen == 20_000


@and_python_cans("hands over the error frame and goes on listening to a controller that hears nothing any more")
def test_a_controller_that_leaves_the_bus_is_an_outage(bus):
    source, speaker = bus
    speaker.send(image(0x040, ERROR, bytes(8)))
    reading = source.read(0.5)
    assert reading.frames.flags.tolist() == [ERROR]
    with pytest.raises(BusOff):
        source.read(0.5)


@and_python_cans("is read with the time of the reading")
def test_a_frame_has_the_time_at_which_it_came_however_late_it_is_read(bus):
    source, speaker = bus
    speaker.send(image(1))
    sent_us = boottime_us()
    time.sleep(0.5)
    (time_us,) = Frames.concat([each.frames for each in collect(source, 1)]).time_us.tolist()
    assert time_us <= sent_us
