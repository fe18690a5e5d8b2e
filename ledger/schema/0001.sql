-- The log. Rows are only ever inserted; idx is the leaf index. Everything else that the ledger knows is replayed from here.
CREATE TABLE entries (
    idx      INTEGER PRIMARY KEY,
    entry    BLOB NOT NULL UNIQUE CHECK (length(entry) = 32),
    kind     TEXT NOT NULL,
    subject  TEXT NOT NULL,
    -- of statements only:
    kid      BLOB,
    epoch    INTEGER,
    seq      INTEGER,
    prev     BLOB,
    document BLOB,
    profile  BLOB -- SHA-256 of the schema: an open brings it, a segment names it
) STRICT;
CREATE UNIQUE INDEX slots ON entries (kid, epoch, seq) WHERE epoch IS NOT NULL;
CREATE INDEX acts ON entries (kind, idx) WHERE epoch IS NULL;
CREATE INDEX documented ON entries (document) WHERE document IS NOT NULL;

-- The signed bytes, apart from the entries: they are personal data and may be erased, an entry never.
CREATE TABLE messages (
    idx     INTEGER PRIMARY KEY REFERENCES entries (idx),
    message BLOB NOT NULL
) STRICT;

-- Signed checkpoints, stored before they are published and then only ever re-sent.
CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY,
    note TEXT NOT NULL
) STRICT;

-- Two different statements in one place of a chain, both validly signed: the first is in the log, the second is kept here.
CREATE TABLE equivocations (
    second  BLOB PRIMARY KEY,
    first   BLOB NOT NULL,
    kid     BLOB NOT NULL,
    epoch   INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    message BLOB NOT NULL,
    UNIQUE (kid, epoch, seq) -- one is proof; a thousand would only fill the disk
) STRICT;

-- What was refused and the signed answer; the oldest are dropped when there are too many.
CREATE TABLE refusals (
    id        INTEGER PRIMARY KEY,
    entry     BLOB NOT NULL,
    rule      TEXT NOT NULL,
    reason    TEXT NOT NULL,
    permanent INTEGER NOT NULL,
    answer    BLOB NOT NULL,
    UNIQUE (entry, rule)
) STRICT;

-- Messages that broke admission itself, by hash.
CREATE TABLE quarantine (
    digest BLOB PRIMARY KEY,
    topic  TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;

-- Segment documents: held until their statement is admitted (idx null), then kept with the archive's signed answer.
CREATE TABLE documents (
    digest  BLOB PRIMARY KEY,
    gateway TEXT NOT NULL,
    pack    TEXT NOT NULL,
    held_ms INTEGER NOT NULL,
    idx     INTEGER REFERENCES entries (idx),
    answer  BLOB,
    body    BLOB NOT NULL
) STRICT;
CREATE INDEX held ON documents (gateway, held_ms) WHERE idx IS NULL;
