"""Every step of the outbox broken: what is committed stays, what is not never was, and a damaged store goes aside whole."""

import contextlib
import hashlib
import os
import resource
import shutil
import sqlite3

import pytest

from agent.config import load
from agent.configured_keys import keystore
from agent.database import InUse
from agent.errors import StoreError
from agent.outbox import Outbox
from agent.recorder import REPLAY
from evidence import statement
from tests.agent_world import PACK, Captured, Ledger, kept, key
from tests.programs import run

KID = key(f"key of {PACK}").kid


def as_on_disk(folder):
    """What another process reads."""
    with contextlib.closing(sqlite3.connect(f"file:{folder / 'outbox.db'}?mode=ro", uri=True)) as reader:
        heads = reader.execute("SELECT epoch, seq, entry FROM chains").fetchall()
        return reader.execute("SELECT entry FROM statements ORDER BY id").fetchall(), heads


def damage(path, at, length=1):
    content = bytearray(path.read_bytes())
    for place in range(at, at + length):
        content[place] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("broken", "statement"),
    [
        ("the document", "CREATE TRIGGER t BEFORE INSERT ON documents BEGIN SELECT raise(ABORT, 'broken'); END"),
        ("the chain's end", "CREATE TRIGGER t BEFORE UPDATE ON chains BEGIN SELECT raise(ABORT, 'broken'); END"),
        ("the transaction", "CREATE TRIGGER t BEFORE UPDATE ON chains BEGIN SELECT raise(ROLLBACK, 'broken'); END"),
    ],
)
def test_a_step_that_fails_leaves_nothing_visible_and_the_chain_where_it_was(tmp_path, broken, statement):
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        captured, sealed = Captured.opened()
        outbox.add(PACK, sealed)
        before = as_on_disk(tmp_path)
        outbox._connection.execute(statement)
        with pytest.raises(StoreError, match="broken") as caught:
            outbox.add(PACK, captured.segments(2))
        assert caught.value.exit_code == 74
        assert as_on_disk(tmp_path) == before
        outbox._connection.execute("DROP TRIGGER t")
        assert outbox.chain(KID).entry == sealed[-1].statement.entry
    with contextlib.closing(Outbox(tmp_path)) as again:
        kept(again, 1, epoch=2)
        assert again.chain(KID).epoch == 2


def test_a_commit_that_fails_leaves_nothing_visible(tmp_path):
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        captured, sealed = Captured.opened()
        outbox.add(PACK, sealed)
        before = as_on_disk(tmp_path)
        # A constraint that is looked at when the transaction ends: every insert works, and COMMIT itself fails.
        outbox._connection.executescript(
            "CREATE TABLE late (id INTEGER REFERENCES statements (id) DEFERRABLE INITIALLY DEFERRED);"
            "CREATE TRIGGER t AFTER UPDATE ON chains BEGIN INSERT INTO late VALUES (-1); END;"
        )
        with pytest.raises(StoreError, match="FOREIGN KEY"):
            outbox.add(PACK, captured.segments(2))
        assert as_on_disk(tmp_path) == before
        assert outbox.totals().pending == len(sealed)


def test_a_full_disk_is_a_store_error_and_loses_nothing_that_was_kept(tmp_path):
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        captured, sealed = Captured.opened()
        outbox.add(PACK, sealed)
        pages = outbox._connection.execute("PRAGMA page_count").fetchone()[0]
        outbox._connection.execute(f"PRAGMA max_page_count = {pages + 3}")
        committed = list(sealed)
        batches = (captured.segments(1) for _ in range(1000))
        with pytest.raises(StoreError, match="full") as caught:
            committed.extend(each for batch in batches for each in outbox.add(PACK, batch) or batch)
        assert caught.value.exit_code == 74
        assert [entry for (entry,) in as_on_disk(tmp_path)[0]] == [each.statement.entry for each in committed]
        assert [outbox.body(row) for row in outbox.pending(PACK, 1000)] == [
            each.statement.encoded for each in committed
        ]
    with contextlib.closing(Outbox(tmp_path)) as again:
        assert again.quarantined is None
        assert again.chain(KID).entry == committed[-1].statement.entry
        kept(again, 2, epoch=2)


