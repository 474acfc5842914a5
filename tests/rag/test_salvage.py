"""A damaged store is set aside; what is left of its list is read anew, and nothing that was readable is lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rag.errors import LibraryBroken, LibraryDamaged
from rag.readers import DocumentText
from rag.salvage import LOST, salvage
from tests.rag.kit import HashEmbedder, MemoryIndex, engine_in, opened, settle, write


def shelf(folder: Path, count: int = 40) -> Path:
    """A store of files in two collections, a page from an address, and a watched folder."""
    paths = write(folder / "notes", **{f"file{number:03}": f"Rope number {number} is long." for number in range(count)})
    with engine_in(folder / "home", HashEmbedder()) as engine:
        engine.add([str(path) for path in paths[:-1]], "notes", tags=("deck",))
        engine.add([str(paths[-1])], "others")
        engine.add_text(DocumentText("page", "text/html", "A page about hemp."), "https://ropes.example/hemp", "others")
        settle(engine)
        (folder / "watched").mkdir()
        engine.watch("notes", str(folder / "watched"), exclude=("*.log",))
    file = folder / "home" / "documents.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file


def root_page(file: Path, name: str) -> tuple[int, int]:
    with closing(sqlite3.connect(file)) as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,))
        ((size,),) = connection.execute("PRAGMA page_size")
    return page, size


def overwrite(file: Path, page: int, size: int) -> None:
    with file.open("r+b") as opened_file:
        opened_file.seek((page - 1) * size)
        opened_file.write(b"\xff" * size)


@pytest.mark.parametrize("table", ["chunks", "chunks_by_document", "vectors", "documents_by_path"])
def test_list_is_kept_where_other_pages_are_damaged(tmp_path: Path, table: str) -> None:
    file = shelf(tmp_path)
    with opened(tmp_path) as store:
        before = {each.path: (each.id, each.collection, each.tags) for each in store.documents()}
    overwrite(file, *root_page(file, table))

    found = salvage(file, 17)
    with engine_in(tmp_path / "home", HashEmbedder(), index=MemoryIndex()) as engine:
        settle(engine)
        findings = engine.check()
        with opened(tmp_path) as store:
            after = {each.path: (each.id, each.collection, each.tags) for each in store.documents()}
            states = {each.state for each in store.documents()}
            [folder] = store.folders()

    assert [each.text for each in found] == [
        "The store of the documents was damaged; it was set aside as 'documents.db.damaged-17'.",
        "41 documents in 2 collections are read anew.",
    ]
    assert after == before
    assert states == {"ready"}
    assert (folder.collection, folder.exclude) == ("notes", ("*.log",))
    assert findings == []


def test_first_part_of_a_file_is_enough(tmp_path: Path) -> None:
    file = shelf(tmp_path, 200)
    with file.open("r+b") as opened_file:
        opened_file.truncate(file.stat().st_size * 2 // 3)

    found = salvage(file, 17)
    with opened(tmp_path) as store:
        kept = len(store.documents())

    assert kept > 20
    assert f"{kept:,} documents" in found[1].text


def test_rows_on_a_damaged_page_cost_no_others(tmp_path: Path) -> None:
    file = shelf(tmp_path, 200)
    page, size = root_page(file, "documents")
    with closing(sqlite3.connect(file)) as connection:
        ((before,),) = connection.execute("SELECT count(*) FROM documents")
    content = file.read_bytes()
    root = content[(page - 1) * size : page * size]
    assert root[0] == 5  # an inner page: the rows are on others, and each of its cells begins with the number of one
    cell = int.from_bytes(root[12:14])
    overwrite(file, int.from_bytes(root[cell : cell + 4]), size)

    found = salvage(file, 17)
    with opened(tmp_path) as store:
        kept = len(store.documents())

    assert f"{kept:,} documents" in found[1].text
    assert before // 2 < kept < before


def test_documents_whose_collection_is_lost_are_found_again(tmp_path: Path) -> None:
    file = shelf(tmp_path)
    overwrite(file, *root_page(file, "collections"))

    salvage(file, 17)
    with opened(tmp_path) as store:
        kept = store.documents(LOST)

    assert len(kept) == 41


def test_page_from_an_address_whose_text_is_lost_says_so(tmp_path: Path) -> None:
    file = shelf(tmp_path)
    overwrite(file, *root_page(file, "texts"))

    found = salvage(file, 17)
    with opened(tmp_path) as store:
        [page] = store.documents(matching="https:")

    assert found[2].text == "The text of 1 pages from addresses is lost; add these again."
    assert (page.state, page.hint) == ("failed", "Add the address again.")


def test_garbage_leaves_an_empty_store_and_the_file_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "home" / "documents.db"
    file.parent.mkdir()
    file.write_bytes(b"garbage" * 1_000)

    found = salvage(file, 17)
    with opened(tmp_path) as store:
        documents = store.documents()

    assert found[1].text == "No list of documents could be read from it; add them again."
    assert documents == []
    assert (file.parent / "documents.db.damaged-17").read_bytes() == b"garbage" * 1_000


def test_what_cannot_be_written_leaves_everything_as_it_was(tmp_path: Path) -> None:
    file = shelf(tmp_path)
    (tmp_path / "home" / "documents.db.salvaged").mkdir()

    with pytest.raises(LibraryBroken):
        salvage(file, 17)
    with opened(tmp_path) as store:
        documents = store.documents()

    assert len(documents) == 41


def test_page_of_an_index_that_is_no_page_is_for_salvage(tmp_path: Path) -> None:
    file = shelf(tmp_path)
    overwrite(file, *root_page(file, "chunks_by_hash"))
    with engine_in(tmp_path / "home", HashEmbedder()) as engine, pytest.raises(LibraryDamaged) as refused:
        engine.check(repair=True)

    assert "rag check --repair" in (refused.value.hint or "")
