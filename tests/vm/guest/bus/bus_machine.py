"""What the tests of the machine `bus` share: interfaces made with ip, and raw sockets that owe nothing to the agent."""

import contextlib
import itertools
import json
import socket
import struct
import subprocess
import time

DEADLINE_S = 180
EXTENDED, REMOTE, FD, ERROR = 1, 2, 4, 8  # as the agent's frames have them
_BITS = {EXTENDED: 0x80000000, REMOTE: 0x40000000, ERROR: 0x20000000}
_SO_TIMESTAMPNS = 35
_names = itertools.count()


def run(*command, check=True, timeout=DEADLINE_S):
    """A finished command; its complaint in the assertion if it had to succeed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=timeout)
    assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def ip(words, check=True):
    """`ip` with these words."""
    return run("ip", *words.split(), check=check).stdout.strip()


def details(name):
    """What the kernel tells of an interface."""
    return json.loads(ip(f"-json -details -statistics link show {name}"))[0]


@contextlib.contextmanager
def vcan(mtu=72, name=None):
    """A virtual bus of one's own, up; its name."""
    name = name or f"vcan{next(_names) + 10}"
    ip(f"link add {name} type vcan")
    ip(f"link set {name} mtu {mtu} up")
    try:
        yield name
    finally:
        ip(f"link del {name}", check=False)


def image(identifier, flags=0, payload=b"", length=None):
    """A frame as the kernel takes it from a program (linux/can.h)."""
    number = identifier | sum(bit for flag, bit in _BITS.items() if flags & flag)
    length = len(payload) if length is None else length
    return struct.pack("=IB3x64s" if flags & FD else "=IB3x8s", number, length, payload)


def raw(name, timeout_s=DEADLINE_S, stamped=False):
    """A socket on the bus that hears and says everything, errors and CAN FD too."""
    made = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    made.setsockopt(socket.SOL_CAN_RAW, 2, struct.pack("=I", 0x1FFFFFFF))  # CAN_RAW_ERR_FILTER
    made.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
    made.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    if stamped:
        made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    made.settimeout(timeout_s)
    made.bind((name,))
    return made


def read(bus):
    """A frame from a raw socket: (identifier, flags, payload)."""
    return parsed(bus.recv(72))


def parsed(said):
    """(identifier, flags, payload) of a frame as the kernel gives it."""
    number, length = struct.unpack_from("=IB", said)
    flags = sum(flag for flag, bit in _BITS.items() if number & bit) | (FD if len(said) == 72 else 0)
    payload = b"" if flags & REMOTE else said[8 : 8 + length]
    return number & (0x7FF if not flags & (EXTENDED | ERROR) else 0x1FFFFFFF), flags, payload


def everything(bus):
    """All frames that wait in a raw socket."""
    bus.setblocking(False)
    heard = []
    with contextlib.suppress(BlockingIOError):
        while True:
            heard.append(read(bus))
    return heard


def eventually(condition, what, within_s=DEADLINE_S):
    """The first true value of `condition`; fails when there is none in time."""
    until = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.01)
    return value
