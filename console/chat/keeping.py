"""Where an open chat is kept: in the store, or only in memory when it is off the record.

Both give back messages as the store would. What a chat in memory costs is booked like any other; nothing else of it is
ever written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from console.clock import Clock
from console.errors import ConsoleError
from console.history.among import Among
from console.history.chats import Chat, TitledBy
from console.history.messages import StoredAttachment, StoredMessage
from console.history.rows import from_ms, new_id, to_ms
from console.history.turns import BegunTurn, NewChat

if TYPE_CHECKING:
    from console.history.store import Store


class Keeper(Protocol):
    chat: Chat | None
    """As it is kept; None before its first question."""

    async def begin(
        self,
        new: NewChat,
        parent_id: str | None,
        text: str,
        attachments: Sequence[StoredAttachment],
        like: StoredMessage | None,
        answers: int,
    ) -> BegunTurn:
        """Keep a question with empty answers; `like` is a message whose attachments it gets."""
        ...

    async def again(self, question: StoredMessage, answers: int) -> BegunTurn: ...

    async def take_up(self, answer: StoredMessage) -> StoredMessage: ...

    async def show(self, leaf: str) -> None: ...

    async def cut(self, message_id: str) -> None: ...

    async def exclude(self, message_ids: Sequence[str], excluded: bool) -> None: ...

    async def rename(self, title: str, by: TitledBy) -> bool: ...

    async def set_model(self, model: str | None) -> None: ...

    async def set_system(self, system: str | None, persona: str | None) -> None: ...

    async def set_params(self, params: Mapping[str, Any]) -> None: ...

    async def set_among(self, among: Among) -> None: ...

    async def exclude_source(self, message_id: str, n: int, excluded: bool) -> None: ...

    async def wait(self, questions: Sequence[Any]) -> None:
        """Keep the questions that wait, as JSON."""
        ...


class InStore:
    def __init__(self, store: Callable[[], Awaitable[Store]], clock: Clock, chat: Chat | None = None) -> None:
        self.chat = chat
        self._store = store
        self._clock = clock

    @property
    def _id(self) -> str:
        assert self.chat is not None
        return self.chat.id

    async def begin(
        self,
        new: NewChat,
        parent_id: str | None,
        text: str,
        attachments: Sequence[StoredAttachment],
        like: StoredMessage | None,
        answers: int,
    ) -> BegunTurn:
        begun = await (await self._store()).begin_answers(
            self.chat.id if self.chat is not None else new,
            parent_id,
            text,
            attachments=attachments,
            attachments_of=like.id if like is not None else None,
            answers=answers,
        )
        self.chat = begun.chat
        return begun

    async def again(self, question: StoredMessage, answers: int) -> BegunTurn:
        begun = await (await self._store()).answer_again(self._id, question.id, answers)
        self.chat = begun.chat
        return begun

    async def take_up(self, answer: StoredMessage) -> StoredMessage:
        return await (await self._store()).take_up_answer(answer.id)

    async def show(self, leaf: str) -> None:
        await (await self._store()).show_branch(self._id, leaf)

    async def cut(self, message_id: str) -> None:
        await (await self._store()).cut_branch(self._id, message_id)

    async def exclude(self, message_ids: Sequence[str], excluded: bool) -> None:
        await (await self._store()).exclude(message_ids, excluded)

    async def rename(self, title: str, by: TitledBy) -> bool:
        if self.chat is None:
            return True
        return await (await self._store()).rename_chat(self._id, title, by)

    async def set_model(self, model: str | None) -> None:
        if self.chat is not None:
            await (await self._store()).set_model(self._id, model)

    async def set_system(self, system: str | None, persona: str | None) -> None:
        if self.chat is not None:
            await (await self._store()).set_system(self._id, system)
            await (await self._store()).set_persona(self._id, persona)
            self.chat = self.chat._replace(system=system, persona=persona)

    async def set_params(self, params: Mapping[str, Any]) -> None:
        if self.chat is not None:
            await (await self._store()).set_params(self._id, params)

    async def set_among(self, among: Among) -> None:
        if self.chat is not None:
            await (await self._store()).set_among(self._id, among)
            self.chat = self.chat._replace(among=among)

    async def exclude_source(self, message_id: str, n: int, excluded: bool) -> None:
        await (await self._store()).exclude_source(message_id, n, excluded)

    async def wait(self, questions: Sequence[Any]) -> None:
        from console.history import waiting

        if self.chat is not None:
            store, chat_id, now_ms = await self._store(), self._id, to_ms(self._clock.now())
            await store.run(lambda c: waiting.put(c, now_ms, chat_id, questions), write=True)


class InMemory:
    """Off the record. The messages themselves are with the chat's branches."""

    def __init__(self, clock: Clock) -> None:
        self.chat: Chat | None = None
        self._clock = clock

    async def begin(
        self,
        new: NewChat,
        parent_id: str | None,
        text: str,
        attachments: Sequence[StoredAttachment],
        like: StoredMessage | None,
        answers: int,
    ) -> BegunTurn:
        now = from_ms(to_ms(self._clock.now()))
        if self.chat is None:
            self.chat = Chat("", new.title, new.system, new.client, None, now, now, titled_by=new.titled_by)
        attached = like.attachments if like is not None else tuple(attachments)
        question = self._message(parent_id, "user")._replace(
            state="complete", text=text, ended_at=now, attachments=attached
        )
        return await self.again(question, answers)

    async def again(self, question: StoredMessage, answers: int) -> BegunTurn:
        assert self.chat is not None
        return BegunTurn(self.chat, question, tuple(self._message(question.id, "assistant") for _ in range(answers)))

    def _message(self, parent_id: str | None, role: str) -> StoredMessage:
        now_ms = to_ms(self._clock.now())
        return StoredMessage(
            id=new_id(now_ms),
            chat_id="",
            parent_id=parent_id,
            role=role,
            state="streaming",
            text="",
            thinking="",
            model=None,
            endpoint=None,
            machine=None,
            finish=None,
            error=None,
            input_tokens=None,
            output_tokens=None,
            estimated=False,
            cost_usd=None,
            first_token_ms=None,
            total_ms=None,
            notes={},
            created_at=from_ms(now_ms),
            ended_at=None,
        )

    async def take_up(self, answer: StoredMessage) -> StoredMessage:
        if answer.role != "assistant" or answer.state == "streaming":
            raise ConsoleError("This message cannot be continued: it is no answer, or it is just arriving.")
        return answer._replace(state="streaming")

    async def show(self, leaf: str) -> None:
        """Which branch is looked at is nobody else's business."""

    async def cut(self, message_id: str) -> None:
        """It is nowhere but among the branches."""

    async def exclude(self, message_ids: Sequence[str], excluded: bool) -> None:
        """It is nowhere but among the branches."""

    async def rename(self, title: str, by: TitledBy) -> bool:
        return True

    async def set_model(self, model: str | None) -> None:
        """The open chat knows it."""

    async def set_system(self, system: str | None, persona: str | None) -> None:
        """The open chat knows it."""

    async def set_params(self, params: Mapping[str, Any]) -> None:
        """The open chat knows them."""

    async def set_among(self, among: Among) -> None:
        """The open chat knows them."""

    async def exclude_source(self, message_id: str, n: int, excluded: bool) -> None:
        """It is nowhere but among the branches."""

    async def wait(self, questions: Sequence[Any]) -> None:
        """They are lost with the process, as all that is off the record."""
