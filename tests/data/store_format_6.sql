-- A store of format 6, as it was released: its tables, and a little of everything in them.

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
INSERT INTO migrations VALUES (6, 1767225600000);
INSERT INTO chats VALUES (1767225600000, '01kdvawd000000000000000001', 'Über mooring lines', 'Be brief.', 'prompt', '01kdvawd100000000000000005', 1767225600000, 1767225605000, NULL, 'box/qwen3:8b', '{"temperature": 0.2}', 'bosun', 1767225600000, NULL, 'person', '{"collections": ["manuals"], "documents": []}');
INSERT INTO chats VALUES (1767225700000, '01kdvawd000000000000000002', '', NULL, 'prompt', NULL, 1767225700000, 1767225700000, 'chatgpt:1', NULL, NULL, NULL, NULL, 1767225800000, NULL, NULL);
INSERT INTO messages (seq, id, chat_id, parent_id, role, state, text, thinking, created_at, ended_at) VALUES
    (1767225600000, '01kdvawd100000000000000001', '01kdvawd000000000000000001', NULL, 'user', 'complete', 'How thick is a hawser?', '', 1767225600000, 1767225600000),
    (1767225604000, '01kdvawd100000000000000003', '01kdvawd000000000000000001', NULL, 'user', 'complete', 'How thick is a hawser, in mm?', '', 1767225604000, 1767225604000);
INSERT INTO messages VALUES
    (1767225600001, '01kdvawd100000000000000002', '01kdvawd000000000000000001', '01kdvawd100000000000000001', 'assistant', 'complete', 'Five inches or more around.', 'A rope…', 'gpt-4.1', 'openai', NULL, 'stop', NULL, 12, 7, 0, '0.000080', 210.5, 800.0, '{"tried": []}', NULL, 1767225600001, 1767225601000, 0),
    (1767225604001, '01kdvawd100000000000000004', '01kdvawd000000000000000001', '01kdvawd100000000000000003', 'assistant', 'failed', 'About for', '', 'qwen3:8b', 'box', 'box', NULL, 'The stream broke.', NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, 1767225604001, 1767225604500, 1),
    (1767225605000, '01kdvawd100000000000000005', '01kdvawd000000000000000001', '01kdvawd100000000000000003', 'assistant', 'streaming', '', '', 'qwen3:8b', 'box', 'box', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, '999999999:1', 1767225605000, NULL, 0);
