"""The fault table of the ledger's writer: every step x failed, failed but persisted, killed; then the store is looked at.

Steps: `commit` (a batch), `checkpoint` (stored before it is published), `publish` (a proof leaves). After each fault the ledger
is started anew on the same folder and the gateway resends what it holds no proof of: nothing may be lost, doubled or forked.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evidence import proof
from evidence.keys import NamedKey
from ledger import logcheck
from ledger.admission import Known
from ledger.errors import LogDamaged, StoreError
from ledger.rows import Batch
from ledger.sequencer import Admitted, Sequencer
from ledger.store import Store
from tests.ledger_world import Gateway, World

ROOT = Path(__file__).resolve().parent.parent.parent
STEPS = ("commit", "checkpoint")
FAULTS = ("failed", "failed but persisted")


class FaultyStore(Store):
    """A real store that fails at one step, before or after its transaction has become durable."""

    def __init__(self, folder: Path, step: str = "", fault: str = "") -> None:
        super().__init__(folder)
        self.step, self.fault = step, fault

    def commit(self, batch: Batch) -> None:
        self._at("commit", lambda: super(FaultyStore, self).commit(batch))

    def put_checkpoint(self, size: int, note: str) -> None:
        self._at("checkpoint", lambda: super(FaultyStore, self).put_checkpoint(size, note))

    def _at(self, step, act) -> None:
        if (self.step, self.fault) == (step, "killed before"):
            os.kill(os.getpid(), signal.SIGKILL)
        if (self.step, self.fault) == (step, "failed"):
            raise StoreError("no space left on device")
        act()
        if (self.step, self.fault) == (step, "killed after"):
            os.kill(os.getpid(), signal.SIGKILL)
        if (self.step, self.fault) == (step, "failed but persisted"):
            raise StoreError("disk I/O error")


def statements(count: int = 12):
    gateway = Gateway()
    return gateway, [gateway.open(), *(gateway.segment() for _ in range(count - 1))]


def settle(sequencer: Sequencer, gateway: Gateway, said, ledger: NamedKey) -> None:
    """Resend everything and hold what the log then has against what was said."""
    outcomes = sequencer.integrate([gateway.arrival(each) for each in said])
    assert all(isinstance(outcome, Admitted | Known) for outcome in outcomes)
    sequencer.checkpoint()
    for each, outcome in zip(said, outcomes, strict=True):
        proven = proof.parse(sequencer.prove(each.entry, outcome.index))
        assert proven.entry == each.entry
        assert proven.verify(ledger).size == sequencer.size
    assert len({outcome.index for outcome in outcomes}) == len(said)
    findings = logcheck.check(sequencer.store, ledger, lambda *_: None)
    assert (findings.statements, findings.equivocations, findings.loose) == (len(said), 0, 0)


def one_round(sequencer: Sequencer, gateway: Gateway, said):
    """What a service does between two collections from the broker."""
    outcomes = sequencer.integrate([gateway.arrival(each) for each in said])
    sequencer.checkpoint()
    return outcomes


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "ledger")
    with Store(made.folder) as store:
        sequencer = made.sequencer(store)
        made.register(sequencer, Gateway())
        sequencer.checkpoint()
    return made


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("step", STEPS)
def test_after_a_failing_step_the_same_process_goes_on_from_what_is_durable(world, step, fault):
    gateway, said = statements()
    with FaultyStore(world.folder, step, fault) as store:
        sequencer = world.sequencer(store)
        before = store.newest_checkpoint()
        with pytest.raises(StoreError):
            one_round(sequencer, gateway, said[:6])
        durable = fault == "failed but persisted"
        assert sequencer.size == store.size()
        assert (store.newest_checkpoint() != before) == (step == "checkpoint" and durable)
        store.step = ""
        settle(sequencer, gateway, said, world.ledger)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("step", STEPS)
def test_after_a_failing_step_a_new_process_goes_on_from_what_is_durable(world, step, fault):
    gateway, said = statements()
    with FaultyStore(world.folder, step, fault) as store:
        sequencer = world.sequencer(store)
        with pytest.raises(StoreError):
            one_round(sequencer, gateway, said[:6])
    with Store(world.folder) as store:
        settle(world.sequencer(store), gateway, said, world.ledger)


def test_a_failing_commit_of_acts_leaves_the_register_as_it_was(world):
    second = Gateway(pack="pack-2", name="gw-2", seed=2)
    with FaultyStore(world.folder, "commit", "failed") as store:
        sequencer = world.sequencer(store)
        with pytest.raises(StoreError):
            world.register(sequencer, second)
        assert len(sequencer.register.packs) == 1
        with pytest.raises(StoreError):
            sequencer.log_heads()
        store.step = ""
        assert len(world.register(sequencer, second)) == 3


@pytest.mark.parametrize("fault", ["killed before", "killed after"])
@pytest.mark.parametrize("step", [*STEPS, "publish"])
def test_after_kill_nine_at_a_step_nothing_is_lost_doubled_or_signed_twice(world, step, fault):
    gateway, said = statements()
    command = [sys.executable, __file__, str(world.folder), step, fault]
    here = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=here, capture_output=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    published = [proof.parse(bytes.fromhex(line)) for line in done.stdout.decode().split()]
    assert bool(published) == (step == "publish" and fault == "killed after")
    with Store(world.folder) as store:
        committed = (step, fault) != ("commit", "killed before")
        assert store.size() == 6 + (6 if committed else 0)
        sequencer = world.sequencer(store)
        settle(sequencer, gateway, said, world.ledger)
        for early in published:
            head = early.verify(world.ledger)
            assert head.root == sequencer._log.tree.root(head.size)


def test_a_ledger_that_lost_its_last_entries_refuses_to_sign_again(world):
    gateway, said = statements()
    with Store(world.folder) as store:
        sequencer = world.sequencer(store)
        sequencer.integrate([gateway.arrival(each) for each in said])
        sequencer.checkpoint()
        store._db.execute("DELETE FROM messages WHERE idx >= 8")
        store._db.execute("DELETE FROM entries WHERE idx >= 8")
        with pytest.raises(LogDamaged):
            world.sequencer(store)


def die_at(folder: Path, step: str, fault: str) -> None:
    """In a process of its own: admit six statements, sign, publish (print) their proofs, and die on the way."""
    gateway, said = statements()
    world = World.__new__(World)
    world.folder = folder
    with FaultyStore(folder, step, fault) as store:
        sequencer = Sequencer(store, world.key, gateway.origin, now_ms=lambda: 0)
        outcomes = one_round(sequencer, gateway, said[:6])
        if (step, fault) == ("publish", "killed before"):
            os.kill(os.getpid(), signal.SIGKILL)
        for outcome in outcomes:
            print(sequencer.prove(outcome.entry, outcome.index).hex(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    die_at(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
