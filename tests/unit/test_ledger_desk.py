"""Tools write through the running ledger's door, or by themselves when none runs: the same acts, the same answers."""

from __future__ import annotations

import contextlib
import socket
import stat
import threading

import pytest

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
