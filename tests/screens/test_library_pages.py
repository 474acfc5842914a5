"""The pages of a long list of documents: what is read, and how often."""

from __future__ import annotations

from datetime import UTC, datetime

from rag.documents import Document
from screens.library_pages import PAGE, Documents
from tests.conftest import run

COUNT = 100_000
AT = datetime(2026, 1, 1, tzinfo=UTC)


class Shelf:
    """Brings documents by their place, and counts how often."""

    def __init__(self, count: int = COUNT) -> None:
        self.count = count
        self.asked: list[tuple[int, int]] = []

    async def bring(self, skip: int, most: int) -> list[Document]:
        self.asked.append((skip, most))
        return [_document(number) for number in range(skip, min(skip + most, self.count))]


def _document(number: int) -> Document:
    return Document(
        id=number + 1, collection_id=1, collection="c", path=f"/c/{number}", name=str(number), media_type="text/plain",
        size_bytes=1, modified_at=AT, sha256=None, pages=None, characters=1, chunks=1, embedded=1, state="ready",
        error=None, hint=None, notes=(), tags=(), added_at=AT, read_at=AT, same_as=None,
    )  # fmt: skip


async def fill(documents: Documents, shelf: Shelf, rows: range) -> None:
    while (page := documents.missing(rows)) is not None:
        await documents.read(page, shelf.bring)


def test_the_end_is_one_page_away() -> None:
    shelf, documents = Shelf(), Documents("c", COUNT)

    run(fill(documents, shelf, range(COUNT - 30, COUNT)))

    assert shelf.asked == [(COUNT - PAGE, PAGE)]
    last = documents[-1]
    assert last is not None
    assert last.name == str(COUNT - 1)
    assert documents[0] is None


def test_rows_around_those_in_sight_are_read_as_well() -> None:
    shelf, documents = Shelf(), Documents("c", COUNT)

    run(fill(documents, shelf, range(5 * PAGE + 10, 5 * PAGE + 40)))

    assert shelf.asked == [(5 * PAGE, PAGE), (4 * PAGE, PAGE)]
    assert [each.id for each in documents[5 * PAGE - 1 : 5 * PAGE + 1] if each is not None] == [5 * PAGE, 5 * PAGE + 1]


def test_a_list_that_has_become_shorter_ends_where_it_ends() -> None:
    shelf, documents = Shelf(250), Documents("c", 300)

    run(fill(documents, shelf, range(240, 270)))

    assert len(documents) == 250
    assert documents.missing(range(240, 250)) is None
