"""Titles of chats. The first words of the first question stand at once; a model may give a better one afterwards.

That happens only where the settings say so, in the background, at a model that the settings name or that costs nothing
and wakes nothing, and never over a title that a person gave.
"""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import TYPE_CHECKING

from console.chat.turn import Turn
from console.errors import ConsoleError
from console.text import neutralise, shorten
from providers.errors import ProviderError

if TYPE_CHECKING:
    from console.chat.answering import Surroundings
    from console.chat.conversation import Conversation
    from console.chat.open_chat import OpenChat
    from console.history.messages import StoredMessage
    from console.jobs import Job

log = logging.getLogger(__name__)

LONGEST = 60
MOST_MESSAGES = 6
"""A chat that is longer has had its chances."""
_READ = 2_000
"""Characters of question and answer that the model reads."""
_ANSWER_TOKENS = 40


class Titles:
    def __init__(self, at: Surroundings) -> None:
        self._at = at

    def finished(self, chat: OpenChat, answer: StoredMessage) -> None:
        """An answer came whole; begin to find a title if the chat has none but its first words."""
        if self._at.settings.chat.titles != "model" or chat.off_the_record or chat.titled_by != "words":
            return
        path = chat.branches.path()
        if len(path) > MOST_MESSAGES or chat.branches.parent(answer.id) is None:
            return
        question = chat.branches.messages[path[0]].text

        async def work(_: Job) -> None:
            await self._find(chat, question, answer)

        self._at.jobs.start("find a title", work)

    async def _find(self, chat: OpenChat, question: str, answer: StoredMessage) -> None:
        conversation = await self._at.conversation()
        asked = (
            "Give this conversation a title of at most six words, in its own language. Only the title, without quotes."
            f"\n\nuser: {question[:_READ]}\n\nassistant: {answer.text[:_READ]}"
        )
        try:
            model = self._at.settings.chat.title_model or await self._free(conversation, answer)
            if model is None:
                return
            turn = Turn(
                asked,
                "app",
                model=model,
                max_tokens=_ANSWER_TOKENS,
                thinking=False,
                allow_fallback=False,
                save=False,
                task="title",
            )
            ongoing = conversation.ask(turn, before=())
            async with aclosing(ongoing.events()) as events:
                async for _ in events:
                    pass
            if title := tidy(ongoing.text):
                await chat.rename(title, "model")
        except (ConsoleError, ProviderError) as error:
            log.info("no title was found: %s", error)

    async def _free(self, conversation: Conversation, answer: StoredMessage) -> str | None:
        """The first of the route `quick`, if it costs nothing and is awake."""
        choice = await conversation.router.choose("quick", "", allow_fallback=False)
        candidate = choice.candidates[0]
        endpoint = candidate.endpoint
        if endpoint.machine is not None and endpoint.machine != answer.machine:
            return None
        price = await conversation.price(candidate)
        is_free = price is not None and not price.input_usd_per_million and not price.output_usd_per_million
        return candidate.name if is_free else None


def tidy(text: str) -> str:
    """The first line of what a model wrote, without quotes, marks of Markdown and a full stop; empty if that is all."""
    for line in neutralise(text).splitlines():
        bare = " ".join(line.split()).strip("#-*_`\"'“”„«»‘’ ")
        bare = bare.removeprefix("Title:").removesuffix(".").strip("*\"' ")
        if bare:
            return shorten(bare, LONGEST)
    return ""
