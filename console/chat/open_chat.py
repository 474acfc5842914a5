"""A chat that is open: what it holds, and all that can be done in it.

What was asked is kept when the call returns, and so is every other change. Answers run as jobs and go on when nobody
looks. A question that comes while one is answered waits for its turn; a stop or a failure holds those that wait until
somebody says that they are to go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from console.chat.answering import Answering, Surroundings
from console.chat.branches import Branch, Branches
from console.chat.estimates import Estimate, Estimates
from console.chat.keeping import InMemory, InStore, Keeper
from console.chat.live import Live
from console.chat.news import AnswerNotice, ChatChanged
from console.chat.question import sendable, with_material
from console.chat.questions import Question, Waiting, as_document, from_document
from console.chat.saving import AnswerHomeless
from console.chat.turn import NO_ANSWER, Answer, Begun, Turn
from console.errors import ConsoleError, NotFound
from console.history.chats import TitledBy
from console.history.messages import StoredAttachment, StoredMessage
from console.history.turns import BegunTurn, Mark, NewChat
from console.text import shorten
from providers.chat.base import Message, Usage

if TYPE_CHECKING:
    from sqlite3 import Connection

    from console.history.chats import Chat

CLIENT = "app"
TITLE_WIDTH = 60
FIRST_ENTRIES = 200
"""How many messages of a long chat are read before it is shown; the rest follows."""
_AT_ONCE = 1000


class Entry(NamedTuple):
    message: StoredMessage
    """While it arrives, its text is with its `Live`."""
    sibling: int
    """Which of its siblings it is, from 1."""
    siblings: int


class Stopped(NamedTuple):
    """What a stop did; false when there was nothing to stop."""

    answers: int
    waiting: tuple[Question, ...]
    """Questions that waited and wait no more; the composer takes them back."""

    def __bool__(self) -> bool:
        return bool(self.answers or self.waiting)


class OpenChat:
    """Made by the desk. Methods raise `ConsoleError`s, and then nothing has changed."""

    def __init__(
        self, at: Surroundings, key: str, keeper: Keeper, finished: Callable[[OpenChat, StoredMessage], None]
    ) -> None:
        """`finished` hears of every answer that came whole."""
        self.key = key
        self.title = ""
        self.titled_by: TitledBy | None = "words"
        self.model: str | None = None
        """Who answers; None means what the settings say."""
        self.system: str | None = None
        self.persona: str | None = None
        self.params: Mapping[str, Any] = MappingProxyType({})
        self.branches = Branches()
        self._at = at
        self._keeper = keeper
        self._finished = finished
        self._answering: dict[str, Answering] = {}
        self._waiting: list[Waiting] = []
        self._is_held = False
        self._homeless: list[Answering] = []
        """Answers whose chat was removed in another window while they came."""
        self._mark: Mark | None = None
        self._entries: tuple[Entry, ...] | None = None
        self._estimates = Estimates()
        self._one_at_a_time = asyncio.Lock()

    # ---- what there is

    @property
    def id(self) -> str | None:
        """None before its first question, and for ever off the record."""
        chat = self._keeper.chat
        return chat.id or None if chat is not None else None

    @property
    def off_the_record(self) -> bool:
        return isinstance(self._keeper, InMemory)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The branch that is looked at, from the first message that is read already."""
        if self._entries is None:
            branches = self.branches
            found: list[Entry] = []
            for message_id in reversed(branches.path()):
                message = branches.messages.get(message_id)
                if message is None:
                    break
                beside = branches.siblings(message_id)
                here = 1 if len(beside) == 1 else beside.index(message_id) + 1
                found.append(Entry(message, here, len(beside)))
            found.reverse()
            self._entries = tuple(found)
        return self._entries

    @property
    def earlier(self) -> int:
        """How many messages of the branch stand above the entries and are still being read."""
        return len(self.branches.path()) - len(self.entries)

    @property
    def lives(self) -> Mapping[str, Live]:
        """The answers that are arriving, by message."""
        return {message_id: answering.live for message_id, answering in self._answering.items()}

    @property
    def waiting(self) -> tuple[Question, ...]:
        return tuple(each.question for each in self._waiting)

    @property
    def is_held(self) -> bool:
        """Whether the questions that wait do so until `send_waiting`."""
        return self._is_held and bool(self._waiting)

    @property
    def is_busy(self) -> bool:
        """Whether an answer is arriving, or the next question is about to be asked."""
        return bool(self._answering) or (bool(self._waiting) and not self._is_held)

    def siblings(self, message_id: str) -> tuple[StoredMessage, ...]:
        """A message and those beside it, oldest first: the columns of a comparison."""
        found = self.branches.siblings(message_id)
        return tuple(self.branches.messages[each] for each in found if each in self.branches.messages)

    async def settled(self) -> None:
        """Wait until nothing is answered here any more."""
        while self._answering:
            await next(iter(self._answering.values())).finished()

    # ---- asking

    async def ask(self, question: Question, *, model: str | None = None) -> None:
        """Ask at the end of the branch, or let the question wait for its turn."""
        await self._ask_or_wait(Waiting(question, (model,)))

    async def compare(self, question: Question, models: Sequence[str]) -> None:
        """Ask several models at once. Their answers stand beside each other, and none knows of the others' fate."""
        if not models:
            raise ConsoleError("No model was named to compare.")
        await self._ask_or_wait(Waiting(question, tuple(dict.fromkeys(models))))

    async def _ask_or_wait(self, asked: Waiting) -> None:
        async with self._one_at_a_time:
            if self._answering:
                self._waiting.append(asked)
                try:
                    await self._keep_waiting()
                except BaseException:
                    self._waiting.remove(asked)
                    raise
                self._changed()
            else:
                await self._ask(asked)

    async def send_waiting(self) -> None:
        """Let the questions that are held go on."""
        async with self._one_at_a_time:
            self._is_held = False
            if not self._answering:
                await self._ask_next()
            self._changed()

    async def stop(self) -> Stopped:
        """Stop what is arriving, at the other side too, and hold the questions that wait; when nothing is arriving,
        or is being stopped already, give those back."""
        arriving = [each for each in self._answering.values() if not each.live.is_stopping]
        if not arriving:
            return Stopped(0, await self.drop_waiting())
        self._is_held = bool(self._waiting)
        for each in arriving:
            each.stop()
        self._changed()
        return Stopped(len(arriving), ())

    async def drop_waiting(self) -> tuple[Question, ...]:
        dropped = self.waiting
        if dropped:
            self._waiting.clear()
            self._is_held = False
            self._changed()
            await self._keep_waiting()
        return dropped

    async def edit(self, message_id: str, text: str) -> None:
        """Ask a question anew in other words; the old one stays beside it, and what still answers it is stopped."""
        async with self._one_at_a_time:
            old = await self._message(message_id)
            if old.role != "user":
                raise ConsoleError("Only a question can be edited.", hint="An answer can be asked for again.")
            self._stop_below(message_id)
            begun = await self._keeper.begin(self._as_new(text), old.parent_id, text, (), old, 1)
            self._place(begun)
            self._answer(begun, begun.answers[0], self.model, Question(text))
            self._changed()

    async def regenerate(self, message_id: str, model: str | None = None) -> None:
        """Answer the same question again, or the question of this answer; the other answers stay beside it."""
        async with self._one_at_a_time:
            question = await self._question_of(message_id)
            self._stop_below(question.id)
            begun = await self._keeper.again(question, 1)
            self._place(begun)
            self._answer(begun, begun.answers[0], model or self.model, Question(question.text))
            self._changed()

    async def go_on(self, message_id: str) -> None:
        """Continue an answer from where it stopped.

        What comes is added to the same message, and so is what it takes: one reads one text, and a sibling that
        repeats the half of another would say nothing.
        """
        async with self._one_at_a_time:
            answer = await self._message(message_id)
            question = await self._question_of(message_id)
            if message_id in self._answering:
                raise ConsoleError("This answer is just arriving.")
            if answer.text:
                if message_id not in self.branches.path():
                    await self.show(message_id)
                message = await self._keeper.take_up(answer)
                begun = BegunTurn(self._chat(), question, (message,))
                self.branches.put(message)
                named = f"{answer.endpoint}/{answer.model}"
                is_there = answer.endpoint in self._at.settings.endpoints and answer.model
                self._answer(
                    begun, message, named if is_there else self.model, Question(question.text), _as_answer(answer)
                )
                self._changed()
                return
        await self.regenerate(message_id)

    async def _ask(self, asked: Waiting) -> None:
        """Keep a question with empty answers at the end of the branch, and begin to answer it."""
        question = asked.question
        try:
            begun = await self._begin(question, len(asked.models))
        except NotFound:
            begun = await self._begin_elsewhere(question, len(asked.models))
        self._place(begun)
        self._waiting = [each for each in self._waiting if each is not asked]
        for answer, model in zip(begun.answers, asked.models, strict=True):
            self._answer(begun, answer, model or self.model, question)
        self._changed()

    async def _begin(self, question: Question, answers: int) -> BegunTurn:
        text = with_material(question.text, question.material)
        attached = [attachment.stored() for attachment in question.attachments]
        return await self._keeper.begin(self._as_new(text), self.branches.leaf, text, attached, None, answers)

    async def _begin_elsewhere(self, question: Question, answers: int) -> BegunTurn:
        """Somebody removed the chat, or the branch, in another window: ask where that is still possible."""
        path = self.branches.path()
        try:
            await self.read_again()
            nearest = next((each for each in reversed(path) if each in self.branches), None)
            if nearest is not None:
                self.branches.leaf = nearest
            said = "The end of this chat was deleted elsewhere; the question follows what is left."
        except NotFound:
            self._forget()
            said = "This chat was deleted elsewhere; the question began a new one."
        begun = await self._begin(question, answers)
        self._at.bus.publish(AnswerNotice(self.key, "moved", said))
        return begun

    def _as_new(self, text: str) -> NewChat:
        if self._keeper.chat is None and not self.title:
            self.title = shorten(text, TITLE_WIDTH)
        return NewChat(
            self.title, CLIENT, self.system, self.model, self.params, self.persona, self.titled_by or "words"
        )

    def _answer(
        self,
        begun: BegunTurn,
        message: StoredMessage,
        model: str | None,
        question: Question,
        earlier: Answer | None = None,
    ) -> None:
        """Start the job that fills a begun answer."""
        wishes = dict(self.params)
        max_tokens, thinking = wishes.pop("max_tokens", None), wishes.pop("thinking", None)
        is_kept = not self.off_the_record
        turn = Turn(
            question.text,
            CLIENT,
            material=question.material,
            attachments=question.attachments or begun.question.attachments,
            chat=begun.chat if is_kept else None,
            model=model,
            system=self.system,
            wishes=wishes,
            max_tokens=max_tokens,
            thinking=None if thinking is None else thinking == "on",
            save=is_kept,
            begun=Begun(begun.question.id, message.id) if is_kept else None,
            so_far=message.text,
            earlier=earlier,
        )
        before = None if is_kept else self._before(begun.question.id)
        answering = Answering(self._at, self.key, message, turn, before, self._end, self._after)
        self._answering[message.id] = answering
        answering.start()

    def _before(self, question_id: str) -> list[Message]:
        """What is sent above a question that is nowhere but here."""
        above = [self.branches.messages[each] for each in self.branches.path(question_id)[:-1]]
        system = self.system or self._at.settings.chat.system
        return [*([Message("system", system)] if system else []), *sendable(above)]

    def _end(self, answering: Answering) -> None:
        """An answer is over, however it ended."""
        message = answering.message
        del self._answering[message.id]
        if message.id in self.branches:
            message = message._replace(excluded=self.branches.messages[message.id].excluded)
            self.branches.put(message)
        end = self.branches.messages.get(self.branches.leaf or "")
        if not self._answering and end is not None and end.state == "failed":
            self._is_held = bool(self._waiting)
        if isinstance(answering.trouble, AnswerHomeless):
            self._homeless.append(answering)
        is_next = bool(self._homeless) or (self.is_busy and not self._answering)
        if message.state == "stopped" and is_next and not self._at.jobs.is_closed:
            # The job of this answer ends with it, and what was asked since the stop was meant to be asked.
            self._at.jobs.start("ask what waits", lambda _: self._after_all())
        if message.state == "failed" and message.error:
            hint = message.notes.get("hint")
            self._at.bus.publish(AnswerNotice(self.key, "failed", message.error, message.id, hint))
        elif answering.trouble is not None and not self._homeless:
            trouble = answering.trouble
            self._at.bus.publish(AnswerNotice(self.key, "store", trouble.text, message.id, trouble.hint))
        self._changed()

    async def _after(self, answering: Answering) -> None:
        if answering.message.state == "complete" and answering.trouble is None:
            self._finished(self, answering.message)
        await self._after_all()

    async def _after_all(self) -> None:
        """Ask the question that waits, if it is its turn."""
        async with self._one_at_a_time:
            while self._homeless:
                await self._move(self._homeless.pop(0))
            if not self._answering and not self._is_held:
                await self._ask_next()

    async def _move(self, answering: Answering) -> None:
        """The chat was removed in another window while this answer came: both halves of the turn begin a new one."""
        from console.history import turns

        answer = answering.message
        question = self.branches.messages.get(answer.parent_id or "")
        if question is None or self.id != answer.chat_id:
            return
        self._forget()
        attached = [
            each if isinstance(each, StoredAttachment) else each.stored()
            for each in answering.turn.attachments
            if each.content
        ]
        try:
            begun = await self._keeper.begin(self._as_new(question.text), None, question.text, attached, None, 1)
            moved = answer._replace(id=begun.answers[0].id, chat_id=begun.chat.id, parent_id=begun.question.id)
            store = await self._at.store()
            await store.run(lambda c: turns.fill(c, moved), write=True)
        except ConsoleError as error:
            self._at.bus.publish(AnswerNotice(self.key, "store", error.text, hint=error.hint))
            return
        self._place(begun)
        self.branches.put(moved)
        said = "This chat was deleted elsewhere; its last turn is kept as a new one."
        self._at.bus.publish(AnswerNotice(self.key, "moved", said))
        self._changed()

    async def _ask_next(self) -> None:
        if not self._waiting:
            return
        asked = self._waiting[0]
        try:
            await self._ask(asked)
            await self._keep_waiting()
        except ConsoleError as error:
            self._is_held = True
            self._at.bus.publish(AnswerNotice(self.key, "queue", error.text, hint=error.hint))
            self._changed()

    async def _keep_waiting(self) -> None:
        await self._keeper.wait([as_document(each) for each in self._waiting])

    def _stop_below(self, message_id: str) -> None:
        below = self.branches.below(message_id)
        for each in [answering for key, answering in self._answering.items() if key in below]:
            each.stop()

    # ---- branches

    async def step(self, message_id: str, by: int) -> None:
        """Look at the sibling `by` places after a message; the first and the last are as far as it goes."""
        beside = self.branches.siblings(message_id)
        at = min(max(beside.index(message_id) + by, 0), len(beside) - 1)
        if beside[at] != message_id:
            await self.show(beside[at])

    async def show(self, message_id: str) -> None:
        """Look at the branch through a message, down to its newest end."""
        if message_id not in self.branches:
            raise NotFound(f"There is no message {message_id!r} in this chat.")
        before = self.branches.leaf
        leaf = self.branches.show(message_id)
        was_missing = await self._read(self.branches.path())
        if leaf != before:
            await self._keeper.show(leaf)
        if leaf != before or was_missing:
            self._changed()

    async def keep(self, message_id: str) -> None:
        """Go on from this answer of several; the others stay beside it."""
        await self.show(message_id)

    async def tree(self) -> list[Branch]:
        """An outline of every branch."""
        await self._read(self.branches.everyone())
        return self.branches.outline()

    async def delete_branch(self, message_id: str) -> None:
        """Remove a message and all below it. What it cost stays in the books."""
        async with self._one_at_a_time:
            if message_id not in self.branches:
                raise NotFound(f"There is no message {message_id!r} in this chat.")
            if self.branches.below(message_id) & self._answering.keys():
                raise ConsoleError("An answer is arriving in this branch.", hint="Stop it first.")
            await self._keeper.cut(message_id)
            self.branches.cut(message_id)
            await self._read(self.branches.path())
            self._changed()

    async def exclude(self, message_id: str, excluded: bool) -> None:
        """Leave a question and its answer out of what is sent from now on, or take them in again."""
        question = await self._question_of(message_id)
        turn = [question.id, *(each for each in self.branches.path() if self.branches.parent(each) == question.id)]
        if message_id not in turn:
            turn.append(message_id)
        await self._keeper.exclude(turn, excluded)
        for each in turn:
            if each in self.branches.messages:
                self.branches.put(self.branches.messages[each]._replace(excluded=excluded))
        self._changed()

    # ---- what shapes the answers

    async def set_model(self, model: str | None) -> None:
        await self._keeper.set_model(model)
        self.model = model
        self._changed()

    async def set_system(self, system: str | None, persona: str | None = None) -> None:
        """Give the chat an instruction of its own, perhaps that of a persona; None takes it away."""
        await self._keeper.set_system(system, persona)
        self.system, self.persona = system, persona
        self._changed()

    async def set_params(self, params: Mapping[str, Any]) -> None:
        """Under the names of `parameters.py`; each backend gets those that it has."""
        await self._keeper.set_params(params)
        self.params = MappingProxyType(dict(params))
        self._changed()

    async def rename(self, title: str, by: TitledBy = "person") -> bool:
        """Give the chat a title; False when a person gave it the present one and somebody else would change that."""
        if by != "person" and self.titled_by == "person":
            return False
        if not await self._keeper.rename(title, by):
            return False
        self.title, self.titled_by = title, by
        self._changed()
        return True

    async def estimate(self, question: Question, *, model: str | None = None) -> Estimate:
        """About what asking this would send, and what it would cost; waits for no network."""
        path = [self.branches.messages[each] for each in self.branches.path() if each in self.branches.messages]
        system = self.system or self._at.settings.chat.system
        conversation = await self._at.conversation()
        return await self._estimates.of(conversation, system, path, question, model or self.model)

    # ---- reading

    async def read_again(self) -> None:
        """Read what is in the store, if somebody else has changed it."""
        if self.id is None or self._answering:
            return
        from console.history import turns

        store, chat_id, known = await self._at.store(), self.id, self._mark
        if known is not None and await store.run(lambda c: turns.mark(c, chat_id)) == known:
            await store.chat(chat_id)  # it may have been deleted
            return
        await self.read(chat_id, self.branches.leaf, most=None)

    async def read(self, chat_id: str, leaf: str | None = None, most: int | None = FIRST_ENTRIES) -> None:
        """The end of the branch now, and the rest of it in a job."""

        def look(connection: Connection) -> tuple[Chat, Mark, Branches, list[Any]]:
            # All in one go on the store's thread, building the tree too: a long chat has to be there at once.
            from console.history import messages, turns, waiting

            chat, bones, mark = turns.skeleton(connection, chat_id)
            branches = Branches(bones, leaf if leaf is not None else chat.active_leaf)
            path = branches.path()
            for message in messages.some(connection, chat.id, path if most is None else path[-most:]):
                branches.put(message)
            return chat, mark, branches, waiting.left_behind(connection, chat.id)

        chat, self._mark, self.branches, left = await (await self._at.store()).run(look)
        self._keeper = InStore(self._at.store, self._at.clock, chat)
        self.title, self.titled_by, self.model = chat.title, chat.titled_by, chat.model
        self.system, self.persona, self.params = chat.system, chat.persona, MappingProxyType(dict(chat.params))
        if left and not self._waiting:
            self._waiting, self._is_held = [from_document(each) for each in left], True
        self._changed()
        branches = self.branches
        if branches.missing(branches.path()):
            self._at.jobs.start("read the rest of a chat", lambda _: self._read_rest(branches))

    async def _read_rest(self, branches: Branches) -> None:
        if await self._read(branches.path()) and branches is self.branches:
            self._changed()

    async def _read(self, message_ids: Sequence[str]) -> bool:
        """Read those that are not here yet; whether there were any."""
        branches = self.branches
        missing = branches.missing(message_ids)
        if not missing or self.id is None:
            return False
        from console.history import messages

        store, chat_id = await self._at.store(), self.id
        while missing:
            # In pieces, so that others get at the store in between, and the last first: the end is looked at.
            piece, missing = missing[-_AT_ONCE:], missing[:-_AT_ONCE]
            for message in await store.run(lambda c, piece=piece: messages.some(c, chat_id, piece)):  # type: ignore[misc]
                if message.id in branches and message.id not in branches.messages:
                    branches.put(message)
        self._entries = None
        return True

    async def _message(self, message_id: str) -> StoredMessage:
        if message_id not in self.branches:
            raise NotFound(f"There is no message {message_id!r} in this chat.")
        await self._read([message_id])
        return self.branches.messages[message_id]

    async def _question_of(self, message_id: str) -> StoredMessage:
        message = await self._message(message_id)
        if message.role == "user":
            return message
        if message.parent_id is None or self.branches.role(message.parent_id) != "user":
            raise ConsoleError("There is no question above this message.")
        return await self._message(message.parent_id)

    # ---- inside

    def _chat(self) -> Chat:
        assert self._keeper.chat is not None
        return self._keeper.chat

    def _place(self, begun: BegunTurn) -> None:
        self.branches.put(begun.question)
        for answer in begun.answers:
            self.branches.put(answer)
        self.branches.leaf = begun.answers[0].id

    def _forget(self) -> None:
        """The chat is no more; the next question begins another in its place."""
        self._keeper = InStore(self._at.store, self._at.clock)
        self.branches, self._mark, self._entries = Branches(), None, None
        if self.titled_by != "person":
            self.title, self.titled_by = "", "words"

    def _changed(self) -> None:
        self._entries = None
        self._at.bus.publish(ChatChanged(self.key))


def _as_answer(message: StoredMessage) -> Answer:
    """What a stored answer took, to be added to what its continuation takes."""
    return NO_ANSWER._replace(
        usage=Usage(message.input_tokens, message.output_tokens),
        estimated=message.estimated,
        cost_usd=message.cost_usd,
        first_token_ms=message.first_token_ms,
        total_ms=message.total_ms,
    )
