"""The ledger's database: the only importer of sqlite3. WAL, synchronous=FULL, one writer, whole batches or nothing.

`Reader` opens read-only and is what tools use beside a running ledger; `Store` is the one writer, and whoever opens it
holds the folder's lock. Nothing here decides anything: rules live in admission, order in the sequencer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from evidence.keys import KeyId
from evidence.merkle import Digest
from evidence.statement import entry_of
from ledger.errors import Erased, LogDamaged, StoreError
from ledger.rows import Batch, Document, Link, NewEntry, Quarantined, RefusedEntry, Twin

FILE: Final = "log.sqlite3"
REFUSALS_KEPT: Final = 100_000
_MIGRATIONS: Final = Path(__file__).parent / "schema"
_ACT: Final = "SELECT idx, entry, message FROM entries LEFT JOIN messages USING (idx) WHERE epoch IS NULL "
_LINK: Final = "SELECT idx, entry, kind, kid, epoch, seq, prev, profile FROM entries "


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as problem:
        raise StoreError(f"{path}: {problem}") from None


class Reader:
    """Reads a ledger's database; StoreError for whatever the disk or SQLite says."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        with _reported(self._path):
            if not self._path.exists():
                raise StoreError(f"{self._path}: there is no log here; packseal-ledger init makes one")
            self._db = self._connect()
            self._check_version()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{quote(str(self._path))}?mode=ro", uri=True, isolation_level=None)

    def _check_version(self) -> None:
        if self._version() != len(migrations()):
            raise StoreError(f"{self._path}: schema {self._version()}, this program knows {len(migrations())}")

    def _version(self) -> int:
        return int(self._one("PRAGMA user_version")[0])

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read within is of one moment, whatever a running ledger commits meanwhile (SQLite, "Isolation", WAL)."""
        with _reported(self._path):
            self._db.execute("BEGIN")
        try:
            yield
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def size(self) -> int:
        """How many entries the log has."""
        return int(self._one("SELECT coalesce(max(idx) + 1, 0) FROM entries")[0])

    def entries(self, start: int, stop: int) -> Iterator[tuple[int, Digest]]:
        """Indices and entries from `start` up to `stop`."""
        yield from self._all("SELECT idx, entry FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx", start, stop)

    def links(self, start: int, stop: int) -> Iterator[Link]:
        """The statements' places from `start` up to `stop`."""
        rows = self._all(_LINK + "WHERE idx >= ? AND idx < ? AND epoch IS NOT NULL ORDER BY idx", start, stop)
        return map(Link._make, rows)

    def links_of(self, kid: KeyId, stop: int) -> list[Link]:
        """The places of all statements of one key below index `stop`, in the order of the log."""
        rows = self._all(_LINK + "WHERE epoch IS NOT NULL AND kid = ? AND idx < ? ORDER BY idx", kid, stop)
        return [Link._make(row) for row in rows]

    def link_of(self, entry: bytes) -> Link | None:
        """The place of the statement with this entry."""
        row = self._maybe(_LINK + "WHERE entry = ? AND epoch IS NOT NULL", entry)
        return None if row is None else Link._make(row)

    def slot(self, kid: KeyId, epoch: int, seq: int) -> tuple[int, Digest] | None:
        """Index and entry of the statement that stands there."""
        query = "SELECT idx, entry FROM entries WHERE kid = ? AND epoch = ? AND seq = ?"
        found: tuple[int, Digest] | None = self._maybe(query, kid, epoch, seq)
        return found

    def index_of(self, entry: bytes) -> int | None:
        """The index of an entry."""
        row = self._maybe("SELECT idx FROM entries WHERE entry = ?", entry)
        return None if row is None else int(row[0])

    def message(self, index: int) -> bytes:
        """The signed bytes of an entry; Erased if a statement's are gone, LogDamaged if an act's are or there is none."""
        row = self._maybe("SELECT message, epoch FROM entries LEFT JOIN messages USING (idx) WHERE idx = ?", index)
        if row is None or (row[0] is None and row[1] is None):
            raise LogDamaged(f"{self._path}: the message of entry {index} is missing")
        if row[0] is None:
            raise Erased(f"the statement at entry {index} was erased")
        return bytes(row[0])

    def everything(self, start: int, stop: int) -> Iterator[NewEntry]:
        """All rows from `start` up to `stop`; the message of an erased one is empty."""
        rows = self._all(
            "SELECT entries.*, coalesce(message, x'') FROM entries LEFT JOIN messages USING (idx) "
            "WHERE idx >= ? AND idx < ? ORDER BY idx",
            start,
            stop,
        )
        return map(NewEntry._make, rows)

    def acts(self, start: int, stop: int) -> list[tuple[int, bytes]]:
        """The register's acts from `start` up to `stop`; of times and heads, which supersede each other, none.

        LogDamaged if the message of one is missing or not the one that was logged: the register would silently be another.
        """
        query = _ACT + "AND idx >= ? AND idx < ? AND kind NOT IN ('time', 'heads') ORDER BY idx"
        return [self._act(row) for row in list(self._all(query, start, stop))]

    def last_act(self, kind: str, stop: int) -> tuple[int, bytes] | None:
        """The last act of `kind` below index `stop`; LogDamaged as for `acts`."""
        row = self._maybe(_ACT + "AND kind = ? AND idx < ? ORDER BY idx DESC LIMIT 1", kind, stop)
        return None if row is None else self._act(row)

    def checkpoints(self) -> list[tuple[int, str]]:
        """All checkpoints as (size, note), ascending."""
        return list(self._all("SELECT size, note FROM checkpoints ORDER BY size"))

    def newest_checkpoint(self) -> tuple[int, str] | None:
        """Size and note of the newest checkpoint."""
        query = "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1"
        found: tuple[int, str] | None = self._maybe(query)
        return found

    def refusal(self, entry: bytes, rule: str) -> RefusedEntry | None:
        """The refusal of an entry under a rule, as it was answered."""
        row = self._maybe(
            "SELECT entry, rule, reason, permanent, answer FROM refusals WHERE entry = ? AND rule = ?", entry, rule
        )
        return None if row is None else RefusedEntry._make(row)

    def refusals(self) -> list[RefusedEntry]:
        """All refusals kept, oldest first."""
        rows = self._all("SELECT entry, rule, reason, permanent, answer FROM refusals ORDER BY id")
        return [RefusedEntry._make(row) for row in rows]

    def twins(self) -> list[Twin]:
        """All equivocations recorded."""
        return [
            Twin._make(row) for row in self._all("SELECT second, first, kid, epoch, seq, message FROM equivocations")
        ]

    def quarantined(self) -> list[Quarantined]:
        """All messages that broke admission."""
        return [Quarantined._make(row) for row in self._all("SELECT digest, topic, reason FROM quarantine")]

    def segment_of(self, document: bytes) -> int | None:
        """Index of the segment statement that names this document."""
        row = self._maybe("SELECT idx FROM entries WHERE document = ? ORDER BY idx LIMIT 1", document)
        return None if row is None else int(row[0])

    def document(self, digest: bytes) -> Document | None:
        """A document's row, held or kept."""
        row = self._maybe("SELECT digest, gateway, pack, idx, answer FROM documents WHERE digest = ?", digest)
        return None if row is None else Document._make(row)

    def document_body(self, digest: bytes) -> bytes | None:
        """A kept document's bytes."""
        row = self._maybe("SELECT body FROM documents WHERE digest = ? AND idx IS NOT NULL", digest)
        return None if row is None else bytes(row[0])

    def documents(self) -> Iterator[tuple[int, Digest, bytes]]:
        """Index of the statement, digest and bytes of every kept document."""
        yield from self._all("SELECT idx, digest, body FROM documents WHERE idx IS NOT NULL ORDER BY idx")

    def held(self) -> list[tuple[Digest, str, int, int]]:
        """Digest, gateway, bytes and arrival (Unix ms) of every document that waits for its statement, oldest first."""
        return list(
            self._all("SELECT digest, gateway, length(body), held_ms FROM documents WHERE idx IS NULL ORDER BY held_ms")
        )

    def held_body(self, digest: bytes) -> bytes:
        """A waiting document's bytes."""
        return bytes(self._one("SELECT body FROM documents WHERE digest = ?", digest)[0])

    def _act(self, row: tuple[int, Digest, bytes | None]) -> tuple[int, bytes]:
        index, entry, message = row
        if message is None or entry_of(message) != entry:
            what = "missing" if message is None else "not the one that was logged"
            raise LogDamaged(f"{self._path}: the message of entry {index} is {what}")
        return index, message

    def _all(self, query: str, *values: object) -> Iterator[Any]:
        with _reported(self._path):
            yield from self._db.execute(query, values)

    def _maybe(self, query: str, *values: object) -> Any:  # noqa: ANN401 - a row is what its query says
        with _reported(self._path):
            return self._db.execute(query, values).fetchone()

    def _one(self, query: str, *values: object) -> Any:  # noqa: ANN401
        return self._maybe(query, *values)


