"""What chats and their turns tell on the bus. Most events only say that there is something; what it is, the reader asks
the chat.

`chat` is the `key` of an `OpenChat`, which it has also before it has an id. Plain classes: the first frame of the app
waits for this file, and dataclasses would be most of its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from console.events import Event

if TYPE_CHECKING:
    from collections.abc import Hashable
    from decimal import Decimal


class TurnEnded(Event):
    """A fact: an answer is over, however it ended."""

    __slots__ = ("chat_id", "cost_usd", "message_id", "state")

    def __init__(self, chat_id: str | None, message_id: str | None, state: str, cost_usd: Decimal | None) -> None:
        self.chat_id = chat_id
        self.message_id = message_id
        self.state = state
        self.cost_usd = cost_usd


class ChatChanged(Event):
    """Read the chat again. Of several that wait for a slow reader one is enough, so it has a key as samples have."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key


class AnswerGrew(Event):
    """A sample: there is more to fetch with `Live.since`. No further one comes before that was done."""

    __slots__ = ("chat", "message_id")

    def __init__(self, chat: str, message_id: str) -> None:
        self.chat = chat
        self.message_id = message_id

    @property
    def key(self) -> Hashable:
        return self.chat, self.message_id


class AnswerNotice(Event):
    """A fact: a sentence that a reader of this chat should see, such as a fallback, a summary, a limit of money.

    `kind` is one of `attempts.Notice`, or `failed`, `store` (it could not be kept), `queue` or `moved`.
    """

    __slots__ = ("chat", "hint", "kind", "message_id", "text")

    def __init__(self, chat: str, kind: str, text: str, message_id: str | None = None, hint: str | None = None) -> None:
        self.chat = chat
        self.kind = kind
        self.text = text
        self.message_id = message_id
        self.hint = hint


class ShelfChanged(Event):
    """A fact: somebody changed a chat in the list. Lists that are looked at are read again."""

    __slots__ = ("chat_id", "what")

    def __init__(self, chat_id: str, what: Literal["renamed", "pinned", "tagged", "deleted", "restored"]) -> None:
        self.chat_id = chat_id
        self.what = what
