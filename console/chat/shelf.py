"""The shelf: all chats as a person keeps them. Lists and searches as one types, and what can be done to a chat.

Whoever types asks for something else before the answer is there. So lists, searches and previews are numbered: a
question that is no longer the latest of its kind is dropped, on the store's thread too, and its answer is None.
"""

from __future__ import annotations

import asyncio
import sqlite3
from array import array
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar, overload

from console.chat.news import ShelfChanged
from console.clock import Clock
from console.events import Bus
from console.history import listing
from console.history.chats import Chat
from console.history.listing import ChatRow, Said, Tag

if TYPE_CHECKING:
    from pathlib import Path

    from console.history.messages import StoredMessage
    from console.history.search import Hit
    from console.history.store import Store

T = TypeVar("T")

KEPT = timedelta(days=7)
"""How long a deleted chat can be brought back."""
LONGEST_TITLE = 200
LONGEST_QUERY = 400
PAGE = 100
"""How many rows are read at once."""
_ROWS_KEPT = 2000
_STEPS = 4000
"""After so many of SQLite's steps, a tenth of a millisecond or so, a query looks whether it is still wanted."""


class Glimpse(NamedTuple):
    """What a preview shows of a chat."""

    row: ChatRow
    messages: tuple[Said, ...]
    """The last ones, oldest first; where a query was found, those up to the newest place of it."""
    is_hit: bool


class ChatList(Sequence["ChatRow | None"]):
    """The rows of a list, of any length, of which those are there that were asked for; the others read None.

    `missed` is called with the number of a row that is not there yet. `Shelf.fill` brings it.
    """

    def __init__(self, numbers: array[int], total: int, *, query: str = "", deleted: bool = False) -> None:
        self.query = query
        self.deleted = deleted
        self.missed: Callable[[int], None] | None = None
        self.total = total
        self.numbers = numbers
        """Row numbers in the order of the list; at first only its beginning."""
        self.is_whole = False
        """Whether the list is known to its end."""
        self.completing = asyncio.Lock()
        self.rows: dict[int, ChatRow | None] = {}

    @property
    def is_cut(self) -> bool:
        """Whether a filter found more than is listed."""
        return bool(self.query) and self.total >= listing.MOST_FOUND

    def __len__(self) -> int:
        return self.total

    @overload
    def __getitem__(self, index: int) -> ChatRow | None: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ChatRow | None]: ...
    def __getitem__(self, index: int | slice) -> ChatRow | Sequence[ChatRow | None] | None:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self.total))]
        if not 0 <= index < self.total:
            raise IndexError(index)
        if index not in self.rows and self.missed is not None:
            self.missed(index)
        return self.rows.get(index)

    def place_of(self, row: ChatRow | None) -> int | None:
        """Where a chat stands, as far as the order is known."""
        try:
            return None if row is None else self.numbers.index(row.seq)
        except ValueError:
            return None


