"""The simulated pack on SocketCAN: asked by the kernel's own ISO-TP, faulty, on an interface that fills or goes away."""

import contextlib
import fcntl
import json
import os
import pty
import socket
import struct
import subprocess
import termios
import threading
import tty

import pytest
from bus_machine import DEADLINE_S, details, eventually, everything, ip, raw, read, run, vcan

from firmware_sim.bus.frame import CanFrame, TimedFrame
from firmware_sim.errors import OutputError
from firmware_sim.outputs.python_can_bus import RETRY_S, PythonCanBus

N_SLCAN = 17
REQUEST, RESPONSE = 0x602, 0x612
RESPONSE_PENDING = 0x78


class Pack:
    """`packseal-sim run` on a virtual bus: the bus's name, and the door for faults."""

    def __init__(self, bus, folder):
        self.bus, self._door = bus, folder / "door"
        self._said, self._counted = folder / "said", folder / "counted"
        words = ("--interface", "socketcan", "--channel", bus, "--control", self._door, "--seed", "5", "--json")
        with self._said.open("w") as said, self._counted.open("w") as counted:
            self._process = subprocess.Popen(["packseal-sim", "run", *words], stdout=counted, stderr=said)

    def speaking(self):
        return "sending on" in self._said.read_text()

    def do(self, request):
        """Ask for a fault, or for its end, as `packseal-sim inject` does."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(DEADLINE_S)
            asking.connect(str(self._door))
            asking.sendall(json.dumps(request).encode() + b"\n")
            assert json.loads(asking.makefile().readline())["ok"]

    def ask(self, request, timeout_s=DEADLINE_S):
        """The answer to a diagnostic request; the kernel segments and puts together."""
        with socket.socket(socket.AF_CAN, socket.SOCK_DGRAM, socket.CAN_ISOTP) as tester:
            tester.settimeout(timeout_s)
            tester.bind((self.bus, RESPONSE, REQUEST))
            tester.send(request)
            answer = tester.recv(4095)
            while answer[:1] == b"\x7f" and answer[2] == RESPONSE_PENDING:
                answer = tester.recv(4095)
            return answer

    def end(self):
        """Stop it; its exit code and what it counted."""
        self._process.terminate()
        code = self._process.wait(DEADLINE_S)
        return code, json.loads(self._counted.read_text())

    def kill(self):
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    run("modprobe", "can-isotp")
    with vcan() as bus:
        pack = Pack(bus, tmp_path_factory.mktemp("pack"))
        try:
            eventually(pack.speaking, "the simulator")
            yield pack
        finally:
            pack.kill()


def _is_silent(bus):
    """Whether nobody says anything for a second."""
    everything(bus)
    bus.settimeout(1.0)
    with contextlib.suppress(TimeoutError):
        read(bus)
        return False
    return True


@pytest.mark.soak
def test_the_kernels_own_iso_tp_reads_the_packs_diagnosis(pack):
    assert pack.ask(bytes.fromhex("22F190")) == bytes.fromhex("62F190") + b"SIMPACKSEAL000001"
    cells = pack.ask(bytes.fromhex("220211"))
    assert (cells[:4], len(cells)) == (bytes.fromhex("62021160"), 4 + 2 * 96)
    assert pack.ask(bytes.fromhex("220300"))[:3] == bytes.fromhex("620300"), "announced with response pending"
    assert pack.ask(bytes.fromhex("220400")) == bytes.fromhex("7F2233")


@pytest.mark.soak
@pytest.mark.parametrize("fault", ["bus-off", "adapter-unplugged"])
def test_a_fault_of_the_adapter_silences_the_pack_on_socketcan_and_deafens_it(pack, fault):
    with raw(pack.bus) as listener:
        read(listener)
        pack.do({"do": "inject", "kind": fault, "parameters": {}})
        eventually(lambda: _is_silent(listener), "silence")
        with pytest.raises(TimeoutError):
            pack.ask(bytes.fromhex("22F190"), timeout_s=1.0)
        pack.do({"do": "clear", "kind": None})
        listener.settimeout(DEADLINE_S)
        read(listener)
    assert pack.ask(bytes.fromhex("22F190"))[:1] == b"\x62"


@pytest.mark.soak
def test_what_the_simulator_says_it_has_written_is_what_the_interface_carried(pack):
    code, counts = pack.end()
    assert code == 0
    assert counts["dropped"] == 0
    assert counts["unheard"] > 0, "what the faults kept away"
    assert details(pack.bus)["stats64"]["tx"]["packets"] == counts["written"] + counts["from_host"]


def _frames(count):
    return [TimedFrame(number, CanFrame(0x100, struct.pack("<Q", number))) for number in range(count)]


@pytest.fixture
def output():
    with vcan() as bus:
        opened = PythonCanBus("socketcan", bus)
        opened.open()
        yield opened, bus
        opened.close()


def _returns(opened):
    def back():
        opened.service()
        return opened.listening

    eventually(back, "the interface", within_s=20 * RETRY_S)


def test_an_interface_that_goes_down_and_up_is_waited_for(output, capsys):
    opened, bus = output
    ip(f"link set {bus} down")
    assert opened.offer(_frames(2)) == 0
    assert not opened.listening
    opened.service()
    assert not opened.listening
    ip(f"link set {bus} up")
    _returns(opened)
    with raw(bus) as listener:
        assert opened.offer(_frames(2)) == 2
        assert len([read(listener), read(listener)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.rpartition(": ")[2] for line in said] == ["Network is down; waiting for it to come back", "is back"]


def test_an_interface_that_is_removed_and_made_again_is_waited_for(output):
    opened, bus = output
    ip(f"link del {bus}")
    opened.offer(_frames(1))
    opened.service()
    assert not opened.listening
    ip(f"link add {bus} type vcan")
    ip(f"link set {bus} up")
    _returns(opened)
    with raw(bus) as listener:
        assert opened.offer(_frames(1)) == 1
        assert read(listener)[0] == 0x100


def test_an_interface_that_is_missing_or_down_at_the_start_is_one_line_with_the_cure():
    with pytest.raises(OutputError, match=r"No such device: ip link add nobody type vcan"):
        PythonCanBus("socketcan", "nobody").open()
    with vcan() as bus:
        ip(f"link set {bus} down")
        with pytest.raises(OutputError, match=rf"Network is down.*: ip link set {bus} up"):
            PythonCanBus("socketcan", bus).open()


@contextlib.contextmanager
def unread_adapter():
    """A serial adapter whose line nobody reads once it is open: the interface, and the end to read from."""
    run("modprobe", "slcan")
    before = set(socket.if_nameindex())
    master, slave = pty.openpty()
    tty.setraw(slave)
    fcntl.ioctl(slave, termios.TIOCSETD, struct.pack("i", N_SLCAN))
    ((_, name),) = set(socket.if_nameindex()) - before
    opening = threading.Thread(target=_read_until, args=(master, b"O\r"))
    opening.start()  # the kernel waits until its commands are read
    ip(f"link set {name} type can bitrate 500000")
    ip(f"link set {name} up")
    opening.join(DEADLINE_S)
    try:
        yield name, master
    finally:
        os.close(slave)
        os.close(master)


def _read_until(line, end):
    heard = b""
    while end not in heard:
        heard += os.read(line, 4096)
    return heard


def test_a_full_transmit_queue_is_waited_for_a_moment_and_nothing_taken_is_lost():
    with unread_adapter() as (name, line):
        opened = PythonCanBus("socketcan", name)
        opened.open()
        taken = opened.offer(_frames(3000))
        assert 0 < taken < 3000
        assert opened.listening
        expected = [b"t1008" + struct.pack("<Q", number).hex().upper().encode() for number in range(taken)]
        assert _read_until(line, expected[-1] + b"\r") == b"".join(each + b"\r" for each in expected)
        eventually(lambda: opened.offer(_frames(1)) == 1, "room again")
        opened.close()
