-- A store of format 1, as it was released: its tables, and a little of everything in them.

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
    updated_at INTEGER NOT NULL
);
CREATE INDEX chats_by_update ON chats (updated_at);

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
    ended_at INTEGER
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
    error TEXT
);
CREATE INDEX ledger_by_time ON ledger (at, cost_usd);
CREATE TRIGGER ledger_keeps_rows BEFORE DELETE ON ledger BEGIN
    SELECT RAISE(ABORT, 'the ledger only grows');
END;
CREATE TRIGGER ledger_keeps_values BEFORE UPDATE ON ledger BEGIN
    SELECT RAISE(ABORT, 'the ledger only grows');
END;

INSERT INTO migrations VALUES (1, 1767225600000);
INSERT INTO chats VALUES (1767225600000, '01kdvawd000000000000000001', 'Über mooring lines', 'Be brief.', 'prompt', '01kdvawd100000000000000005', 1767225600000, 1767225605000);
INSERT INTO chats VALUES (1767225700000, '01kdvawd000000000000000002', '', NULL, 'prompt', NULL, 1767225700000, 1767225700000);
INSERT INTO messages (seq, id, chat_id, parent_id, role, state, text, thinking, created_at, ended_at) VALUES
    (1767225600000, '01kdvawd100000000000000001', '01kdvawd000000000000000001', NULL, 'user', 'complete', 'How thick is a hawser?', '', 1767225600000, 1767225600000),
    (1767225604000, '01kdvawd100000000000000003', '01kdvawd000000000000000001', NULL, 'user', 'complete', 'How thick is a hawser, in mm?', '', 1767225604000, 1767225604000);
INSERT INTO messages VALUES
    (1767225600001, '01kdvawd100000000000000002', '01kdvawd000000000000000001', '01kdvawd100000000000000001', 'assistant', 'complete', 'Five inches or more around.', 'A rope…', 'gpt-4.1', 'openai', NULL, 'stop', NULL, 12, 7, 0, '0.000080', 210.5, 800.0, '{"tried": []}', NULL, 1767225600001, 1767225601000),
    (1767225604001, '01kdvawd100000000000000004', '01kdvawd000000000000000001', '01kdvawd100000000000000003', 'assistant', 'failed', 'About for', '', 'qwen3:8b', 'box', 'box', NULL, 'The stream broke.', NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, 1767225604001, 1767225604500),
    (1767225605000, '01kdvawd100000000000000005', '01kdvawd000000000000000001', '01kdvawd100000000000000003', 'assistant', 'streaming', '', '', 'qwen3:8b', 'box', 'box', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, '999999999:1', 1767225605000, NULL);
INSERT INTO parts VALUES (1, '01kdvawd100000000000000005', 'Forty ', 'mm'), (2, '01kdvawd100000000000000005', 'millimetres', '');
INSERT INTO ledger (at, task, client, endpoint, wire, model, outcome, chat_id, message_id, input_tokens, output_tokens, price_input, price_output, price_source, price_dated, cost_usd) VALUES
    (1767225601000, 'chat', 'prompt', 'openai', 'openai', 'gpt-4.1', 'complete', '01kdvawd000000000000000001', '01kdvawd100000000000000002', 12, 7, '2.00', '8.00', 'table', '2025-12-01', '0.000080'),
    (1767225604500, 'chat', 'prompt', 'box', 'ollama', 'qwen3:8b', 'failed', '01kdvawd000000000000000001', '01kdvawd100000000000000004', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
PRAGMA application_id = 1212241747;
PRAGMA user_version = 1;