def test_a_disk_full_at_the_very_start_is_said_and_sets_nothing_aside(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(StoreError):
            Outbox(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.glob("quarantine-*"))
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        kept(outbox, 1)


@pytest.mark.parametrize("content", [b"not a database, " * 600, b"SQLite format 3\0" + bytes(8192)])
def test_a_file_that_is_no_database_is_put_aside_and_a_new_store_begins(tmp_path, content):
    (tmp_path / "outbox.db").write_bytes(content)
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        assert outbox.quarantined == tmp_path / "quarantine-0001"
        assert (outbox.quarantined / "outbox.db").read_bytes() == content
        assert outbox.chain(KID) is None
        kept(outbox, 1)


def test_a_damaged_store_goes_aside_with_its_wal_and_shm(tmp_path):
    with contextlib.closing(Outbox(tmp_path / "a")) as outbox:
        kept(outbox, 3)
        (tmp_path / "b").mkdir()
        for name in ("outbox.db", "outbox.db-wal", "outbox.db-shm"):
            shutil.copy(tmp_path / "a" / name, tmp_path / "b" / name)
    (tmp_path / "b" / "outbox.db").write_bytes(b"\xff" * 8192)
    damage(tmp_path / "b" / "outbox.db-wal", 0, 32)
    with contextlib.closing(Outbox(tmp_path / "b")) as outbox:
        assert {path.name for path in outbox.quarantined.iterdir()} == {"outbox.db", "outbox.db-wal", "outbox.db-shm"}
        assert outbox.totals().pending == 0


def test_a_store_whose_write_ahead_log_is_whole_is_carried_on_from_it(tmp_path):
    with contextlib.closing(Outbox(tmp_path / "a")) as outbox:
        sealed = kept(outbox, 3)
        (tmp_path / "b").mkdir()
        for name in ("outbox.db", "outbox.db-wal"):
            shutil.copy(tmp_path / "a" / name, tmp_path / "b" / name)
    with contextlib.closing(Outbox(tmp_path / "b")) as outbox:
        assert outbox.quarantined is None
        assert outbox.chain(KID).entry == sealed[-1].statement.entry


def test_every_damaged_predecessor_is_kept(tmp_path):
    for number in (1, 2, 3):
        (tmp_path / "outbox.db").write_bytes(b"\xff" * 4096)
        for rest in ("-wal", "-shm"):
            (tmp_path / f"outbox.db{rest}").unlink(missing_ok=True)
        with contextlib.closing(Outbox(tmp_path)) as outbox:
            assert outbox.quarantined == tmp_path / f"quarantine-000{number}"
            assert outbox.chain(KID) is None
            assert not outbox.replaced(KID)


def test_a_store_damaged_beyond_telling_its_chains_replaces_those_of_all_keys_there_were_and_of_no_later_one(tmp_path):
    (tmp_path / "outbox.db").write_bytes(b"\xff" * 4096)
    with contextlib.closing(Outbox(tmp_path, [KID])) as outbox:
        assert outbox.replaced(KID)
    later = key("made later").kid
    with contextlib.closing(Outbox(tmp_path, [KID, later])) as outbox:
        assert outbox.replaced(KID)
        assert not outbox.replaced(later)
        kept(outbox, 0)
        assert not outbox.replaced(KID)


def test_a_process_that_died_right_after_setting_a_store_aside_salvages_it_with_its_next_start(tmp_path):
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        sealed = kept(outbox, 2)
    (tmp_path / "quarantine-0001").mkdir()
    (tmp_path / "outbox.db").rename(tmp_path / "quarantine-0001" / "outbox.db")
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        assert outbox.quarantined is None
        assert outbox.replaced(KID)
        assert outbox.chain(KID).entry == sealed[-1].statement.entry
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        assert outbox.totals().pending == 3


def test_a_truncated_store_is_damaged(tmp_path):
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        kept(outbox, 5)
    path = tmp_path / "outbox.db"
    os.truncate(path, path.stat().st_size // 4096 // 2 * 4096)
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        assert outbox.quarantined is not None


@pytest.mark.parametrize("column", ["entry", "covered", "counters", "seq"])
def test_a_chain_whose_end_has_rotted_goes_on_from_its_newest_whole_statement(tmp_path, column):
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        sealed = kept(outbox, 2)
        before = outbox.chain(KID)
        rotten = "7" if column == "seq" else "zeroblob(32)"
        outbox._connection.execute(f"UPDATE chains SET {column} = {rotten}")
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        assert outbox.quarantined is not None
        after = outbox.chain(KID)
    assert (after.entry, after.seq, after.covered) == (sealed[-1].statement.entry, before.seq, before.covered)


def test_a_chain_s_last_statement_that_has_rotted_is_never_followed(tmp_path):
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        sealed = kept(outbox, 2)
    path = tmp_path / "outbox.db"
    damage(path, path.read_bytes().index(sealed[-1].statement.encoded[-40:]))
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        assert outbox.quarantined is not None
        state = outbox.chain(KID)
        # What it covered is missed from now on: the next gap begins where the last whole statement ends.
        assert (state.entry, state.covered.boot_ms) == (sealed[-2].statement.entry, sealed[-2].covered.boot_ms)


def test_a_flipped_byte_in_a_row_that_no_check_of_sqlite_sees_is_seen_by_its_digest(tmp_path):
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        sealed = kept(outbox, 3)
    path = tmp_path / "outbox.db"
    damage(path, path.read_bytes().index(sealed[1].statement.encoded[-40:]))
    damage(path, path.read_bytes().index(sealed[2].document[-40:]))
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        assert outbox.quarantined is None
        rows = outbox.pending(PACK, 10)
        assert [outbox.body(row) is None for row in rows] == [False, True, False, False]
        assert outbox.states([each.statement.entry for each in sealed]) == ["pending", "damaged", "pending", "pending"]
        assert outbox.document(1) is not None
        assert outbox.document(2) is None
        assert outbox.totals().damaged == 2
        assert rows[1] not in outbox.pending(PACK, 10)


def test_a_store_of_a_newer_packseal_is_neither_touched_nor_set_aside(tmp_path):
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        kept(outbox, 1)
        outbox._connection.execute("PRAGMA user_version = 99")
    before = hashlib.sha256((tmp_path / "outbox.db").read_bytes()).digest()
    with pytest.raises(StoreError, match="written by a newer packseal"):
        Outbox(tmp_path)
    assert hashlib.sha256((tmp_path / "outbox.db").read_bytes()).digest() == before


def test_a_folder_that_is_a_file_is_said_in_one_line(tmp_path):
    (tmp_path / "state").write_text("")
    with pytest.raises(StoreError, match="state: "):
        Outbox(tmp_path / "state")


def test_a_second_agent_on_one_store_is_sent_away_and_the_first_goes_on(tmp_path):
    with contextlib.closing(Outbox(tmp_path)) as outbox:
        with pytest.raises(InUse, match="in use by another packseal-agent; stop it first") as caught:
            Outbox(tmp_path)
        assert caught.value.exit_code == 69
        kept(outbox, 1)
    with contextlib.closing(Outbox(tmp_path)):
        pass


@pytest.fixture
def configured(tmp_path):
    """An agent's configuration with a key, and the configuration's path."""
    path = tmp_path / "agent.toml"
    path.write_text(
        f'gateway = "gw-1"\nregistrar = "packs.example,2026"\nstate_dir = "state"\n[ledger]\nkey = "{Ledger().name}"\n'
        '[[pack]]\nid = "pack-1"\nprofile = "kona-ev"\n[pack.source]\ninterface = "virtual"\nchannel = "x"\n'
    )
    keystore(load(path)).new(PACK)
    return path


def run_agent(config, *words):
    return run("packseal-agent", *words, "--config", config)


def test_a_second_agent_ends_with_69_and_one_line(configured, tmp_path):
    with contextlib.closing(Outbox(tmp_path / "state")):
        done = run_agent(configured, "run")
    assert done.returncode == 69
    assert done.stderr == f"packseal-agent: {tmp_path / 'state'}: in use by another packseal-agent; stop it first\n"


def test_an_agent_whose_key_others_may_read_ends_with_78_and_signs_nothing(configured, tmp_path):
    (tmp_path / "state" / "keys" / "pack-1.gw-1.key").chmod(0o644)
    done = run_agent(configured, "run")
    assert done.returncode == 78
    assert done.stderr.count("\n") == 1
    assert "readable by others" in done.stderr
    assert as_on_disk(tmp_path / "state") == ([], [])


def test_a_key_that_has_spoken_for_another_pack_is_refused_before_it_signs(configured, tmp_path):
    keys = tmp_path / "state" / "keys"
    shutil.copy(keys / "pack-1.gw-1.key", keys / "pack-2.gw-1.key")
    recording = tmp_path / "drive.log"
    recording.write_text("(1700000000.000000) can0 594#0000000000000000\n")
    words = ("--profile", "kona-ev", "--offline", str(recording))
    assert run_agent(configured, "replay", "--pack", "pack-1", *words).returncode == 0
    done = run_agent(configured, "replay", "--pack", "pack-2", *words)
    assert done.returncode == 78
    assert "the key of pack-2 has already spoken for pack-1" in done.stderr


def test_after_a_damaged_store_a_replay_says_that_it_is_one_and_leaves_it_to_the_next_live_open_to_say_so(
    configured, tmp_path
):
    recording = tmp_path / "drive.log"
    recording.write_text("(1700000000.000000) can0 594#0000000000000000\n")
    words = ("replay", "--pack", "pack-1", "--profile", "kona-ev", "--offline", str(recording))
    assert run_agent(configured, *words).returncode == 0
    (tmp_path / "state" / "outbox.db").write_bytes(b"\xff" * 4096)
    for rest in ("-wal", "-shm"):
        (tmp_path / "state" / f"outbox.db{rest}").unlink(missing_ok=True)
    done = run_agent(configured, *words)
    assert done.returncode == 0
    assert "the outbox was damaged and is kept in" in done.stderr
    with contextlib.closing(Outbox(tmp_path / "state")) as outbox:
        first = statement.read(outbox.body(outbox.pending(PACK, 1)[0]))
        assert outbox.replaced(first.envelope.kid)
    assert (first.body.reason, first.prev) == (REPLAY, None)


def test_a_chain_begun_for_another_ledger_is_refused_before_anything_is_signed(configured, tmp_path):
    recording = tmp_path / "drive.log"
    recording.write_text("(1700000000.000000) can0 594#0000000000000000\n")
    words = ("replay", "--pack", "pack-1", "--profile", "kona-ev", "--offline", str(recording))
    assert run_agent(configured, *words).returncode == 0
    before = as_on_disk(tmp_path / "state")
    other = Ledger(origin="other.example/packs")
    configured.write_text(configured.read_text().replace(str(Ledger().name), str(other.name)))
    for again in (words, ("run",)):
        done = run_agent(configured, *again)
        assert done.returncode == 78
        assert done.stderr == (
            "packseal-agent: [ledger] key: the chain of pack-1 was begun for ledger.example/packs;"
            " make a new key for the new ledger\n"
        )
    assert as_on_disk(tmp_path / "state") == before
