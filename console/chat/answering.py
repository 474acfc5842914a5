"""One answer on its way, as a job of the runtime: it goes on whatever is on the screen, and can be stopped."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from console.chat.live import Live
from console.chat.news import AnswerGrew, AnswerNotice
from console.chat.turn import NO_ANSWER, Answer, State, Turn
from console.errors import ConsoleError, Explanation, StoreError, explain
from providers.chat.base import Delta, Message
from providers.errors import ProviderError

if TYPE_CHECKING:
    from console.chat.conversation import Conversation, OngoingTurn
    from console.clock import Clock
    from console.events import Bus
    from console.history.messages import StoredMessage
    from console.history.store import Store
    from console.jobs import Job, Jobs
    from console.settings import Settings

log = logging.getLogger(__name__)


class Surroundings(NamedTuple):
    """What the chats of one process share."""

    conversation: Callable[[], Awaitable[Conversation]]
    store: Callable[[], Awaitable[Store]]
    jobs: Jobs
    bus: Bus
    clock: Clock
    settings: Settings


class Answering:
    """`start` it; `ended` is called once, however it ended, when `message` is as it is in the end."""

    def __init__(
        self,
        at: Surroundings,
        key: str,
        message: StoredMessage,
        turn: Turn,
        before: Sequence[Message] | None,
        ended: Callable[[Answering], None],
    ) -> None:
        self.message = message
        """As it was begun; as it ended, once it has."""
        self.turn = turn
        self.live = Live(message.id, turn.model, at.clock.monotonic, turn.so_far)
        self.trouble: StoreError | None = None
        """Why it could not be kept as it is here."""
        self._at = at
        self._key = key
        self._before = before
        self._ended = ended
        self._job: Job | None = None
        self._is_running = False

    def start(self) -> None:
        self._job = self._at.jobs.start("answer a question", self._work)

    def stop(self) -> None:
        self.live.is_stopping = True
        if self._is_running:
            assert self._job is not None
            self._job.stop()

    async def finished(self) -> None:
        assert self._job is not None
        await self._job.finished()

    async def _work(self, job: Job) -> None:
        self._is_running = True
        ongoing: OngoingTurn | None = None
        state: State = "stopped"
        failure: Explanation | None = None
        try:
            if self.live.is_stopping:  # before its first step
                await self._close_unasked("stopped", None)
                return
            try:
                conversation = await self._at.conversation()
                ongoing = conversation.ask(self.turn, before=self._before)
                await self._follow(ongoing)
                state = "complete"
            except StoreError as trouble:
                self.trouble = trouble
                is_there = ongoing is not None and ongoing.answer().finish not in (None, "failed", "stopped")
                state = "complete" if is_there else "failed"
                failure = explain(trouble)
            except (ConsoleError, ProviderError) as error:
                state, failure = "failed", explain(error)
            except Exception as error:
                state, failure = "failed", explain(error)
                raise
            finally:
                if ongoing is None:
                    await self._close_unasked(state, failure)
        finally:
            self._is_running = False
            if ongoing is not None:
                self.trouble = self.trouble or ongoing.trouble
            self.message = self._as_it_ended(ongoing.whole_answer() if ongoing else self._unasked, state, failure)
            self._ended(self)

    async def _follow(self, ongoing: OngoingTurn) -> None:
        live, bus = self.live, self._at.bus
        grew = AnswerGrew(self._key, live.message_id)
        async with aclosing(ongoing.events()) as events:
            async for event in events:
                if isinstance(event, Delta):
                    if live.first_token_at is None:
                        live.sources = ongoing.sources
                        self._note_answerer(ongoing.answer())
                    if live.take(event):
                        bus.publish(grew)
                    continue
                if event.kind == "restart":
                    live.void()
                    bus.publish(grew)
                if event.kind == "documents":
                    live.sources = ongoing.sources
                live.status = event.text
                self._note_answerer(ongoing.answer())
                bus.publish(AnswerNotice(self._key, event.kind, event.text, live.message_id))

    def _note_answerer(self, answer: Answer) -> None:
        live = self.live
        live.model, live.endpoint, live.machine = answer.model or live.model, answer.endpoint, answer.machine

    async def _close_unasked(self, state: State, failure: Explanation | None) -> None:
        """Nobody was asked, so nobody else closes the row."""
        if self.turn.begun is None:
            return
        from console.chat.saving import Saver

        try:
            saver = Saver(await self._at.store(), self.turn.begun.answer_id)
        except StoreError as trouble:
            log.error("an answer that was never asked for could not be closed: %s", trouble.text)
            return
        await saver.close(self._unasked._replace(finish=state), state, failure)
        self.trouble = saver.trouble

    @property
    def _unasked(self) -> Answer:
        return self.turn.earlier or NO_ANSWER

    def _as_it_ended(self, answer: Answer, state: State, failure: Explanation | None) -> StoredMessage:
        from console.chat.saving import notes_of

        return self.message._replace(
            state=state,
            text=self.live.text,
            thinking=self.message.thinking + self.live.thinking,
            finish=answer.finish or state,
            error=failure.text if failure is not None else None,
            model=answer.model or self.message.model,
            endpoint=answer.endpoint or self.message.endpoint,
            machine=answer.machine,
            input_tokens=answer.usage.input_tokens,
            output_tokens=answer.usage.output_tokens,
            estimated=answer.estimated,
            cost_usd=answer.cost_usd,
            first_token_ms=answer.first_token_ms,
            total_ms=answer.total_ms,
            notes=notes_of(answer, failure),
            sources=answer.sources,
            ended_at=self._at.clock.now(),
        )
