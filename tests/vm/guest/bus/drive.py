"""One drive of a pack with everything that can happen to its bus, on the whole way, and what its frames cost meanwhile.

Beside the agent a peer listens to the same frames at the same time: python-can with cantools, which only decodes.
"""

import signal
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bus_machine import ERROR, image, ip, raw, run
from way import Way, cpu_s, resident_mb

import packseal
from agent.profile_store import load_profile, profile_directories

CHANNEL = "way0"
PER_S, TICK_S = 1000, 0.01
SETTLE_S, MEASURED_S = 2, 6
FLOOD = 10_000  # the kernel keeps about 5,500
SINGLE = 4  # frames that were sent one by one, and the error frame

_PEER = """
import sys
import can, cantools
database = cantools.database.load_file(sys.argv[2], strict=False)
filters = [{"can_id": message.frame_id, "can_mask": 0x7FF, "extended": False} for message in database.messages]
latest, count = {}, 0
with can.Bus(interface="socketcan", channel=sys.argv[1], can_filters=filters) as bus:
    print("listening", flush=True)
    while (message := bus.recv(10)) is not None:
        latest.update(database.decode_message(message.arbitration_id, message.data, decode_choices=False))
        count += 1
print(count)
"""


@dataclass(frozen=True, slots=True)
class Drive:
    """What a stranger learns of it offline, how many mapped frames were sent, and what the agent said and used."""

    verdict: object
    sent: int
    log: str
    frames: list[bytes]
    agent_us: float
    peer_us: float
    peer_heard: float
    agent_mb: tuple[float, float]


def drive(folder):
    """Drive. The statements are verified from the pack's bundle at the end."""
    way = Way(folder, CHANNEL, segment_s=60)
    try:
        profile = load_profile("tesla-model3", profile_directories(), folder / "agent" / "profiles")
        agent = way.serve()
        frames = _pack(folder, {message.id for message in profile.messages})
        paced, costs = _side_by_side(agent, frames)
        agent_mb = resident_mb(agent.pid)
        _stall(way, agent)
        _unplug(way)
        _leave_the_bus(way)
        assert way.end("agent") == 0
        log = way.log("agent").read_text()
        return Drive(way.verdict(), len(frames) + paced + FLOOD + SINGLE, log, frames, *costs, agent_mb)
    finally:
        way.close()


def _side_by_side(agent, frames):
    """Frames sent, and CPU us per frame of the agent and of the peer over the steady state, with the peer's share heard."""
    dbc = Path(packseal.__file__).parent / "_config" / "profiles" / "tesla-model3.dbc"
    words = [sys.executable, "-c", _PEER, CHANNEL, str(dbc)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdout.readline() == "listening\n"
        sent = play(frames, SETTLE_S)
        before = cpu_s(agent.pid), cpu_s(peer.pid)
        measured = play(frames, MEASURED_S)
        agent_s, peer_s = cpu_s(agent.pid) - before[0], cpu_s(peer.pid) - before[1]
        heard = int(peer.stdout.read()) / (sent + measured)  # one that cannot keep up loses frames, and works for fewer
    return sent + measured, (1e6 * agent_s / measured, 1e6 * peer_s / measured / heard, heard)


def play(frames, seconds):
    """Send PER_S frames a second in small bursts; how many were sent."""
    begun, sent = time.monotonic(), 0
    with raw(CHANNEL) as speaker:
        while (now := time.monotonic() - begun) < seconds:
            while sent < now * PER_S:
                speaker.send(frames[sent % len(frames)])
                sent += 1
            time.sleep(max(0.0, begun + now + TICK_S - time.monotonic()))
    return sent


def _pack(folder, wanted):
    """The simulated pack on the bus for a while; those of its frames that the profile maps, as they were sent."""
    log = folder / "sent.log"
    words = ("--interface", "socketcan", "--channel", CHANNEL, "--duration", "4", "--sent-log", log)
    run("packseal-sim", "run", *words, timeout=240)
    lines = [line.split(",") for line in log.read_text().splitlines()]
    numbered = [(int(number, 16), bytes.fromhex(payload)) for _, number, _, payload in lines]
    return [image(number, 0, payload) for number, payload in numbered if number in wanted]


def _single(payload=bytes(8)):
    with raw(CHANNEL) as speaker:
        speaker.send(image(0x132, 0, payload))


def _stall(way, agent):
    """The agent gets no time for a while, and more comes than the kernel keeps."""
    agent.send_signal(signal.SIGSTOP)
    with raw(CHANNEL) as speaker:
        for number in range(FLOOD):
            speaker.send(image(0x132, 0, struct.pack("<Q", number)))
    agent.send_signal(signal.SIGCONT)
    way.await_line("agent", "could not keep up")
    _single()


def _unplug(way):
    """The link goes down and up again, and then the interface is removed and comes back."""
    ip(f"link set {CHANNEL} down")
    way.await_line("agent", "the interface went down")
    ip(f"link set {CHANNEL} up")
    way.await_line("agent", "listening")
    _single()
    ip(f"link del {CHANNEL}")
    way.await_line("agent", "there is no CAN interface of this name")
    ip(f"link add {CHANNEL} type vcan")
    ip(f"link set {CHANNEL} up")
    way.await_line("agent", "listening")
    _single()


def _leave_the_bus(way):
    """A frame says that the controller has left the bus; on vcan it is back at once."""
    with raw(CHANNEL) as speaker:
        speaker.send(image(0x040, ERROR, bytes(8)))
    way.await_line("agent", "the controller went off the bus")
    way.await_line("agent", "listening")
