"""The behaviour of every source on what a machine without CAN has: python-can's virtual and multicast bus, and our own slcan.

The same facts are held against SocketCAN in the machine `bus` of tests/vm.
"""

from __future__ import annotations

import itertools
import socket

import can
import pytest

from agent.frames import ERROR, EXTENDED, FD, REMOTE
from agent.sources.python_can import LiveSource
from agent.sources.slcan import SlcanSource
from tests.slcan_adapter import PluggableAdapter
from tests.vm.guest.bus.source_behaviour import Place, SourceBehaviour, TextBehaviour, UnpluggableBehaviour

_numbers = itertools.count()


def message(number, flags, payload):
    return can.Message(
        arbitration_id=number,
        is_extended_id=bool(flags & EXTENDED),
        is_remote_frame=bool(flags & REMOTE),
        is_error_frame=bool(flags & ERROR),
        is_fd=bool(flags & FD),
        data=payload,
    )


def row(heard):
    flags = heard.is_extended_id * EXTENDED + heard.is_remote_frame * REMOTE + heard.is_error_frame * ERROR
    return heard.arbitration_id, flags + heard.is_fd * FD, bytes(heard.data)


class OnPythonCan(Place):
    """A bus of python-can's to which the test has two doors of its own."""

    def __init__(self, interface, channel, **options):
        self.source = LiveSource(interface, channel, None, options)
        self._speaker = can.Bus(interface=interface, channel=channel, **options)
        self._listener = can.Bus(interface=interface, channel=channel, **options)

    def give(self, frames):
        for each in frames:
            self._speaker.send(message(*each))

    def overheard(self):
        return [row(heard) for heard in iter(lambda: self._listener.recv(0.2), None)]

    def stop(self):
        self._speaker.shutdown()
        self._listener.shutdown()


class OnSlcan(Place):
    """An adapter that is a process: what it hears on its bus is what the test gives."""

    flags = 0

    def __init__(self, folder):
        self._adapter = PluggableAdapter(folder / "adapter")
        self._adapter.plug()
        self.source = SlcanSource(str(self._adapter.path), 500_000)
        self._given = []

    def give(self, frames):
        self._given += frames
        for number, flags, payload in frames:
            letter = "r" if flags & REMOTE else "t"
            head = f"{letter.upper()}{number:08X}" if flags & EXTENDED else f"{letter}{number:03X}"
            self._adapter.say(f"{head}{len(payload)}{payload.hex().upper()}".encode())

    def await_arrival(self):
        self._adapter.await_arrival()

    def give_nonsense(self):
        self._adapter.say(b"t12")

    def overheard(self):
        self.unplug()
        said = [line for line in self._adapter.heard.split(b"\r") if line[:1] in b"tTrR" and line]
        return self._given + said

    def unplug(self):
        self._adapter.unplug()

    def plug(self):
        self._adapter.plug()

    def stop(self):
        self._adapter.unplug()


def virtual():
    return OnPythonCan("virtual", f"behaviour-{next(_numbers)}")


def multicast():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.bind(("", 0))
        port = asked.getsockname()[1]  # of its own: whoever listens on a port hears all groups of this machine there
    return OnPythonCan("udp_multicast", "239.74.163.78", port=port)


class TestOnPythonCansOwnBuses(SourceBehaviour):
    @pytest.fixture(params=[virtual, multicast], ids=["virtual", "udp_multicast"])
    def place(self, request):
        place = request.param()
        yield place
        place.source.close()
        place.stop()


class TestOnSlcan(UnpluggableBehaviour, TextBehaviour):
    @pytest.fixture
    def place(self, tmp_path):
        place = OnSlcan(tmp_path)
        yield place
        place.source.close()
        place.stop()
