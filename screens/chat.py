"""The chat room: list of chats, transcript, composer. What they do to a chat is done by the desk; this shows it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from console.chat.desk import AnswerGrew, AnswerNotice, ChatChanged, Question
from console.errors import ConsoleError
from console.text import neutralise
from providers.errors import ProviderError
from screens import keys
from screens.app import Room
from screens.bridge import Happened
from screens.chat_items import amount, context_words, is_waiting, item_of, waiting_item
from screens.widgets.composer import Composer
from screens.widgets.footer import Footer
from screens.widgets.sidebar import Sidebar
from screens.widgets.status import StatusLine
from screens.widgets.transcript import Item, Transcript

if TYPE_CHECKING:
    from console.chat.desk import Desk, Entry, OpenChat

log = logging.getLogger(__name__)

_TROUBLE = (ConsoleError, ProviderError)


class ChatTitle(Static):
    """One line above the transcript: the chat, who answers, how full the window is, what it has cost."""


class ChatRoom(Room):
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("chat")]

    def __init__(self) -> None:
        super().__init__()
        self.chat: OpenChat | None = None
        self._desk: Desk | None = None
        self._grown: dict[str, int] = {}
        """How much of each growing answer the transcript has."""

    def compose(self) -> ComposeResult:
        yield StatusLine()
        with Horizontal(id="body"):
            yield Sidebar()
            with Vertical(id="talk"):
                yield ChatTitle(id="title")
                yield Transcript()
                yield Composer()
        yield Footer()

    def on_mount(self) -> None:
        self.composer.focus()
        self._begin()

    @property
    def composer(self) -> Composer:
        return self.query_one(Composer)

    @property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)

    # ---- which chat is shown

    @work(exclusive=True, group="open")
    async def _begin(self) -> None:
        """After the first frame: the store is opened, and the chat that was open last comes back."""
        try:
            self._desk = await self.runtime.desk()
            chat = await self._desk.latest() or self._desk.new()
        except _TROUBLE as error:
            self.hawser.tell(error)
            return
        await self._show(chat)

    @work(exclusive=True, group="open")
    async def open_chat(self, chat_id: str, *, message_id: str | None = None) -> None:
        """Show a stored chat, at a message of it or at its end."""
        assert self._desk is not None
        try:
            chat = await self._desk.open(chat_id, leaf=message_id)
        except _TROUBLE as error:
            self.hawser.tell(error)
            return
        await self._show(chat, at=message_id)

    async def _show(self, chat: OpenChat, *, at: str | None = None) -> None:
        if self.chat is not None:
            await self._keep_draft(self.chat.key)
        self.chat = chat
        self._grown.clear()
        self.transcript.show(self._items(), at=at)
        self._draw_title()
        self.query_one(Sidebar).mark(chat.id)
        await self._bring_draft(chat.key)
        self._estimate()

    def _items(self) -> list[Item]:
        chat = self.chat
        assert chat is not None
        now = self.runtime.clock.now()
        items = [self._item(entry) for entry in chat.entries]
        count = len(chat.waiting)
        return items + [waiting_item(question, number, count) for number, question in enumerate(chat.waiting, 1)]

    def _item(self, entry: Entry) -> Item:
        assert self.chat is not None
        live = self.chat.lives.get(entry.message.id)
        if live is not None:
            self._grown[entry.message.id] = live.since(0)[2]
        return item_of(entry, self.runtime.clock.now(), live)

    # ---- what happens

    def on_happened(self, happened: Happened) -> None:
        match happened.event:
            case AnswerGrew(chat_key=key, message_id=message_id) if self.chat and key == self.chat.key:
                self._grow(message_id)
            case ChatChanged(chat_key=key) if self.chat and key == self.chat.key:
                self._refresh()
            case AnswerNotice(chat_key=key, kind=kind, text=text) if self.chat and key == self.chat.key:
                self._notice(kind, text)
            case _:
                pass

    def _grow(self, message_id: str) -> None:
        assert self.chat is not None
        live = self.chat.lives.get(message_id)
        if live is None:  # it has ended meanwhile, and the fact about that is on its way
            return
        text, thinking, self._grown[message_id] = live.since(self._grown.get(message_id, 0))
        if text or thinking:
            self.transcript.grow(message_id, text, thinking)
        self.query_one(StatusLine).put("speed", f"{live.tokens_per_s:.0f} tok/s" if live.tokens_per_s else "", "accent")
