"""The machine is what the other jobs take it for."""

import importlib.metadata
import platform
import socket
import subprocess
import sys


def test_it_is_an_arm64_debian_with_the_installed_packseal(figure):
    import packseal

    assert platform.machine() == "aarch64"
    assert packseal.__file__.startswith("/app/site/")
    figure("kernel", platform.release())
    figure("python", platform.python_version())
    figure("packseal", importlib.metadata.version("packseal"))
    figure("systemd", subprocess.check_output(["systemctl", "--version"], text=True).split()[1])
    assert sys.version_info[:2] == (3, 11)


def test_its_vcan_carries_a_frame():
    with (
        socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as sender,
        socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as listener,
    ):
        listener.settimeout(10)
        for one in (sender, listener):
            one.bind(("vcan0",))
        frame = bytes.fromhex("2301000008000000") + b"packseal"
        sender.send(frame)
        assert listener.recv(16) == frame


def test_it_has_two_controllers_of_an_emulated_bus():
    links = subprocess.check_output(["ip", "-br", "link", "show", "type", "can"], text=True).split()
    assert {"can0", "can1"} <= set(links)
