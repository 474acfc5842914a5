"""The documents of a collection as a list whose pages are read from the store when somebody comes to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias, overload

if TYPE_CHECKING:
    from rag.documents import Document

PAGE = 200
AHEAD = 100
"""How many rows around those in sight are read as well."""

Bring: TypeAlias = "Callable[[int, int], Awaitable[list[Document]]]"
"""Given how many to pass over, and how many to bring."""


class Documents(Sequence["Document | None"]):
    """As long as the collection says it is; rows that are not read yet are None. A page is read wherever one goes, so
    the end is as near as the beginning."""

    def __init__(self, collection: str, count: int, matching: str = "") -> None:
        self.collection = collection
        self.matching = matching
        self._count = count
        self._pages: dict[int, list[Document]] = {}

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Document | None: ...
    @overload
    def __getitem__(self, index: slice) -> list[Document | None]: ...
    def __getitem__(self, index: int | slice) -> Document | list[Document | None] | None:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        number, place = divmod(index % len(self), PAGE)
        page = self._pages.get(number, ())
        return page[place] if place < len(page) else None

    def missing(self, rows: range) -> int | None:
        """A page that is needed by who sees these rows, if one is not read yet: those in sight first."""
        for first, last in ((rows.start, rows.stop), (rows.start - AHEAD, rows.stop + AHEAD)):
            numbers = range(max(first, 0) // PAGE, -(-min(last, len(self)) // PAGE))
            if (found := next((each for each in numbers if each not in self._pages), None)) is not None:
                return found
        return None

    async def read(self, number: int, bring: Bring) -> None:
        page = await bring(number * PAGE, PAGE)
        self._pages[number] = page
        if len(page) < PAGE:  # fewer than was said, since some have just gone
            self._count = min(self._count, number * PAGE + len(page))
