"""The file beneath the outbox: one agent's alone, brought to the newest schema, and set aside whole when it is damaged.

SQLite in WAL mode with synchronous=FULL. It knows no queue and decides nothing; what the machine does wrong (full disk,
rights) is never taken for damage.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from agent import chain_state
from agent.errors import AgentError, StoreError
from evidence import statement
from evidence.errors import FormatError
from packseal.program import UNAVAILABLE

Connection: TypeAlias = sqlite3.Connection
_SCHEMAS: Final = Path(__file__).parent / "schema"
_NAME: Final = "outbox.db"
_QUARANTINE: Final = "quarantine-"
_MOST_MISSED: Final = (
    5_000  # rows in a row that are looked for in vain: more than one page of the tree above them can hide
)
_ENVIRONMENT: Final = frozenset({
    sqlite3.SQLITE_AUTH, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_READONLY,
})  # fmt: skip
"""What SQLite reports of the machine rather than of the file's content (sqlite.org/rescode.html)."""


class InUse(AgentError):
    """Another agent has the outbox open."""

    exit_code = UNAVAILABLE


class Wreck:
    """A damaged store: read as far as it can be, never written, never trusted. `whole` until something was unreadable."""

    def __init__(self, path: Path) -> None:
        self.whole = True
        self._connection: Connection | None = None
        try:
            self._connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
            self._connection.text_factory = lambda raw: raw.decode(errors="replace")
            # Otherwise a file that was cut short would not be read at all.
            self._connection.execute("PRAGMA writable_schema = ON")
        except sqlite3.Error:
            self.whole = False

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()

    def rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        """The readable rows of `query`, a SELECT of a table's rowid and more, in the order of their rowids.

        They are read upwards to the first damage, downwards to the last, and what lies between one by one.
        """
        last = 0
        try:
            for row in self._read(f"{query} WHERE rowid > 0 ORDER BY rowid"):
                last = int(row[0])
                yield row
        except sqlite3.Error:
            self.whole = False
        else:
            return
        behind: list[int] = []
        with contextlib.suppress(sqlite3.Error):
            behind.extend(int(row[0]) for row in self._read(f"{query} WHERE rowid > {last} ORDER BY rowid DESC"))
        missed = 0
        while missed < _MOST_MISSED and (not behind or last + 1 < behind[-1]):
            last += 1
            found = self._one(query, last)
            missed = 0 if found else missed + 1
            yield from found
        for number in reversed(behind):
            yield from self._one(query, number)

    def _one(self, query: str, rowid: int) -> list[tuple[Any, ...]]:
        with contextlib.suppress(sqlite3.Error):
            return list(self._read(f"{query} WHERE rowid = ?", rowid))
        return []

    def _read(self, query: str, *values: int) -> Iterator[tuple[Any, ...]]:
        if self._connection is None:
            raise sqlite3.DatabaseError("cannot be opened")
        yield from self._connection.execute(query, values)


Refill: TypeAlias = Callable[[Connection, Wreck], None]
"""Takes over into a store made anew, within the transaction that makes it, what its damaged predecessor still holds."""


