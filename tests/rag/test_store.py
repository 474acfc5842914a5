"""The store of the documents: what it refuses to open, and what readers get."""

from __future__ import annotations

import sqlite3
import stat
import time
from pathlib import Path

import pytest

from rag import ingest, retrieve, rows, store
from rag.errors import LibraryBroken, LibraryBusy, UnknownName
from rag.schema import VERSION
from rag.store import DocumentStore
from tests.rag.kit import engine_in, opened, settle, write


def test_file_is_private_and_opens_again(tmp_path: Path) -> None:
    path = tmp_path / "documents" / "documents.db"
    DocumentStore.open(path).close()
    store = DocumentStore.open(path)
    try:
        assert store.collections() == []
    finally:
        store.close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_reading_opens_in_a_few_milliseconds(tmp_path: Path) -> None:
    path = tmp_path / "documents.db"
    DocumentStore.open(path).close()
    took_s = []
    for _ in range(5):
        began = time.perf_counter()
        DocumentStore.open(path, read_only=True).close()
        took_s.append(time.perf_counter() - began)

    assert min(took_s) < 0.010


def test_missing_file_reads_as_empty_and_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "documents.db"
    store = DocumentStore.open(path, read_only=True)
    try:
        assert not store.collections()
        assert not store.documents()
        assert not store.folders()
        assert store.is_current()
        assert not path.exists()
        DocumentStore.open(path).close()
        assert not store.is_current()
    finally:
        store.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_garbage_is_refused_and_left_alone(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "documents.db"
    path.write_bytes(b"This is no database." * 100)

    with pytest.raises(LibraryBroken, match="is damaged") as caught:
        DocumentStore.open(path, read_only=read_only)

    assert caught.value.hint
    assert path.read_bytes() == b"This is no database." * 100


def test_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "documents.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE birds (name)")
    connection.commit()
    connection.close()

    with pytest.raises(LibraryBroken, match="of another program"):
        DocumentStore.open(path)


def test_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "documents.db"
    store = DocumentStore.open(path)
    store.connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    store.close()

    with pytest.raises(LibraryBroken, match="later version"):
        DocumentStore.open(path, read_only=True)


def test_truncated_file_says_that_it_is_damaged(tmp_path: Path) -> None:
    [path] = write(tmp_path / "notes", long="\n\n".join(f"Paragraph {number} of many words." for number in range(900)))
    with engine_in(tmp_path / "home") as engine:
        engine.add([str(path)], "notes")
        settle(engine)
    file = tmp_path / "home" / "documents.db"
    with file.open("r+b") as opened_file:
        opened_file.truncate(file.stat().st_size // 3)

    with pytest.raises(LibraryBroken, match="damaged"):
        DocumentStore.open(file).documents("notes")


def test_writer_waits_for_another_one_only_so_long(tmp_path: Path) -> None:
    path = tmp_path / "documents.db"
    store, other = DocumentStore.open(path, busy_s=0.01), DocumentStore.open(path)
    try:
        with other.write(), pytest.raises(LibraryBusy, match="did not let go"), store.write():
            pytest.fail("both write")
    finally:
        store.close()
        other.close()


def test_wrong_name_is_answered_with_near_ones(tmp_path: Path) -> None:
    with engine_in(tmp_path / "home") as engine:
        engine.create("manuals")
        engine.create("letters")
        with opened(tmp_path) as store, pytest.raises(UnknownName) as caught:
            store.collection("manual")

    assert caught.value.text == "There is no collection 'manual'."
    assert caught.value.hint == "Did you mean 'manuals'?"


def test_documents_are_listed_in_portions_and_matched(tmp_path: Path) -> None:
    paths = write(tmp_path / "notes", **{f"file{number}": f"Text {number}." for number in range(5)})
    with engine_in(tmp_path / "home") as engine:
        engine.add([str(path) for path in paths], "Notes", tags=("sea",))
        settle(engine)
    with opened(tmp_path) as store:
        first = store.documents("notes", most=2)
        rest = store.documents("notes", after=first[-1].id)
        matched = store.documents(matching="FILE3")

    assert [each.name for each in [*first, *rest]] == [path.name for path in paths]
    assert [(each.name, each.tags, each.characters) for each in matched] == [("file3.txt", ("sea",), 7)]


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        (f"{ingest._WAITING} ORDER BY attempts, id LIMIT 1", "documents_to_do"),
        (f"{ingest._WAITING} LIMIT 1", "documents_to_do"),
        (f"{rows._DOCUMENTS} AND d.id > 1 AND d.collection_id = 1 ORDER BY d.id LIMIT 9", "documents_by_collection"),
        (f"{rows._DOCUMENTS} {store._UNREAD}", "documents_unfinished"),
        (ingest._UNCUT, "documents_by_collection"),
        (retrieve._UNFINISHED, "documents_unfinished"),
    ],
)
def test_what_is_asked_often_goes_by_an_index(tmp_path: Path, asked: str, index: str) -> None:
    """The next document to read, a page of a list, and what a question is told of: among many thousands."""
    opened = DocumentStore.open(tmp_path / "documents.db")

    with opened.read() as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {asked}", [1] * asked.count("?"))]

    opened.close()
    assert any(index in step for step in plan), plan
    assert not any("TEMP B-TREE FOR ORDER BY" in step for step in plan)