class Store(Reader):
    """The one writer. `create` makes the database; without it a missing one is a StoreError."""

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        self._path = folder / FILE
        if create:
            with _reported(self._path):
                self._db = self._connect()
                self._migrate()
                self._db.close()
        super().__init__(folder)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, cached_statements=256)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA cache_size = -65536")
        return db

    def _check_version(self) -> None:
        self._migrate()
        super()._check_version()

    def _migrate(self) -> None:
        for number, script in enumerate(migrations(), start=1):
            if self._version() < number:
                self._db.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _reported(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def commit(self, batch: Batch) -> None:
        """Make a whole batch durable."""
        if not batch:
            return
        with self._transaction() as db:
            db.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (e[:-1] for e in batch.entries))
            db.executemany("INSERT INTO messages VALUES (?, ?)", ((e.at, e.message) for e in batch.entries))
            db.executemany(
                "INSERT OR IGNORE INTO equivocations (second, first, kid, epoch, seq, message) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                batch.twins,
            )
            db.executemany("INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?)", batch.quarantined)
            if batch.refusals:
                self._refuse(db, batch.refusals)

    def _refuse(self, db: sqlite3.Connection, refusals: Iterable[RefusedEntry]) -> None:
        db.executemany(
            "INSERT OR IGNORE INTO refusals (entry, rule, reason, permanent, answer) VALUES (?, ?, ?, ?, ?)",
            refusals,
        )
        db.execute("DELETE FROM refusals WHERE id <= (SELECT max(id) FROM refusals) - ?", (REFUSALS_KEPT,))

    def put_checkpoint(self, size: int, note: str) -> None:
        """Store a checkpoint unless one of its size or larger is there: LogDamaged, and nothing may be published."""
        with self._transaction() as db:
            done = db.execute(
                "INSERT INTO checkpoints SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM checkpoints WHERE size >= ?)",
                (size, note, size),
            )
            if done.rowcount != 1:
                raise LogDamaged(f"{self._path}: a checkpoint of size {size} or larger is already there")

    def hold_document(self, digest: Digest, gateway: str, pack: str, body: bytes, now_ms: int) -> None:
        """Keep a document that waits for its statement."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO documents VALUES (?, ?, ?, ?, NULL, NULL, ?)",
                (digest, gateway, pack, now_ms, body),
            )

    def keep_document(self, document: Document, body: bytes, now_ms: int) -> None:
        """Keep a document for good, with the index of its statement and the signed answer."""
        digest, gateway, pack, at, answer = document
        with self._transaction() as db:
            db.execute(
                "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (digest) DO UPDATE SET idx = excluded.idx, answer = excluded.answer",
                (digest, gateway, pack, now_ms, at, answer, body),
            )

    def drop_held(self, digests: Iterable[Digest]) -> None:
        """Let go of documents that never got a statement."""
        with self._transaction() as db:
            db.executemany("DELETE FROM documents WHERE digest = ? AND idx IS NULL", ((each,) for each in digests))


def migrations() -> list[str]:
    """The numbered schema scripts, in order."""
    return [path.read_text() for path in sorted(_MIGRATIONS.glob("[0-9]*.sql"))]
