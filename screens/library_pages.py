"""The documents of a collection as a list that is read from the store page by page, as somebody comes to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from rag.documents import Document

FIRST_PAGE = 200
PAGE = 1_000
AHEAD = 200
"""How many rows beyond those in sight are read."""


class Documents(Sequence["Document | None"]):
    """As long as the collection says it is; rows that are not read yet are None. They are read in order."""

    def __init__(self, collection: str, count: int, matching: str = "") -> None:
        """`count` is how many there are, as far as is known; with `matching` nobody knows."""
        self.collection = collection
        self.matching = matching
        self.read: list[Document] = []
        self._count = 0 if matching else count
        self.is_complete = False

    def __len__(self) -> int:
        return len(self.read) if self.is_complete else max(self._count, len(self.read))

    @overload
    def __getitem__(self, index: int) -> Document | None: ...
    @overload
    def __getitem__(self, index: slice) -> list[Document | None]: ...
    def __getitem__(self, index: int | slice) -> Document | list[Document | None] | None:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        return self.read[index] if index < len(self.read) else None

    def wants(self, last: int) -> bool:
        """Whether more has to be read for somebody who sees rows up to this one."""
        return not self.is_complete and len(self.read) < min(last + AHEAD, max(len(self), last + AHEAD))

    async def more(self, bring: Callable[[int, int], Awaitable[list[Document]]]) -> None:
        """Read the next page."""
        most = PAGE if self.read else FIRST_PAGE
        page = await bring(self.read[-1].id if self.read else 0, most)
        self.read += page
        self.is_complete = len(page) < most

    async def again(self, first: int, last: int, bring: Callable[[int, int], Awaitable[list[Document]]]) -> None:
        """Read these rows once more; what stands before them is taken to be as it was."""
        first, last = max(first, 0), min(last, len(self.read))
        if first < last:
            self.read[first:last] = await bring(self.read[first - 1].id if first else 0, last - first)
