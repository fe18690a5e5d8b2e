"""The outbox: the only queue. A statement, its document and the chain's new head move in one transaction, or not at all.

SQLite in WAL mode with synchronous=FULL, one read-write connection in one thread. Nothing here decides; nothing is ever
deleted by it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent import chain_state
from agent.chain_state import ChainState
from agent.errors import AgentError, StoreError
from agent.receipts import ProvenEntry
from agent.seal import Sealed
from evidence.bodies import MAX_OTHER_CHAINS
from evidence.errors import FormatError
from evidence.keys import KeyId
from evidence.merkle import Digest
from packseal.program import UNAVAILABLE

_SCHEMAS: Final = Path(__file__).parent / "schema"
_NAME: Final = "outbox.db"
_QUARANTINE: Final = "quarantine-"
_ENVIRONMENT: Final = frozenset({
    sqlite3.SQLITE_AUTH, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_READONLY,
})  # fmt: skip
"""What SQLite reports of the machine rather than of the file's content (sqlite.org/rescode.html)."""


class InUse(AgentError):
    """Another agent has the outbox open."""

    exit_code = UNAVAILABLE


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts for status lines."""

    pending: int
    proven: int
    refused: int
    documents_pending: int
    documents_stored: int
    damaged: int


class Outbox:
    """The open store of one agent. Not for use from two threads. `quarantined` is where a damaged predecessor was put."""

    def __init__(self, folder: Path) -> None:
        self.quarantined: Path | None = None
        self._path = folder / _NAME
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as problem:
            raise StoreError(f"{folder}: {problem.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise InUse(f"{folder}: in use by another packseal-agent; stop it first") from None
        try:
            self._connection = self._opened()
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Let go of the files."""
        self._connection.close()
        os.close(self._lock)

    @property
    def replaced(self) -> bool:
        """Whether a damaged predecessor lies beside this store."""
        return any(self._path.parent.glob(f"{_QUARANTINE}*"))

    def count_start(self) -> int:
        """How many times this store has been opened by an agent, this one included."""
        with self._transaction() as database:
            database.execute("UPDATE starts SET count = count + 1")
            return int(database.execute("SELECT count FROM starts").fetchone()[0])

    def chain(self, kid: KeyId) -> ChainState | None:
        """Where the chain of `kid` stands; None if it has not begun."""
        with self._failing():
            row = self._connection.execute(
                "SELECT pack, epoch, seq, entry, covered, counters FROM chains WHERE kid = ?", (kid,)
            ).fetchone()
        return None if row is None else chain_state.read(*row)

    def packs(self) -> tuple[str, ...]:
        """The packs that anything here is about."""
        with self._failing():
            rows = self._connection.execute("SELECT DISTINCT pack FROM chains ORDER BY pack").fetchall()
        return tuple(pack for (pack,) in rows)

    def other_chains(self, pack: str, kid: KeyId) -> tuple[Digest, ...]:
        """The newest entries of the pack's other chains here, as many as an `open` can name."""
        with self._failing():
            rows = self._connection.execute(
                "SELECT entry FROM chains WHERE pack = ? AND kid <> ? ORDER BY rowid DESC LIMIT ?",
                (pack, kid, MAX_OTHER_CHAINS),
            ).fetchall()
        return tuple(Digest(entry) for (entry,) in sorted(rows))

    def add(self, pack: str, sealed: Iterable[Sealed], *, covers: bool = True) -> None:
        """Keep statements with their documents and move the chain's head, durably; only then may they leave.

        With `covers` False (a replay) the span that the live chain covers stays what it was, and so do its counters.
        """
        with self._transaction() as database:
            for each in sealed:
                said = each.statement
                kid = said.envelope.kid
                database.execute(
                    "INSERT INTO statements (pack, kid, epoch, seq, entry, kind, state, body)"
                    " VALUES (?, ?, ?, ?, ?, ?, 'pending', ?)",
                    (pack, kid, said.epoch, said.seq, said.entry, said.kind, said.encoded),
                )
                if each.document is not None:
                    digest = said.body.document  # type: ignore[union-attr]  # only segments have documents
                    database.execute(
                        "INSERT INTO documents (pack, entry, digest, state, body) VALUES (?, ?, ?, 'held', ?)",
                        (pack, said.entry, digest, each.document),
                    )
                covered = chain_state.moment_bytes(each.covered) if covers else None
                counters = chain_state.counters_bytes(each.counters if covers else ())
                database.execute(
                    "INSERT INTO chains (kid, pack, epoch, seq, entry, covered, counters) VALUES (?, ?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT (kid) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq,"
                    " entry = excluded.entry, covered = coalesce(excluded.covered, covered),"
                    " counters = iif(excluded.covered IS NULL, counters, excluded.counters)",
                    (kid, pack, said.epoch, said.seq, said.entry, covered, counters),
                )

    def pending(self, pack: str, limit: int) -> list[int]:
        """The rows of a pack's oldest statements that are neither proven nor refused."""
        return self._queue("SELECT id FROM statements WHERE state = 'pending' AND pack = ?", pack, limit)

    def pending_documents(self, pack: str, limit: int) -> list[int]:
        """The rows of a pack's oldest documents that no archive has signed for and whose statements are proven."""
        return self._queue("SELECT id FROM documents WHERE state = 'pending' AND pack = ?", pack, limit)

    def body(self, row: int) -> bytes | None:
        """The bytes of a statement; None if the disk has changed them, and it is kept as damaged from now on."""
        with self._failing():
            query = "SELECT entry, body FROM statements WHERE id = ?"
            entry, body = self._connection.execute(query, (row,)).fetchone()
        if hashlib.sha256(body).digest() == entry:
            return bytes(body)
        with self._transaction() as database:
            database.execute("UPDATE statements SET state = 'damaged' WHERE id = ?", (row,))
        return None

    def document(self, row: int) -> bytes | None:
        """The bytes of a document; None if the disk has changed them, and it is kept as damaged from now on."""
        with self._failing():
            query = "SELECT digest, body FROM documents WHERE id = ?"
            digest, body = self._connection.execute(query, (row,)).fetchone()
        if hashlib.sha256(body).digest() == digest:
            return bytes(body)
        with self._transaction() as database:
            database.execute("UPDATE documents SET state = 'damaged' WHERE id = ?", (row,))
        return None

    def row_of(self, entry: Digest, pack: str) -> int | None:
        """The row of the statement `entry` of `pack`; None if it is not ours."""
        with self._failing():
            query = "SELECT id FROM statements WHERE entry = ? AND pack = ?"
            row = self._connection.execute(query, (entry, pack)).fetchone()
        return None if row is None else int(row[0])

    def proven(self, proof: ProvenEntry) -> bool:
        """Keep that a statement is proven, with the newest statement's proof as the chain's; False if it was before.

        From now on its document may leave.
        """
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE statements SET state = 'proven', log_index = ?, refusal = NULL"
                " WHERE entry = ? AND state <> 'proven'",
                (proof.index, proof.entry),
            ).rowcount
            database.execute(
                "UPDATE documents SET state = 'pending' WHERE entry = ? AND state = 'held'", (proof.entry,)
            )
            database.execute(
                "UPDATE chains SET proof = ?, proven = s.id FROM statements s"
                " WHERE s.entry = ? AND chains.kid = s.kid AND (proven IS NULL OR proven < s.id)",
                (proof.text, proof.entry),
            )
        return changed > 0

    def refused(self, entry: Digest, reason: str, *, permanent: bool) -> bool:
        """Keep a refusal; a permanent one ends the statement's way (it is kept). False if it changed nothing."""
        state = "refused" if permanent else "pending"
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE statements SET state = ?, refusal = ?"
                " WHERE entry = ? AND state = 'pending' AND (state <> ? OR refusal IS NOT ?)",
                (state, reason, entry, state, reason),
            ).rowcount
        return changed > 0

    def stored(self, digests: Iterable[Digest]) -> list[int]:
        """Keep that an archive has signed for documents; the rows that this concerns."""
        with self._transaction() as database:
            return [
                int(row)
                for digest in digests
                for (row,) in database.execute(
                    "UPDATE documents SET state = 'stored' WHERE digest = ? RETURNING id", (digest,)
                ).fetchall()
            ]

    def states(self, entries: Iterable[Digest]) -> list[str]:
        """The states of these statements."""
        query = "SELECT state FROM statements WHERE entry = ?"
        with self._failing():
            return [str(self._connection.execute(query, (entry,)).fetchone()[0]) for entry in entries]

    def checkpoint(self) -> str | None:
        """The note of the newest checkpoint that was verified."""
        return self._note("newest")

    def remember_checkpoint(self, note: str) -> None:
        """Keep the note of a verified checkpoint as the newest."""
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO checkpoints (name, note) VALUES ('newest', ?)", (note,))

    def fork(self) -> tuple[str, str] | None:
        """Two notes of one ledger for two logs, if it ever showed us such."""
        first, second = self._note("forked-from"), self._note("fork")
        return None if first is None or second is None else (first, second)

    def remember_fork(self, note: str) -> None:
        """Keep a note that contradicts the newest one, and that one beside it; a later pair changes nothing."""
        with self._transaction() as database:
            database.execute(
                "INSERT OR IGNORE INTO checkpoints (name, note)"
                " SELECT 'forked-from', note FROM checkpoints WHERE name = 'newest'"
            )
            database.execute("INSERT OR IGNORE INTO checkpoints (name, note) VALUES ('fork', ?)", (note,))

    def totals(self) -> Totals:
        """How much is in which state."""
        with self._failing():
            statements = dict(
                self._connection.execute("SELECT state, count(*) FROM statements GROUP BY state").fetchall()
            )
            documents = dict(
                self._connection.execute("SELECT state, count(*) FROM documents GROUP BY state").fetchall()
            )
        return Totals(
            statements.get("pending", 0),
            statements.get("proven", 0),
            statements.get("refused", 0),
            documents.get("held", 0) + documents.get("pending", 0),
            documents.get("stored", 0),
            statements.get("damaged", 0) + documents.get("damaged", 0),
        )

    def _queue(self, query: str, pack: str, limit: int) -> list[int]:
        with self._failing():
            rows = self._connection.execute(f"{query} ORDER BY id LIMIT ?", (pack, limit)).fetchall()
        return [int(row) for (row,) in rows]

    def _note(self, name: str) -> str | None:
        with self._failing():
            row = self._connection.execute("SELECT note FROM checkpoints WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _opened(self) -> sqlite3.Connection:
        """The store, made or brought to the newest schema; a damaged one is put aside whole and begun anew."""
        with contextlib.ExitStack() as closing:
            connection = self._connected(closing)
            try:
                self._check(connection)
            except sqlite3.Error as problem:
                # What disk and rights say (full, read-only, busy) says nothing about the content: never set that aside.
                if getattr(problem, "sqlite_errorcode", 0) & 0xFF in _ENVIRONMENT:
                    raise StoreError(f"{self._path}: {problem}") from None
                # Before it is closed: SQLite would throw the write-ahead log away.
                self.quarantined = self._quarantine()
                connection.close()
                connection = self._connected(closing)
                with self._failing():
                    self._check(connection)
            closing.pop_all()
        return connection

    def _connected(self, closing: contextlib.ExitStack) -> sqlite3.Connection:
        try:
            # Ours alone, whatever the folder allows: segment documents say when a car was driven.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(self._path, isolation_level=None)
        except OSError as problem:
            raise StoreError(f"{self._path}: {problem.strerror}") from None
        except sqlite3.Error as problem:
            raise StoreError(f"{self._path}: {problem}") from None
        closing.callback(connection.close)
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        """Make the store ours to use; sqlite3.Error if it cannot be, or is damaged."""
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        self._migrate(connection)
        _check_heads(connection)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Run the numbered schemas above the store's version, each in one transaction."""
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        scripts = {int(script.stem): script for script in sorted(_SCHEMAS.glob("[0-9]*.sql"))}
        if version > max(scripts):
            raise StoreError(f"{self._path}: written by a newer packseal (schema {version}); install that again")
        for number, script in scripts.items():
            if number > version:
                connection.executescript(f"BEGIN;\n{script.read_text()}\nPRAGMA user_version = {number};\nCOMMIT;")

    def _quarantine(self) -> Path:
        number = 1
        while (folder := self._path.parent / f"{_QUARANTINE}{number:04}").exists():
            number += 1
        try:
            folder.mkdir(mode=0o700)
            for suffix in ("", "-wal", "-shm"):
                part = self._path.with_name(_NAME + suffix)
                if part.exists():
                    part.rename(folder / part.name)
        except OSError as problem:
            raise StoreError(f"{folder}: {problem.strerror}") from None
        return folder

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._failing():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as problem:
            raise StoreError(f"{self._path}: {problem}") from None


def _check_heads(connection: sqlite3.Connection) -> None:
    """DatabaseError unless each chain ends in a whole statement of ours: a new epoch must not follow a rotten head."""
    rows = connection.execute(
        "SELECT c.pack, c.epoch, c.seq, c.entry, c.covered, c.counters, s.body FROM chains c LEFT JOIN statements s"
        " ON (s.kid, s.epoch, s.seq, s.entry) = (c.kid, c.epoch, c.seq, c.entry)"
    ).fetchall()
    for *chain, body in rows:
        try:
            known = chain_state.read(*chain)
        except FormatError as problem:
            raise sqlite3.DatabaseError(f"a chain's end is unreadable: {problem}") from None
        if body is None or hashlib.sha256(body).digest() != known.entry:
            raise sqlite3.DatabaseError(f"the chain of {known.pack} does not end in its newest statement")
