"""A store damaged for real: what can be read of it goes on in the next one, and the chain stays one."""

import contextlib
import os
import sqlite3

import pytest

from agent.config import load
from agent.configured_keys import keystore
from agent.outbox import Outbox
from agent.receipts import Receipts
from agent.recorder import DAMAGED, STOPPED, STORE_REPLACED
from evidence import chain, statement
from tests.agent_world import PACK, Ledger, frames, kept, key, reading, recorder
from tests.programs import run

KID = key(f"key of {PACK}").kid
PAGE = 4096


@pytest.fixture
def drive(tmp_path):
    """A store with 120 segments of which the ledger has proven all but the newest two, closed: (folder, sealed, ledger)."""
    ledger = Ledger()
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        sealed = kept(outbox, 120)
        for each in sealed:
            ledger.admit(each.statement.encoded)
        receipts = Receipts(ledger.name, None)
        for each in sealed[:-2]:
            outbox.proven(receipts.proof(ledger.proof(each.statement.entry)))
        outbox.remember_checkpoint(ledger.note())
        outbox.remember_fork("another note")
    return tmp_path, sealed, ledger


def page_of(folder, sealed):
    """The page of the file that holds the end of a statement's bytes."""
    return (folder / "outbox.db").read_bytes().index(sealed.statement.encoded[-40:]) // PAGE


def wipe(folder, page):
    content = bytearray((folder / "outbox.db").read_bytes())
    for at in range(page * PAGE, (page + 1) * PAGE):
        content[at] ^= 0xFF
    (folder / "outbox.db").write_bytes(content)


def gone_on(outbox):
    """What the next process seals: open, the gap, one segment, close."""
    made = recorder(outbox, epoch=2)
    sealed = [*made.start(reading(7_000_000, boot=2), "test", STORE_REPLACED).sealed]
    sealed += made.capture_started(reading(8_000_000, boot=2)).sealed
    sealed += made.captured(frames(9_000_000, 10_000_000), 0, 13_000_000, reading(13_000_000, boot=2)).sealed
    sealed += made.stop(STOPPED, 13_000_000, reading(13_000_000, boot=2)).sealed
    outbox.add(PACK, sealed)
    return sealed


def whole(*parts):
    """All statements in order, if they are one chain."""
    said = [each.statement for part in parts for each in part]
    assert chain.in_order(said) == said
    return said


@pytest.mark.parametrize("at", [10, 60, 110])
def test_a_page_lost_in_the_middle_costs_its_rows_and_the_chain_goes_on_as_one(drive, at):
    folder, sealed, ledger = drive
    wipe(folder, page_of(folder, sealed[at]))
    never_spoke = key("made, and never used").kid
    with contextlib.closing(Outbox(folder, [KID, never_spoke])) as outbox:
        assert outbox.quarantined is not None
        assert outbox.replaced(KID)
        assert not outbox.replaced(never_spoke)
        states = [outbox.row_of(each.statement.entry, PACK) is not None for each in sealed]
        assert not states[at]
        assert states.count(False) <= 8
        assert outbox.states([each.statement.entry for each in sealed[-2:]]) == ["pending"] * 2
        assert outbox.totals().documents_pending + outbox.totals().documents_stored >= 100
        assert (outbox.checkpoint(), outbox.fork()) == (ledger.note(), (ledger.note(), "another note"))
        assert outbox.chain(KID).covered == sealed[-1].covered
        more = gone_on(outbox)
        assert not outbox.replaced(KID)
    gap = more[1].statement.body
    assert (gap.reason, gap.start, gap.end.boot_ms) == (DAMAGED, sealed[-1].covered, 8000)
    assert len(whole(sealed, more)) == len(sealed) + 4
    with contextlib.closing(Outbox(folder)) as outbox:
        assert outbox.quarantined is None
        assert outbox.chain(KID).entry == more[-1].statement.entry


def test_a_lost_end_that_the_ledger_has_proven_is_followed_all_the_same(tmp_path):
    ledger = Ledger()
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        sealed = kept(outbox, 40)
        for each in sealed:
            ledger.admit(each.statement.encoded)
            outbox.proven(Receipts(ledger.name, None).proof(ledger.proof(each.statement.entry)))
    wipe(tmp_path, page_of(tmp_path, sealed[-1]))
    for _ in range(2):  # whoever opens it meanwhile without going on, such as a replay of another pack, changes nothing
        with contextlib.closing(Outbox(tmp_path)) as outbox:
            assert outbox.row_of(sealed[-1].statement.entry, PACK) is None
            assert outbox.chain(KID).entry == sealed[-1].statement.entry
            assert outbox.chain(KID).covered == sealed[-1].covered
    assert len(list(tmp_path.glob("quarantine-*"))) == 1
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        whole(sealed, gone_on(outbox))


