"""What an open chat holds: its tree, the branch that is looked at, and what shapes its answers.

A long chat is read from its end: the shape of the tree and the last messages at once, those above when somebody comes
near them. So a chat takes memory for what was looked at, and not for its length.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from console.chat.answering import Answering, Surroundings
from console.chat.branches import Branch, Branches
from console.chat.keeping import InMemory, InStore, Keeper
from console.chat.live import Live
from console.chat.news import ChatChanged
from console.errors import ConsoleError, NotFound
from console.history.among import NO_DOCUMENTS, Among
from console.history.chats import TitledBy
from console.history.messages import StoredAttachment, StoredMessage
from console.history.turns import Mark

if TYPE_CHECKING:
    from sqlite3 import Connection

    from console.history.chats import Chat

FIRST_ENTRIES = 200
"""How many messages of a long chat are read before it is shown, and how many more each time."""
ABOVE = 50
"""How many are read above a message that is gone to."""
_AT_ONCE = 1000


class Entry(NamedTuple):
    message: StoredMessage
    """While it arrives, its text is with its `Live`."""
    sibling: int
    """Which of its siblings it is, from 1."""
    siblings: int


class ChatContents:
    """The half of an open chat that looks and arranges; asking is the other."""

    def __init__(self, at: Surroundings, key: str, keeper: Keeper) -> None:
        self.key = key
        self.title = ""
        self.titled_by: TitledBy | None = "words"
        self.model: str | None = None
        """Who answers; None means what the settings say."""
        self.system: str | None = None
        self.persona: str | None = None
        self.params: Mapping[str, Any] = MappingProxyType({})
        self.among = NO_DOCUMENTS
        """The documents that its questions are put to."""
        self.branches = Branches()
        self._at = at
        self._keeper = keeper
        self._answering: dict[str, Answering] = {}
        self._left_behind: list[Any] = []
        """Questions that a process which is gone left waiting, as they were kept."""
        self._mark: Mark | None = None
        self._entries: tuple[Entry, ...] | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def id(self) -> str | None:
        """None before its first question, and for ever off the record."""
        chat = self._keeper.chat
        return chat.id or None if chat is not None else None

    @property
    def off_the_record(self) -> bool:
        return isinstance(self._keeper, InMemory)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The branch that is looked at, from the first message that is read already."""
        if self._entries is None:
            branches = self.branches
            found: list[Entry] = []
            for message_id in reversed(branches.path()):
                message = branches.messages.get(message_id)
                if message is None:
                    break
                beside = branches.siblings(message_id)
                here = 1 if len(beside) == 1 else beside.index(message_id) + 1
                found.append(Entry(message, here, len(beside)))
            found.reverse()
            self._entries = tuple(found)
        return self._entries

    @property
    def earlier(self) -> int:
        """How many messages of the branch stand above the entries and are not read."""
        return self.branches.length - len(self.entries)

    async def read_earlier(self, count: int | None = FIRST_ENTRIES) -> None:
        """So many more messages above the entries; None for all there are."""
        above = self.branches.path()[: self.earlier]
        if above and await self._read(above if count is None else above[-count:]):
            self._changed()

    @property
    def lives(self) -> Mapping[str, Live]:
        """The answers that are arriving, by message."""
        return {message_id: answering.live for message_id, answering in self._answering.items()}

    def siblings(self, message_id: str) -> tuple[StoredMessage, ...]:
        """A message and those beside it that were read already, oldest first: the columns of a comparison."""
        found = self.branches.siblings(message_id)
        return tuple(self.branches.messages[each] for each in found if each in self.branches.messages)

    async def beside(self, message_id: str) -> tuple[StoredMessage, ...]:
        """The same, also of those that were not read yet."""
        if message_id not in self.branches:
            raise NotFound(f"There is no message {message_id!r} in this chat.")
        await self._read(self.branches.siblings(message_id))
        return self.siblings(message_id)

    async def content(self, attachment: StoredAttachment) -> bytes:
        """What an attachment of a message holds; messages come without it."""
        if attachment.content or self.off_the_record:
            return attachment.content
        from console.history import messages

        store = await self._at.store()
        return await store.run(lambda c: messages.content(c, attachment.sha256))

    # ---- branches

    async def step(self, message_id: str, by: int) -> None:
        """Look at the sibling `by` places after a message; the first and the last are as far as it goes."""
        beside = self.branches.siblings(message_id) if message_id in self.branches else [message_id]
        at = min(max(beside.index(message_id) + by, 0), len(beside) - 1)
        if beside[at] != message_id:
            await self.show(beside[at])

    async def show(self, message_id: str) -> None:
        """Look at the branch through a message, down to its newest end."""
        async with self._one_at_a_time:  # reading the chat again meanwhile would look at the branch of before
            await self._show(message_id)

    async def _show(self, message_id: str) -> None:
        if message_id not in self.branches:
            raise NotFound(f"There is no message {message_id!r} in this chat.")
        before = self.branches.leaf
        leaf = self.branches.show(message_id)
        path = self.branches.path()
        was_missing = await self._read(path[max(min(path.index(message_id) - ABOVE, len(path) - FIRST_ENTRIES), 0) :])
        if leaf != before:
            await self._keeper.show(leaf)
        if leaf != before or was_missing:
            self._changed()

    async def keep(self, message_id: str) -> None:
        """Go on from this answer of several; the others stay beside it."""
        await self.show(message_id)

    async def tree(self) -> list[Branch]:
        """An outline of every branch."""
        await self._read(self.branches.everyone())
        return self.branches.outline()

    async def delete_branch(self, message_id: str) -> None:
        """Remove a message and all below it. What it cost stays in the books."""
        async with self._one_at_a_time:
            if message_id not in self.branches:
                raise NotFound(f"There is no message {message_id!r} in this chat.")
            if self.branches.below(message_id) & self._answering.keys():
                raise ConsoleError("An answer is arriving in this branch.", hint="Stop it first.")
            await self._keeper.cut(message_id)
            self.branches.cut(message_id)
            await self._read(self.branches.path()[-FIRST_ENTRIES:])
            self._changed()

    async def exclude(self, message_id: str, excluded: bool) -> None:
        """Leave a question and its answer out of what is sent from now on, or take them in again."""
        question = await self._question_of(message_id)
        turn = [question.id, *(each for each in self.branches.path() if self.branches.parent(each) == question.id)]
        if message_id not in turn:
            turn.append(message_id)
        await self._keeper.exclude(turn, excluded)
        for each in turn:
            if each in self.branches.messages:
                self.branches.put(self.branches.messages[each]._replace(excluded=excluded))
        self._changed()

    async def exclude_source(self, message_id: str, n: int, excluded: bool = True) -> None:
        """Put a passage of an answer away: it is not given again in this chat; or take it back."""
        message = self.branches.messages[message_id]
        await self._keeper.exclude_source(message_id, n, excluded)
        sources = tuple(each._replace(excluded=excluded) if each.n == n else each for each in message.sources)
        self.branches.put(message._replace(sources=sources))
        self._changed()

    # ---- what shapes the answers

    async def set_among(self, among: Among) -> None:
        """Put the questions from now on to these documents; `NO_DOCUMENTS` asks without."""
        if among != self.among:
            await self._keeper.set_among(among)
            self.among = among
            self._changed()

    async def set_model(self, model: str | None) -> None:
        await self._keeper.set_model(model)
        self.model = model
        self._changed()

    async def set_system(self, system: str | None, persona: str | None = None) -> None:
        """Give the chat an instruction of its own, perhaps that of a persona; None takes it away."""
        await self._keeper.set_system(system, persona)
        self.system, self.persona = system, persona
        self._changed()

    async def set_params(self, params: Mapping[str, Any]) -> None:
        """Under the names of `parameters.py`; each backend gets those that it has."""
        await self._keeper.set_params(params)
        self.params = MappingProxyType(dict(params))
        self._changed()

    async def rename(self, title: str, by: TitledBy = "person") -> bool:
        """Give the chat a title; False when a person gave it the present one and somebody else would change that."""
        if by != "person" and self.titled_by == "person":
            return False
        if not await self._keeper.rename(title, by):
            return False
        self.title, self.titled_by = title, by
        self._changed()
        return True

    # ---- reading

    async def read_again(self) -> None:
        """Read what is in the store, if somebody else has changed it."""
        async with self._one_at_a_time:  # a question that is being kept would be missing in what is read
            await self._read_again()

    async def _read_again(self) -> None:
        if self.id is None or self._answering:
            return
        from console.history import turns

        store, chat_id, known = await self._at.store(), self.id, self._mark
        if known is not None and await store.run(lambda c: turns.mark(c, chat_id)) == known:
            await store.chat(chat_id)  # it may have been deleted
            return
        await self.read(chat_id, self.branches.leaf, most=max(len(self.entries), FIRST_ENTRIES))

    async def read(self, chat_id: str, leaf: str | None = None, most: int = FIRST_ENTRIES) -> None:
        """The end of the branch."""

        def look(connection: Connection) -> tuple[Chat, Mark, Branches, list[Any]]:
            # All in one go on the store's thread, building the tree too: a long chat has to be there at once.
            from console.history import messages, turns, waiting

            chat, bones, mark = turns.skeleton(connection, chat_id)
            branches = Branches(bones, leaf if leaf is not None else chat.active_leaf)
            if leaf is not None and leaf in branches:
                branches.show(leaf)  # down to what was said below it elsewhere
            path = branches.path()
            for message in messages.some(connection, chat.id, path[-most:]):
                branches.put(message)
            return chat, mark, branches, waiting.left_behind(connection, chat.id)

        chat, self._mark, self.branches, self._left_behind = await (await self._at.store()).run(look)
        self._keeper = InStore(self._at.store, self._at.clock, chat)
        self.title, self.titled_by, self.model = chat.title, chat.titled_by, chat.model
        self.system, self.persona, self.params = chat.system, chat.persona, MappingProxyType(dict(chat.params))
        self.among = chat.among
        self._changed()

    async def _read(self, message_ids: Sequence[str]) -> bool:
        """Read those that are not here yet; whether there were any."""
        branches = self.branches
        missing = branches.missing(message_ids)
        if not missing or self.id is None:
            return False
        from console.history import messages

        store, chat_id = await self._at.store(), self.id
        while missing:
            # In pieces, so that others get at the store in between, and the last first: the end is looked at.
            piece, missing = missing[-_AT_ONCE:], missing[:-_AT_ONCE]
            for message in await store.run(lambda c, piece=piece: messages.some(c, chat_id, piece)):  # type: ignore[misc]
                if message.id in branches and message.id not in branches.messages:
                    branches.put(message)
        self._entries = None
        return True

    async def _message(self, message_id: str) -> StoredMessage:
        if message_id not in self.branches:
            raise NotFound(f"There is no message {message_id!r} in this chat.")
        await self._read([message_id])
        return self.branches.messages[message_id]

    async def _question_of(self, message_id: str) -> StoredMessage:
        message = await self._message(message_id)
        if message.role == "user":
            return message
        if message.parent_id is None or self.branches.role(message.parent_id) != "user":
            raise ConsoleError("There is no question above this message.")
        return await self._message(message.parent_id)

    def _changed(self) -> None:
        self._entries = None
        self._at.bus.publish(ChatChanged(self.key))
