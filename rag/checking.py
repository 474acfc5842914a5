"""Looking through what is stored for what cannot be right."""

from __future__ import annotations

import sqlite3

from rag import rows
from rag.documents import Finding
from rag.errors import IndexBroken, RagError
from rag.indexing import IndexKeeper
from rag.store import DocumentStore
from rag.store_trouble import damaged


def check(store: DocumentStore, keeper: IndexKeeper, repair: bool) -> list[Finding]:
    """Blocks for as long as reading everything takes.

    Raises `LibraryDamaged` where a damaged file is to be repaired: its list is to be salvaged.
    """
    found = _damage(store)
    if found and repair:
        raise damaged(store.path)
    findings = [Finding(f"The file of the documents is damaged: {text}") for text in found]
    if findings:
        return findings
    findings += _words(store, repair)
    findings += _vectors(store, repair)
    findings += _documents(store, repair)
    findings += _places(store, repair)
    findings += _index(store, keeper, repair)
    return findings


def _damage(store: DocumentStore) -> list[str]:
    """Of the file itself; the index of words is looked at apart."""
    with store.read() as connection:
        found = [row[0] for row in connection.execute("PRAGMA quick_check(5)")]
    return [text for text in found if text != "ok" and "inverted index" not in text]


def _words(store: DocumentStore, repair: bool) -> list[Finding]:
    with store.write() as connection:
        try:
            connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
        except sqlite3.DatabaseError as error:
            if repair:
                connection.execute("INSERT INTO words (words) VALUES ('rebuild')")
            return [Finding(f"The index of words is damaged ({error}).", repair)]
    return []


def _vectors(store: DocumentStore, repair: bool) -> list[Finding]:
    wrong = (
        "SELECT chunks.id FROM chunks JOIN builds ON builds.id = chunks.build_id JOIN vectors ON chunk_id = chunks.id "
        "WHERE length(vector) <> 4 * dimension"
    )
    with store.write() as connection:
        ids = connection.execute(wrong).fetchall()
        if not ids:
            return []
        if repair:
            connection.executemany("DELETE FROM vectors WHERE chunk_id = ?", ids)
            connection.executemany("UPDATE chunks SET indexed = 0 WHERE id = ?", ids)
            connection.executemany(
                "UPDATE documents SET state = 'lexical' WHERE state = 'ready' AND id IN "
                "(SELECT document_id FROM chunks WHERE id = ?)",
                ids,
            )
    return [Finding(f"{len(ids):,} vectors have a length that is not their embedder's.", repair)]


def _documents(store: DocumentStore, repair: bool) -> list[Finding]:
    with store.write() as connection:
        ids = connection.execute(
            "SELECT d.id FROM documents d JOIN collections c ON c.id = d.collection_id "
            "WHERE d.state IN ('lexical', 'ready') AND NOT EXISTS (SELECT 1 FROM chunks "
            "WHERE document_id = coalesce(d.same_as, d.id) AND build_id = c.live_build)"
        ).fetchall()
        if ids and repair:
            _read_again(connection, ids)
    return [Finding(f"{len(ids):,} documents have no chunks.", repair)] if ids else []


def _places(store: DocumentStore, repair: bool) -> list[Finding]:
    """Whether each chunk is what stands in its document's text at its place."""
    with store.read() as connection:
        documents = connection.execute("SELECT document_id FROM texts").fetchall()
    wrong: list[tuple[int]] = []
    for (document_id,) in documents:
        try:
            text = store.text(document_id).text
        except RagError:
            wrong.append((document_id,))
            continue
        with store.read() as connection:
            chunks = connection.execute(
                "SELECT text, char_from, char_to FROM chunks WHERE document_id = ?", (document_id,)
            )
            if any(text[start:end] != said for said, start, end in chunks):
                wrong.append((document_id,))
    if wrong and repair:
        with store.write() as connection:
            _read_again(connection, wrong)
    return [Finding(f"{len(wrong):,} documents are not what their chunks say.", repair)] if wrong else []


def _read_again(connection: sqlite3.Connection, ids: list[tuple[int]]) -> None:
    connection.executemany(
        "DELETE FROM texts WHERE document_id = ? AND NOT EXISTS "
        "(SELECT 1 FROM documents WHERE id = document_id AND path LIKE '%://%')",
        ids,
    )
    connection.executemany("DELETE FROM chunks WHERE document_id = ?", ids)
    connection.executemany("UPDATE documents SET state = 'waiting', read_at = NULL, same_as = NULL WHERE id = ?", ids)


def _index(store: DocumentStore, keeper: IndexKeeper, repair: bool) -> list[Finding]:
    findings = []
    with store.read() as connection:
        builds = rows.builds(connection, "WHERE embedder IS NOT NULL ORDER BY id")
    for build in builds:
        try:
            fault = keeper.fault(build)
        except IndexBroken as error:
            fault = error.text
        if fault is not None:
            if repair:
                keeper.make_anew(build, fault)
            findings.append(Finding(f"The index of vectors is wrong: {fault}", repair))
    return findings
