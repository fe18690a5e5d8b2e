"""Live buses: python-can's virtual bus, and an slcan adapter simulated on a pseudo-terminal."""

import os
import signal
import subprocess
import sys
import threading
import time
import tty

import can
import pytest

from agent.errors import ConfigError, SourceError
from agent.frames import ERROR, EXTENDED, FD, REMOTE, Frames
from agent.sources.python_can import LiveSource
from agent.sources.recorded import RecordedSource

DEADLINE_S = 10


class Adapter:
    """The other end of the cable: an slcan adapter that answers commands and says what the test tells it to."""

    def __init__(self):
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self.heard = b""
        self._stopping = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self):
        while not self._stopping:
            heard = os.read(self.master, 1000)
            self.heard += heard
            os.write(self.master, b"\r" * heard.count(b"\r"))

    def say(self, *lines):
        os.write(self.master, b"".join(line + b"\r" for line in lines))

    def stop(self):
        self._stopping = True
        os.write(self._slave, b"C\r")
        self._thread.join(DEADLINE_S)
        os.close(self._slave)
        os.close(self.master)


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


# One behaviour, every source: what is put on the bus (or into the log) comes out.

MESSAGES = [
    can.Message(1.0, 0x123, is_extended_id=False, data=b"\x01\x02\x03"),
    can.Message(1.1, 0x18FF50E5, is_extended_id=True, data=bytes(range(8))),
    can.Message(1.2, 0x7FF, is_extended_id=False, is_remote_frame=True, dlc=0),
    can.Message(1.3, 0x100, is_extended_id=False, data=b""),
]


class OnVirtualBus:
    def __init__(self, tmp_path):
        self.name = str(tmp_path)
        self.bus = can.Bus(interface="virtual", channel=self.name)
        self.source = LiveSource("virtual", self.name)

    def give(self):
        for message in MESSAGES:
            self.bus.send(message)

    def stop(self):
        self.bus.shutdown()


class OnSlcan:
    def __init__(self, tmp_path):
        self.adapter = Adapter()
        self.source = slcan(self.adapter.path)

    def give(self):
        self.adapter.say(b"t1233010203", b"T18FF50E580001020304050607", b"r7FF0", b"t1000")

    def stop(self):
        self.adapter.stop()


class InLog:
    def __init__(self, tmp_path):
        path = tmp_path / "drive.log"
        with can.Logger(path) as logger:
            for message in MESSAGES:
                logger(message)
        self.source = RecordedSource([path])

    def give(self):
        pass

    def stop(self):
        pass


@pytest.fixture(params=[OnVirtualBus, OnSlcan, InLog])
def place(request, tmp_path):
    place = request.param(tmp_path)
    yield place
    place.source.close()
    place.stop()


def test_every_source_gives_the_frames_in_order_with_their_flags(place):
    place.source.open()
    place.give()
    frames, malformed, _ = collect(place.source, 4)
    assert malformed == 0
    assert frames.ids.tolist() == [0x123, 0x18FF50E5, 0x7FF, 0x100]
    assert frames.flags.tolist() == [0, EXTENDED, REMOTE, 0]
    assert frames.lengths.tolist() == [3, 8, 0, 0]
    assert bytes(frames.payload[1]) == bytes(range(8))
    assert (frames.time_us[1:] >= frames.time_us[:-1]).all()


def test_every_source_can_be_closed_twice_and_opened_again(place):
    place.source.open()
    place.source.close()
    place.source.close()
    place.source.open()
    place.give()
    frames, _, _ = collect(place.source, 4)
    assert len(frames) == 4


# What only live buses do.


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


def test_what_was_buffered_before_the_capture_is_not_seen(adapter):
    adapter.say(b"t0FF100", b"t0FF101")
    source = slcan(adapter.path)
    source.open()
    adapter.say(b"t123101")
    frames, malformed, _ = collect(source, 1)
    source.close()
    assert frames.ids.tolist() == [0x123]
    assert malformed == 0


def test_a_quiet_bus_gives_an_empty_intake(adapter):
    source = slcan(adapter.path)
    source.open()
    intake = source.read(0.01)
    source.close()
    assert (len(intake.frames), intake.malformed, intake.ended) == (0, 0, False)


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


def test_error_and_fd_frames_keep_their_flags(tmp_path):
    source = LiveSource("virtual", str(tmp_path))
    source.open()
    with can.Bus(interface="virtual", channel=str(tmp_path)) as bus:
        bus.send(can.Message(arbitration_id=0x4, is_error_frame=True, is_extended_id=False, data=bytes(8)))
        bus.send(can.Message(arbitration_id=0x5, is_fd=True, is_extended_id=False, data=bytes(24), dlc=24))
        frames, malformed, _ = collect(source, 2)
    source.close()
    assert malformed == 0
    assert frames.flags.tolist() == [ERROR, FD]
    assert frames.lengths.tolist() == [8, 24]


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


def test_reading_a_closed_source_is_an_error_of_its_own():
    with pytest.raises(SourceError, match="not open"):
        LiveSource("virtual", "x").read(0)


UNPLUGGABLE = """
import os, sys, tty
master, slave = os.openpty()
tty.setraw(slave)
print(os.ttyname(slave), flush=True)
while True:
    heard = os.read(master, 1000)
    os.write(master, b"\\r" * heard.count(b"\\r"))
    if b"O" in heard:
        os.write(master, b"t1233010203\\r" * 5)
"""


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


def test_an_unplugged_adapter_is_a_source_error_and_the_source_can_be_closed():
    process = subprocess.Popen([sys.executable, "-c", UNPLUGGABLE], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        source = slcan(process.stdout.readline().strip())
        source.open()
        process.send_signal(signal.SIGKILL)
        process.wait(DEADLINE_S)
        with pytest.raises(SourceError, match="adapter gone"):
            collect(source, 1_000_000)
        with pytest.raises(SourceError, match="adapter gone"):
            source.read(0)
        source.close()
        with pytest.raises(SourceError, match="cannot be opened"):
            source.open()
    finally:
        process.kill()
        process.wait(DEADLINE_S)
        process.stdout.close()
