"""The life of a turn.

The question is stored before it is sent. The answer is stored as it arrives and kept whatever happens, marked complete,
stopped or failed; one line in the books says what it cost. Closing the events stops the answer at the other side.

    ongoing = conversation.ask(turn)
    async with aclosing(ongoing.events()) as events: …   Delta and Notice, or an error
    ongoing.answer()                                     what there is of it, at any time
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from console.chat import attempts, context
from console.chat.attempts import Notice, Policy, Tried
from console.chat.breaker import Breakers
from console.chat.call import Call, Counted
from console.chat.catalogue import Catalogue
from console.chat.news import TurnEnded
from console.chat.question import (
    question_message,
    sendable,
    summary_prompt,
    window_to_ask_for,
    with_material,
    without_images,
)
from console.chat.router import ASK_S, Candidate, Choice, Router
from console.chat.saving import Saver
from console.chat.turn import Answer, Begun, State, Turn
from console.clock import Clock
from console.errors import BudgetReached, StoreError, TimeLimit, explain
from console.events import Bus
from console.history.among import Among
from console.history.messages import StoredAttachment
from console.history.store import Store
from console.money.budget import USUAL_ANSWER_TOKENS, Budget, estimate_cost, output_tokens_within, usd
from console.money.ledger import ZERO, LedgerEntry, to_six_places
from console.money.prices import Price, Prices
from console.settings import Settings
from console.text import shorten
from providers.chat.base import ChatProvider, ChatRequest, Delta, End, Finish, Message, ModelInfo
from providers.errors import ProviderError

if TYPE_CHECKING:
    from console.chat.attachments import Attachment
    from console.history.chats import Chat
    from console.history.messages import StoredMessage
    from console.history.sources import Source
    from console.library.library import Library
    from console.links.ways import Readied, Tell
    from console.settings import Endpoint

log = logging.getLogger(__name__)

TITLE_WIDTH = 60
LONG_CHAT = 300
"""Messages beyond which the tokens of a chat are counted beside the loop."""
PATIENCE_WITH_ESTIMATES = 1.25
"""How far our count of an answer may pass its cap before the answer is stopped; servers stop themselves before."""


class Conversation:
    """Answers turns. Everything it needs is given to it; one is enough for a process."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        router: Router,
        catalogue: Catalogue,
        breakers: Breakers,
        prices: Prices,
        budget: Budget,
        provider: Callable[[str], ChatProvider],
        clock: Clock,
        bus: Bus,
        *,
        make_ready: Callable[[Endpoint, Tell], Awaitable[Readied]] | None = None,
        library: Callable[[], Library] | None = None,
    ) -> None:
        """`make_ready` wakes and connects the machine of an endpoint that is on one; `library` has the documents."""
        self.make_ready = make_ready
        self.library = library
        self.settings = settings
        self.store = store
        self.router = router
        self.catalogue = catalogue
        self.breakers = breakers
        self.prices = prices
        self.budget = budget
        self.provider = provider
        self.clock = clock
        self.bus = bus

    async def find_chat(self, id_or_prefix: str) -> Chat:
        return await self.store.chat(id_or_prefix)

    async def price(self, candidate: Candidate) -> Price | None:
        """What a token costs there. A host that nobody else knows the price of is asked for its own list, once."""
        endpoint = candidate.endpoint
        price = self.prices.price(endpoint, candidate.model)
        if price is None:
            listed = await self.store.models_seen(endpoint.name) or await self._list_of(endpoint.name)
            self.prices.learn(endpoint.name, listed)
            price = self.prices.price(endpoint, candidate.model)
        return price

    async def _list_of(self, endpoint: str) -> list[ModelInfo]:
        from console.history.models_seen import seen

        try:
            async with asyncio.timeout(ASK_S):
                models = await self.provider(endpoint).models()
        except (ProviderError, TimeoutError) as error:
            log.info("%s did not say what its models cost: %s", endpoint, error)
            return []
        await self.store.remember_models(endpoint, [seen(model) for model in models])
        return models

    async def latest_chat(self) -> Chat | None:
        return await self.store.latest_chat()

    def ask(
        self,
        turn: Turn,
        *,
        is_overdue: Callable[[], bool] = lambda: False,
        before: Sequence[Message] | None = None,
    ) -> OngoingTurn:
        """Begin a turn; nothing happens before its events are read. `is_overdue` tells a time limit from a stop.
        `before` are the messages above the question, where they are not to be read from the chat."""
        return OngoingTurn(self, turn, is_overdue, before)


