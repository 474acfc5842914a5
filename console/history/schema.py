"""The tables of `hawser.db` as a fresh store gets them, in one script and without any library.

An existing file of an earlier version comes to the same tables through `migrations.py`; a test compares the two.

* Every table has a whole number as its key, so that rescue can walk around a damaged page.
* The key of a chat or message is the time it was made (milliseconds, the next free one), so that the newest come first
  without sorting, also in the search index, which walks its lists by that key.
* Money is text: decimals with exactly six places.
* The search index has lists of their own for the beginnings of words. They double its size, and without them a search
  as one types takes seconds in a large store.
* An answer that is arriving has its text in `parts` and none in `messages`; so the triggers index it when it ended.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

VERSION = 6

APPLICATION_ID = 0x48415753
"""Marks the file as ours ("HAWS")."""

FRESH = """
CREATE TABLE migrations (
    version INTEGER PRIMARY KEY,
    ran_at INTEGER NOT NULL
);

CREATE TABLE chats (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    system TEXT,
    client TEXT NOT NULL,
    active_leaf TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    origin TEXT,
    model TEXT,
    params TEXT,
    persona TEXT,
    pinned_at INTEGER,
    deleted_at INTEGER,
    titled_by TEXT,
    documents TEXT
);
CREATE INDEX chats_by_update ON chats (updated_at);
CREATE UNIQUE INDEX chats_by_origin ON chats (origin);
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

CREATE TABLE messages (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    chat_id TEXT NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
    parent_id TEXT REFERENCES messages (id) DEFERRABLE INITIALLY DEFERRED,
    role TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('streaming', 'complete', 'stopped', 'failed')),
    text TEXT NOT NULL,
    thinking TEXT NOT NULL,
    model TEXT,
    endpoint TEXT,
    machine TEXT,
    finish TEXT,
    error TEXT,
    input_tokens INTEGER,
    output_tokens INTEGER,
    estimated INTEGER NOT NULL DEFAULT 0,
    cost_usd TEXT,
    first_token_ms REAL,
    total_ms REAL,
    notes TEXT,
    owner TEXT,
    created_at INTEGER NOT NULL,
    ended_at INTEGER,
    excluded INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX messages_by_chat ON messages (chat_id, seq);
CREATE INDEX messages_by_parent ON messages (parent_id);
CREATE INDEX messages_streaming ON messages (seq) WHERE state = 'streaming';

CREATE TABLE parts (
    seq INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    thinking TEXT NOT NULL
);
CREATE INDEX parts_by_message ON parts (message_id);

CREATE TABLE ledger (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    task TEXT NOT NULL,
    client TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    wire TEXT NOT NULL,
    model TEXT NOT NULL,
    outcome TEXT NOT NULL,
    machine TEXT,
    chat_id TEXT,
    message_id TEXT,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cached_input_tokens INTEGER,
    cache_write_tokens INTEGER,
    thinking_tokens INTEGER,
    images INTEGER,
    estimated INTEGER NOT NULL DEFAULT 0,
    price_input TEXT,
    price_output TEXT,
    price_cached_input TEXT,
    price_cache_write TEXT,
    price_source TEXT,
    price_dated TEXT,
    cost_usd TEXT,
    first_token_ms REAL,
    total_ms REAL,
    error TEXT,
    span_from INTEGER,
    span_to INTEGER,
    usd_per_hour TEXT,
    gigabytes TEXT
);
CREATE INDEX ledger_by_time ON ledger (at, cost_usd);
CREATE INDEX ledger_spans ON ledger (task, at, cost_usd) WHERE span_from IS NOT NULL;
CREATE TRIGGER ledger_keeps_rows BEFORE DELETE ON ledger BEGIN
    SELECT RAISE(ABORT, 'the ledger only grows');
END;
CREATE TRIGGER ledger_keeps_values BEFORE UPDATE ON ledger BEGIN
    SELECT RAISE(ABORT, 'the ledger only grows');
END;

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


def statements(script: str) -> Iterator[str]:
    """The statements of a script one by one, for `executescript` would end the transaction it is called in."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def create(connection: sqlite3.Connection, now_ms: int) -> None:
    """Make every table, inside the caller's transaction."""
    for statement in statements(FRESH):
        connection.execute(statement)
    connection.execute("INSERT INTO migrations (version, ran_at) VALUES (?, ?)", (VERSION, now_ms))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def rebuild_index(connection: sqlite3.Connection) -> None:
    """Make the search index again from what it indexes."""
    for index in ("message_search", "chat_search", "attachment_search"):
        connection.execute(f"INSERT INTO {index} ({index}) VALUES ('rebuild')")  # noqa: S608
