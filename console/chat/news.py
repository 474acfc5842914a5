"""What chats and their turns tell on the bus. Most events only say that there is something; what it is, the reader asks
the chat.

`chat` is the `key` of an `OpenChat`, which it has also before it has an id.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal

from console.events import Event


@dataclass(frozen=True, slots=True)
class TurnEnded(Event):
    """A fact: an answer is over, however it ended."""

    chat_id: str | None
    message_id: str | None
    state: str
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class ChatChanged(Event):
    """Read the chat again. Of several that wait for a slow reader one is enough, so it has a key as samples have."""

    key: str


@dataclass(frozen=True, slots=True)
class AnswerGrew(Event):
    """A sample: there is more to fetch with `Live.since`. No further one comes before that was done."""

    chat: str
    message_id: str

    @property
    def key(self) -> Hashable:
        return self.chat, self.message_id


@dataclass(frozen=True, slots=True)
class AnswerNotice(Event):
    """A fact: a sentence that a reader of this chat should see, such as a fallback, a summary, a limit of money.

    `kind` is one of `attempts.Notice`, or `failed`, `store` (it could not be kept), `queue` or `moved`.
    """

    chat: str
    kind: str
    text: str
    message_id: str | None = None
    hint: str | None = None
