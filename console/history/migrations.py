"""From each released format to the next, forward only. A released step is never edited: it holds its own SQL.

Each step is one transaction with the record that it ran. Before the first one the file is checked and a verified copy
is made. `tests/data/` holds a store of every released format, and the tests bring each of them to the present.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime

import sqlite_utils

from console.errors import StoreTooNew
from console.history import backups, files, schema
from console.history.rows import to_ms
from console.history.trouble import Damaged
from console.paths import Paths

UPGRADE_WAIT_S = 600.0
"""How long another process may take for the upgrade before those that wait for it give up."""


def upgrade(connection: sqlite3.Connection, paths: Paths, now: datetime) -> str | None:
    """Bring the open store to the present format; returns a sentence about it, or None if another process just did.

    `Busy` while another process is at it. A damaged file is reported before anything in it is changed.
    """
    with files.alone(paths, wait_s=UPGRADE_WAIT_S):
        before = _version(connection)
        if before == schema.VERSION:
            return None
        if before not in STEPS:
            raise StoreTooNew(f"The history has a format that nobody released ({before}).")
        (finding,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if finding != "ok":
            raise Damaged
        copy = paths.backups / f"hawser-{files.stamp(now)}-format-{before}.db"
        backups.make(paths.store_file, copy)
        for version in range(before, schema.VERSION):
            _step(connection, version, now)
    return f"The history was brought from format {before} to {schema.VERSION}; a copy from before is {str(copy)!r}."


def _step(connection: sqlite3.Connection, version: int, now: datetime) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        STEPS[version](sqlite_utils.Database(connection))
        connection.execute("INSERT INTO migrations (version, ran_at) VALUES (?, ?)", (version + 1, to_ms(now)))
        connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    with closing(connection.execute("PRAGMA user_version")) as cursor:
        return int(cursor.fetchone()[0])


def _from_1_to_2(database: sqlite_utils.Database) -> None:
    """Attachments, search, set-aside money, breakers, the models seen, and where an imported chat came from."""
    chats = database.table("chats")
    chats.add_column("origin", str)
    chats.create_index(["origin"], index_name="chats_by_origin", unique=True)
    for statement in schema.statements(_FORMAT_2):
        database.execute(statement)
    for index in ("message_search", "chat_search", "attachment_search"):
        database.execute(f"INSERT INTO {index} ({index}) VALUES ('rebuild')")  # noqa: S608


def _from_2_to_3(database: sqlite_utils.Database) -> None:
    """Tunnels that processes share, and the local ports that services keep."""
    for statement in schema.statements(_FORMAT_3):
        database.execute(statement)


def _from_3_to_4(database: sqlite_utils.Database) -> None:
    """Machines, what is being done to them, their leases, meters and alerts; and spans of time in the ledger."""
    ledger = database.table("ledger")
    for column, kind in (("span_from", int), ("span_to", int), ("usd_per_hour", str), ("gigabytes", str)):
        ledger.add_column(column, kind)
    for statement in schema.statements(_FORMAT_4):
        database.execute(statement)


def _from_4_to_5(database: sqlite_utils.Database) -> None:
    """Chats with a model, parameters, a persona, pins, tags and a way back from deleting; drafts and past prompts."""
    chats = database.table("chats")
    kinds = {"pinned_at": int, "deleted_at": int}
    for column in ("model", "params", "persona", "pinned_at", "deleted_at", "titled_by"):
        chats.add_column(column, kinds.get(column, str))
    for statement in schema.statements(_FORMAT_5):
        database.execute(statement)


def _from_5_to_6(database: sqlite_utils.Database) -> None:
    """The passages that answers were given, and the documents that a chat asks."""
    database.table("chats").add_column("documents", str)
    for statement in schema.statements(_FORMAT_6):
        database.execute(statement)


STEPS: dict[int, Callable[[sqlite_utils.Database], None]] = {
    1: _from_1_to_2,
    2: _from_2_to_3,
    3: _from_3_to_4,
    4: _from_4_to_5,
    5: _from_5_to_6,
}

_FORMAT_2 = """
CREATE TABLE attachments (
    seq INTEGER PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE,
    media_type TEXT NOT NULL,
    text TEXT NOT NULL,
    content BLOB NOT NULL
);

