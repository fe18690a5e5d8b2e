"""kill -9 of agent and ledger at random moments, while a recording plays onto a bus that the agent listens to."""

import random
import secrets
from dataclasses import replace

import pytest

from demo.broker import Broker
from tests.faults import kill_rounds


def _survives(tmp_path, rounds, seed):
    print(f"seed {seed}")
    with Broker(tmp_path / "broker") as broker:
        stage = kill_rounds.set_up(tmp_path, broker)
        try:
            kill_rounds.run(stage, rounds, random.Random(seed))
            said = kill_rounds.statements(stage)
            assert len({(each.envelope.kid, each.epoch, each.seq) for each in said}) == len(said)
            checked = stage.call("packseal-ledger", "log", "check", "--config", stage.ledger_config, check=False)
            assert checked.returncode == 0, checked.stderr
            words = ("--out", "pack.bundle", "--with-segments", "--config", stage.ledger_config)
            stage.call("packseal-ledger", "bundle", kill_rounds.PACK, *words)
            keys = ("--ledger-key", "ledger.vkey", "--pack-key", "packs.vkey")
            verified = stage.call("packseal-verify", "pack.bundle", *keys, check=False)
            assert verified.returncode == 0, verified.stderr
            done = kill_rounds.account(said, tmp_path / "sent.log")
            doctored = _without_a_line(tmp_path / "sent.log", done)
        finally:
            stage.close()
    print(f"{rounds} kills each: {replace(done, astray=done.astray[:5])}")
    assert not done.astray, done.astray[:5]
    assert done.in_segments > 0
    assert 1 < done.epochs <= rounds + kill_rounds.MOST_GOODBYES
    assert kill_rounds.account(said, doctored).astray, "the account does not notice a frame that nobody sent"


def _without_a_line(sent_log, done):
    """The same log with one line less, the first of a segment in the middle: what an unnoticed loss would look like."""
    lines = sent_log.read_text().splitlines(keepends=True)
    del lines[done.sealed[len(done.sealed) // 2]]
    doctored = sent_log.with_name("doctored.log")
    doctored.write_text("".join(lines))
    return doctored


def test_two_kills_of_agent_and_ledger_lose_no_frame_without_a_gap(tmp_path):
    _survives(tmp_path, rounds=2, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(1500)
def test_fifty_kills_of_agent_and_ledger_lose_no_frame_without_a_gap(tmp_path):
    _survives(tmp_path, rounds=50, seed=secrets.randbelow(1_000_000))
