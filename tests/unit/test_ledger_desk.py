"""Tools write through the running ledger's door, or by themselves when none runs: the same acts, the same answers."""

from __future__ import annotations

import contextlib
import errno
import socket
import stat
import threading
import time

import pytest

from evidence import cbor
from evidence.merkle import Digest
from ledger import control, desk, founding, keyfiles, registration
from ledger.admission import Known
from ledger.control import Door
from ledger.errors import Busy
from ledger.lock import FolderLock
from ledger.sequencer import Admitted, Refused, SetAside
from ledger.store import Store
from tests.ledger_world import REGISTRAR, START_MS, Gateway, World


@pytest.fixture
def world(tmp_path):
    # Longer than a socket's name may be: a state folder is not chosen for that.
    folder = tmp_path / ("a-folder-with-a-long-name-" * 4)
    folder.mkdir()
    return World(folder / "ledger")


@contextlib.contextmanager
def serving(world):
    """A ledger that holds its folder and serves its door."""
    with FolderLock(world.folder) as lock:
        assert lock.take()
        ended = threading.Event()
        door = Door(world.folder)

        def serve():
            with Store(world.folder) as store:
                sequencer = desk.open_sequencer(store, world.folder)
                while not ended.is_set():
                    with contextlib.suppress(Exception):
                        desk.serve(door.requests.get(timeout=0.02), desk.own(sequencer))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            door.close()


def acts_for(world, gateway):
    with Store(world.folder) as store:
        register = world.sequencer(store).register
    maker = keyfiles.load(world.folder, founding.party_key("maker"))
    steps = registration.plan(register, gateway.registration(), REGISTRAR.party("maker"), maker, START_MS // 1000)
    return [step.act.encoded for step in steps if step.act]


@pytest.mark.parametrize("running", [False, True])
def test_acts_and_heads_are_taken_whether_or_not_a_ledger_runs(world, running):
    messages = acts_for(world, Gateway())
    with serving(world) if running else contextlib.nullcontext(), desk.opened(world.folder) as opened:
        first = opened.submit([*messages, b"garbage"])
        again = opened.submit(messages)
        size = opened.log_heads()
    assert [type(outcome) for outcome in first] == [Admitted, Admitted, Admitted, Refused]
    assert [type(outcome) for outcome in again] == [Known] * 3
    assert [outcome.index for outcome in again] == [outcome.index for outcome in first[:3]]
    with Store(world.folder) as store:
        assert store.newest_checkpoint()[0] == size == store.size()


def test_a_folder_that_is_held_without_an_answer_is_busy_and_not_waited_for_for_ever(world, monkeypatch):
    monkeypatch.setattr(desk, "_PATIENCE_S", 0.1)
    with FolderLock(world.folder) as lock:
        assert lock.take()
        with pytest.raises(Busy), desk.opened(world.folder):
            pass


def test_only_one_process_holds_a_folder(world):
    with FolderLock(world.folder) as first, FolderLock(world.folder) as second:
        assert first.take()
        assert not second.take()
        first.release()
        assert second.take()


def test_the_door_is_its_owners_alone(world):
    with serving(world):
        assert stat.S_IMODE((world.folder / control.SOCKET).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "bytes_sent",
    [b"", b"\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x05abc", b"\x00\x00\x00\x03abc", bytes(range(64, 192, 2))],
)
def test_garbage_at_the_door_hurts_nobody(world, bytes_sent):
    with serving(world):
        with control._reachable(world.folder) as path, socket.socket(socket.AF_UNIX) as link:
            link.connect(path)
            link.sendall(bytes_sent)
        with pytest.raises(Busy, match="no operation"), desk.opened(world.folder) as opened:
            opened._ask("nonsense", None)


@pytest.mark.parametrize("sent", [b"", b"\x00\x00"])
def test_an_idle_guest_at_the_door_keeps_the_next_one_waiting_for_seconds_only(world, sent):
    with serving(world), control._reachable(world.folder) as path, socket.socket(socket.AF_UNIX) as idle:
        idle.connect(path)
        idle.sendall(sent)
        began = time.monotonic()
        with desk.opened(world.folder) as opened:
            assert opened.log_heads() > 0
        assert time.monotonic() - began < 5


def test_a_guest_who_dribbles_is_sent_away_as_one_who_says_nothing(world):
    near, far = socket.socketpair()
    ended = threading.Event()

    def dribble():
        with contextlib.suppress(OSError):
            while not ended.wait(0.02):
                far.sendall(b"\x00")

    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        with pytest.raises(TimeoutError):
            control._exactly(near, 10_000, time.monotonic() + 0.2)
    finally:
        ended.set()
        thread.join()
        near.close()
        far.close()


def test_a_door_closes_at_once_on_guests_who_say_nothing_or_wait_for_an_answer(world):
    asked = cbor.encode({1: "heads", 2: None})
    for request in (b"", len(asked).to_bytes(4, "big") + asked):
        door = Door(world.folder)
        with control._reachable(world.folder) as path, socket.socket(socket.AF_UNIX) as guest:
            guest.connect(path)
            guest.sendall(request)
            deadline = time.monotonic() + 5
            while door._guest is None or (request and door.requests.empty()):
                assert time.monotonic() < deadline
            began = time.monotonic()
            door.close()
            assert (time.monotonic() - began < 1.5, door.alive) == (True, False)


def test_the_door_outlives_an_accept_that_fails(world, caplog):
    class Exhausted:
        """A listener for which there are no descriptors left, for a while."""

        def __init__(self, listener):
            self._listener, self.failures = listener, 3

        def accept(self):
            if self.failures:
                self.failures -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return self._listener.accept()

        def close(self):
            self._listener.close()

    door = Door(world.folder)
    door._listener = exhausted = Exhausted(door._listener)
    deadline = time.monotonic() + 10
    while exhausted.failures and door.alive:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert door.alive
    answers = []
    asker = threading.Thread(target=lambda: answers.append(control.ask(world.folder, "heads", None)))
    asker.start()
    door.requests.get(timeout=5).answer({1: 7})
    asker.join()
    door.close()
    assert (answers, "Too many open files" in caplog.text) == ([{1: 7}], True)


@pytest.mark.parametrize(
    "outcome",
    [
        Admitted(Digest(bytes(32)), 4),
        Known(Digest(bytes(32)), 5),
        Refused(Digest(bytes(32)), "stale", "reason", b"answer"),
        SetAside(Digest(bytes(32))),
    ],
)
def test_an_outcome_goes_through_the_door_unchanged(outcome):
    assert desk._read_outcome(desk._outcome_value(outcome)) == outcome
