"""What the simulator does when a SocketCAN interface is full, down or away; the bus says what a kernel was seen to say."""

import errno
import os

import can
import pytest

from firmware_sim.bus.frame import CanFrame, TimedFrame
from firmware_sim.errors import OutputError
from firmware_sim.outputs import python_can_bus
from firmware_sim.outputs.python_can_bus import PythonCanBus

FRAMES = [TimedFrame(number, CanFrame(0x100 + number, bytes((number,)))) for number in range(8)]


class Kernel:
    """One interface as python-can's users meet it: `trouble` is the errno of whatever is tried, `room` how much it takes."""

    channel_info = "socketcan channel 'can0'"

    def __init__(self):
        self.trouble = 0
        self.room = 1 << 20
        self.sent = []
        self.opened = 0
        self.now_s = 0.0

    def bus(self, **_):
        """Stands for can.Bus: an interface that is down can be opened."""
        self.opened += 1
        return self

    def index(self, _name):
        """Stands for socket.if_nametoindex."""
        if self.trouble == errno.ENODEV:
            raise OSError("no interface with this name")
        return 3

    def recv(self, _timeout):
        if self.trouble:
            raise can.CanOperationError(f"Error receiving: {os.strerror(self.trouble)}", self.trouble)

    def send(self, message, timeout):
        assert timeout == 0
        if self.trouble:
            raise can.CanOperationError(f"Failed to transmit: {os.strerror(self.trouble)}", self.trouble)
        if not self.room:
            raise can.CanOperationError(f"Failed to transmit: {os.strerror(errno.ENOBUFS)}", errno.ENOBUFS)
        self.room -= 1
        self.sent.append(message.arbitration_id)

    def shutdown(self):
        """Nothing is held."""

    def sleep(self, seconds):
        self.now_s += seconds

    def monotonic(self):
        return self.now_s


@pytest.fixture
def kernel(monkeypatch):
    one = Kernel()
    monkeypatch.setattr(can, "Bus", one.bus)
    monkeypatch.setattr(python_can_bus.socket, "if_nametoindex", one.index)
    monkeypatch.setattr(python_can_bus, "time", one)
    return one


@pytest.fixture
def output(kernel):
    opened = PythonCanBus("socketcan", "can0")
    opened.open()
    return opened


def test_an_interface_that_goes_down_is_waited_for_and_what_was_taken_is_counted(kernel, output, capsys):
    assert output.offer(FRAMES[:3]) == 3
    kernel.trouble = errno.ENETDOWN
    assert output.offer(FRAMES[3:]) == 0
    assert not output.listening
    assert output.offer(FRAMES[3:]) == 0
    for _ in range(3):
        output.service()
        assert not output.listening
    kernel.trouble = 0
    kernel.now_s += python_can_bus.RETRY_S
    output.service()
    assert output.listening
    assert output.offer(FRAMES[3:]) == 5
    assert output.tally.written == 8
    assert capsys.readouterr().err == (
        "packseal-sim: socketcan can0: Network is down; waiting for it to come back\n"
        "packseal-sim: socketcan can0: is back\n"
    )


@pytest.mark.parametrize("trouble", [errno.ENODEV, errno.ENXIO])
def test_an_interface_that_is_removed_and_made_again_is_opened_anew(kernel, output, trouble):
    kernel.trouble = trouble
    output.service()
    assert not output.listening
    kernel.trouble = errno.ENODEV
    kernel.now_s += python_can_bus.RETRY_S
    output.service()
    assert not output.listening
    kernel.trouble = 0
    output.service()
    assert not output.listening, "it is not asked for in every step"
    kernel.now_s += python_can_bus.RETRY_S
    output.service()
    assert output.listening
    assert kernel.opened == 2


def test_a_queue_that_stays_full_is_waited_for_no_longer_than_the_patience(kernel, output):
    kernel.room = 3
    assert output.offer(FRAMES) == 3
    assert python_can_bus.PATIENCE_S <= kernel.now_s <= 2 * python_can_bus.PATIENCE_S
    assert output.listening
    assert output.tally.written == 3


def test_a_queue_that_empties_in_time_loses_nothing(kernel, output):
    def drained(seconds):
        kernel.now_s += seconds
        kernel.room = 4

    kernel.room, kernel.sleep = 2, drained
    assert output.offer(FRAMES) == len(FRAMES)
    assert kernel.sent == [timed.frame.identifier for timed in FRAMES]


@pytest.mark.parametrize(
    ("trouble", "cure"), [(errno.ENETDOWN, "ip link set can0 up"), (errno.ENODEV, "ip link add can0 type vcan")]
)
def test_an_interface_that_is_not_there_at_the_start_is_an_error_with_its_cure(kernel, trouble, cure):
    kernel.trouble = trouble
    with pytest.raises(OutputError, match=cure):
        PythonCanBus("socketcan", "can0").open()


def test_any_other_failure_ends_the_run(kernel, output):
    kernel.trouble = errno.EIO
    with pytest.raises(OutputError, match="gone"):
        output.offer(FRAMES)


def test_only_socketcan_is_waited_for(kernel):
    output = PythonCanBus("kvaser", "0")
    output.open()
    kernel.trouble = errno.ENETDOWN
    with pytest.raises(OutputError, match="gone"):
        output.service()