class OngoingTurn:
    """One question on its way to an answer."""

    def __init__(
        self,
        conversation: Conversation,
        turn: Turn,
        is_overdue: Callable[[], bool],
        before: Sequence[Message] | None = None,
    ) -> None:
        self._at = conversation
        self._turn = turn
        self._is_overdue = is_overdue
        self._before = before
        """The messages above this question; None until they are read from the chat."""
        self._choice: Choice | None = None
        self._chat_id = turn.chat.id if turn.chat else None
        self._call: Call | None = None
        self._tried: list[Tried] = []
        self._notices: list[Notice] = []
        self._document_notes: tuple[str, ...] = ()
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._readied: Readied | None = None
        """What it took to connect the machine of the candidate that is being asked."""
        self._end: End | None = None
        self._first_token_ms: float | None = None
        self._total_ms: float | None = None
        self._finish: str | None = None
        self._counted = Counted()
        self._told_of_packing = ""
        self._saver = Saver(conversation.store, turn.begun.answer_id) if turn.begun is not None else None
        self._question = turn.text
        self._attachments: Sequence[Attachment | StoredAttachment] = turn.attachments
        self._asked = ""
        """The question as it is sent."""
        self.sources: tuple[Source, ...] = turn.earlier.sources if turn.earlier is not None else ()
        """The passages that go with it; there before the first token."""
        self._has_passages_above = False
        """They were sent with a question above this one."""

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def trouble(self) -> StoreError | None:
        """Why it could not be kept, if it could not."""
        return self._saver.trouble if self._saver is not None else None

    def answer(self) -> Answer:
        candidate = self._call.candidate if self._call else None
        return Answer(
            text=self.text,
            thinking="".join(self._thinking),
            finish=self._finish,
            endpoint=candidate.endpoint.name if candidate else None,
            model=(self._end.model if self._end else None) or (candidate.model if candidate else None),
            machine=candidate.endpoint.machine if candidate else None,
            chat_id=self._chat_id,
            message_id=self._saver.answer_id if self._saver else None,
            usage=self._counted.usage,
            estimated=self._counted.estimated,
            cost_usd=self._counted.cost_usd,
            gpu_usd=self._gpu_usd(candidate.endpoint.machine if candidate else None),
            wake_ms=self._readied.wake_ms if self._readied else None,
            connect_ms=self._connect_ms(),
            first_token_ms=self._first_token_ms,
            total_ms=self._total_ms,
            tried=tuple(self._tried),
            route=self._choice.reason if self._choice else "",
            sources=self.sources,
            document_notes=self._document_notes,
        )

    def whole_answer(self) -> Answer:
        """With what the earlier part took, if this continues one; its text is only what came."""
        answer, earlier = self.answer(), self._turn.earlier
        if earlier is None:
            return answer
        if not self._tried:  # nobody was asked, and that costs nothing
            answer = answer._replace(cost_usd=ZERO)
        return answer.after(earlier)

    def _gpu_usd(self, machine: str | None) -> Decimal | None:
        """What the machine cost for as long as this answer took. Its time is booked by the meter, with all the rest."""
        if machine is None:
            return Decimal(0)
        if self._readied is None or self._readied.usd_per_hour is None or self._total_ms is None:
            return None
        return to_six_places(self._readied.usd_per_hour * Decimal(str(self._total_ms)) / 3_600_000)

    def _connect_ms(self) -> float | None:
        """Of the link, where there is one, and of the connection; None on one that was kept from an earlier call."""
        last = self._end.timings.connect_ms if self._end else None
        return last if last is None or self._readied is None else last + self._readied.connect_ms

    async def events(self) -> AsyncGenerator[Delta | Notice, None]:
        """The answer as it comes. Raises what made it fail, after all that came was kept."""
        turn = self._turn
        try:
            choice = await self._choose()
            await self._begin(choice)
        except BaseException as caught:
            if turn.begun is not None:
                is_stop = isinstance(caught, asyncio.CancelledError)
                await self._close("stopped" if is_stop else "failed", None if is_stop else caught)
            raise
        for note in choice.notes:
            yield Notice("skipped", note)
        began = self._at.clock.monotonic()
        state: State = "stopped"
        error: BaseException | None = None
        try:
            async with aclosing(self._look_up(choice)) as found:
                async for notice in found:
                    yield notice
            run = attempts.attempt(
                choice,
                self._request_for,
                self._at.provider,
                self._at.clock,
                self._tried,
                policy=Policy(turn.after_break or self._at.settings.chat.after_break),
                breakers=self._at.breakers,
                before_call=self._prepare,
                make_ready=self._make_ready,
            )
            async with aclosing(run) as items:
                async for item in items:
                    while self._notices:
                        yield self._notices.pop(0)
                    if isinstance(item, Delta):
                        if self._first_token_ms is None:
                            self._first_token_ms = (self._at.clock.monotonic() - began) * 1000
                        self._take(item)
                        yield item
                    elif isinstance(item, Notice):
                        if item.kind == "restart":
                            await self._void()
                        yield item
                    else:
                        self._end = item.end
                        self._total_ms = item.total_ms
                        if self._first_token_ms is None:
                            self._first_token_ms = item.total_ms
            if self._is_cut_by_cap():
                raise self._cap_reached()
            state = "complete"
        except (asyncio.CancelledError, GeneratorExit):
            if self._is_overdue():
                state, error = "failed", TimeLimit("The time limit of the call was reached.")
            raise
        except BaseException as caught:
            state, error = "failed", caught
            raise
        finally:
            if self._total_ms is None:
                self._total_ms = (self._at.clock.monotonic() - began) * 1000
            await self._close(state, error)
        while self._notices:
            yield self._notices.pop(0)
        if self._saver is not None and self._saver.trouble is not None:
            raise self._saver.trouble

    def follow_up(self, turn: Turn, text: str) -> OngoingTurn:
        """A further question below this answer; the messages so far come along, saved or not."""
        assert self._call is not None
        question = turn._replace(
            text=text,
            material=None,
            attachments=(),
            collections=(),
            documents=(),
            parent_id=self._saver.answer_id if self._saver else None,
        )
        before = (*self._call.request.messages, Message("assistant", self.text))
        again = OngoingTurn(self._at, question, self._is_overdue, before)
        again._chat_id = self._chat_id
        again.sources, again._has_passages_above = self.sources, True
        return again

    # ---- before the answer

    async def _choose(self) -> Choice:
        turn = self._turn
        self._choice = await self._at.router.choose(
            turn.model,
            turn.text,
            needs_images=any(attachment.media_type.startswith("image/") for attachment in turn.attachments),
            allow_fallback=turn.allow_fallback,
        )
        return self._choice

    async def _begin(self, choice: Choice) -> None:
        """Store the question and an answer that is empty yet; only then is anything sent."""
        turn = self._turn
        parent_id = turn.parent_id
        if turn.begun is not None:
            await self._read(turn.begun)
        if self._before is None:
            path: list[StoredMessage] = []
            if turn.chat is not None:
                path = await self._at.store.path(turn.chat.id, turn.parent_id)
                parent_id = path[-1].id if path else None
            system = turn.system or (turn.chat.system if turn.chat else None) or self._at.settings.chat.system
            self._before = (*([Message("system", system)] if system else []), *sendable(path))
        self._question = with_material(choice.prompt, turn.material)
        first = choice.candidates[0]
        if turn.begun is not None:
            await self._at.store.note_answerer(turn.begun.answer_id, first.model, first.endpoint.name)
            return
        if not turn.save or not self._at.settings.chat.save:
            return
        stored = await self._at.store.begin_turn(
            self._chat_id,
            parent_id,
            self._question,
            client=turn.client,
            title=shorten(self._question, TITLE_WIDTH),
            system=turn.system,
            attachments=[each if isinstance(each, StoredAttachment) else each.stored() for each in self._attachments],
            model=first.model,
            endpoint=first.endpoint.name,
            among=Among(turn.collections, turn.documents),
        )
        self._chat_id = stored.chat_id
        self._saver = Saver(self._at.store, stored.answer_id)

    async def _read(self, begun: Begun) -> None:
        """What stands above a question that is in the store, and what is attached to it."""
        turn, at = self._turn, self._at
        assert turn.chat is not None
        *above, question = await at.store.path(turn.chat.id, begun.question_id)
        system = turn.system or turn.chat.system or at.settings.chat.system
        self._before = (*([Message("system", system)] if system else []), *sendable(above))
        self._attachments = question.attachments

    async def _look_up(self, choice: Choice) -> AsyncGenerator[Notice, None]:
        """Find the passages that go with the question, if it is one to the documents, and keep them."""
        turn, at = self._turn, self._at
        self._asked = self._question
        among = Among(turn.collections, turn.documents)
        if at.library is None or self._has_passages_above or not (among or self.sources):
            return
        from console.chat.looking_up import LookUp
        from console.library import prompt

        if not self.sources:
            assert self._before is not None
            without = turn.without
            if self._chat_id is not None:
                without += await at.store.excluded_passages(self._chat_id)
            looking = LookUp(
                at.library(),
                turn.text,
                [message.text for message in self._before if message.role == "user"],
                among,
                without,
                top_k=turn.top_k or at.settings.rag.top_k,
                budget_tokens=self._passages_budget(choice),
                starts_worker=turn.client == "app",
                is_remembered=turn.chat is not None and turn.chat.among == among,
            )
            async with aclosing(looking.notices()) as notices:
                async for notice in notices:
                    yield notice
            self.sources, self._document_notes = looking.sources, tuple(looking.notes)
            if self.sources and self._saver is not None:
                await self._saver.keep_sources(self.sources)
        self._asked = prompt.with_sources(self._question, self.sources)

    def _passages_budget(self, choice: Choice) -> int:
        """What is set, or less for a small window of one who may be asked. Earlier turns give way to passages."""
        from console.library import prompt

        assert self._before is not None
        needed = context.message_tokens(question_message(self._question, self._attachments))
        needed += sum(context.message_tokens(each) for each in self._before if each.role == "system")
        reserve = _least(self._turn.max_tokens, self._at.settings.chat.max_tokens) or USUAL_ANSWER_TOKENS
        wanted = self._at.settings.rag.budget_tokens
        windows = map(self._window, choice.candidates)
        return min(prompt.budget(wanted, window, reserve, needed) for window in windows)

    def _window(self, candidate: Candidate) -> int | None:
        known = self._at.catalogue.find(candidate.model)
        return candidate.endpoint.context_tokens or (known.context_tokens if known else None)

    async def _prepare(self, candidate: Candidate) -> None:
        """Before a candidate is asked: fit the messages into its window, and set the money aside."""
        turn, at = self._turn, self._at
        self._readied = None
        await self._settle_unanswered()
        max_tokens = _least(turn.max_tokens, candidate.max_tokens, at.settings.chat.max_tokens)
        known = at.catalogue.find(candidate.model)
        window = self._window(candidate)
        assert self._before is not None
        before = self._before
        if known is not None and known.sees_images is False and any(message.images for message in before):
            before = without_images(before)
            told = f"{candidate.name} cannot see images: those above the question are left out."
            self._notices.append(Notice("context", told))
        messages = [*before, question_message(self._asked, self._attachments)]
        if turn.so_far:
            messages += [Message("assistant", turn.so_far), Message("user", attempts.CONTINUE)]
        packed = await self._pack(messages, window, max_tokens or USUAL_ANSWER_TOKENS, candidate)
        if packed.account and packed.account != self._told_of_packing:
            self._told_of_packing = packed.account
            self._notices.append(Notice("context", packed.account))
        price = await at.price(candidate)
        reservation = await at.budget.allow(
            estimate_cost(price, packed.tokens, max_tokens),
            candidate.name,
            max_cost_usd=turn.max_cost_usd,
            allow_unknown_price=turn.allow_unknown_price,
        )
        self._notices += [Notice("money", text) for text in reservation.notices]
        affordable = None
        if turn.max_cost_usd is not None:
            affordable = output_tokens_within(turn.max_cost_usd, price, packed.tokens)
            if affordable == 0:
                await reservation.give_back()
                raise self._cap_reached()
        request = ChatRequest(
            candidate.model,
            packed.messages,
            max_tokens=_least(max_tokens, affordable),
            params=_params(turn, candidate),
            schema=turn.schema,
            thinking=turn.thinking,
            context_tokens=window_to_ask_for(candidate, packed.tokens + (max_tokens or USUAL_ANSWER_TOKENS), window),
            keep_alive=candidate.endpoint.keep_alive,
        )
        self._call = Call(candidate, request, packed, price, reservation, affordable)

    async def _make_ready(self, candidate: Candidate, tell: Tell) -> None:
        if self._at.make_ready is not None:
            self._readied = await self._at.make_ready(candidate.endpoint, tell)

    async def _pack(
        self, messages: Sequence[Message], window: int | None, reserve_tokens: int, candidate: Candidate
    ) -> context.Packed:
        count: context.Count = context.message_tokens
        if len(messages) > LONG_CHAT:
            # It takes long enough to be felt where somebody types.
            counted = await asyncio.to_thread(lambda: {id(each): context.message_tokens(each) for each in messages})

            def count(message: Message) -> int:
                known = counted.get(id(message))
                return context.message_tokens(message) if known is None else known

        if window is None:  # nothing is known of this model: the server decides, and a cut is looked for afterwards
            return context.Packed(tuple(messages), sum(map(count, messages)), 0, 0)
        overflow = self._at.settings.chat.context_overflow
        if overflow == "summarise":
            summarise = functools.partial(self._summarise, candidate)
            return await context.pack_with_summary(messages, window, reserve_tokens, summarise, count)
        return context.pack(messages, window, reserve_tokens, count, refuse=overflow == "refuse")

    async def _summarise(self, candidate: Candidate, dropped: Sequence[Message], most_tokens: int) -> str:
        """The dropped turns in short, by the model that is about to answer; booked as a task of its own."""
        turn = Turn(
            summary_prompt(dropped, most_tokens),
            self._turn.client,
            model=candidate.name,
            max_tokens=most_tokens,
            thinking=False,
            max_cost_usd=self._turn.max_cost_usd,
            allow_unknown_price=self._turn.allow_unknown_price,
            save=False,
            task="summary",
        )
        ongoing = self._at.ask(turn, is_overdue=self._is_overdue)
        ongoing._before = ()
        async with aclosing(ongoing.events()) as events:
            async for _ in events:
                pass
        return ongoing.text

    def _request_for(self, candidate: Candidate) -> ChatRequest:
        assert self._call is not None
        assert self._call.candidate is candidate, "prepare comes before every call"
        return self._call.request

    # ---- while it comes

    def _take(self, delta: Delta) -> None:
        if delta.text:
            self._text.append(delta.text)
        if delta.thinking:
            self._thinking.append(delta.thinking)
        if self._saver is not None:
            self._saver.take(delta)
        call = self._call
        if call is not None and call.affordable_tokens is not None:
            call.written_estimate += context.estimate_tokens(delta.text + delta.thinking)
            if call.written_estimate > call.affordable_tokens * PATIENCE_WITH_ESTIMATES:
                raise self._cap_reached()

    def _is_cut_by_cap(self) -> bool:
        """Whether the answer ended at the limit of tokens, and that limit was set by the cap on its cost."""
        call, end = self._call, self._end
        return (
            call is not None
            and end is not None
            and end.finish is Finish.LENGTH
            and call.affordable_tokens is not None
            and call.request.max_tokens == call.affordable_tokens
        )

    def _cap_reached(self) -> BudgetReached:
        return BudgetReached(
            f"No more of an answer is to be had for {usd(self._turn.max_cost_usd or ZERO)}.",
            hint="What has come is kept. --max-cost sets the cap.",
        )

    async def _void(self) -> None:
        """What came so far is void: another answer begins in its place."""
        self._text.clear()
        self._thinking.clear()
        self._first_token_ms = None
        if self._saver is not None:
            await self._saver.void()

    # ---- after it

    async def _close(self, state: State, error: BaseException | None) -> None:
        """Keep what came, book what it cost, tell the others. Runs however the answer ended."""
        call, end = self._call, self._end
        counted = Counted()
        if call is not None:
            counted = call.count(end, self._text, self._thinking, was_sent=self._may_have_cost())
            if counted.cut is not None:
                self._notices.append(Notice("context", counted.cut))
        self._counted = counted
        if end is not None:
            self._finish = end.finish.value
        else:
            self._finish = "stopped" if state == "stopped" else "failed"
        explained = explain(error) if error is not None else None
        told = explained.text if explained is not None else None
        if self.sources and self._text:
            self.sources = await self._checked()
        if self._saver is not None:
            await self._saver.close(self.whole_answer(), state, explained)
        if call is not None:
            await self._book(call, counted, state, told)
        log.debug(
            "turn %s in %.0f ms: %s, %s tokens, cost %s, error %s",
            state,
            self._total_ms or 0,
            call.candidate.name if call else "nobody",
            counted.usage.output_tokens,
            counted.cost_usd,
            told,
        )
        self._at.bus.publish(
            TurnEnded(self._chat_id, self._saver.answer_id if self._saver else None, state, counted.cost_usd)
        )

    async def _checked(self) -> tuple[Source, ...]:
        """The sources with what was found of the sentences that cite them."""
        text, sources = self._turn.so_far + self.text, self.sources
        if "[" not in text and "【" not in text:  # no mark of a source
            return tuple(source._replace(claims=()) for source in sources)
        from console.library.quote_check import check, claims

        def work() -> tuple[Source, ...]:
            passages = {source.n: source.text for source in sources}
            found = claims(check(text, passages, {source.n: source.document for source in sources}))
            return tuple(source._replace(claims=found.get(source.n, ())) for source in sources)

        # A long answer takes long enough to be felt where somebody types.
        return work() if len(text) < 4_000 else await asyncio.to_thread(work)

    async def _book(self, call: Call, counted: Counted, state: State, error: str | None) -> None:
        entry = LedgerEntry(
            at=self._at.clock.now(),
            task=self._turn.task,
            client=self._turn.client,
            chat_id=self._chat_id,
            message_id=self._saver.answer_id if self._saver else None,
            outcome=state,
            error=error,
            first_token_ms=self._first_token_ms,
            total_ms=self._total_ms,
            **call.booked_as(counted),
        )
        try:
            warnings = await call.reservation.settle(entry)
        except StoreError as trouble:
            log.error("a call could not be booked: %s", trouble.text)
            self._notices.append(Notice("money", f"This call is not in the books: {trouble.text}"))
        else:
            self._notices += [Notice("money", text) for text in warnings]

    async def _settle_unanswered(self) -> None:
        """The call before this one failed: book it, and free what was set aside for it."""
        call, self._call = self._call, None
        if call is not None:
            counted = call.count(None, self._text, self._thinking, was_sent=self._may_have_cost())
            await self._book(call, counted, "failed", self._tried[-1].error if self._tried else None)

    def _may_have_cost(self) -> bool:
        """Whether the other side has worked on the latest try, so that it may bill it."""
        return bool(self._end or self._text or self._thinking or (self._tried and self._tried[-1].may_have_cost))


def _params(turn: Turn, candidate: Candidate) -> Mapping[str, Any]:
    """What goes to this wire beside the question."""
    if not turn.wishes:
        return turn.params
    from console.chat.parameters import backend, for_wire

    endpoint = candidate.endpoint
    wishes = dict(turn.wishes)
    if turn.thinking is not None:
        wishes["thinking"] = "on" if turn.thinking else "off"
    if turn.max_tokens is not None:
        wishes["max_tokens"] = turn.max_tokens
    return {**for_wire(wishes, backend(endpoint.wire, is_own=endpoint.is_own)).params, **turn.params}


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)
