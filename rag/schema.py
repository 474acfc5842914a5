"""The tables of `documents.db`. Text, chunks and vectors are kept here; any index over the vectors can be made anew.

* Times are milliseconds since 1970; vectors are little-endian float32 of length one.
* `words` reads its text from `chunks` and is kept by triggers; only the live build of a collection is asked.
* Ids are never given twice: an index that is behind, or an old chat, may still speak of one that went.
* A chunk whose vector is in `vectors` and whose `indexed` is 0 is yet to be told to the index; a chunk that went
  stands in `leaving` until the index has forgotten it.
"""

from __future__ import annotations

VERSION = 1
APPLICATION_ID = 0x48415744
"""Marks the file as ours ("HAWD")."""

FRESH = """
CREATE TABLE collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    created_at INTEGER NOT NULL,
    used_at INTEGER,
    live_build INTEGER,
    agreed_embedder TEXT,
    tags TEXT NOT NULL DEFAULT '[]'
);

CREATE TABLE builds (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    embedder TEXT,
    dimension INTEGER,
    chunking TEXT NOT NULL,
    stamp TEXT NOT NULL,
    made_at INTEGER NOT NULL
);
CREATE INDEX builds_by_collection ON builds (collection_id);

CREATE TABLE folders (
    id INTEGER PRIMARY KEY,
    collection_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    include TEXT NOT NULL DEFAULT '[]',
    exclude TEXT NOT NULL DEFAULT '[]',
    quiet_s REAL NOT NULL,
    scanned_at INTEGER
);
CREATE UNIQUE INDEX folders_by_path ON folders (collection_id, path);

CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    folder_id INTEGER REFERENCES folders (id) ON DELETE SET NULL,
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    media_type TEXT,
    size_bytes INTEGER,
    modified_ns INTEGER,
    sha256 TEXT,
    same_as INTEGER REFERENCES documents (id) ON DELETE SET NULL,
    secrets_allowed INTEGER NOT NULL DEFAULT 0,
    was_ready INTEGER NOT NULL DEFAULT 0,
    pages INTEGER,
    characters INTEGER,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'reading', 'lexical', 'ready', 'failed')),
    error TEXT,
    hint TEXT,
    notes TEXT NOT NULL DEFAULT '[]',
    tags TEXT NOT NULL DEFAULT '[]',
    added_at INTEGER NOT NULL,
    read_at INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX documents_by_path ON documents (collection_id, path);
CREATE INDEX documents_by_collection ON documents (collection_id);
CREATE INDEX documents_by_content ON documents (collection_id, sha256);
CREATE INDEX documents_by_same ON documents (same_as) WHERE same_as IS NOT NULL;
CREATE INDEX documents_by_folder ON documents (folder_id) WHERE folder_id IS NOT NULL;
CREATE INDEX documents_unfinished ON documents (collection_id, state) WHERE state IN ('waiting', 'reading', 'lexical');
CREATE INDEX documents_to_do ON documents (attempts, id) WHERE state IN ('waiting', 'reading');

CREATE TABLE texts (
    document_id INTEGER PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
    text BLOB NOT NULL,
    layout TEXT NOT NULL
);

CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    build_id INTEGER NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    document_id INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    text TEXT NOT NULL,
    spaced TEXT,
    headings TEXT NOT NULL,
    char_from INTEGER NOT NULL,
    char_to INTEGER NOT NULL,
    line_from INTEGER NOT NULL,
    line_to INTEGER NOT NULL,
    page_from INTEGER,
    page_to INTEGER,
    tokens INTEGER NOT NULL,
    hash BLOB NOT NULL,
    indexed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX chunks_by_document ON chunks (document_id, build_id, position);
CREATE INDEX chunks_by_hash ON chunks (hash);
CREATE INDEX chunks_by_build ON chunks (build_id, document_id);
CREATE INDEX chunks_to_index ON chunks (build_id) WHERE indexed = 0;

CREATE TABLE vectors (
    chunk_id INTEGER PRIMARY KEY REFERENCES chunks (id) ON DELETE CASCADE,
    vector BLOB NOT NULL
);

CREATE TABLE leaving (
    chunk_id INTEGER PRIMARY KEY,
    build_id INTEGER NOT NULL
);
CREATE TRIGGER chunks_leave AFTER DELETE ON chunks WHEN old.indexed = 1 BEGIN
    INSERT OR IGNORE INTO leaving (chunk_id, build_id) VALUES (old.id, old.build_id);
END;

CREATE VIEW worded AS SELECT id, headings, coalesce(spaced, text) AS text FROM chunks;
CREATE VIRTUAL TABLE words USING fts5 (
    headings, text, content = 'worded', content_rowid = 'id', tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE word_counts USING fts5vocab (words, row);
CREATE TRIGGER chunks_words_in AFTER INSERT ON chunks BEGIN
    INSERT INTO words (rowid, headings, text) VALUES (new.id, new.headings, coalesce(new.spaced, new.text));
END;
CREATE TRIGGER chunks_words_out AFTER DELETE ON chunks BEGIN
    INSERT INTO words (words, rowid, headings, text)
    VALUES ('delete', old.id, old.headings, coalesce(old.spaced, old.text));
END;
"""
"""`chunks.headings` holds the path of headings joined by line breaks. A chunk's text never changes; a changed one is
another chunk. `chunks.spaced` is what `rag.lexical.spaced` makes of the text: None, or the text with its characters
apart where a script has no blanks between words. `texts.text` is UTF-8 packed by zlib; `texts.layout` is JSON:
{"sections": […], "pages": […]}. `documents.attempts` counts how often reading a document was begun and
neither ended nor was put off: then the process ended with it."""
