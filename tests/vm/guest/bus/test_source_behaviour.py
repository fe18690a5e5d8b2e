"""The behaviour of every source, on a real kernel: our SocketCAN source, and python-can's, where they are alike."""

import pytest
from bus_machine import everything, image, ip, raw, vcan
from source_behaviour import Place, UnpluggableBehaviour

from agent.sources.python_can import LiveSource
from agent.sources.socketcan import SocketCanSource


class OnVcan(Place):
    def __init__(self, name, source, unplugging):
        self.name, self.source, self._unplugging = name, source, unplugging
        self._speaker, self._listener = raw(name), raw(name)

    def give(self, frames):
        for number, flags, payload in frames:
            self._speaker.send(image(number, flags, payload))

    def overheard(self):
        return everything(self._listener)

    def stop(self):
        self.source.close()
        self._speaker.close()
        self._listener.close()

    def unplug(self):
        ip(f"link del {self.name}" if self._unplugging == "deleted" else f"link set {self.name} down")

    def plug(self):
        if self._unplugging == "deleted":
            ip(f"link add {self.name} type vcan")
            ip(f"link set {self.name} mtu 72")
        ip(f"link set {self.name} up")
        self._speaker.close()
        self._speaker = raw(self.name)


def ours(name):
    return SocketCanSource(name, coalesce_s=0.01)


def python_cans(name):
    return LiveSource("socketcan", name, 500_000, {"fd": True})


# python-can leaves the socket of a bus open that it could not open.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
class TestSocketCan(UnpluggableBehaviour):
    @pytest.fixture(
        params=[
            pytest.param((ours, "down"), id="ours-down"),
            pytest.param((ours, "deleted"), id="ours-deleted"),
            pytest.param((python_cans, "down"), id="python_cans-down", marks=pytest.mark.soak),
            pytest.param((python_cans, "deleted"), id="python_cans-deleted", marks=pytest.mark.soak),
        ]
    )
    def place(self, request):
        make, unplugging = request.param
        with vcan() as name:
            place = OnVcan(name, make(name), unplugging)
            yield place
            place.stop()