class Database:
    """The open store. `quarantined` is where a predecessor that was found damaged now has been put."""

    def __init__(self, folder: Path, refill: Refill) -> None:
        self.quarantined: Path | None = None
        self._path = folder / _NAME
        self._refill = refill
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
            self.connection = self._opened()
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Let go of the files."""
        self.connection.close()
        os.close(self._lock)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All of it durably, or StoreError and nothing."""
        with self.failing():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """SQLite's complaints become StoreError, named by the file."""
        try:
            yield
        except sqlite3.Error as problem:
            raise StoreError(f"{self._path}: {problem}") from None

    def _opened(self) -> Connection:
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
                with self.failing():
                    self._check(connection)
            closing.pop_all()
        return connection

    def _connected(self, closing: contextlib.ExitStack) -> Connection:
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

    def _check(self, connection: Connection) -> None:
        """Make the store ours to use; sqlite3.Error if it cannot be, or is damaged."""
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        self._migrate(connection)
        _check_heads(connection)

    def _migrate(self, connection: Connection) -> None:
        """Run the numbered schemas above the store's version, each in one transaction."""
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        scripts = {int(script.stem): script for script in sorted(_SCHEMAS.glob("[0-9]*.sql"))}
        if version > max(scripts):
            raise StoreError(f"{self._path}: written by a newer packseal (schema {version}); install that again")
        if version == 0:
            self._make(connection, "".join(script.read_text() for script in scripts.values()), max(scripts))
            return
        for number, script in scripts.items():
            if number > version:
                connection.executescript(f"BEGIN;\n{script.read_text()}\nPRAGMA user_version = {number};\nCOMMIT;")

    def _make(self, connection: Connection, schema: str, version: int) -> None:
        """A store made anew, with what its predecessor still holds if one was set aside: both or neither after a crash."""
        connection.executescript(f"BEGIN IMMEDIATE;\n{schema}\nPRAGMA user_version = {version};")
        try:
            predecessors = sorted(self._path.parent.glob(f"{_QUARANTINE}[0-9]*"))
            if predecessors:
                with contextlib.closing(Wreck(predecessors[-1] / _NAME)) as wreck:
                    self._refill(connection, wreck)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

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


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a look at a store found: how many statements it holds, and how many of them are neither proven nor refused."""

    statements: int
    pending: int


def inspect(folder: Path) -> Inspected | None:
    """Look at the store of an agent that may be running, without changing it; None if there is none yet. StoreError.

    Without a write-ahead log beside it nobody uses it, and it is read as a file that does not change: SQLite would make one.
    """
    path = folder / _NAME
    mode = "mode=ro" if path.with_name(f"{_NAME}-wal").exists() else "mode=ro&immutable=1"
    if not path.exists():
        return None
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > max(int(script.stem) for script in _SCHEMAS.glob("[0-9]*.sql")):
                raise StoreError(f"{path}: written by a newer packseal (schema {version}); install that again")
            (statements,) = connection.execute("SELECT count(*) FROM statements").fetchone()
            (pending,) = connection.execute("SELECT count(*) FROM statements WHERE state = 'pending'").fetchone()
    except sqlite3.Error as problem:
        raise StoreError(
            f"{path}: {problem}; a start sets a damaged store aside and goes on: look at the disk"
        ) from None
    return Inspected(int(statements), int(pending))


def _check_heads(connection: Connection) -> None:
    """DatabaseError unless each chain ends in its newest statement, whole: a new epoch must not follow a rotten or old head.

    An end that was salvaged by its proof alone has lost its statement, until the next one follows it.
    """
    rows = connection.execute(
        "SELECT c.pack, c.ledger, c.epoch, c.seq, c.entry, c.covered, c.counters, s.body, r.kid,"
        " s.id = (SELECT max(id) FROM statements n WHERE n.kid = c.kid) FROM chains c"
        " LEFT JOIN statements s ON (s.kid, s.epoch, s.seq, s.entry) = (c.kid, c.epoch, c.seq, c.entry)"
        " LEFT JOIN replaced r ON r.kid = c.kid"
    ).fetchall()
    for *chain, body, replaced, newest in rows:
        try:
            known = chain_state.read(*chain)
        except FormatError as problem:
            raise sqlite3.DatabaseError(f"a chain's end is unreadable: {problem}") from None
        if body is None and replaced is not None:
            continue
        if body is None or not newest or hashlib.sha256(body).digest() != known.entry:
            raise sqlite3.DatabaseError(f"the chain of {known.pack} does not end in its newest statement")
        said = statement.read(body).envelope
        if said.audience != known.ledger or not said.subject.endswith(f":pack/{known.pack}"):
            raise sqlite3.DatabaseError(f"the chain of {known.pack} is not that of its newest statement")
