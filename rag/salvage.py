"""A damaged `documents.db` is set aside, and what is left of its list is put into a new one, to be read anew.

Texts, chunks and vectors are made again from the files. What came from an address has no file: its text is taken over
where it can be read. Called by the process that owns the documents, while no engine has them open.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from rag import rows
from rag.documents import Finding
from rag.errors import RagError
from rag.layout import unpack
from rag.store import DocumentStore
from rag.store_trouble import translate_os
from rag.taking import is_elsewhere

log = logging.getLogger(__name__)

BESIDE = ("", "-wal", "-shm")
"""Of what files a database is."""
MOST_IDS = 1_000_000
"""Rows are asked for one by one, so that those on a damaged page cost no others."""
GUESSED_IDS = 100_000
"""How many are tried where the file does not say how many it has."""
HEADER_BYTES = 100
LONGEST_BYTES = 1 << 40
"""A header that says more is damaged itself."""
LOST = "lost and found"
"""The collection of documents whose own could not be read."""


def salvage(path: Path, now_ms: int) -> list[Finding]:
    """What was done, in sentences. Raises `LibraryBroken`; then the damaged file stands where it stood."""
    fresh = path.with_name(f"{path.name}.salvaged")
    aside = path.with_name(f"{path.name}.damaged-{now_ms}")
    try:
        _remove(fresh)
        _lengthen(path)
        store = DocumentStore.open(fresh)
        try:
            with _old(path) as old, store.write(durable=True) as connection:
                collections, documents, lost = _take_over(old, connection, now_ms)
            store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            store.close()
        for ending in reversed(BESIDE):
            beside = path.with_name(path.name + ending)
            if beside.exists():
                beside.rename(aside.with_name(aside.name + ending))
        fresh.rename(path)
    except OSError as error:
        raise translate_os(error, path) from error
    log.warning("the damaged store of the documents was set aside as %s", aside)
    findings = [Finding(f"The store of the documents was damaged; it was set aside as {aside.name!r}.", True)]
    if documents:
        findings.append(Finding(f"{documents:,} documents in {collections:,} collections are read anew.", True))
    else:
        findings.append(Finding("No list of documents could be read from it; add them again.", True))
    if lost:
        findings.append(Finding(f"The text of {lost:,} pages from addresses is lost; add these again.", True))
    return findings


def _remove(path: Path) -> None:
    for ending in BESIDE:
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _lengthen(path: Path) -> None:
    """A file that was cut short is not opened at all; with nothing where its end was, the rest of it is."""
    with path.open("r+b") as file:
        header = file.read(HEADER_BYTES)
        if len(header) < HEADER_BYTES or not header.startswith(b"SQLite format 3\0"):
            return
        page_bytes = int.from_bytes(header[16:18]) or 1
        whole_bytes = (65_536 if page_bytes == 1 else page_bytes) * int.from_bytes(header[28:32])
        if path.stat().st_size < whole_bytes <= LONGEST_BYTES:
            file.truncate(whole_bytes)  # takes no room


def _old(path: Path) -> closing[sqlite3.Connection]:
    """As it stands, nothing of it changed; without what its log holds if that cannot be used."""
    where = path.absolute().as_uri()
    connection = sqlite3.connect(f"{where}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error:
        connection.close()
        connection = sqlite3.connect(f"{where}?immutable=1", uri=True, isolation_level=None)
    return closing(connection)


def _take_over(old: sqlite3.Connection, new: sqlite3.Connection, now_ms: int) -> tuple[int, int, int]:
    """How many collections and documents, and of how many the text is lost."""
    collections: set[int] = set()
    for row in _rows(old, "collections", "id, name, created_at, used_at, agreed_embedder, tags"):
        number, name, created_at, used_at, agreed, tags = row
        if not isinstance(name, str) or name.startswith(rows.GONE):
            continue
        collections |= _inserted(
            new,
            "INSERT OR IGNORE INTO collections (id, name, created_at, used_at, agreed_embedder, tags) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (number, name, _whole(created_at, now_ms), _whole(used_at), _text(agreed), _tags(tags)),
        )
    folders: set[int] = set()
    for row in _rows(old, "folders", "id, collection_id, path, include, exclude, quiet_s"):
        if row[1] in collections and isinstance(row[2], str) and isinstance(row[5], float | int):
            folders |= _inserted(
                new,
                "INSERT OR IGNORE INTO folders (id, collection_id, path, include, exclude, quiet_s) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (*row[:3], _tags(row[3]), _tags(row[4]), row[5]),
            )
    documents = lost = 0
    found: set[int] = set()
    for row in _rows(old, "documents", "id, collection_id, folder_id, path, tags, added_at, secrets_allowed, same_as"):
        number, collection, folder, path, tags, added_at, allowed, same_as = row
        if not isinstance(path, str) or not path:
            continue
        if collection not in collections:
            collection = _lost_and_found(new, now_ms)
        packed = _packed(old, same_as or number, path) if is_elsewhere(path) else None
        is_lost = is_elsewhere(path) and packed is None
        added = _inserted(
            new,
            "INSERT OR IGNORE INTO documents (id, collection_id, folder_id, path, name, tags, added_at, "
            "secrets_allowed, state, error, hint) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                collection,
                folder if folder in folders else None,
                path,
                Path(path).name or path,
                _tags(tags),
                _whole(added_at, now_ms),
                int(allowed == 1),
                "failed" if is_lost else "waiting",
                "Its text was lost when the store of the documents was damaged." if is_lost else None,
                "Add the address again." if is_lost else None,
            ),
        )
        if not added:
            continue
        if packed is not None:
            new.execute("INSERT INTO texts (document_id, text, layout) VALUES (?, ?, ?)", (number, *packed))
        documents += 1
        lost += is_lost
        found.add(collection)
    return len(found), documents, lost


def _rows(old: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """Those that can be read."""
    for number in range(1, min(_highest(old, table), MOST_IDS) + 1):
        with suppress(sqlite3.Error):
            row = old.execute(f"SELECT {columns} FROM {table} WHERE id = ?", (number,)).fetchone()  # noqa: S608
            if row is not None:
                yield row


def _highest(old: sqlite3.Connection, table: str) -> int:
    for question, given in (
        ("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)),
        (f"SELECT max(id) FROM {table}", ()),  # noqa: S608
    ):
        with suppress(sqlite3.Error):
            row = old.execute(question, given).fetchone()
            if row is not None and isinstance(row[0], int):
                return row[0]
    try:
        old.execute(f"SELECT 1 FROM {table} WHERE id = 0").fetchone()  # noqa: S608
    except sqlite3.Error as error:
        log.warning("the table %s cannot be read: %s", table, error)
        return 0 if "no such table" in str(error) or "not a database" in str(error) else GUESSED_IDS
    return GUESSED_IDS


def _inserted(new: sqlite3.Connection, statement: str, values: tuple[object, ...]) -> set[Any]:
    """The number of the row, unless it does not fit."""
    try:
        cursor = new.execute(statement, values)
    except (sqlite3.IntegrityError, sqlite3.InterfaceError, OverflowError, UnicodeError) as error:
        log.warning("a row makes no sense and is left out: %s", error)
        return set()
    return {values[0]} if cursor.rowcount == 1 else set()


def _lost_and_found(new: sqlite3.Connection, now_ms: int) -> int:
    new.execute("INSERT OR IGNORE INTO collections (name, created_at) VALUES (?, ?)", (LOST, now_ms))
    return int(new.execute("SELECT id FROM collections WHERE name = ?", (LOST,)).fetchone()[0])


def _packed(old: sqlite3.Connection, number: object, path: str) -> tuple[bytes, str] | None:
    try:
        row = old.execute("SELECT text, layout FROM texts WHERE document_id = ?", (number,)).fetchone()
        if row is None:
            return None
        unpack(path, row[0], row[1], ())
    except (sqlite3.Error, RagError, TypeError):
        return None
    return row[0], row[1]


def _whole(value: object, otherwise: int | None = None) -> int | None:
    return value if isinstance(value, int) else otherwise


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _tags(value: object) -> str:
    """A list of texts as JSON; an empty one for what is none."""
    try:
        known = json.loads(value) if isinstance(value, str) else []
    except ValueError:
        known = []
    return json.dumps([each for each in known if isinstance(each, str)] if isinstance(known, list) else [])
