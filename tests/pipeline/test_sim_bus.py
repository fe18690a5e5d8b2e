"""The simulated pack on a python-can bus."""

import can
import pytest

from firmware_sim.bus.simulation import Simulation
from firmware_sim.bus.tesla_model3 import messages
from firmware_sim.cells.physics import PackSpec
from firmware_sim.errors import OutputError
from firmware_sim.outputs.python_can_bus import PythonCanBus
from firmware_sim.outputs.stream import EVERYTHING_US, Stream
from firmware_sim.simulated_pack import SimulatedPack


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
