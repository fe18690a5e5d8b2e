"""The outbox: the only queue. A statement, its document and the chain's new head move in one transaction, or not at all.

SQLite in WAL mode with synchronous=FULL, one read-write connection in one thread. Nothing here decides; nothing is ever
deleted by it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.errors import AgentError, StoreError
from agent.receipts import ProvenEntry
from agent.seal import Sealed
from evidence import cbor
from evidence.bodies import Counters, Moment
from evidence.keys import KeyId
from evidence.merkle import Digest
from evidence.statement import Seen
from packseal.program import UNAVAILABLE

_SCHEMAS: Final = Path(__file__).parent / "schema"
_NAME: Final = "outbox.db"


class InUse(AgentError):
    """Another agent has the outbox open."""

    exit_code = UNAVAILABLE


@dataclass(frozen=True, slots=True)
class ChainState:
    """Where a chain stands, as the last committed statement left it."""

    epoch: int
    seq: int
    entry: Digest
    covered: Moment | None
    counters: Counters


@dataclass(frozen=True, slots=True)
class Waiting:
    """A statement or document that has not been answered for: its row, pack, entry and size."""

    id: int
    pack: str
    entry: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts for status lines."""

    pending: int
    proven: int
    refused: int
    documents_pending: int
    documents_stored: int


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

    def count_start(self) -> int:
        """How many times this store has been opened by an agent, this one included."""
        with self._transaction() as database:
            database.execute("UPDATE starts SET count = count + 1")
            return int(database.execute("SELECT count FROM starts").fetchone()[0])

    def chain(self, kid: KeyId) -> ChainState | None:
        """Where the chain of `kid` stands; None if it has not begun."""
        with self._failing():
            row = self._connection.execute(
                "SELECT epoch, seq, entry, covered, counters FROM chains WHERE kid = ?", (kid,)
            ).fetchone()
        if row is None:
            return None
        epoch, seq, entry, covered, counters = row
        return ChainState(epoch, seq, Digest(entry), _read_moment(covered), _read_counters(counters))

    def other_chains(self, pack: str, kid: KeyId) -> tuple[Digest, ...]:
        """The newest entries of the pack's other chains here."""
        with self._failing():
            rows = self._connection.execute(
                "SELECT entry FROM chains WHERE pack = ? AND kid <> ? ORDER BY entry", (pack, kid)
            ).fetchall()
        return tuple(Digest(entry) for (entry,) in rows)

    def add(self, pack: str, sealed: Iterable[Sealed], *, covers: bool = True) -> None:
        """Keep statements with their documents and move the chain's head, durably; only then may they leave.

        With `covers` False (a replay) the span that the live chain covers stays what it was.
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
                        "INSERT INTO documents (entry, digest, state, body) VALUES (?, ?, 'pending', ?)",
                        (said.entry, digest, each.document),
                    )
                covered = _moment_bytes(each.covered) if covers else None
                database.execute(
                    "INSERT INTO chains (kid, pack, epoch, seq, entry, covered, counters) VALUES (?, ?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT (kid) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq,"
                    " entry = excluded.entry, covered = coalesce(excluded.covered, covered),"
                    " counters = excluded.counters",
                    (kid, pack, said.epoch, said.seq, said.entry, covered, _counters_bytes(each.counters)),
                )

    def pending(self, limit: int) -> list[Waiting]:
        """The oldest statements that are neither proven nor refused."""
        with self._failing():
            rows = self._connection.execute(
                "SELECT id, pack, entry, length(body) FROM statements WHERE state = 'pending' ORDER BY id LIMIT ?",
                (limit,),
            ).fetchall()
        return [Waiting(row, pack, Digest(entry), size) for row, pack, entry, size in rows]

    def pending_documents(self, limit: int) -> list[Waiting]:
        """The oldest documents that no archive has signed for and whose statements are proven."""
        with self._failing():
            rows = self._connection.execute(
                "SELECT d.id, s.pack, d.entry, length(d.body) FROM documents d JOIN statements s ON s.entry = d.entry"
                " WHERE d.state = 'pending' AND s.state = 'proven' ORDER BY d.id LIMIT ?",
                (limit,),
            ).fetchall()
        return [Waiting(row, pack, Digest(entry), size) for row, pack, entry, size in rows]

    def body(self, row: int) -> bytes:
        """The bytes of a statement."""
        return self._blob("SELECT body FROM statements WHERE id = ?", row)

    def document(self, row: int) -> bytes:
        """The bytes of a document."""
        return self._blob("SELECT body FROM documents WHERE id = ?", row)

    def row_of(self, entry: Digest, pack: str) -> int | None:
        """The row of the statement `entry` of `pack`; None if it is not ours."""
        with self._failing():
            query = "SELECT id FROM statements WHERE entry = ? AND pack = ?"
            row = self._connection.execute(query, (entry, pack)).fetchone()
        return None if row is None else int(row[0])

    def proven(self, proof: ProvenEntry) -> bool:
        """Keep that a statement is proven, with its proof as the chain's newest; False if it was proven before."""
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE statements SET state = 'proven', log_index = ?, refusal = NULL"
                " WHERE entry = ? AND state <> 'proven'",
                (proof.index, proof.entry),
            ).rowcount
            database.execute(
                "UPDATE chains SET proof = ? WHERE kid = (SELECT kid FROM statements WHERE entry = ?)",
                (proof.text, proof.entry),
            )
        return changed > 0

    def refused(self, entry: Digest, reason: str, *, permanent: bool) -> bool:
        """Keep a refusal; a permanent one ends the statement's way (it is kept). False if it changed nothing."""
        state = "refused" if permanent else "pending"
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE statements SET state = ?, refusal = ? WHERE entry = ? AND state = 'pending'",
                (state, reason, entry),
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

    def newest_checkpoint(self) -> Seen | None:
        """The newest checkpoint that was verified."""
        with self._failing():
            row = self._connection.execute("SELECT size, root FROM checkpoints WHERE name = 'newest'").fetchone()
        return None if row is None else Seen(row[0], Digest(row[1]))

    def remember_checkpoint(self, name: str, seen: Seen, note: str) -> None:
        """Keep a checkpoint as `newest`, or as the `fork` that contradicts it."""
        with self._transaction() as database:
            database.execute(
                "INSERT OR REPLACE INTO checkpoints (name, size, root, note) VALUES (?, ?, ?, ?)",
                (name, seen.size, seen.root, note),
            )

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
            documents.get("pending", 0),
            documents.get("stored", 0),
        )

    def _blob(self, query: str, row: int) -> bytes:
        with self._failing():
            return bytes(self._connection.execute(query, (row,)).fetchone()[0])

    def _opened(self) -> sqlite3.Connection:
        """The store, made or brought to the newest schema; a damaged one is put aside whole and begun anew."""
        try:
            return self._connected()
        except sqlite3.DatabaseError as problem:
            # An operational error (disk full, no rights) says nothing about the content: never set that aside.
            if isinstance(problem, sqlite3.OperationalError):
                raise StoreError(f"{self._path}: {problem}") from None
        self.quarantined = self._quarantine()
        try:
            return self._connected()
        except sqlite3.Error as problem:
            raise StoreError(f"{self._path}: {problem}") from None

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            _migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _quarantine(self) -> Path:
        number = 1
        while (folder := self._path.parent / f"quarantine-{number:04}").exists():
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

    @contextmanager
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

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as problem:
            raise StoreError(f"{self._path}: {problem}") from None