def test_every_page_lost_alone_leaves_a_store_that_opens_and_a_chain_that_does_not_branch_off_early(tmp_path):
    with contextlib.closing(Outbox(tmp_path / "whole")) as outbox:
        sealed = kept(outbox, 12)
    content = (tmp_path / "whole" / "outbox.db").read_bytes()
    entries = [each.statement.entry for each in sealed]
    for page in range(len(content) // PAGE):
        folder = tmp_path / str(page)
        folder.mkdir()
        (folder / "outbox.db").write_bytes(content)
        wipe(folder, page)
        with contextlib.closing(Outbox(folder, [KID])) as outbox:
            state = outbox.chain(KID)
            found = [entry for entry in entries if outbox.row_of(entry, PACK) is not None]
            assert (state.entry if state else None) == (found[-1] if found else None)
            assert outbox.quarantined is None or outbox.replaced(KID)
            gone_on(outbox)


def test_of_a_store_cut_short_the_chain_goes_on_from_the_newest_statement_that_is_left(drive):
    folder, sealed, _ = drive
    path = folder / "outbox.db"
    os.truncate(path, path.stat().st_size // PAGE // 2 * PAGE)
    with contextlib.closing(Outbox(folder)) as outbox:
        assert outbox.quarantined is not None
        entries = [each.statement.entry for each in sealed]
        at = entries.index(outbox.chain(KID).entry)
        more = gone_on(outbox)
    assert at > 20
    assert more[0].statement.prev == entries[at]


def test_what_lay_in_the_write_ahead_log_only_is_salvaged_too(tmp_path):
    (tmp_path / "a").mkdir()
    with contextlib.closing(Outbox(tmp_path / "live")) as outbox:
        sealed = kept(outbox, 20)
        for name in ("outbox.db", "outbox.db-wal"):
            (tmp_path / "a" / name).write_bytes((tmp_path / "live" / name).read_bytes())
    with contextlib.closing(sqlite3.connect(tmp_path / "a" / "outbox.db", isolation_level=None)) as other:
        other.execute("PRAGMA wal_autocheckpoint = 0")
        other.execute("UPDATE chains SET covered = zeroblob(3)")
        for name in ("outbox.db", "outbox.db-wal"):
            (tmp_path / f"kept-{name}").write_bytes((tmp_path / "a" / name).read_bytes())
    for name in ("outbox.db", "outbox.db-wal"):
        (tmp_path / f"kept-{name}").rename(tmp_path / "a" / name)
    with contextlib.closing(Outbox(tmp_path / "a")) as outbox:
        assert outbox.quarantined is not None
        assert outbox.totals().pending == len(sealed)
        whole(sealed, gone_on(outbox))


@pytest.mark.soak
def test_a_replay_after_real_damage_goes_on_with_the_same_chain_and_remains_a_replay(tmp_path):
    config = tmp_path / "agent.toml"
    config.write_text(
        f'gateway = "gw-1"\nregistrar = "packs.example,2026"\nstate_dir = "state"\n[ledger]\nkey = "{Ledger().name}"\n'
    )
    keystore(load(config)).new(PACK)
    recording = tmp_path / "drive.log"
    recording.write_text("".join(f"({1_700_000_000 + n / 10:.6f}) can0 594#0000000000000000\n" for n in range(36_000)))
    words = ("replay", "--pack", PACK, "--profile", "kona-ev", "--offline", recording, "--config", config)
    path = tmp_path / "state" / "outbox.db"

    def statements():
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
            return [statement.read(body) for (body,) in reader.execute("SELECT body FROM statements ORDER BY id")]

    assert run("packseal-agent", *words).returncode == 0
    first = statements()
    wipe(tmp_path / "state", path.read_bytes().index(first[5].encoded[-40:]) // PAGE)
    damaged = run("packseal-agent", *words)
    assert damaged.returncode == 0
    assert "the outbox was damaged and is kept in" in damaged.stderr
    assert run("packseal-agent", *words).returncode == 0
    after = {each.entry: each for each in [*first, *statements()]}
    links = chain.in_order(after.values())
    assert [each.body.reason for each in links if each.kind == "open"] == [3, 3, 3]


def test_a_chain_row_that_was_left_behind_is_noticed_and_the_chain_goes_on_from_its_newest_statement(tmp_path):
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        sealed = kept(outbox, 6)
    old = sealed[2].statement
    with contextlib.closing(sqlite3.connect(tmp_path / "outbox.db")) as lost_write:
        lost_write.execute("UPDATE chains SET seq = ?, entry = ?", (old.seq, old.entry))
        lost_write.commit()
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        assert outbox.quarantined is not None
        assert outbox.chain(KID).entry == sealed[-1].statement.entry
