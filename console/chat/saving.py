"""A growing answer on its way into the store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from console.chat.turn import Answer, State
from console.errors import Explanation, NotFound, StoreError
from console.history.store import Store
from providers.chat.base import Delta

if TYPE_CHECKING:
    from console.history.sources import Source

FLUSH_S = 0.1
"""How much of a growing answer a killed process may lose, in seconds."""


def notes_of(answer: Answer, error: Explanation | None) -> dict[str, Any]:
    """What is kept of an answer beside its figures."""
    notes: dict[str, Any] = {"route": answer.route, "tried": [each._asdict() for each in answer.tried]}
    if error is not None and error.hint:
        notes["hint"] = error.hint
    if answer.document_notes:
        notes["documents"] = list(answer.document_notes)
    return notes


class AnswerHomeless(StoreError):
    """There is no message any more that the answer could be kept in."""


class Saver:
    """Keeps a growing answer in the store, a tenth of a second behind, without holding up its reader.

    If the store fails meanwhile the answer goes on, and `trouble` says what happened to its keeping.
    """

    def __init__(self, store: Store, answer_id: str) -> None:
        self.answer_id = answer_id
        self.trouble: StoreError | None = None
        self._store = store
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def take(self, delta: Delta) -> None:
        if delta.text:
            self._text.append(delta.text)
        if delta.thinking:
            self._thinking.append(delta.thinking)
        if self._timer is None and self._writing is None and self.trouble is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._begin_writing)

    def _begin_writing(self) -> None:
        self._timer = None
        self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        text, thinking = "".join(self._text), "".join(self._thinking)
        self._text.clear()
        self._thinking.clear()
        try:
            await self._store.append_answer(self.answer_id, text, thinking)
        except StoreError as trouble:
            self._text.insert(0, text)
            self._thinking.insert(0, thinking)
            self.trouble = trouble
        finally:
            self._writing = None
        if self._text or self._thinking:
            self.take(Delta())

    async def _rest(self) -> None:
        """Nothing is being written after this, and nothing will be by itself."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def keep_sources(self, sources: Sequence[Source]) -> None:
        """The passages that go with the question, before anybody is asked."""
        try:
            await self._store.put_sources(self.answer_id, sources)
        except StoreError as trouble:
            self.trouble = trouble

    async def void(self) -> None:
        await self._rest()
        self._text.clear()
        self._thinking.clear()
        try:
            await self._store.void_answer(self.answer_id)
        except StoreError as trouble:
            self.trouble = trouble

    async def close(self, answer: Answer, state: State, error: Explanation | None) -> None:
        """The last piece and how it ended. What could not be written before is tried once more."""
        await self._rest()
        try:
            await self._store.end_answer(
                self.answer_id,
                state=state,
                text="".join(self._text),
                thinking="".join(self._thinking),
                finish=answer.finish,
                error=error.text if error is not None else None,
                model=answer.model,
                endpoint=answer.endpoint,
                machine=answer.machine,
                input_tokens=answer.usage.input_tokens,
                output_tokens=answer.usage.output_tokens,
                estimated=answer.estimated,
                cost_usd=answer.cost_usd,
                first_token_ms=answer.first_token_ms,
                total_ms=answer.total_ms,
                notes=notes_of(answer, error),
            )
            if answer.sources:
                await self._store.put_sources(self.answer_id, answer.sources)
        except StoreError as trouble:
            self.trouble = trouble
        except NotFound:
            self.trouble = AnswerHomeless("The chat of this answer was deleted while it arrived.")
        else:
            self.trouble = None