def _migrate(connection: sqlite3.Connection) -> None:
    """Run the numbered schemas above the store's version, each in one transaction."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for script in sorted(_SCHEMAS.glob("[0-9]*.sql")):
        number = int(script.stem)
        if number > version:
            connection.executescript(f"BEGIN;\n{script.read_text()}\nPRAGMA user_version = {number};\nCOMMIT;")


def _moment_bytes(moment: Moment) -> bytes:
    return cbor.encode([moment.boot_id, moment.boot_ms, moment.wall_ms, moment.quality])


def _read_moment(encoded: bytes | None) -> Moment | None:
    if encoded is None:
        return None
    boot_id, boot_ms, wall_ms, quality = cbor.as_list(cbor.decode(encoded), "moment", 4)
    return Moment(
        cbor.as_bytes(boot_id, "boot id"),
        cbor.as_int(boot_ms, "boot"),
        cbor.as_int(wall_ms, "wall"),
        cbor.as_int(quality, "quality"),
    )


def _counters_bytes(counters: Counters) -> bytes:
    return cbor.encode([[name, value] for name, value in counters])


def _read_counters(encoded: bytes) -> Counters:
    pairs = (cbor.as_list(pair, "counter", 2) for pair in cbor.as_list(cbor.decode(encoded), "counters"))
    return tuple((cbor.as_text(name, "name"), cbor.as_int(value, "counter")) for name, value in pairs)