INSERT INTO parts VALUES (1, '01kdvawd100000000000000005', 'Forty ', 'mm'), (2, '01kdvawd100000000000000005', 'millimetres', '');
INSERT INTO ledger (at, task, client, endpoint, wire, model, outcome, chat_id, message_id, input_tokens, output_tokens, price_input, price_output, price_source, price_dated, cost_usd) VALUES
    (1767225601000, 'chat', 'prompt', 'openai', 'openai', 'gpt-4.1', 'complete', '01kdvawd000000000000000001', '01kdvawd100000000000000002', 12, 7, '2.00', '8.00', 'table', '2025-12-01', '0.000080'),
    (1767225604500, 'chat', 'prompt', 'box', 'ollama', 'qwen3:8b', 'failed', '01kdvawd000000000000000001', '01kdvawd100000000000000004', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO attachments VALUES (1767225600000, '6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b', 'text/plain', '1', x'31');
INSERT INTO message_attachments VALUES (1, '01kdvawd100000000000000001', 0, '6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b', 'one.txt');
INSERT INTO message_sources VALUES
    (1, '01kdvawd100000000000000002', 1, 'manuals', 7, 'ropes.pdf', '/home/me/manuals/ropes.pdf', '["Ropes", "Hawsers"]', '[1200, 1262, 41, 42, 3, 3]', 'A hawser is a rope of five inches or more around, laid left.', '["00112233445566778899aabbccddeeff"]', 0.91, 1, -7.25, 2, 0.71, 'both orders', '[[0, 27, "exact", [24, 50]]]', 0),
    (2, '01kdvawd100000000000000002', 2, 'manuals', 8, 'knots.md', '/home/me/manuals/knots.md', '[]', '[0, 24, 1, 1, null, null]', 'A bowline does not slip.', '["ffeeddccbbaa99887766554433221100"]', 0.4, NULL, NULL, 5, 0.33, 'by meaning', NULL, 1);
INSERT INTO tunnels VALUES
    (1, 'box', 'ollama', 11434, 40123, '999999999:1', 'up', 1767225605000, 1767225600000, 1767225604000, 3.25, NULL),
    (2, 'box', 'comfyui', 8188, 40124, '999999999:1', 'up', 1767225605000, 1767225600000, 1767225604000, NULL, 'Nothing answers.');
INSERT INTO local_ports VALUES (1, 'box', 'ollama', 40123, 1767225600000), (2, 'box', 'comfyui', 40124, 1767225600000);
INSERT INTO machines VALUES
    (1, 'gpu1', 'vast', '20001', 'hawser-gpu1-7f3k2m9q', 'launched', 'running', 'ready', 1767225600000, '', NULL, 1767225605000, 0, '{"gpu": "RTX 4090"}', '0.4011', '0.0111', '0.45', 'stop', 1767225000000, 1767225300000, NULL, NULL),
    (2, 'old', 'runpod', 'pod1', 'hawser-old-aaaaaaaa', 'adopted', 'gone', 'gone', 1767225600000, '', NULL, 1767225605000, 3, '{}', '0.34', NULL, NULL, 'destroy', 1767220000000, NULL, 1767225600000, 1767225560000);
INSERT INTO deeds VALUES (1, 2, 'destroy', 'asked for', 'accepted', '999999999:1', 2, 1767225500000, 1767225550000, NULL, NULL, 1767225600000, 'done', NULL);
INSERT INTO machine_log VALUES (1, 1, 1767225000000, 'requested', 'Rented from vast.');
INSERT INTO accounts VALUES (1, 'vast', 1767225605000, NULL, NULL, '12.500000', '0.4011', 1767225600000, 1767225600000, 'charges', '12.540000', 1767225600000, 0, NULL, '[]');
INSERT INTO roles VALUES (1, 'guard', '999999999:1', 1767225605000);
INSERT INTO leases VALUES (1, 1, 1767225300000, 1767268500000, NULL, 1767240000000, 'training', NULL, NULL);
INSERT INTO signals VALUES (1, 1, 'requests', 1767225600000, 1767225605000, 1767225300000, '2 requests');
INSERT INTO stoppers VALUES (1, 'nas', '["lambda"]', 1767225600000);
INSERT INTO meters VALUES (1, 1, 'gpu', 1767225600000, 1, 0, '0.4011', 'launch', NULL, NULL, 0, '1.44');
INSERT INTO boots VALUES (1, 'vast', '41', 'ollama/ollama', 'image', 41.5, 1767225300000);
INSERT INTO alerts VALUES (1, 'budget:day:0.5', 'warning', 'Half of the day is spent.', 1767225600000, 1767225600000, 1, NULL, NULL);
INSERT INTO ledger (at, task, client, endpoint, wire, model, outcome, machine, price_source, cost_usd, span_from, span_to, usd_per_hour) VALUES
    (1767225600000, 'gpu', 'meter', 'vast', '', 'RTX 4090', 'complete', 'gpu1', 'cloud', '0.033425', 1767225300000, 1767225600000, '0.4011');
INSERT INTO chat_tags VALUES (1, '01kdvawd000000000000000001', 'rope');
INSERT INTO drafts VALUES (1, '01kdvawd000000000000000001', 'And a cable?', '[]', 1767225600000);
INSERT INTO prompts VALUES (1, 'How thick is a hawser?', 1767225600000);
PRAGMA application_id = 1212241747;
PRAGMA user_version = 6;
