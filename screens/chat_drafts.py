"""What is being written in the chat room: each chat has a draft of its own, kept across crash and end.

The composer is one for all chats. Whose draft it shows is known here, and changes together with its text.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from console.chat.drafts import Draft, Drafts
from console.errors import ConsoleError

if TYPE_CHECKING:
    from console.chat.open_chat import OpenChat
    from screens.widgets.composer import Composer

log = logging.getLogger(__name__)

UNNAMED = "new"
"""Under this word the draft of a chat is kept that has no id yet."""


def joined(*drafts: Draft) -> Draft:
    """All of them as one, in this order."""
    text = "\n\n".join(draft.text for draft in drafts if draft.text)
    return Draft(text, tuple(dict.fromkeys(chip for draft in drafts for chip in draft.chips)))


class RoomDrafts:
    """`take_away` and `bring` when another chat is shown, `changed` when something was written."""

    def __init__(self, composer: Composer, drafts: Drafts) -> None:
        self._composer = composer
        self._drafts = drafts
        self._chat: OpenChat | None = None
        """Whose draft the composer shows; None until it was brought."""
        self._key = UNNAMED
        self._waiting: dict[str, Draft] = {}
        """What is to be written, and is on its way there."""
        self._is_writing = False
        self._off_record: WeakKeyDictionary[OpenChat, Draft] = WeakKeyDictionary()

    def take_away(self, written: Draft) -> None:
        """Another chat is about to be shown; the composer is empty until its draft is there."""
        chat, self._chat = self._chat, None
        if chat is None:
            return
        if chat.off_the_record:
            self._off_record[chat] = written
        else:
            self._note(chat, written)
        self._composer.set_draft(Draft())

    async def bring(self, chat: OpenChat) -> Draft:
        """What was written there before."""
        if chat.off_the_record:
            return self._off_record.get(chat, Draft())
        key = chat.id or UNNAMED
        if key in self._waiting:
            return self._waiting[key]
        try:
            return await self._drafts.get(key)
        except ConsoleError as error:
            log.info("the draft cannot be read: %s", error.text)
            return Draft()

    def place(self, chat: OpenChat, draft: Draft) -> None:
        """Show a chat's draft; what was typed while it was fetched comes after it."""
        typed = self._composer.draft()
        if draft:
            self._composer.set_draft(Draft(draft.text + typed.text, (*draft.chips, *typed.chips)))
        self._chat, self._key = chat, chat.id or UNNAMED
        if typed:
            self.changed()

    def shows(self, chat: OpenChat) -> bool:
        """Whether what is in the composer is this chat's draft."""
        return self._chat is chat

    def changed(self) -> bool:
        """Something was written; whether there is anything to keep of it."""
        if self._chat is None or self._chat.off_the_record:
            return False
        self._note(self._chat, self._composer.draft())
        return True

    def _note(self, chat: OpenChat, draft: Draft) -> None:
        key = chat.id or UNNAMED
        if key != self._key:  # it has begun, or another one has taken its place: its draft goes with it
            self._waiting[self._key] = Draft()
            self._key = key
        self._waiting[key] = draft

    async def write(self) -> None:
        """Write what is to be written; raises ConsoleError, and then it still is."""
        if self._is_writing:
            return
        self._is_writing = True
        try:
            while self._waiting:
                key, draft = next(iter(self._waiting.items()))
                await self._drafts.put(key, draft)
                if self._waiting[key] == draft:
                    del self._waiting[key]
        finally:
            self._is_writing = False

    async def end(self, set_aside: Draft | None, unasked: Sequence[Draft]) -> None:
        """Write what is there at the end, behind what was sent and not asked yet. With `set_aside` the composer shows
        an old question that is being written anew: its words go to the past ones."""
        written = self._composer.draft()
        if self._chat is not None and not self._chat.off_the_record:
            if set_aside is not None:
                self._composer.history.put_away(written)
                written = set_aside
            self._note(self._chat, joined(*unasked, written))
        await self.write()
        await self._composer.history.write()
