"""The outbox: the only queue. A statement, its document and the chain's new head move in one transaction, or not at all.

One read-write connection in one thread. Nothing here decides; nothing that was signed is ever deleted by it.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent import chain_state
from agent.chain_state import ChainState
from agent.database import Connection, Database
from agent.receipts import ProvenEntry
from agent.salvage import refill
from agent.seal import Sealed
from evidence.bodies import MAX_OTHER_CHAINS
from evidence.keys import KeyId
from evidence.merkle import Digest

BIRTHS_OF_A_START: Final = 1 << 20  # more connections than one process will ever make


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts for status lines. `never_proven` statements were refused for good or have rotted: their chain has a hole."""

    pending: int
    proven: int
    refused: int
    documents_pending: int
    documents_stored: int
    documents_refused: int
    damaged: int
    never_proven: int


class Outbox:
    """The open store of one agent. Not for use from two threads.

    `speakers` are the keys that may have chains in it: if it is damaged beyond telling which had, each counts as replaced.
    """

    def __init__(self, folder: Path, speakers: Iterable[KeyId] = ()) -> None:
        self._database = Database(folder, lambda store, wreck: refill(store, wreck, speakers))
        self._connection = self._database.connection
        self._queues: dict[tuple[str, str, int], tuple[int, ...]] = {}  # as read since the last change

    @property
    def quarantined(self) -> Path | None:
        """Where a damaged predecessor was put, if it was found so now; what could be read of it is in this store."""
        return self._database.quarantined

    def close(self) -> None:
        """Let go of the files."""
        self._database.close()

    def replaced(self, kid: KeyId) -> bool:
        """Whether this store took the place of a damaged one, and no `open` of this key's chain has said so yet."""
        with self._database.failing():
            return self._connection.execute("SELECT 1 FROM replaced WHERE kid = ?", (kid,)).fetchone() is not None

    def first_birth(self, unix_ms: int) -> int:
        """The first birth of this start: above those of all earlier ones, even if an earlier store is lost.

        No process makes a connection each millisecond; where the wall clock ran back, the store counts on.
        """
        with self._changing() as database:
            query = "UPDATE births SET first = iif(?1 > first, ?1, first + ?2)"
            database.execute(query, (unix_ms, BIRTHS_OF_A_START))
            return int(database.execute("SELECT first FROM births").fetchone()[0])

    def chain(self, kid: KeyId) -> ChainState | None:
        """Where the chain of `kid` stands; None if it has not begun."""
        with self._database.failing():
            row = self._connection.execute(
                "SELECT pack, ledger, epoch, seq, entry, covered, counters FROM chains WHERE kid = ?", (kid,)
            ).fetchone()
        return None if row is None else chain_state.read(*row)

    def packs(self) -> tuple[str, ...]:
        """The packs that anything here is about."""
        with self._database.failing():
            rows = self._connection.execute("SELECT DISTINCT pack FROM chains ORDER BY pack").fetchall()
        return tuple(pack for (pack,) in rows)

    def other_chains(self, pack: str, kid: KeyId) -> tuple[Digest, ...]:
        """The newest entries of the pack's other chains here, as many as an `open` can name."""
        with self._database.failing():
            rows = self._connection.execute(
                "SELECT entry FROM chains WHERE pack = ? AND kid <> ? ORDER BY rowid DESC LIMIT ?",
                (pack, kid, MAX_OTHER_CHAINS),
            ).fetchall()
        return tuple(Digest(entry) for (entry,) in sorted(rows))

    def add(self, pack: str, sealed: Iterable[Sealed], *, covers: bool = True) -> None:
        """Keep statements with their documents and move the chain's head, durably; only then may they leave.

        With `covers` False (a replay) the span that the live chain covers stays what it was, and so do its counters.
        """
        with self._changing() as database:
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
                        "INSERT INTO documents (kid, entry, digest, state, body) VALUES (?, ?, ?, 'held', ?)",
                        (kid, said.entry, digest, each.document),
                    )
                covered = chain_state.moment_bytes(each.covered) if covers else None
                counters = chain_state.counters_bytes(each.counters if covers else ())
                database.execute(
                    "INSERT INTO chains (kid, pack, ledger, epoch, seq, entry, covered, counters)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT (kid) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq,"
                    " entry = excluded.entry, covered = coalesce(excluded.covered, covered),"
                    " counters = iif(excluded.covered IS NULL, counters, excluded.counters)",
                    (kid, pack, said.envelope.audience, said.epoch, said.seq, said.entry, covered, counters),
                )
                if covers:
                    database.execute("DELETE FROM replaced WHERE kid = ?", (kid,))

    def pending(self, pack: str, limit: int) -> tuple[int, ...]:
        """The rows of the oldest statements that are neither proven nor refused, so many of each of the pack's keys."""
        return self._queue("SELECT id FROM statements WHERE state = 'pending' AND kid = ?", pack, limit)

    def pending_documents(self, pack: str, limit: int) -> tuple[int, ...]:
        """The rows of the oldest documents that no archive has answered for and whose statements are proven, as above."""
        return self._queue("SELECT id FROM documents WHERE state = 'pending' AND kid = ?", pack, limit)

    def body(self, row: int) -> bytes | None:
        """The bytes of a statement; None if the disk has changed them, and it is kept as damaged from now on."""
        with self._database.failing():
            query = "SELECT entry, body FROM statements WHERE id = ?"
            entry, body = self._connection.execute(query, (row,)).fetchone()
        if hashlib.sha256(body).digest() == entry:
            return bytes(body)
        with self._changing() as database:
            database.execute("UPDATE statements SET state = 'damaged' WHERE id = ?", (row,))
        return None

    def document(self, row: int) -> bytes | None:
        """The bytes of a document; None if the disk has changed them, and it is kept as damaged from now on."""
        with self._database.failing():
            query = "SELECT digest, body FROM documents WHERE id = ?"
            digest, body = self._connection.execute(query, (row,)).fetchone()
        if hashlib.sha256(body).digest() == digest:
            return bytes(body)
        with self._changing() as database:
            database.execute("UPDATE documents SET state = 'damaged' WHERE id = ?", (row,))
        return None

    def row_of(self, entry: Digest, pack: str) -> int | None:
        """The row of the statement `entry` of `pack`; None if it is not ours."""
        with self._database.failing():
            query = "SELECT id FROM statements WHERE entry = ? AND pack = ?"
            row = self._connection.execute(query, (entry, pack)).fetchone()
        return None if row is None else int(row[0])

    def proven(self, proof: ProvenEntry) -> bool:
        """Keep that a statement is proven, with the newest statement's proof as the chain's; False if it was before.

        From now on its document may leave.
        """
        with self._changing() as database:
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
        with self._changing() as database:
            changed = database.execute(
                "UPDATE statements SET state = ?, refusal = ?"
                " WHERE entry = ? AND state = 'pending' AND (state <> ? OR refusal IS NOT ?)",
                (state, reason, entry, state, reason),
            ).rowcount
        return changed > 0

    def stored(self, digests: Iterable[Digest]) -> list[int]:
        """Keep that an archive has signed for documents; the rows that this concerns."""
        with self._changing() as database:
            return [
                int(row)
                for digest in digests
                for (row,) in database.execute(
                    "UPDATE documents SET state = 'stored', refusal = NULL WHERE digest = ? RETURNING id", (digest,)
                ).fetchall()
            ]

    def documents_of(self, digest: Digest, pack: str) -> list[int]:
        """The rows of a pack's documents of this digest that still wait for an archive's answer."""
        query = (
            "SELECT d.id FROM documents d JOIN statements s USING (entry)"
            " WHERE d.digest = ? AND d.state = 'pending' AND s.pack = ?"
        )
        with self._database.failing():
            return [int(row) for (row,) in self._connection.execute(query, (digest, pack)).fetchall()]

    def document_refused(self, row: int, reason: str) -> None:
        """Keep that a document was refused for good: it is kept, and not sent again."""
        with self._changing() as database:
            database.execute("UPDATE documents SET state = 'refused', refusal = ? WHERE id = ?", (reason, row))

    def states(self, entries: Iterable[Digest]) -> list[str]:
        """The states of these statements."""
        query = "SELECT state FROM statements WHERE entry = ?"
        with self._database.failing():
            return [str(self._connection.execute(query, (entry,)).fetchone()[0]) for entry in entries]

    def checkpoint(self) -> str | None:
        """The note of the newest checkpoint that was verified."""
        return self._note("newest")

    def remember_checkpoint(self, note: str) -> None:
        """Keep the note of a verified checkpoint as the newest."""
        with self._changing() as database:
            database.execute("INSERT OR REPLACE INTO checkpoints (name, note) VALUES ('newest', ?)", (note,))

    def fork(self) -> tuple[str, str] | None:
        """Two notes of one ledger for two logs, if it ever showed us such."""
        first, second = self._note("forked-from"), self._note("fork")
        return None if first is None or second is None else (first, second)

    def remember_fork(self, note: str) -> None:
        """Keep a note that contradicts the newest one, and that one beside it; a later pair changes nothing."""
        with self._changing() as database:
            database.execute(
                "INSERT OR IGNORE INTO checkpoints (name, note)"
                " SELECT 'forked-from', note FROM checkpoints WHERE name = 'newest'"
            )
            database.execute("INSERT OR IGNORE INTO checkpoints (name, note) VALUES ('fork', ?)", (note,))

    def waiting(self) -> int:
        """How many statements are neither proven nor refused."""
        with self._database.failing():
            (count,) = self._connection.execute("SELECT count(*) FROM statements WHERE state = 'pending'").fetchone()
        return int(count)

    def totals(self) -> Totals:
        """How much is in which state."""
        with self._database.failing():
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
            documents.get("refused", 0),
            statements.get("damaged", 0) + documents.get("damaged", 0),
            statements.get("damaged", 0) + statements.get("refused", 0),
        )

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Connection]:
        """The only way to change anything: what waits is asked for anew afterwards, ten times a second it would be the same."""
        with self._database.transaction() as database:
            self._queues.clear()
            yield database

    def _queue(self, query: str, pack: str, limit: int) -> tuple[int, ...]:
        known = self._queues.get((query, pack, limit))
        if known is not None:
            return known
        # A key that the ledger does not know (yet, or any more) must not hold up another of the same pack.
        with self._database.failing():
            kids = self._connection.execute("SELECT kid FROM chains WHERE pack = ? ORDER BY rowid", (pack,)).fetchall()
            found = self._queues[query, pack, limit] = tuple(
                int(row)
                for (kid,) in kids
                for (row,) in self._connection.execute(f"{query} ORDER BY id LIMIT ?", (kid, limit)).fetchall()
            )
        return found

    def _note(self, name: str) -> str | None:
        with self._database.failing():
            row = self._connection.execute("SELECT note FROM checkpoints WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])
