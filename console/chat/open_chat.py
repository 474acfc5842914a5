"""A chat that is open: what it holds, and all that can be done in it.

What was asked is kept when the call returns, and so is every other change. Answers run as jobs and go on when nobody
looks. A question that comes while one is answered waits for its turn; a stop or a failure holds those that wait until
somebody says that they are to go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from console.chat.answering import Answering, Surroundings
from console.chat.branches import Branches
from console.chat.chat_contents import FIRST_ENTRIES, ChatContents
from console.chat.chat_contents import Entry as Entry  # who reads a chat finds its parts here
from console.chat.estimates import Estimate, Estimates
from console.chat.keeping import InStore, Keeper
from console.chat.news import AnswerNotice
from console.chat.question import sendable, with_material
from console.chat.questions import Question, Waiting, as_document, from_document
from console.chat.saving import AnswerHomeless
from console.chat.turn import NO_ANSWER, Answer, Begun, Turn
from console.errors import ConsoleError, NotFound, StoreError
from console.freed_memory import give_back
from console.history.messages import StoredAttachment, StoredMessage
from console.history.turns import BegunTurn, NewChat
from console.text import shorten
from providers.chat.base import Message, Usage

if TYPE_CHECKING:
    from console.history.chats import Chat
    from console.jobs import Job

CLIENT = "app"
TITLE_WIDTH = 60
KEEP_AGAIN_S = (1.0, 5.0, 15.0, 60.0, 300.0)
"""The pauses after which an answer that could not be written is tried again."""
LONG_ANSWER = 50_000
"""Characters from which on the memory that an answer took while it came is given back."""
DRAWN_S = 1.0
"""After its end: it has been drawn for the last time."""


class Stopped(NamedTuple):
    """What a stop did; false when there was nothing to stop."""

    answers: int
    waiting: tuple[Question, ...]
    """Questions that waited and wait no more; the composer takes them back."""

    def __bool__(self) -> bool:
        return bool(self.answers or self.waiting)


class OpenChat(ChatContents):
    """Made by the desk. Methods raise `ConsoleError`s, and then nothing has changed."""

    def __init__(
        self, at: Surroundings, key: str, keeper: Keeper, finished: Callable[[OpenChat, StoredMessage], None]
    ) -> None:
        """`finished` hears of every answer that came whole."""
        super().__init__(at, key, keeper)
        self._finished = finished
        self._waiting: list[Waiting] = []
        self._is_held = False
        self._homeless: list[Answering] = []
        """Answers whose chat was removed in another window while they came."""
        self._following: Job | None = None
        """What asks the next question after an answer has ended."""
        self._estimates = Estimates()

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

    async def read(self, chat_id: str, leaf: str | None = None, most: int = FIRST_ENTRIES) -> None:
        await super().read(chat_id, leaf, most)
        if self._left_behind and not self._waiting:
            self._waiting, self._is_held = [from_document(each) for each in self._left_behind], True

    async def settled(self) -> None:
        """Wait until nothing is answered here any more."""
        while True:
            if self._answering:
                await next(iter(self._answering.values())).finished()
            elif (following := self._following) is not None:
                await following.finished()
                if self._following is following:  # it was stopped before its first step
                    self._following = None
            else:
                return

    # ---- asking

    async def ask(self, question: Question, *, model: str | None = None) -> None:
        """Ask at the end of the branch, or let the question wait for its turn."""
        await self._ask_or_wait(Waiting(question, (model,)))

    async def check(self, question: Question, *, model: str | None = None) -> None:
        """Before a question with images is sent: raises `NoModel` if nobody who would answer it can see. Waits for no
        network; a name that is not known yet is given the chance."""
        if not any(each.media_type.startswith("image/") for each in question.attachments):
            return
        name, router = model or self.model, (await self._at.conversation()).router
        try:
            await router.choose(name, question.text, may_ask=False)
        except ConsoleError:
            return
        await router.choose(name, question.text, needs_images=True, may_ask=False)

    async def compare(self, question: Question, models: Sequence[str]) -> None:
        """Ask several models at once. Their answers stand beside each other, and none knows of the others' fate."""
        if not models:
            raise ConsoleError("No model was named to compare.")
        await self._ask_or_wait(Waiting(question, tuple(dict.fromkeys(models))))

    async def _ask_or_wait(self, asked: Waiting) -> None:
        async with self._one_at_a_time:
            if self.is_busy:
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

    async def ask_without(self, message_id: str, n: int) -> None:
        """Put a source of this answer away, and ask again."""
        await self.exclude_source(message_id, n)
        await self.regenerate(message_id)

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
                    await self._show(message_id)
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
        if question.among is not None and question.among != self.among:
            await self.set_among(question.among)
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
            await self._read_again()
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
        """What the chat begins with, if it has to."""
        title = self.title or shorten(text, TITLE_WIDTH)
        return NewChat(
            title, CLIENT, self.system, self.model, self.params, self.persona, self.titled_by or "words", self.among
        )

    def _as_another(self, text: str) -> NewChat:
        """What a chat begins with that takes the place of this one; only a title that a person gave goes along."""
        new = self._as_new(text)
        return new if self.titled_by == "person" else new._replace(title=shorten(text, TITLE_WIDTH), titled_by="words")

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
            collections=self.among.collections,
            documents=self.among.documents,
            without=(*question.without, *self._put_away()),
        )
        before = None if is_kept else self._before(begun.question.id)
        answering = Answering(self._at, self.key, message, turn, before, self._end)
        self._answering[message.id] = answering
        answering.start()

    def _put_away(self) -> Iterator[bytes]:
        """The hashes of what the reader put away, of the messages that are read."""
        for message in self.branches.messages.values():
            for source in message.sources:
                if source.excluded:
                    yield from source.hashes

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
        trouble = answering.trouble
        if message.state == "failed" and message.error:
            hint = message.notes.get("hint")
            self._at.bus.publish(AnswerNotice(self.key, "failed", message.error, message.id, hint))
        elif trouble is not None and not isinstance(trouble, AnswerHomeless):
            self._at.bus.publish(AnswerNotice(self.key, "store", trouble.text, message.id, trouble.hint))
        self._changed()
        if not self._at.jobs.is_closed:
            self._follow_up(answering, message)

    def _follow_up(self, answering: Answering, message: StoredMessage) -> None:
        """What comes of the end of an answer, in jobs of their own, for its job ends with it."""
        if len(message.text) + len(message.thinking) >= LONG_ANSWER:
            asyncio.get_running_loop().call_later(DRAWN_S, give_back)
        if isinstance(answering.trouble, AnswerHomeless):
            self._homeless.append(answering)
        elif answering.trouble is not None:
            self._at.jobs.start("keep an answer", lambda _: self._keep_late(message))
        elif message.state == "complete":
            self._finished(self, message)
        if self._homeless or (self.is_busy and not self._answering):
            self._following = self._at.jobs.start("ask what waits", self._follow)

    async def _follow(self, job: Job) -> None:
        """Ask the question that waits, if it is its turn."""
        async with self._one_at_a_time:
            while self._homeless:
                await self._move(self._homeless.pop(0))
            if not self._answering and not self._is_held:
                await self._ask_next()
        if self._following is job:
            self._following = None

    async def _move(self, answering: Answering) -> None:
        """The chat was removed in another window while this answer came: both halves of the turn begin a new one."""
        from console.history import turns

        answer = answering.message
        question = self.branches.messages.get(answer.parent_id or "")
        if question is None or self.id != answer.chat_id:
            return
        attached = [
            each if isinstance(each, StoredAttachment) else each.stored()
            for each in answering.turn.attachments
            if each.content
        ]
        try:
            keeper = InStore(self._at.store, self._at.clock)
            begun = await keeper.begin(self._as_another(question.text), None, question.text, attached, None, 1)
            moved = answer._replace(id=begun.answers[0].id, chat_id=begun.chat.id, parent_id=begun.question.id)
            store = await self._at.store()
            await store.run(lambda c: turns.fill(c, moved), write=True)
        except ConsoleError as error:
            self._at.bus.publish(AnswerNotice(self.key, "store", error.text, hint=error.hint))
            return
        self._forget()
        self._keeper = keeper
        self._place(begun)
        self.branches.put(moved)
        said = "This chat was deleted elsewhere; its last turn is kept as a new one."
        self._at.bus.publish(AnswerNotice(self.key, "moved", said))
        self._changed()

    async def _keep_late(self, message: StoredMessage) -> None:
        """An answer could not be written when it ended. Somebody may have held the file, so it is tried again."""
        from console.history import turns

        kept = message._replace(error=None if message.state == "complete" else message.error)
        for pause_s in KEEP_AGAIN_S:
            await self._at.clock.sleep(pause_s)
            try:
                store = await self._at.store()
                await store.run(lambda c: turns.fill(c, kept), write=True)
            except StoreError:
                continue
            except NotFound:
                return
            if message.id in self.branches:
                self.branches.put(kept)
            self._at.bus.publish(AnswerNotice(self.key, "store", "The answer is kept after all.", message.id))
            self._changed()
            return

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

    async def estimate(self, question: Question, *, model: str | None = None) -> Estimate:
        """About what asking this would send, and what it would cost; waits for no network."""
        path = [entry.message for entry in self.entries]
        system = self.system or self._at.settings.chat.system
        conversation = await self._at.conversation()
        above = self.branches.path()[: self.earlier]
        if above and self.id is not None:
            await self._estimates.count_unread(await self._at.store(), self.id, above)
        among = self.among if question.among is None else question.among
        passages = self._at.settings.rag.budget_tokens if among else 0
        return await self._estimates.of(conversation, system, path, question, model or self.model, len(above), passages)

    def _chat(self) -> Chat:
        assert self._keeper.chat is not None
        return self._keeper.chat

    def _place(self, begun: BegunTurn) -> None:
        if not self.title:
            self.title = begun.chat.title
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


def _as_answer(message: StoredMessage) -> Answer:
    """What a stored answer took, to be added to what its continuation takes."""
    return NO_ANSWER._replace(
        usage=Usage(message.input_tokens, message.output_tokens),
        estimated=message.estimated,
        cost_usd=message.cost_usd,
        first_token_ms=message.first_token_ms,
        total_ms=message.total_ms,
        sources=message.sources,
    )
