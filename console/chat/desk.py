"""The chats that are open in this process: opening them, beginning them, and knowing which are at work.

A chat is open once, however many look at it, and stays so as long as somebody holds it or it answers.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from console.chat.answering import Surroundings
from console.chat.keeping import InMemory, InStore
from console.chat.open_chat import OpenChat
from console.chat.titles import Titles

if TYPE_CHECKING:
    from console.chat.conversation import Conversation
    from console.clock import Clock
    from console.events import Bus
    from console.history.store import Store
    from console.jobs import Jobs
    from console.settings import Settings


class Desk:
    def __init__(
        self,
        conversation: Callable[[], Awaitable[Conversation]],
        store: Callable[[], Awaitable[Store]],
        jobs: Jobs,
        bus: Bus,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._at = Surroundings(conversation, store, jobs, bus, clock, settings)
        self._titles = Titles(self._at)
        self._chats: WeakValueDictionary[str, OpenChat] = WeakValueDictionary()
        self._numbers = itertools.count(1)
        self._opening = asyncio.Lock()

    @property
    def busy(self) -> tuple[OpenChat, ...]:
        """The chats in which something is being answered."""
        return tuple(chat for chat in list(self._chats.values()) if chat.is_busy)

    def new(self, off_the_record: bool = False) -> OpenChat:
        """A chat that begins with its first question. Off the record it leaves nothing but what it cost."""
        key = f"new:{next(self._numbers)}"
        if off_the_record or not self._at.settings.chat.save:
            chat = OpenChat(self._at, key, InMemory(self._at.clock), self._titles.finished)
        else:
            chat = OpenChat(self._at, key, InStore(self._at.store, self._at.clock), self._titles.finished)
        self._chats[key] = chat
        return chat

    async def open(self, chat_id: str, leaf: str | None = None) -> OpenChat:
        """A stored chat by its whole id, at the branch that was looked at last, or through the message `leaf`."""
        async with self._opening:  # two may ask for the same one
            chat = next((each for each in list(self._chats.values()) if each.id == chat_id), None)
            if chat is None:
                # One that moved when its chat was deleted elsewhere may still go by this key.
                key = chat_id if chat_id not in self._chats else f"{chat_id}:{next(self._numbers)}"
                chat = OpenChat(self._at, key, InStore(self._at.store, self._at.clock), self._titles.finished)
                await chat.read(chat_id)
                self._chats[chat.key] = chat
            else:
                await chat.read_again()
        if leaf is not None:
            await chat.show(leaf)
        return chat

    async def latest(self) -> OpenChat | None:
        """The chat in which something was said last; None in an empty store."""
        latest = await (await self._at.store()).latest_chat()
        return None if latest is None else await self.open(latest.id)
