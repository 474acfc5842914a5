"""The life of a turn.

The question is stored before it is sent. The answer is stored as it arrives and kept whatever happens, marked complete,
stopped or failed; one line in the books says what it cost. Closing the events stops the answer at the other side.

    ongoing = conversation.ask(turn)
    async with aclosing(ongoing.events()) as events: …   Delta and Notice, or an error
    ongoing.answer()                                     what there is of it, at any time
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from console.chat import attempts
from console.chat.attempts import Answered, Notice
from console.chat.router import Candidate, Choice, Router
from console.clock import Clock
from console.errors import ConsoleError, NoUsableAnswer, StoreError, TimeLimit, explain
from console.events import Bus, Event
from console.history.store import Store
from console.settings import Endpoint, Settings
from providers.chat.base import ChatProvider, ChatRequest, Delta, End, Finish, Image, Message, Usage

if TYPE_CHECKING:
    from console.chat.attachments import Attachment
    from console.history.rows import Chat

__all__ = ["Answer", "Conversation", "Notice", "OngoingTurn", "Turn", "TurnEnded"]

log = logging.getLogger(__name__)

FLUSH_S = 0.1
"""How much of a growing answer a killed process may lose, in seconds."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One question with all that is to shape its answer."""

    text: str
    client: str
    """Which face asks: prompt, app, gateway."""
    material: str | None = None
    attachments: tuple[Attachment, ...] = ()
    chat: Chat | None = None
    parent_id: str | None = None
    """The message this one answers to; None means the active end of the chat."""
    model: str | None = None
    system: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    schema: dict[str, Any] | None = None
    max_tokens: int | None = None
    thinking: bool | None = None
    max_cost_usd: Decimal | None = None
    allow_unknown_price: bool = False
    allow_fallback: bool = True
    after_break: str = "fail"
    save: bool = True
    task: str = "chat"


@dataclass(frozen=True, slots=True)
class TurnEnded(Event):
    """A fact: an answer is over, however it ended."""

    chat_id: str | None
    message_id: str | None
    state: str
    cost_usd: Decimal | None
