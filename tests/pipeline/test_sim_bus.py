"""The simulated pack on a python-can bus."""

import can
import pytest

from agent.sources.recorded import RecordedSource
from firmware_sim.bus.frame import CanFrame
from firmware_sim.bus.simulation import Simulation
from firmware_sim.bus.tesla_model3 import messages
from firmware_sim.cells.spec import PackSpec
from firmware_sim.errors import OutputError
from firmware_sim.outputs.files import file_output
from firmware_sim.outputs.python_can_bus import PythonCanBus, message_of
from firmware_sim.outputs.stream import EVERYTHING_US, Stream
from firmware_sim.simulated_pack import SimulatedPack
from packseal.program import InputOutputError, Unavailable
from tests.shared import absent


def simulation(seconds):
    return Simulation(SimulatedPack(PackSpec(), 5), messages(96), round(seconds * 1e6))


def test_every_frame_of_the_pack_reaches_a_python_can_bus_in_order_and_in_its_time():
    expected = [frame.frame for frame in simulation(1.0).until(EVERYTHING_US, 1 << 20)]
    sent = []
    output = PythonCanBus("virtual", "sim-1", completed=sent.extend)
    with can.Bus(interface="virtual", channel="sim-1") as peer:
        output.open()
        peer.send(can.Message(arbitration_id=0x7E4, data=b"\x03\x22\xf1\x90", is_extended_id=False))
        Stream(simulation(1.0), output, stopped=lambda: False).run()
        output.close()
        heard = []
        while (message := peer.recv(0)) is not None:
            heard.append(message)
    assert [(m.arbitration_id, bytes(m.data)) for m in heard] == [(f.identifier, f.payload) for f in expected]
    assert sent == expected
    assert output.tally.written == len(expected)
    assert output.tally.from_host == 1
    assert heard[-1].timestamp - heard[0].timestamp == pytest.approx(1.0, abs=0.3)


def test_extended_and_remote_frames_keep_their_kind_on_the_bus(tmp_path):
    from firmware_sim.play.playback import Playback
    from firmware_sim.play.recording import Recording

    log = tmp_path / "kinds.log"
    log.write_text("(1.000000) can0 18DAF110#0102\n(1.000000) can0 7DF#R4\n")
    output = PythonCanBus("virtual", "sim-2")
    with can.Bus(interface="virtual", channel="sim-2") as peer:
        output.open()
        Stream(Playback(Recording(log)), output, stopped=lambda: False, speed=0.0).run()
        first, second = peer.recv(1), peer.recv(1)
        output.close()
    assert (first.arbitration_id, first.is_extended_id, bytes(first.data)) == (0x18DAF110, True, b"\x01\x02")
    assert (second.arbitration_id, second.is_remote_frame, second.dlc) == (0x7DF, True, 4)


@pytest.mark.parametrize(("interface", "channel"), [("socketcan", "nocan99"), ("slcan", "/no/such/tty"), ("nil", "x")])
def test_a_bus_that_cannot_be_had_is_one_error_of_ours(interface, channel):
    with pytest.raises(OutputError) as refused:
        PythonCanBus(interface, channel).open()
    assert refused.value.exit_code == 69


def test_what_others_send_on_the_bus_is_heard_once_and_in_order():
    output = PythonCanBus("virtual", "sim-3")
    with can.Bus(interface="virtual", channel="sim-3") as peer:
        output.open()
        sent = [
            CanFrame(0x602, b"\x03\x22\xf1\x90"),
            CanFrame(0x18DB33F1, b"\x02\x10\x03", extended=True),
            CanFrame(0x7DF, b"", remote=True, requested=4),
        ]
        for frame in sent:
            peer.send(message_of(frame))
        peer.send(can.Message(is_error_frame=True))
        output.service()
        assert output.heard() == sent
        assert output.heard() == []
        for number in range(1_000):
            peer.send(message_of(CanFrame(0x100, number.to_bytes(2, "big"))))
        for _ in range(10):
            output.service()
        kept = [int.from_bytes(frame.payload, "big") for frame in output.heard()]
        assert kept == list(range(1_000 - len(kept), 1_000)), "of too many the newest are kept"
        output.close()


class Echo:
    """A listener that answers every frame on 0x602 with its own payload on 0x612, one millisecond later."""

    def __init__(self):
        self.waiting = []

    @property
    def busy(self):
        return bool(self.waiting)

    def hear(self, frame, now_us):
        if frame.identifier == 0x602:
            self.waiting.append((now_us + 1_000, frame.payload))

    def due(self, now_us):
        due = [CanFrame(0x612, payload) for at_us, payload in self.waiting if at_us <= now_us]
        self.waiting = [(at_us, payload) for at_us, payload in self.waiting if at_us > now_us]
        return due