CREATE TABLE message_attachments (
    seq INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    sha256 TEXT NOT NULL REFERENCES attachments (sha256),
    name TEXT NOT NULL
);
CREATE UNIQUE INDEX message_attachments_by_message ON message_attachments (message_id, position);
CREATE INDEX message_attachments_by_content ON message_attachments (sha256);

CREATE TABLE reservations (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    amount_usd TEXT NOT NULL,
    what TEXT NOT NULL,
    owner TEXT NOT NULL,
    at INTEGER NOT NULL
);

CREATE TABLE breakers (
    seq INTEGER PRIMARY KEY,
    endpoint TEXT NOT NULL UNIQUE,
    failures INTEGER NOT NULL,
    failed_at INTEGER NOT NULL,
    open_until INTEGER
);

CREATE TABLE models_seen (
    seq INTEGER PRIMARY KEY,
    endpoint TEXT NOT NULL,
    name TEXT NOT NULL,
    size_bytes INTEGER,
    context_tokens INTEGER,
    family TEXT,
    parameters TEXT,
    quantization TEXT,
    digest TEXT,
    sees_images INTEGER,
    price_input TEXT,
    price_output TEXT,
    seen_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX models_seen_by_endpoint ON models_seen (endpoint, name);

CREATE VIRTUAL TABLE message_search USING fts5 (
    text, content = 'messages', content_rowid = 'seq', prefix = '2 3', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER message_found AFTER INSERT ON messages WHEN new.text <> '' BEGIN
    INSERT INTO message_search (rowid, text) VALUES (new.seq, new.text);
END;
CREATE TRIGGER message_lost AFTER DELETE ON messages WHEN old.text <> '' BEGIN
    INSERT INTO message_search (message_search, rowid, text) VALUES ('delete', old.seq, old.text);
END;
CREATE TRIGGER message_changed AFTER UPDATE OF text ON messages BEGIN
    INSERT INTO message_search (message_search, rowid, text)
        SELECT 'delete', old.seq, old.text WHERE old.text <> '';
    INSERT INTO message_search (rowid, text) SELECT new.seq, new.text WHERE new.text <> '';
END;

CREATE VIRTUAL TABLE chat_search USING fts5 (
    title, content = 'chats', content_rowid = 'seq', prefix = '2 3', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER chat_found AFTER INSERT ON chats BEGIN
    INSERT INTO chat_search (rowid, title) VALUES (new.seq, new.title);
END;
CREATE TRIGGER chat_lost AFTER DELETE ON chats BEGIN
    INSERT INTO chat_search (chat_search, rowid, title) VALUES ('delete', old.seq, old.title);
END;
CREATE TRIGGER chat_renamed AFTER UPDATE OF title ON chats BEGIN
    INSERT INTO chat_search (chat_search, rowid, title) VALUES ('delete', old.seq, old.title);
    INSERT INTO chat_search (rowid, title) VALUES (new.seq, new.title);
END;

CREATE VIRTUAL TABLE attachment_search USING fts5 (
    text, content = 'attachments', content_rowid = 'seq', prefix = '2 3', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER attachment_found AFTER INSERT ON attachments BEGIN
    INSERT INTO attachment_search (rowid, text) VALUES (new.seq, new.text);
END;
CREATE TRIGGER attachment_lost AFTER DELETE ON attachments BEGIN
    INSERT INTO attachment_search (attachment_search, rowid, text) VALUES ('delete', old.seq, old.text);
END;
CREATE TRIGGER attachment_reread AFTER UPDATE OF text ON attachments BEGIN
    INSERT INTO attachment_search (attachment_search, rowid, text) VALUES ('delete', old.seq, old.text);
    INSERT INTO attachment_search (rowid, text) VALUES (new.seq, new.text);
END;
"""

_FORMAT_3 = """
CREATE TABLE tunnels (
    seq INTEGER PRIMARY KEY,
    machine TEXT NOT NULL,
    service TEXT NOT NULL,
    remote_port INTEGER NOT NULL,
    local_port INTEGER NOT NULL,
    owner TEXT NOT NULL,
    state TEXT NOT NULL,
    beat_at INTEGER NOT NULL,
    published_at INTEGER NOT NULL,
    probed_at INTEGER,
    probe_ms REAL,
    probe_error TEXT
);
CREATE UNIQUE INDEX tunnels_by_machine ON tunnels (machine, service);

CREATE TABLE local_ports (
    seq INTEGER PRIMARY KEY,
    machine TEXT NOT NULL,
    service TEXT NOT NULL,
    port INTEGER NOT NULL,
    used_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX local_ports_by_machine ON local_ports (machine, service);
"""

_FORMAT_4 = """
CREATE TABLE machines (
    seq INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    cloud TEXT NOT NULL,
    cloud_id TEXT,
    label TEXT NOT NULL UNIQUE,
    origin TEXT NOT NULL,
    desired TEXT NOT NULL,
    state TEXT NOT NULL,
    state_at INTEGER NOT NULL,
    state_why TEXT NOT NULL DEFAULT '',
    reading TEXT,
    seen_at INTEGER,
    missing INTEGER NOT NULL DEFAULT 0,
    wanted TEXT NOT NULL DEFAULT '{}',
    usd_per_hour TEXT,
    usd_per_hour_stopped TEXT,
    ceiling_usd_per_hour TEXT,
    at_end TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    gone_at INTEGER,
    missing_since INTEGER
);
CREATE UNIQUE INDEX machines_by_name ON machines (name) WHERE gone_at IS NULL;
CREATE UNIQUE INDEX machines_by_cloud_id ON machines (cloud, cloud_id) WHERE cloud_id IS NOT NULL;

CREATE TABLE deeds (
    seq INTEGER PRIMARY KEY,
    machine INTEGER NOT NULL REFERENCES machines (seq),
    what TEXT NOT NULL,
    why TEXT NOT NULL,
    step TEXT NOT NULL,
    owner TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    begun_at INTEGER NOT NULL,
    tried_at INTEGER,
    next_at INTEGER,
    alarmed_at INTEGER,
    ended_at INTEGER,
    ended_how TEXT,
    error TEXT
);
CREATE UNIQUE INDEX deeds_open ON deeds (machine) WHERE ended_at IS NULL;
CREATE INDEX deeds_by_machine ON deeds (machine, seq);

CREATE TABLE machine_log (
    seq INTEGER PRIMARY KEY,
    machine INTEGER NOT NULL REFERENCES machines (seq),
    at INTEGER NOT NULL,
    what TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX machine_log_by_machine ON machine_log (machine, at);

CREATE TABLE accounts (
    seq INTEGER PRIMARY KEY,
    cloud TEXT NOT NULL UNIQUE,
    read_at INTEGER,
    failed_at INTEGER,
    error TEXT,
    balance_usd TEXT,
    usd_per_hour TEXT,
    balance_at INTEGER,
    reconciled_to INTEGER,
    reconciled_by TEXT,
    reconciled_balance_usd TEXT,
    settled_to INTEGER,
    failures INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER,
    strangers TEXT NOT NULL DEFAULT '[]'
);

CREATE TABLE roles (
    seq INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    beat_at INTEGER NOT NULL
);

CREATE TABLE leases (
    seq INTEGER PRIMARY KEY,
    machine INTEGER NOT NULL UNIQUE REFERENCES machines (seq),
    began_at INTEGER NOT NULL,
    hard_until INTEGER NOT NULL,
    ended_at INTEGER,
    pinned_until INTEGER,
    pin_why TEXT,
    on_machine TEXT,
    elsewhere TEXT
);

CREATE TABLE signals (
    seq INTEGER PRIMARY KEY,
    machine INTEGER NOT NULL REFERENCES machines (seq),
    kind TEXT NOT NULL,
    active_at INTEGER,
    seen_at INTEGER NOT NULL,
    seen_from INTEGER NOT NULL,
    detail TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX signals_by_machine ON signals (machine, kind);

CREATE TABLE stoppers (
    seq INTEGER PRIMARY KEY,
    host TEXT NOT NULL UNIQUE,
    clouds TEXT NOT NULL,
    installed_at INTEGER NOT NULL
);

CREATE TABLE meters (
    seq INTEGER PRIMARY KEY,
    machine INTEGER NOT NULL REFERENCES machines (seq),
    kind TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    billing INTEGER NOT NULL,
    gap INTEGER NOT NULL DEFAULT 0,
    usd_per_hour TEXT,
    price_source TEXT NOT NULL,
    open_from INTEGER,
    open_to INTEGER,
    estimated INTEGER NOT NULL DEFAULT 0,
    unbooked TEXT NOT NULL DEFAULT '0'
);
CREATE UNIQUE INDEX meters_by_machine ON meters (machine, kind);
CREATE INDEX meters_open ON meters (open_from) WHERE open_from IS NOT NULL;

CREATE INDEX ledger_spans ON ledger (task, at, cost_usd) WHERE span_from IS NOT NULL;

CREATE TABLE boots (
    seq INTEGER PRIMARY KEY,
    cloud TEXT NOT NULL,
    host TEXT NOT NULL,
    image TEXT NOT NULL,
    phase TEXT NOT NULL,
    seconds REAL NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX boots_by_host ON boots (cloud, host, phase);

CREATE TABLE alerts (
    seq INTEGER PRIMARY KEY,
    subject TEXT NOT NULL UNIQUE,
    level TEXT NOT NULL,
    text TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    times INTEGER NOT NULL DEFAULT 1,
    told_at INTEGER,
    cleared_at INTEGER
);
"""

_FORMAT_5 = """
ALTER TABLE messages ADD COLUMN excluded INTEGER NOT NULL DEFAULT 0;

CREATE INDEX chats_pinned ON chats (pinned_at) WHERE pinned_at IS NOT NULL;
CREATE INDEX chats_deleted ON chats (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE chat_tags (
    seq INTEGER PRIMARY KEY,
    chat_id TEXT NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
    tag TEXT NOT NULL
);
CREATE UNIQUE INDEX chat_tags_by_chat ON chat_tags (chat_id, tag);
CREATE INDEX chat_tags_by_tag ON chat_tags (tag);

CREATE TABLE drafts (
    seq INTEGER PRIMARY KEY,
    chat_key TEXT NOT NULL UNIQUE,
    text TEXT NOT NULL,
    chips TEXT NOT NULL DEFAULT '[]',
    updated_at INTEGER NOT NULL
);

CREATE TABLE prompts (
    seq INTEGER PRIMARY KEY,
    text TEXT NOT NULL,
    at INTEGER NOT NULL
);
"""

_FORMAT_6 = """
CREATE TABLE message_sources (
    seq INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    n INTEGER NOT NULL,
    collection TEXT NOT NULL,
    document_id INTEGER NOT NULL,
    document TEXT NOT NULL,
    path TEXT NOT NULL,
    headings TEXT NOT NULL,
    span TEXT NOT NULL,
    text TEXT NOT NULL,
    hashes TEXT NOT NULL,
    score REAL NOT NULL,
    lexical_rank INTEGER,
    lexical_score REAL,
    vector_rank INTEGER,
    vector_score REAL,
    why TEXT NOT NULL,
    quote_check TEXT,
    excluded INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX message_sources_by_message ON message_sources (message_id, n);
"""
