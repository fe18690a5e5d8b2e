"""The running agent under a service manager: when it is ready, what feeds the watchdog, and what does not."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from dataclasses import dataclass, field

import pytest

from agent.outbox import Outbox
from agent.sources.source import boottime_us
from link import connection
from link.session import Session
from packseal import service_manager
from packseal.service_manager import ServiceManager
from tests.agent_world import PACK
from tests.pipeline.link_watch import eventually
from tests.pipeline.running_engine import DEADLINE_S, NoBroker, Running
from tests.scripted_source import SteadySource

PERIOD_S = 3.0


@dataclass(slots=True)
class HangingRead(SteadySource):
    """An adapter whose driver does not return from a read, from the moment that it is told."""

    hang: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def read(self, timeout_s):
        if self.hang.is_set():
            self.let_go.wait(DEADLINE_S)
        return SteadySource.read(self, timeout_s)


class Manager:
    """A service manager's socket, everything that has come to it, and the line to it."""

    def __init__(self, address):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)
        self._heard = []
        self.line = ServiceManager(address, PERIOD_S)

    def heard(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self._heard.append(self._socket.recv(65536).decode())
        return self._heard

    def fed(self):
        return self.heard().count("WATCHDOG=1")

    def is_fed(self):
        before = self.fed()
        return eventually(lambda: self.fed() > before)

    def close(self):
        self._socket.close()


@pytest.fixture
def manager(tmp_path):
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.close()


@pytest.fixture
def running(tmp_path, manager):
    made = Running(tmp_path / "state", NoBroker(), service=manager.line)
    yield made
    if made._thread.ident is not None:
        made.stop()


def named(caplog, part, doing):
    """Whether it was said that `part` hangs in `doing`."""
    said = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    return any(each.startswith(f"{part} does not progress: ") and each.endswith(f"with {doing}") for each in said)


def test_it_is_ready_with_its_chain_open_although_there_is_neither_bus_nor_broker_and_stays_fed(
    running, manager, tmp_path, monkeypatch
):
    monkeypatch.setattr(service_manager, "STATUS_EVERY_S", 0.1)
    running.sources[PACK].there = False
    known = []
    ready = manager.line.ready
    monkeypatch.setattr(manager.line, "ready", lambda: (known.append(running.engine.outbox.packs()), ready()))
    running.start()
    assert eventually(lambda: "READY=1" in manager.heard())
    assert known == [(PACK,)]
    assert eventually(lambda: any(each.startswith(f"STATUS=1 pack: {PACK} down; ") for each in manager.heard()))
    assert manager.is_fed()
    assert manager.is_fed()
    running.stop()
    assert running.failure is None
    assert "STOPPING=1" in manager.heard()
    assert manager.heard().count("READY=1") == 1


def test_what_it_says_of_itself_follows_the_bus(running, manager, monkeypatch):
    monkeypatch.setattr(service_manager, "STATUS_EVERY_S", 0.1)
    running.start()
    assert eventually(lambda: any(f"STATUS=1 pack: {PACK} listening; " in each for each in manager.heard()))
    running.sources[PACK].there = False
    assert eventually(lambda: any(f"{PACK} down; " in each for each in manager.heard()))
    assert all(each.endswith("; broker away") for each in manager.heard() if each.startswith("STATUS="))


def test_a_driver_that_hangs_in_a_read_is_named_and_the_manager_is_not_fed(running, manager, caplog):
    source = running.sources[PACK] = HangingRead(boottime_us)
    running.start()
    assert manager.is_fed()
    source.hang.set()
    try:
        assert eventually(lambda: named(caplog, f"the capture of {PACK}", "reading steady"))
        fed = manager.fed()
        assert eventually(lambda: running.engine.stations[PACK].statements > 0)
        assert manager.fed() == fed
    finally:
        source.hang.clear()
        source.let_go.set()
    assert manager.is_fed()


def test_a_store_that_hangs_in_a_commit_is_named_and_the_manager_is_not_fed(running, manager, caplog, monkeypatch):
    let_go, hang, add = threading.Event(), threading.Event(), Outbox.add

    def slow(outbox, pack, sealed, **settings):
        if hang.is_set():
            let_go.wait(DEADLINE_S)
        add(outbox, pack, sealed, **settings)

    monkeypatch.setattr(Outbox, "add", slow)
    running.start()
    assert manager.is_fed()
    hang.set()
    try:
        assert eventually(lambda: named(caplog, "the engine", f"keeping what {PACK} has sealed"))
    finally:
        hang.clear()
        let_go.set()
    assert manager.is_fed()


def test_a_link_thread_that_hangs_is_named_and_the_manager_is_not_fed(running, manager, caplog, monkeypatch):
    let_go, hang, connect = threading.Event(), threading.Event(), Session.connect

    def slow(session):
        if hang.is_set():
            let_go.wait(DEADLINE_S)
        connect(session)

    monkeypatch.setattr(Session, "connect", slow)
    monkeypatch.setattr(connection, "CONNECTING_S", 0.0)
    running.start()
    assert manager.is_fed()
    hang.set()
    try:
        endpoint = running.engine.courier.connection.endpoint
        assert eventually(lambda: named(caplog, "the link", f"connecting to {endpoint}"))
        fed = manager.fed()
        assert eventually(lambda: running.engine.stations[PACK].statements > 0)
        assert manager.fed() == fed
    finally:
        hang.clear()
        let_go.set()
    assert manager.is_fed()


def test_a_link_thread_that_dies_takes_the_agent_down_rather_than_leave_it_mute(running, manager):
    running.start()
    assert manager.is_fed()
    running.engine.courier.connection.stop(0.1)
    assert eventually(lambda: running.failure is not None)
    assert "the link's thread has died" in str(running.failure)
