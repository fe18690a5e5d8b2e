-- The outbox, version 1. One row is one statement; `entry` is the SHA-256 of `body`, so each row carries its own digest.
CREATE TABLE statements (
    id INTEGER PRIMARY KEY,
    pack TEXT NOT NULL,
    kid BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    entry BLOB NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'proven', 'refused', 'damaged')),
    log_index INTEGER,
    refusal TEXT,
    body BLOB NOT NULL,
    UNIQUE (kid, epoch, seq)
) STRICT;
-- Each key's queue, oldest first, and the counts of health lines, without a look at a body.
CREATE INDEX statements_queue ON statements (state, kid);

-- Segment documents; `entry` names the statement that commits to each, `digest` is the SHA-256 of `body`.
-- One is held until its statement is proven: no archive takes it before.
CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    kid BLOB NOT NULL,
    entry BLOB NOT NULL UNIQUE REFERENCES statements (entry),
    digest BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('held', 'pending', 'stored', 'refused', 'damaged')),
    refusal TEXT,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX documents_queue ON documents (state, kid);
CREATE INDEX documents_digest ON documents (digest);

-- Where each chain stands, the origin of the ledger that it was begun for, and how far the pack's time is
-- covered; moved in the transaction that adds a statement.
CREATE TABLE chains (
    kid BLOB PRIMARY KEY,
    pack TEXT NOT NULL,
    ledger TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    entry BLOB NOT NULL,
    covered BLOB,
    counters BLOB NOT NULL,
    proven INTEGER REFERENCES statements (id),
    proof BLOB
) STRICT;

-- The chains of a damaged predecessor of this store, each until its next open has said so.
CREATE TABLE replaced (kid BLOB PRIMARY KEY) STRICT;

-- The newest verified checkpoint; and of a ledger that has signed two logs the two notes, the first pair that showed it.
CREATE TABLE checkpoints (
    name TEXT PRIMARY KEY CHECK (name IN ('newest', 'fork', 'forked-from')),
    note TEXT NOT NULL
) STRICT;

-- The first birth of the newest start: those that the agent announces are above all that it used before.
CREATE TABLE births (id INTEGER PRIMARY KEY CHECK (id = 1), first INTEGER NOT NULL) STRICT;
INSERT INTO births VALUES (1, 0);