class Shelf:
    """Every method may raise a `StoreError`; none of them waits for anything but the store."""

    def __init__(
        self,
        store: Callable[[], Awaitable[Store]],
        clock: Clock,
        bus: Bus,
        *,
        stop_answers: Callable[[str], Awaitable[object]] | None = None,
    ) -> None:
        """`stop_answers` ends what still arrives in a chat that is about to be deleted."""
        self._store = store
        self._clock = clock
        self._bus = bus
        self._stop_answers = stop_answers
        self._asked: dict[str, int] = {}
        self._deleted: list[str] = []

    # Looking

    async def chats(self, query: str = "", *, deleted: bool = False) -> ChatList | None:
        """All chats, or those whose titles and tags a filter fits; the first page of rows is there. None when outdated.

        It comes at once, and `complete` brings the rest: the order of a long list, or, below the others, the chats in
        which the words of the filter were said.
        """
        query = query[:LONGEST_QUERY].strip()
        query = "" if query == "#" else query  # a tag that is about to be typed

        def work(connection: sqlite3.Connection) -> ChatList:
            if query:
                numbers = listing.named(connection, query, deleted=deleted)
                found = ChatList(numbers, len(numbers), query=query, deleted=deleted)
            else:
                total = listing.count(connection, deleted=deleted)
                numbers = listing.top(connection, PAGE, deleted=deleted)
                found = ChatList(numbers, max(total, len(numbers)), deleted=deleted)
                found.is_whole = len(numbers) >= total
            _put(found, 0, listing.rows(connection, numbers[:PAGE]))
            return found

        self._asked["complete"] = self._asked.get("complete", 0) + 1
        return await self._latest("chats", work)

    async def complete(self, chats: ChatList) -> bool:
        """Find out the rest of a list; returns whether it is another one than it seemed."""
        async with chats.completing:
            numbers = None if chats.is_whole else await self._latest("complete", partial(_whole, chats))
            if numbers is None:
                return False
            known = chats.numbers
            # Something may have been said somewhere in between.
            is_reordered = numbers[: len(known)] != known
            is_other = is_reordered or len(numbers) != chats.total
            if is_reordered:
                chats.rows.clear()
            chats.numbers, chats.total, chats.is_whole = numbers, len(numbers), True
            return is_other

    async def fill(self, chats: ChatList, index: int) -> range:
        """Read the rows of the page around a row; returns their numbers."""
        await self.complete(chats)
        first = max(index - PAGE // 2, 0)
        numbers = chats.numbers[first : first + PAGE]
        found = await (await self._store()).run(lambda c: listing.rows(c, numbers))
        if len(chats.rows) > _ROWS_KEPT:
            chats.rows.clear()
        _put(chats, first, found)
        return range(first, first + len(numbers))

    async def recent(self, limit: int = 200) -> tuple[list[ChatRow], int]:
        """The beginning of the list, and how many chats there are."""

        def work(connection: sqlite3.Connection) -> tuple[list[ChatRow], int]:
            return listing.rows(connection, listing.top(connection, limit)), listing.count(connection)

        return await (await self._store()).run(work)

    async def row(self, chat_id: str) -> ChatRow | None:
        """One chat as a list shows it, also a deleted one."""
        return await (await self._store()).run(lambda c: listing.row_of(c, chat_id))

    async def glimpse(self, chat_id: str, query: str = "", *, limit: int = 6) -> Glimpse | None:
        """The last messages of a chat, or those up to the newest place where all words of the filter stand; None when
        outdated or gone."""
        query = " ".join(listing.parted(query[:LONGEST_QUERY])[1])

        def work(connection: sqlite3.Connection) -> Glimpse | None:
            from console.history import search

            row = listing.row_of(connection, chat_id)
            if row is None:
                return None
            hits = search.search(connection, query, limit=1, chat_id=chat_id) if query else []
            place = hits[0].message_id if hits else None
            return Glimpse(row, tuple(listing.tail(connection, chat_id, limit, place)), place is not None)

        return await self._latest("glimpse", work)

    async def search(self, query: str, *, limit: int = 100) -> list[Hit] | None:
        """The newest places where all words stand; None when outdated."""
        from console.history import search

        return await self._latest("search", lambda c: search.search(c, query[:LONGEST_QUERY], limit=limit))

    async def tags(self) -> list[Tag]:
        return await (await self._store()).run(listing.tags)

    # Doing

    async def rename(self, chat_id: str, title: str) -> None:
        await (await self._store()).rename_chat(chat_id, " ".join(title.split())[:LONGEST_TITLE])
        self._bus.publish(ShelfChanged(chat_id, "renamed"))

    async def pin(self, chat_id: str, pinned: bool) -> None:
        await (await self._store()).pin_chat(chat_id, pinned)
        self._bus.publish(ShelfChanged(chat_id, "pinned"))

    async def tag(self, chat_id: str, tags: Sequence[str]) -> None:
        """Give it exactly these tags."""
        await (await self._store()).tag_chat(chat_id, tags)
        self._bus.publish(ShelfChanged(chat_id, "tagged"))

    async def delete(self, chat_id: str) -> None:
        """Put a chat away: nobody finds it, and for a week it can be brought back."""
        if self._stop_answers is not None:
            await self._stop_answers(chat_id)
        await (await self._store()).put_away_chat(chat_id)
        self._deleted.append(chat_id)
        self._bus.publish(ShelfChanged(chat_id, "deleted"))

    async def restore(self, chat_id: str) -> None:
        """Bring a deleted chat back as it was."""
        await (await self._store()).bring_back_chat(chat_id)
        if chat_id in self._deleted:
            self._deleted.remove(chat_id)
        self._bus.publish(ShelfChanged(chat_id, "restored"))

    async def undo(self) -> ChatRow | None:
        """Bring back what was deleted last: of what this program deleted, or else of all that still can be."""
        if self._deleted:
            chat_id = self._deleted[-1]
        else:
            put_away = await (await self._store()).run(lambda c: listing.rows(c, listing.top(c, 1, deleted=True)))
            if not put_away:
                return None
            chat_id = put_away[0].id
        await self.restore(chat_id)
        return await self.row(chat_id)

    async def clear_out(self) -> int:
        """Remove for good what was deleted more than a week ago; returns how many chats. Called once after a start."""
        store = await self._store()
        before = self._clock.now() - KEPT
        if store.read_only or not await store.run(lambda c: listing.deleted_before(c, before)):
            return 0
        return await store.purge_chats(before)

    async def export(self, chat_id: str, path: Path, *, force: bool = False) -> Path:
        """Write a chat to a file: lossless JSON if its name ends in .json, else the branch looked at as Markdown."""
        store = await self._store()
        chat = await store.chat(chat_id)
        as_json = path.suffix.lower() == ".json"
        said = await store.tree(chat.id) if as_json else await store.path(chat.id, contents=False)
        return await asyncio.to_thread(_write, chat, said, path, as_json=as_json, force=force)

    async def _latest(self, kind: str, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """The answer to the newest question of its kind; an older one ends at once and is None."""
        self._asked[kind] = number = self._asked.get(kind, 0) + 1

        def is_outdated() -> bool:
            return self._asked[kind] != number

        def watched(connection: sqlite3.Connection) -> T | None:
            if is_outdated():
                return None
            connection.set_progress_handler(is_outdated, _STEPS)
            try:
                return work(connection)
            except sqlite3.OperationalError:
                if is_outdated():
                    return None
                raise
            finally:
                connection.set_progress_handler(None, 0)

        found = await (await self._store()).run(watched)
        return None if is_outdated() else found


def suggested_path(folder: Path, title: str, chat_id: str) -> Path:
    """A file of this folder that is not there yet, named after the chat."""
    from console.chat.export_file import name_for

    name = name_for(title, chat_id)
    path, number = folder / f"{name}.md", 2
    while path.exists():
        path, number = folder / f"{name}-{number}.md", number + 1
    return path


def marks(text: str, query: str) -> list[tuple[int, int]]:
    """Where in a text the words of a filter stand; each may be begun."""
    return listing.marks(text, query)


def parse_tags(text: str) -> tuple[str, ...]:
    """Tags as they are typed: with commas between, or blanks; a # before one is no part of it."""
    pieces = text.split(",") if "," in text else text.split()
    return tuple(dict.fromkeys(tag for piece in pieces if (tag := " ".join(piece.split()).lstrip("#"))))


def _whole(chats: ChatList, connection: sqlite3.Connection) -> array[int]:
    """The row numbers of a list to its end."""
    if not chats.query and chats.deleted:
        return listing.top(connection, chats.total, deleted=True)
    if not chats.query:
        return listing.order(connection)
    known = set(chats.numbers)
    found = array("q") if chats.deleted else listing.told(connection, chats.query)
    if not found and not known:
        found = listing.containing(connection, chats.query, deleted=chats.deleted)
    return chats.numbers + array("q", [seq for seq in found if seq not in known])


def _put(chats: ChatList, first: int, found: Sequence[ChatRow]) -> None:
    by_number = {row.seq: row for row in found}
    for index in range(first, min(first + PAGE, len(chats.numbers))):
        chats.rows[index] = by_number.get(chats.numbers[index])


def _write(chat: Chat, said: Sequence[StoredMessage], path: Path, *, as_json: bool, force: bool) -> Path:
    from console.chat.export import HEAD, TAIL, to_json, to_markdown
    from console.chat.export_file import whole_file
    from console.text import neutralise

    path = path.expanduser()
    with whole_file(path, force=force, hint="Choose another name.") as file:
        if as_json:
            file.write(f"{HEAD}\n{to_json(chat, said)}\n{TAIL}")
        else:
            file.write(neutralise(to_markdown(chat, said)))
    return path