def test_a_listener_hears_the_bus_and_its_answers_are_sent_between_the_packs_frames():
    output = PythonCanBus("virtual", "sim-4")
    with can.Bus(interface="virtual", channel="sim-4") as peer:
        output.open()
        for number in range(5):
            peer.send(message_of(CanFrame(0x602, bytes((number,)))))
        stream = Stream(simulation(0.3), output, stopped=lambda: False, listeners=(Echo(),))
        stream.run()
        output.close()
        heard = []
        while (message := peer.recv(0)) is not None:
            heard.append((message.arbitration_id, bytes(message.data)))
    assert [payload for identifier, payload in heard if identifier == 0x612] == [bytes((n,)) for n in range(5)]
    assert stream.answered == 5
    assert output.tally.written == len(heard)


def test_udp_multicast_carries_the_pack_to_another_process_of_this_machine():
    try:
        peer = can.Bus(interface="udp_multicast", channel="239.74.163.77")
    except (OSError, can.CanError) as problem:
        absent(f"no multicast here: {problem}")
    output = PythonCanBus("udp_multicast", "239.74.163.77")
    with peer:
        output.open()
        Stream(simulation(0.5), output, stopped=lambda: False).run()
        output.close()
        heard = set()
        while (message := peer.recv(0.2)) is not None:
            heard.add((message.arbitration_id, bytes(message.data)))
    expected = {
        (frame.frame.identifier, frame.frame.payload) for frame in simulation(0.5).until(EVERYTHING_US, 1 << 20)
    }
    assert expected <= heard, "others may use multicast, too"


def test_without_msgpack_udp_multicast_says_what_to_install(monkeypatch):
    monkeypatch.setattr("can.interfaces.udp_multicast.utils.msgpack", None)
    with pytest.raises(Unavailable, match=r"msgpack is missing: pip install 'packseal\[sim\]'"):
        PythonCanBus("udp_multicast", "239.74.163.2").open()


def recorded_frames(path):
    source = RecordedSource([path])
    source.open()
    intake = source.read()
    source.close()
    assert intake.malformed == 0
    frames = intake.frames
    payloads = (bytes(row[:length]) for row, length in zip(frames.payload, frames.lengths, strict=True))
    return list(zip(frames.time_us.tolist(), frames.ids.tolist(), payloads, strict=True))


START_US = 1_750_000_123_456_789


def written(path, start_us=START_US, seconds=2.0):
    output = file_output(str(path), "can0", start_us)
    output.open()
    Stream(simulation(seconds), output, stopped=lambda: False, speed=0.0).run()
    output.close()
    return path


@pytest.mark.parametrize("start_us", [0, 1_234_567, START_US])
@pytest.mark.parametrize("suffix", [".log", ".asc", ".blf"])
def test_every_kind_of_log_is_read_back_by_python_can_with_its_frames_and_absolute_times(tmp_path, suffix, start_us):
    path = written(tmp_path / f"x{suffix}", start_us)
    more = {"relative_timestamp": False} if suffix == ".asc" else {}
    with can.LogReader(path, **more) as reader:
        read = [(round(m.timestamp * 1e6), m.arbitration_id, bytes(m.data)) for m in reader]
    frames = simulation(2.0).until(EVERYTHING_US, 1 << 20)
    assert [each[1:] for each in read] == [(f.frame.identifier, f.frame.payload) for f in frames]
    for (time_us, *_), frame in zip(read, frames, strict=True):
        assert abs(time_us - start_us - frame.time_us) <= 1  # a Unix time's float holds no better


@pytest.mark.parametrize("suffix", [".log", ".asc", ".blf"])
def test_every_kind_of_log_is_read_by_the_agents_own_reader(tmp_path, suffix):
    path = written(tmp_path / f"x{suffix}")
    frames = simulation(2.0).until(EVERYTHING_US, 1 << 20)
    read = recorded_frames(path)
    assert [each[1:] for each in read] == [(f.frame.identifier, f.frame.payload) for f in frames]
    first = read[0][0]
    assert [each[0] - first for each in read] == [f.time_us - frames[0].time_us for f in frames]


@pytest.mark.parametrize("suffix", [".log", ".asc", ".blf"])
def test_the_same_run_writes_the_same_bytes_into_every_kind_of_log(tmp_path, suffix):
    one, two = written(tmp_path / f"1{suffix}"), written(tmp_path / f"2{suffix}")
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("suffix", [".log", ".asc", ".blf"])
def test_a_log_that_cannot_be_written_is_one_error_of_ours(tmp_path, suffix):
    with pytest.raises(InputOutputError, match="No such file"):
        file_output(str(tmp_path / "no" / f"x{suffix}"), "can0").open()
