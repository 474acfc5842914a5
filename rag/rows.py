"""Rows of `documents.db` as the values of `documents.py`, and the listings over them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rag.documents import Build, Collection, Document, Folder

GONE = "\x01"
"""Begins the name of a collection that was removed and whose rows are still being taken away."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NO_VECTOR = "NOT EXISTS (SELECT 1 FROM vectors WHERE vectors.chunk_id = chunks.id)"
"""Asked of chunks with `indexed = 0`, which an index of their own keeps few."""

BESIDE = (
    "WHERE id = (SELECT max(b.id) FROM builds b WHERE b.collection_id = builds.collection_id) "
    "AND id > (SELECT live_build FROM collections WHERE collections.id = builds.collection_id)"
)
"""Of builds: those that are made beside a live one."""

_COLLECTIONS = f"""
SELECT c.id, c.name, c.created_at, c.used_at, c.tags, live.embedder, live.dimension,
    (SELECT count(*) FROM documents d WHERE d.collection_id = c.id),
    (SELECT count(*) FROM documents d WHERE d.collection_id = c.id AND d.state = 'failed'),
    (SELECT count(*) FROM chunks WHERE build_id = c.live_build),
    (SELECT count(*) FROM chunks WHERE build_id = c.live_build AND indexed = 0 AND {NO_VECTOR}),
    (SELECT total(characters) FROM documents d WHERE d.collection_id = c.id AND d.same_as IS NULL),
    (SELECT coalesce(b.embedder, b.chunking) FROM builds b WHERE b.collection_id = c.id AND b.id > c.live_build
        ORDER BY b.id DESC LIMIT 1)
FROM collections c LEFT JOIN builds live ON live.id = c.live_build
WHERE substr(c.name, 1, 1) <> '{GONE}'
"""  # noqa: S608 - our own words

_DOCUMENTS = f"""
SELECT d.id, d.collection_id, c.name, d.path, d.name, d.media_type, d.size_bytes, d.modified_ns, d.sha256, d.pages,
    d.characters, d.state, d.error, d.hint, d.notes, d.tags, d.added_at, d.read_at, d.same_as,
    (SELECT count(*) FROM chunks WHERE document_id = coalesce(d.same_as, d.id) AND build_id = c.live_build),
    CASE WHEN live.embedder IS NULL THEN NULL WHEN d.state = 'ready' THEN 0 ELSE
        (SELECT count(*) FROM chunks WHERE document_id = coalesce(d.same_as, d.id) AND build_id = c.live_build
            AND indexed = 0 AND {NO_VECTOR}) END
FROM documents d JOIN collections c ON c.id = d.collection_id LEFT JOIN builds live ON live.id = c.live_build
WHERE substr(c.name, 1, 1) <> '{GONE}'
"""  # noqa: S608 - our own words

_FOLDERS = f"""
SELECT f.id, c.name, f.path, f.include, f.exclude, f.quiet_s, f.scanned_at
FROM folders f JOIN collections c ON c.id = f.collection_id WHERE substr(c.name, 1, 1) <> '{GONE}'
"""  # noqa: S608 - our own words

_BUILDS = "SELECT id, collection_id, embedder, dimension, chunking, stamp FROM builds"


def time_of(ms: int | None) -> datetime | None:
    return None if ms is None else _EPOCH + timedelta(milliseconds=ms)


def _known_time(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def _texts(packed: str) -> tuple[str, ...]:
    return tuple(json.loads(packed))


def collections(connection: sqlite3.Connection, ending: str = "", given: Sequence[Any] = ()) -> list[Collection]:
    found = []
    for row in connection.execute(f"{_COLLECTIONS} {ending}", given):
        chunks, missing = row[9], row[10]
        found.append(
            Collection(
                id=row[0],
                name=row[1],
                created_at=_known_time(row[2]),
                used_at=time_of(row[3]),
                embedder=row[5],
                dimension=row[6],
                documents=row[7],
                failed=row[8],
                chunks=chunks,
                embedded=chunks - missing if row[5] is not None else 0,
                text_bytes=int(row[11]),
                building=row[12],
                tags=_texts(row[4]),
            )
        )
    return found


def documents(connection: sqlite3.Connection, ending: str = "", given: Sequence[Any] = ()) -> list[Document]:
    found = []
    for row in connection.execute(f"{_DOCUMENTS} {ending}", given):
        chunks, missing = row[19], row[20]
        found.append(
            Document(
                id=row[0],
                collection_id=row[1],
                collection=row[2],
                path=row[3],
                name=row[4],
                media_type=row[5],
                size_bytes=row[6],
                modified_at=None if row[7] is None else time_of(row[7] // 1_000_000),
                sha256=row[8],
                pages=row[9],
                characters=row[10],
                chunks=chunks,
                embedded=0 if missing is None else chunks - missing,
                state=row[11],
                error=row[12],
                hint=row[13],
                notes=_texts(row[14]),
                tags=_texts(row[15]),
                added_at=_known_time(row[16]),
                read_at=time_of(row[17]),
                same_as=row[18],
            )
        )
    return found


def folders(connection: sqlite3.Connection, ending: str = "", given: Sequence[Any] = ()) -> list[Folder]:
    return [
        Folder(row[0], row[1], row[2], _texts(row[3]), _texts(row[4]), row[5], time_of(row[6]))
        for row in connection.execute(f"{_FOLDERS} {ending}", given)
    ]


def builds(connection: sqlite3.Connection, ending: str = "", given: Sequence[Any] = ()) -> list[Build]:
    return [Build(*row) for row in connection.execute(f"{_BUILDS} {ending}", given)]


def live_build(connection: sqlite3.Connection, collection_id: int) -> Build | None:
    ending = "WHERE id = (SELECT live_build FROM collections WHERE id = ?)"
    return next(iter(builds(connection, ending, (collection_id,))), None)


def newest_build(connection: sqlite3.Connection, collection_id: int) -> Build | None:
    """The live one, or the one that is made beside it."""
    return next(iter(builds(connection, "WHERE collection_id = ? ORDER BY id DESC LIMIT 1", (collection_id,))), None)


def unfinished(connection: sqlite3.Connection, documents: Sequence[int], ends: Sequence[str]) -> list[int]:
    """Those of these documents that are there and in none of the states `ends`, in their order."""
    asked = connection.execute(
        "SELECT d.id FROM json_each(?) wanted CROSS JOIN documents d ON d.id = wanted.value "
        "WHERE d.state NOT IN (SELECT value FROM json_each(?)) ORDER BY wanted.key",
        (json.dumps(list(documents)), json.dumps(list(ends))),
    )
    return [row[0] for row in asked]
