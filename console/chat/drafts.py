"""What somebody is writing: drafts, kept for each chat across crashes, and the history of prompts.

A draft is its words and the chips above them. A chip is kept as what it was made of, so that a file is read anew when
the draft comes back, and says so if it is gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from sqlite3 import Connection

    from console.clock import Clock
    from console.history.store import Store

MOST_RECENT = 500
"""How many past prompts are at hand for walking; a search looks at all that are kept."""


class PastedText(NamedTuple):
    """A long paste, held beside the words and sent whole."""

    text: str


class AttachedFile(NamedTuple):
    path: str


class Collection(NamedTuple):
    """Documents to be asked along with the question."""

    name: str


class AddedDocuments(NamedTuple):
    """Documents that were added while writing; they alone are asked along, not the whole of their collection."""

    ids: tuple[int, ...]
    name: str


Chip: TypeAlias = PastedText | AttachedFile | Collection | AddedDocuments


def is_asked(chip: Chip) -> bool:
    """Whether it stands for documents that every question of the chat is put to, and not for a part of one."""
    return isinstance(chip, Collection | AddedDocuments)


class Draft(NamedTuple):
    text: str = ""
    chips: tuple[Chip, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.text or self.chips)


def chip_row(chip: Chip) -> dict[str, Any]:
    """A chip as it is kept."""
    match chip:
        case PastedText():
            return {"pasted": chip.text}
        case AttachedFile():
            return {"file": chip.path}
        case Collection():
            return {"collection": chip.name}
        case AddedDocuments():
            return {"documents": list(chip.ids), "name": chip.name}


def chip_of(row: Any) -> Chip | None:
    """A chip from what was kept; None for a kind that this version does not know."""
    match row:
        case {"pasted": str(text)}:
            return PastedText(text)
        case {"file": str(path)}:
            return AttachedFile(path)
        case {"collection": str(name)}:
            return Collection(name)
        case {"documents": [*ids], "name": str(name)}:
            return AddedDocuments(tuple(each for each in ids if isinstance(each, int)), name)
        case _:
            return None


class Drafts:
    """One draft for each chat key: a chat's id, or a word for the chat that has none yet."""

    def __init__(self, store: Callable[[], Awaitable[Store]], clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._kept: dict[str, Draft] = {}

    async def get(self, chat_key: str) -> Draft:
        from console.history import drafts

        store = await self._store()
        row = await store.run(lambda connection: drafts.draft(connection, chat_key))
        draft = Draft() if row is None else Draft(row[0], tuple(chip for chip in map(chip_of, row[1]) if chip))
        self._kept[chat_key] = draft
        return draft

    async def put(self, chat_key: str, draft: Draft) -> None:
        """Done when it returns; the same draft twice is written once."""
        if self._kept.get(chat_key) == draft:
            return
        from console.history import drafts
        from console.history.rows import to_ms

        kept = self._kept.pop(chat_key, None)  # whether it is written is not known to one who is cancelled below
        store = await self._store()
        now_ms, chips = to_ms(self._clock.now()), [chip_row(chip) for chip in draft.chips]
        # A long paste is not written again at every key beside it.
        same = bool(draft.chips) and kept is not None and kept.chips == draft.chips
        await store.run(
            lambda connection: drafts.put_draft(connection, now_ms, chat_key, draft.text, chips, same_chips=same),
            write=True,
        )
        self._kept[chat_key] = draft

    async def move(self, chat_key: str, to: str) -> None:
        """What was written before a chat had its id follows it."""
        draft = await self.get(chat_key)
        await self.put(to, draft)
        await self.put(chat_key, Draft())


class History:
    """Prompts, newest first. `recent` is what this process knows without asking; `load` fills it."""

    def __init__(self, store: Callable[[], Awaitable[Store]], clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.recent: Sequence[Draft] = ()
        """With chips where they were put away by this process: only the words are stored."""
        self._unstored: set[Draft] = set()
        self._unwritten: list[str] = []

    async def load(self) -> None:
        """Bring in what this and other processes stored; what was put away here keeps its chips."""
        stored = await self.search("", limit=MOST_RECENT)
        with_chips = {draft.text: draft for draft in self.recent if draft.chips}
        only_here = [draft for draft in self.recent if not draft.text or draft in self._unstored]
        self.recent = (*only_here, *(with_chips.get(text, Draft(text)) for text in stored))[:MOST_RECENT]

    def remember(self, draft: Draft) -> None:
        """Put it first, at once, for as long as nobody says `forget`, and never store it."""
        self._unstored.add(draft)
        self._put_first(draft)

    def forget(self) -> None:
        """Let go of what was only remembered."""
        self.recent = tuple(draft for draft in self.recent if draft not in self._unstored)
        self._unstored.clear()

    def _put_first(self, draft: Draft) -> None:
        if draft:
            others = (each for each in self.recent if each.text != draft.text or (not draft.text and each != draft))
            self.recent = (draft, *others)[:MOST_RECENT]

    def put_away(self, draft: Draft) -> None:
        """Put it first, at once; `write` stores it."""
        self._unstored.discard(draft)
        self._put_first(draft)
        if draft.text.strip():
            self._unwritten.append(draft.text)

    async def add(self, draft: Draft) -> None:
        self.put_away(draft)
        await self.write()

    async def write(self) -> None:
        """Store what was put away and is not stored yet; what cannot be stays for the next time."""
        from console.history.rows import to_ms

        while self._unwritten:
            text, now_ms = self._unwritten[0], to_ms(self._clock.now())
            await (await self._store()).run(partial(_add_prompt, now_ms, text), write=True)
            if self._unwritten and self._unwritten[0] is text:  # two may write at once
                del self._unwritten[0]

    async def search(self, words: str, *, limit: int = 50) -> list[str]:
        """Those that hold every word, in any case and order."""
        from console.history import drafts

        store = await self._store()
        return await store.run(lambda connection: drafts.prompts(connection, words.split(), limit))


def _add_prompt(now_ms: int, text: str, connection: Connection) -> None:
    from console.history import drafts

    drafts.add_prompt(connection, now_ms, text)
