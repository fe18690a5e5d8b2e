"""Controllers with states and bit rates of their own: a serial adapter that the kernel drives, and two emulated PCI ones."""

import contextlib
import fcntl
import json
import os
import pty
import struct
import termios
import threading
import time
import tty

import pytest
from bus_machine import DEADLINE_S, ERROR, details, eventually, image, ip, raw, run
from source_behaviour import broken, collect, heard, rows

from agent.errors import BusOff, SourceError
from agent.frames import Frames
from agent.sources.socketcan import SocketCanSource

_N_SLCAN = 17


class SerialAdapter:
    """A pseudo-terminal whose other end the kernel takes for an slcan adapter: a real interface with true error states."""

    def __init__(self):
        before = {each["ifname"] for each in _can_links()}
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        fcntl.ioctl(self._slave, termios.TIOCSETD, struct.pack("i", _N_SLCAN))
        (self.name,) = {each["ifname"] for each in _can_links()} - before
        self._heard = b""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        ip(f"link set {self.name} type can bitrate 500000 restart-ms 0")
        ip(f"link set {self.name} up")

    def say(self, *lines):
        os.write(self._master, b"".join(line + b"\r" for line in lines))

    @property
    def transmitted(self):
        """Frames that the kernel had it send: lines that begin as frames do."""
        return [line for line in self._heard.split(b"\r") if line[:1] in (b"t", b"T", b"r", b"R")]

    @property
    def state(self):
        return details(self.name)["linkinfo"]["info_data"]["state"]

    def unplug(self):
        if self._slave is not None:
            os.close(self._slave)
            self._slave = None
            self._listener.join(DEADLINE_S)
            os.close(self._master)

    def _listen(self):
        with contextlib.suppress(OSError):
            while said := os.read(self._master, 1000):
                self._heard += said


def _can_links():
    return json.loads(ip("-json -details link show type can") or "[]")


@pytest.fixture
def adapter():
    run("modprobe", "slcan")
    adapter = SerialAdapter()
    yield adapter
    adapter.unplug()


@pytest.fixture
def source(adapter):
    source = SocketCanSource(adapter.name, [(0x123, False)], coalesce_s=0.01)
    source.open()
    yield source
    source.close()


def test_a_serial_adapter_in_the_kernel_is_heard_and_never_spoken_to(adapter, source):
    adapter.say(b"t1234DEADBEEF", b"t1241FF", b"t1231AA")
    assert heard(source, 2) == [(0x123, 0, bytes.fromhex("DEADBEEF")), (0x123, 0, b"\xaa")]
    assert adapter.transmitted == []


def test_a_controller_that_becomes_error_passive_is_told_and_still_listened_to(adapter, source):
    adapter.say(b"sp128000")
    adapter.say(b"t1231AA")
    readings = collect(source, 2)
    frames = Frames.concat([each.frames for each in readings])
    assert [flags & ERROR for _, flags, _ in rows(frames)] == [ERROR, 0]
    assert [text for each in readings for text in each.complaints if "error-passive" in text]
    assert adapter.state == "ERROR-PASSIVE"


def test_a_controller_that_leaves_the_bus_is_an_outage_until_somebody_restarts_it(adapter, source):
    adapter.say(b"t1231AA", b"sb000256", b"t1231BB")
    problem, before = broken(source)
    assert isinstance(problem, BusOff)
    assert before[0] == (0x123, 0, b"\xaa")
    assert (0x123, 0, b"\xbb") not in before
    assert adapter.state == "BUS-OFF"
    for _ in range(2):
        with pytest.raises(BusOff, match="cannot be opened: the controller is off the bus after too many errors"):
            source.open()
    ip(f"link set {adapter.name} down")
    with pytest.raises(SourceError, match="the interface is down"):
        source.open()
    ip(f"link set {adapter.name} up")
    source.open()
    adapter.say(b"t1231CC")
    assert heard(source, 1) == [(0x123, 0, b"\xcc")]


def test_a_controller_that_left_the_bus_while_nobody_read_is_noticed_by_the_silence(adapter):
    source = SocketCanSource(adapter.name, [(0x123, False)], coalesce_s=0.01)
    source.open()
    # As with a driver that tells of it in no frame: the error frame is for another socket than this one.
    source._bus._socket.setsockopt(101, 2, struct.pack("=I", 0))
    adapter.say(b"sb000256")
    problem, before = broken(source)
    assert isinstance(problem, BusOff)
    assert before == []


def test_an_adapter_that_is_pulled_out_is_an_outage_that_names_it(adapter, source):
    adapter.unplug()
    problem, _ = broken(source)
    assert str(problem).startswith(f"socketcan {adapter.name}: ")
    with pytest.raises(SourceError, match="there is no CAN interface of this name; is the adapter plugged in"):
        source.open()


@pytest.fixture
def pair():
    """Two controllers on one emulated bus, at 500 kbit/s."""
    for name in ("can0", "can1"):
        ip(f"link set {name} down", check=False)
        ip(f"link set {name} type can bitrate 500000 restart-ms 0")
        ip(f"link set {name} up")
    yield "can0", "can1"
    for name in ("can0", "can1"):
        ip(f"link set {name} down", check=False)


def test_two_emulated_controllers_with_a_bit_rate_carry_frames_from_one_to_the_other(pair):
    ours, others = pair
    assert details(ours)["linkinfo"]["info_data"]["bittiming"]["bitrate"] == 500_000
    source = SocketCanSource(ours, [(number, False) for number in range(100)], coalesce_s=0.01)
    source.open()
    sent = [(number, 0, bytes((number,)) * 8) for number in range(100)]
    with raw(others) as speaker:
        for each in sent:
            eventually(lambda each=each: _sent(speaker, each), "room in the queue of the controller")
            time.sleep(0.002)
    assert heard(source, 100) == sent
    assert details(ours)["stats64"]["tx"]["packets"] == 0
    source.close()


def test_a_controller_without_a_bit_rate_is_down_and_cannot_be_opened(pair):
    ours, _ = pair
    ip(f"link set {ours} down")
    with pytest.raises(SourceError, match="the interface is down; bring it up"):
        SocketCanSource(ours).open()


def _sent(speaker, frame):
    try:
        return speaker.send(image(*frame))
    except OSError:  # ENOBUFS: its queue of ten is full
        return 0
