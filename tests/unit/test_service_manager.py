"""What is told to a service manager, heard on a socket of the kind that systemd listens on."""

from __future__ import annotations

import os
import secrets
import socket

import pytest

from packseal.service_manager import LONGEST_STATUS, STATUS_EVERY_S, ServiceManager


class Heard:
    """A datagram socket at an address, and every message that has come to it, as its lines."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.socket.setblocking(False)

    def messages(self) -> list[list[str]]:
        found = []
        while True:
            try:
                found.append(self.socket.recv(65536).decode().split("\n"))
            except BlockingIOError:
                return found


@pytest.fixture(params=["path", "abstract"])
def heard(request, tmp_path):
    made = Heard(str(tmp_path / "notify") if request.param == "path" else f"@packseal-{secrets.token_hex(8)}")
    yield made
    made.socket.close()


@pytest.fixture
def clock():
    return [100.0]


def test_each_thing_is_said_once_in_the_form_of_sd_notify(heard, clock):
    service = ServiceManager(heard.address, 60.0, monotonic=lambda: clock[0])
    service.ready()
    service.feed()
    service.status(lambda: "broker up, 0 statements pending")
    service.stopping()
    assert heard.messages() == [["READY=1"], ["WATCHDOG=1"], ["STATUS=broker up, 0 statements pending"], ["STOPPING=1"]]


def test_the_environment_is_read_and_emptied_so_that_children_do_not_speak_for_us(heard):
    environment = {
        "NOTIFY_SOCKET": heard.address,
        "WATCHDOG_USEC": "2500000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }
    service = ServiceManager.from_environment(environment)
    assert environment == {"HOME": "/"}
    assert service.watchdog_s == 2.5
    service.ready()
    assert heard.messages() == [["READY=1"]]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "x"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"},
    ],
)
def test_a_watchdog_that_is_not_ours_or_no_number_is_none(environment):
    assert ServiceManager.from_environment(dict(environment)).watchdog_s is None


@pytest.mark.parametrize(
    "address", [None, "", "vsock:2:9999", "relative", "/no/such/place", "@nobody-listens", "/" + "x" * 300, "/a\0b"]
)
def test_where_nobody_listens_nothing_happens(address, clock):
    service = ServiceManager(address, 1.0, monotonic=lambda: clock[0])
    for _ in range(3):
        clock[0] += STATUS_EVERY_S
        service.ready()
        service.feed()
        service.status(lambda: "fine")
        service.stopping()


def test_a_service_that_nobody_asks_never_works_out_a_status():
    ServiceManager().status(lambda: pytest.fail("asked for"))


def test_the_watchdog_is_fed_eight_times_a_period_however_often_progress_is_said(heard, clock):
    service = ServiceManager(heard.address, 8.0, monotonic=lambda: clock[0])
    fed = []
    for _ in range(160):
        service.feed()
        fed += heard.messages()
        clock[0] += 0.125
    assert fed == [["WATCHDOG=1"]] * 20
    unwatched = ServiceManager(heard.address, None)
    unwatched.feed()
    assert heard.messages() == []


def test_a_status_is_told_when_it_has_changed_and_at_most_every_five_seconds(heard, clock):
    service = ServiceManager(heard.address, monotonic=lambda: clock[0])
    for second in range(20):
        service.status(lambda second=second: f"{second // 10} packs")
        clock[0] += 1
    assert heard.messages() == [["STATUS=0 packs"], ["STATUS=1 packs"]]


def test_a_status_is_one_line_of_bounded_length_whatever_is_in_it(heard, clock):
    service = ServiceManager(heard.address, monotonic=lambda: clock[0])
    service.status(lambda: "a\nREADY=1\n" + "b" * 1000)
    ((line,),) = heard.messages()
    assert line == "STATUS=a READY=1 " + "b" * (LONGEST_STATUS - 10)


def test_what_a_busy_manager_had_no_room_for_is_said_again_but_never_an_old_feeding(tmp_path, clock):
    address = str(tmp_path / "late")
    service = ServiceManager(address, 1.0, monotonic=lambda: clock[0])
    service.ready()
    service.feed()
    service.status(lambda: "one")
    late = Heard(address)
    service.stopping()
    assert [sorted(message) for message in late.messages()] == [["READY=1", "STATUS=one", "STOPPING=1"]]
    late.socket.close()


def test_a_manager_that_does_not_read_holds_nobody_up(heard, clock):
    service = ServiceManager(heard.address, 1.0, monotonic=lambda: clock[0])
    for _ in range(2000):
        clock[0] += 1
        service.feed()
    assert 0 < len(heard.messages()) < 2000
    service.ready()
    assert ["READY=1"] in heard.messages()
