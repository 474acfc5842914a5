"""What is written to `documents.db`. Each function is part of somebody else's transaction."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rag import rows
from rag.documents import Build, Chunk
from rag.lexical import spaced
from rag.readers import DocumentText


class ChunksWritten(NamedTuple):
    kept: int
    added: int
    removed: int
    copied: int
    """Of the added ones, those whose vector was known already."""


def add_collection(connection: sqlite3.Connection, name: str, now_ms: int, tags: Sequence[str] = ()) -> int:
    cursor = connection.execute(
        "INSERT INTO collections (name, created_at, tags) VALUES (?, ?, ?)", (name, now_ms, json.dumps(list(tags)))
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def add_build(
    connection: sqlite3.Connection,
    collection_id: int,
    embedder: str | None,
    dimension: int | None,
    chunking: str,
    now_ms: int,
) -> Build:
    stamp = os.urandom(8).hex()
    cursor = connection.execute(
        "INSERT INTO builds (collection_id, embedder, dimension, chunking, stamp, made_at) VALUES (?, ?, ?, ?, ?, ?)",
        (collection_id, embedder, dimension, chunking, stamp, now_ms),
    )
    assert cursor.lastrowid is not None
    return Build(cursor.lastrowid, collection_id, embedder, dimension, chunking, stamp)


def write_text(connection: sqlite3.Connection, document_id: int, packed: tuple[bytes, str]) -> None:
    connection.execute(
        "INSERT INTO texts (document_id, text, layout) VALUES (?, ?, ?) "
        "ON CONFLICT (document_id) DO UPDATE SET text = excluded.text, layout = excluded.layout",
        (document_id, *packed),
    )


def describe(connection: sqlite3.Connection, document_id: int, document: DocumentText, pages: int | None) -> None:
    connection.execute(
        "UPDATE documents SET media_type = ?, pages = ?, characters = ?, notes = ? WHERE id = ?",
        (document.media_type, pages, len(document.text), json.dumps(list(document.notes)), document_id),
    )


def write_chunks(
    connection: sqlite3.Connection, document_id: int, build: Build, chunks: Sequence[Chunk]
) -> ChunksWritten:
    """Make these the chunks of a document in a build. One that is there already keeps its id and its vector."""
    there: defaultdict[tuple[bytes, str, int], deque[tuple[int, tuple[object, ...]]]] = defaultdict(deque)
    for row in connection.execute(
        "SELECT id, hash, headings, position, char_from, char_to, line_from, line_to, page_from, page_to, tokens "
        "FROM chunks WHERE document_id = ? AND build_id = ? ORDER BY position",
        (document_id, build.id),
    ):
        there[row[1], row[2], row[5] - row[4]].append((row[0], row[3:]))
    moved: list[tuple[object, ...]] = []
    fresh: list[tuple[object, ...]] = []
    for position, chunk in enumerate(chunks):
        headings = "\n".join(chunk.headings)
        place = (position, *chunk.span, chunk.tokens)
        same = there.get((chunk.hash, headings, chunk.span.end - chunk.span.start))
        if same:
            chunk_id, old_place = same.popleft()
            if old_place != place:
                moved.append((*place, chunk_id))
        else:
            fresh.append((build.id, document_id, chunk.text, spaced(chunk.text), headings, chunk.hash, *place))
    connection.executemany(
        "UPDATE chunks SET position = ?, char_from = ?, char_to = ?, line_from = ?, line_to = ?, page_from = ?, "
        "page_to = ?, tokens = ? WHERE id = ?",
        moved,
    )
    before = _highest_chunk(connection)
    connection.executemany(
        "INSERT INTO chunks (build_id, document_id, text, spaced, headings, hash, position, char_from, char_to, "
        "line_from, line_to, page_from, page_to, tokens) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        fresh,
    )
    copied = 0
    if fresh and build.embedder is not None:
        added = connection.execute(
            "SELECT id FROM chunks WHERE document_id = ? AND build_id = ? AND id > ?", (document_id, build.id, before)
        )
        copied = copy_known(connection, build.embedder, [row[0] for row in added])
    gone = [(chunk_id,) for same in there.values() for chunk_id, _ in same]
    connection.executemany("DELETE FROM chunks WHERE id = ?", gone)
    return ChunksWritten(len(chunks) - len(fresh), len(fresh), len(gone), copied)


def _highest_chunk(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM chunks").fetchone()[0])


def copy_known(connection: sqlite3.Connection, embedder: str, chunk_ids: Iterable[int]) -> int:
    """Give chunks the vectors that this embedder made for equal ones, wherever these are. Returns how many."""
    before = connection.total_changes
    connection.executemany(
        "INSERT OR IGNORE INTO vectors (chunk_id, vector) "
        "SELECT own.id, known.vector FROM chunks own "
        "CROSS JOIN chunks other ON other.hash = own.hash AND other.id <> own.id "
        "CROSS JOIN builds ON builds.id = other.build_id AND builds.embedder = ? "
        "CROSS JOIN vectors known ON known.chunk_id = other.id WHERE own.id = ? LIMIT 1",
        [(embedder, chunk_id) for chunk_id in chunk_ids],
    )
    return connection.total_changes - before


def write_vectors(connection: sqlite3.Connection, vectors: Iterable[tuple[int, bytes]]) -> int:
    """Only for chunks that are still there. Returns how many."""
    before = connection.total_changes
    connection.executemany(
        "INSERT OR IGNORE INTO vectors (chunk_id, vector) SELECT id, ?2 FROM chunks WHERE id = ?1", vectors
    )
    return connection.total_changes - before


def missing_vectors(connection: sqlite3.Connection, document_id: int, build_id: int) -> int:
    return int(
        connection.execute(
            f"SELECT count(*) FROM chunks WHERE document_id = ? AND build_id = ? AND indexed = 0 AND {rows.NO_VECTOR}",  # noqa: S608
            (document_id, build_id),
        ).fetchone()[0]
    )


def settle(connection: sqlite3.Connection, document_id: int, live: Build, *, while_: str) -> int:
    """Say of a document that is in the state `while_`, and of its copies, how it can be found.

    Returns how many vectors it lacks. A document in another state is somebody else's business, or to be read again.
    """
    missing = missing_vectors(connection, document_id, live.id) if live.embedder is not None else 0
    connection.execute(
        "UPDATE documents SET state = ?, was_ready = max(was_ready, ?), error = NULL, hint = NULL "
        "WHERE (id = ? AND state = ?) OR (same_as = ? AND state IN ('lexical', 'ready'))",
        ("lexical" if missing else "ready", not missing, document_id, while_, document_id),
    )
    return missing


def settle_copy(connection: sqlite3.Connection, document_id: int, same_as: int) -> None:
    connection.execute(
        "UPDATE documents SET error = NULL, hint = NULL, (state, was_ready) = "
        "(SELECT state, was_ready FROM documents WHERE id = ?) WHERE id = ? AND state = 'reading'",
        (same_as, document_id),
    )


def become_copy(connection: sqlite3.Connection, document_id: int, same_as: int) -> int:
    """It has the bytes of another one: its own text and chunks go. Returns how many chunks."""
    gone = connection.execute("DELETE FROM chunks WHERE document_id = ?", (document_id,)).rowcount
    connection.execute("DELETE FROM texts WHERE document_id = ?", (document_id,))
    connection.execute(
        "UPDATE documents SET (media_type, pages, characters, notes) = "
        "(SELECT media_type, pages, characters, notes FROM documents WHERE id = ?) WHERE id = ?",
        (same_as, document_id),
    )
    return gone


def drop_foreign_chunks(connection: sqlite3.Connection, document_id: int) -> int:
    """Those that a document brought along from another collection; by now their vectors were copied."""
    return connection.execute(
        "DELETE FROM chunks WHERE document_id = ?1 AND build_id NOT IN "
        "(SELECT id FROM builds WHERE collection_id = (SELECT collection_id FROM documents WHERE id = ?1))",
        (document_id,),
    ).rowcount


def fail(connection: sqlite3.Connection, document_id: int, text: str, hint: str | None, now_ms: int) -> None:
    """What was known of it stays: a file that cannot be read today may have been read yesterday."""
    connection.execute(
        "UPDATE documents SET state = 'failed', error = ?, hint = ?, read_at = ?, attempts = 0 "
        "WHERE id = ? AND state = 'reading'",
        (text, hint, now_ms, document_id),
    )


def remove_document(connection: sqlite3.Connection, document_id: int) -> None:
    """Its copies keep its text and chunks: the first of them takes them over."""
    bequeath(connection, document_id)
    connection.execute("DELETE FROM documents WHERE id = ?", (document_id,))


def bequeath(connection: sqlite3.Connection, document_id: int) -> bool:
    """Hand text and chunks to the first copy of a document, if it has one."""
    heir = connection.execute(
        "SELECT id FROM documents WHERE same_as = ? ORDER BY id LIMIT 1", (document_id,)
    ).fetchone()
    if heir is None:
        return False
    connection.execute("DELETE FROM chunks WHERE document_id = ?", heir)
    connection.execute("UPDATE OR REPLACE texts SET document_id = ? WHERE document_id = ?", (heir[0], document_id))
    connection.execute("UPDATE chunks SET document_id = ? WHERE document_id = ?", (heir[0], document_id))
    connection.execute("UPDATE documents SET same_as = NULL WHERE id = ?", heir)
    connection.execute("UPDATE documents SET same_as = ? WHERE same_as = ?", (heir[0], document_id))
    return True


def give_up(connection: sqlite3.Connection, build: Build, now_ms: int) -> None:
    """A build beside the live one is not wanted any more: it goes like a collection that was removed."""
    owner = add_collection(connection, f"{rows.GONE}build-{build.id}-{now_ms}", now_ms)
    connection.execute("UPDATE builds SET collection_id = ? WHERE id = ?", (owner, build.id))
