"""What a question would send and cost, told while it is typed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from console.chat.context import MESSAGE_TOKENS, estimate_tokens, message_tokens
from console.chat.question import question_message, with_material
from console.errors import ConsoleError
from console.money.budget import estimate_cost

if TYPE_CHECKING:
    from sqlite3 import Connection

    from console.chat.conversation import Conversation
    from console.chat.questions import Question
    from console.chat.router import Candidate
    from console.history.messages import StoredMessage
    from console.history.store import Store

_AT_ONCE = 200
KNOWN_FOR_S = 30.0
"""How long who would answer is taken for known."""


class Estimate(NamedTuple):
    tokens: int
    """Of all that would be sent: instruction, branch, question, attachments."""
    window_tokens: int | None
    """What the model can read at once; None where nobody knows."""
    cost_usd: Decimal | None
    """With an answer of the usual length, at the price that is known; None where none is."""
    estimated: bool = True
    passages_tokens: int = 0
    """How many of them are kept for passages of documents."""


class Estimates:
    """Remembers what it has counted, so that a keystroke costs what the question alone takes."""

    def __init__(self) -> None:
        self._tokens: dict[str, int] = {}
        self._unread: tuple[int, str, int] = (0, "", 0)
        """How many messages of the branch are not read, the last of them, and their tokens."""
        self._candidates: dict[str | None, tuple[float, Candidate | None]] = {}

    async def of(
        self,
        conversation: Conversation,
        system: str | None,
        path: Sequence[StoredMessage],
        question: Question,
        model: str | None,
        unread: int = 0,
        passages_tokens: int = 0,
    ) -> Estimate:
        """With `unread` messages above the path, which have been counted, and so many tokens at most for passages."""
        asked = question_message(with_material(question.text, question.material), question.attachments)
        tokens = message_tokens(asked) + (self._unread[2] if unread else 0)
        for number, message in enumerate(path):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)  # the first count of a long chat must not hold up the keys
            tokens += self._count(message)
        if system:
            tokens += MESSAGE_TOKENS + estimate_tokens(system)
        tokens += passages_tokens
        candidate = await self._candidate(conversation, model)
        if candidate is None:
            return Estimate(tokens, None, None, passages_tokens=passages_tokens)
        known = conversation.catalogue.find(candidate.model)
        window = candidate.endpoint.context_tokens or (known.context_tokens if known else None)
        cost = estimate_cost(conversation.prices.price(candidate.endpoint, candidate.model), tokens)
        likely_usd = cost.likely_usd if cost is not None else None
        return Estimate(tokens, window, likely_usd, passages_tokens=passages_tokens)

    async def count_unread(self, store: Store, chat_id: str, message_ids: Sequence[str]) -> None:
        """Count messages of a branch in the store, without bringing them here; once for the same ones."""
        if self._unread[:2] == (len(message_ids), message_ids[-1]):
            return
        from console.history import messages

        def count(connection: Connection) -> int:
            texts = messages.texts(connection, chat_id, message_ids)
            return sum((MESSAGE_TOKENS if is_message else 0) + estimate_tokens(text) for is_message, text in texts)

        self._unread = (len(message_ids), message_ids[-1], await store.run(count))

    def _count(self, message: StoredMessage) -> int:
        if message.excluded or not message.text:
            return 0
        if message.state == "streaming":
            return MESSAGE_TOKENS + estimate_tokens(message.text)
        known = self._tokens.get(message.id)
        if known is None:
            known = MESSAGE_TOKENS + estimate_tokens(message.text)
            known += sum(estimate_tokens(attachment.text) for attachment in message.attachments)
            self._tokens[message.id] = known
        return known

    async def _candidate(self, conversation: Conversation, model: str | None) -> Candidate | None:
        now_s = conversation.clock.monotonic()
        since_s, candidate = self._candidates.get(model, (now_s - KNOWN_FOR_S - 1, None))
        if now_s - since_s > KNOWN_FOR_S:
            try:
                candidate = (await conversation.router.choose(model, "", may_ask=False)).candidates[0]
            except ConsoleError:
                candidate = None
            self._candidates[model] = (now_s, candidate)
        return candidate
