-- The outbox, version 1. One row is one statement; `entry` is the SHA-256 of `body`, so each row carries its own digest.
CREATE TABLE statements (
    id INTEGER PRIMARY KEY,
    pack TEXT NOT NULL,
    kid BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    entry BLOB NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'proven', 'refused')),
    log_index INTEGER,
    refusal TEXT,
    body BLOB NOT NULL,
    UNIQUE (kid, epoch, seq)
) STRICT;
CREATE INDEX statements_pending ON statements (id) WHERE state = 'pending';

-- Segment documents; `entry` names the statement that commits to each, `digest` is the SHA-256 of `body`.
CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    entry BLOB NOT NULL UNIQUE REFERENCES statements (entry),
    digest BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'stored')),
    body BLOB NOT NULL
) STRICT;
CREATE INDEX documents_pending ON documents (id) WHERE state = 'pending';
CREATE INDEX documents_digest ON documents (digest);

-- Where each chain stands and how far the pack's time is covered; moved in the transaction that adds a statement.
CREATE TABLE chains (
    kid BLOB PRIMARY KEY,
    pack TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    entry BLOB NOT NULL,
    covered BLOB,
    counters BLOB NOT NULL,
    proof BLOB
) STRICT;

-- The newest verified checkpoint, and the two notes of a ledger that has signed two logs.
CREATE TABLE checkpoints (
    name TEXT PRIMARY KEY CHECK (name IN ('newest', 'fork')),
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    note TEXT NOT NULL
) STRICT;

-- How often the agent has been started: the births that it announces are above all that it used before.
CREATE TABLE starts (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL) STRICT;
INSERT INTO starts VALUES (1, 0);
