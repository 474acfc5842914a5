"""The life of a turn, with a real store and scripted services."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from console.chat.attempts import Notice
from console.chat.breaker import Breakers
from console.chat.catalogue import Catalogue
from console.chat.conversation import Conversation, OngoingTurn
from console.chat.news import TurnEnded
from console.chat.recovery import book_lost_calls
from console.chat.router import Router
from console.chat.turn import Turn
from console.clock import SystemClock
from console.errors import BudgetReached, PriceUnknown, StoreFull
from console.events import Bus, Event
from console.history.store import Store
from console.money.budget import Budget
from console.money.ledger import LedgerEntry
from console.money.prices import Prices
from console.paths import Paths, find_paths
from console.settings import settings_from
from providers.chat.base import ChatProvider, Delta, End, Finish, Message, ModelInfo, Usage
from providers.errors import RateLimited, StreamBroken, Unreachable
from tests.conftest import run
from tests.console.scripted import ScriptedChat, Step, forever, says

SETTINGS = """
[endpoints.box]
wire = "openai"
base_url = "http://127.0.0.1:9/v1"
[endpoints.hosted]
wire = "openai"
base_url = "https://api.example.com/v1"
price = { input = 1.0, output = 1000.0 }
[endpoints.dark]
wire = "openai"
base_url = "https://dark.example.com/v1"
[aliases]
both = [{ model = "box/m", retries = 0 }, "hosted/m"]
"""


class Place:
    """A conversation on a store of its own."""

    def __init__(self, paths: Paths, store: Store, chats: dict[str, ChatProvider], settings: str) -> None:
        self.store = store
        self.bus = Bus()
        self.clock = SystemClock()
        loaded = settings_from(SETTINGS + settings, paths, {}, discover=False)
        catalogue = Catalogue(loaded.models)
        breakers = Breakers(self.clock, None)
        self.conversation = Conversation(
            loaded,
            store,
            Router(loaded, chats.__getitem__, catalogue, breakers=breakers),
            catalogue,
            breakers,
            Prices(loaded.prices),
            Budget(loaded.budget, store, self.clock),
            chats.__getitem__,
            self.clock,
            self.bus,
        )

    async def ask(self, text: str = "Hello?", model: str = "box/m", **more: Any) -> tuple[OngoingTurn, list[Notice]]:
        turn = Turn(text, "prompt", model=model, **{"after_break": "fail", **more})
        ongoing = self.conversation.ask(turn)
        return ongoing, await follow(ongoing)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.store.paths.store_file)) as connection:
            return connection.execute(sql).fetchall()

    async def booked(self) -> list[LedgerEntry]:
        from datetime import UTC, datetime

        return await self.store.entries(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


async def follow(ongoing: OngoingTurn) -> list[Notice]:
    notices = []
    async with aclosing(ongoing.events()) as events:
        async for event in events:
            if isinstance(event, Notice):
                notices.append(event)
    return notices


@asynccontextmanager
async def place(folder: Path, settings: str = "", **chats: ChatProvider) -> AsyncIterator[Place]:
    paths = find_paths({"HAWSER_HOME": str(folder)})
    store = await Store.open(paths, SystemClock())
    try:
        yield Place(paths, store, chats, settings)
    finally:
        await store.close()


def test_question_and_answer_are_kept_counted_and_booked(tmp_path: Path) -> None:
    async def body() -> None:
        end = End(Finish.STOP, Usage(11, 2), "m-2026")
        async with place(tmp_path, box=ScriptedChat([Delta("Aye, "), Delta("aye."), end])) as here:
            with here.bus.subscribe() as facts:
                ongoing, _ = await here.ask()
                here.bus.close()
                seen: list[Event] = [fact async for fact in facts]

            answer = ongoing.answer()
            question, kept = await here.store.path(answer.chat_id or "")
            (entry,) = await here.booked()

            assert (question.role, question.text, question.state) == ("user", "Hello?", "complete")
            assert (kept.text, kept.state, kept.finish, kept.model) == ("Aye, aye.", "complete", "stop", "m-2026")
            assert (kept.input_tokens, kept.output_tokens, kept.estimated) == (11, 2, False)
            assert (entry.task, entry.endpoint, entry.outcome, entry.cost_usd) == (
                "chat",
                "box",
                "complete",
                Decimal(0),
            )
            (ended,) = seen
            assert isinstance(ended, TurnEnded)
            assert (ended.chat_id, ended.message_id) == (answer.chat_id, answer.message_id)
            assert (ended.state, ended.cost_usd) == ("complete", Decimal(0))

    run(body())


def test_the_question_is_stored_before_it_is_sent(tmp_path: Path) -> None:
    async def body() -> None:
        stored: list[tuple[Any, ...]] = []

        async def look() -> None:
            stored.extend(here.rows("SELECT role, state, text FROM messages ORDER BY seq"))

        async with place(tmp_path, box=ScriptedChat([look, *says("yes")])) as here:
            await here.ask("Is it there?")

        assert stored == [("user", "complete", "Is it there?"), ("assistant", "streaming", "")]

    run(body())


def test_what_came_is_in_the_store_while_the_answer_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async def until_it_is_written() -> None:
            written = asyncio.Event()
            append = here.store.append_answer

            async def tell(*arguments: str) -> None:
                await append(*arguments)
                written.set()

            monkeypatch.setattr(here.store, "append_answer", tell)
            await asyncio.wait_for(written.wait(), 5)
            assert here.rows("SELECT text FROM parts") == [("half ",)]

        async with place(tmp_path, box=ScriptedChat([Delta("half "), until_it_is_written, *says("whole")])) as here:
            ongoing, _ = await here.ask()

            assert ongoing.text == "half whole"
            assert here.rows("SELECT text FROM messages WHERE role = 'assistant'") == [("half whole",)]
            assert here.rows("SELECT count(*) FROM parts") == [(0,)]

    run(body())


def test_a_stopped_answer_is_kept_and_closed_at_the_other_side(tmp_path: Path) -> None:
    async def body() -> None:
        chat = ScriptedChat([Delta("only this"), forever])
        async with place(tmp_path, box=chat) as here:
            ongoing = here.conversation.ask(Turn("Go on", "prompt", model="box/m"))
            async with aclosing(ongoing.events()) as events:
                async for event in events:
                    if isinstance(event, Delta):
                        break

            assert chat.finished == ["closed"]
            assert ongoing.answer().finish == "stopped"
            assert here.rows("SELECT state, text FROM messages WHERE role = 'assistant'") == [("stopped", "only this")]
            (entry,) = await here.booked()
            assert (entry.outcome, entry.estimated) == ("stopped", True)

    run(body())


def test_a_time_limit_is_a_failure_and_not_a_stop(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path, box=ScriptedChat([Delta("too "), forever])) as here:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05) as limit:
                    turn = Turn("Quick!", "prompt", model="box/m")
                    await follow(here.conversation.ask(turn, is_overdue=limit.expired))

            assert here.rows("SELECT state, error FROM messages WHERE role = 'assistant'") == [
                ("failed", "The time limit of the call was reached.")
            ]

    run(body())


def test_a_broken_answer_is_kept_as_failed_with_its_error(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path, box=ScriptedChat([Delta("half"), StreamBroken("It broke off.")])) as here:
            with pytest.raises(StreamBroken):
                await here.ask()

            assert here.rows("SELECT state, text, error FROM messages WHERE role = 'assistant'") == [
                ("failed", "half", "It broke off.")
            ]

    run(body())


def test_restarting_voids_what_came_before(tmp_path: Path) -> None:
    async def body() -> None:
        chat = ScriptedChat([Delta("void "), StreamBroken("It broke off.")], says("The whole."))
        async with place(tmp_path, box=chat) as here:
            ongoing, notices = await here.ask(after_break="restart")

            assert "restart" in [notice.kind for notice in notices]
            assert ongoing.text == "The whole."
            assert here.rows("SELECT text FROM messages WHERE role = 'assistant'") == [("The whole.",)]

    run(body())


def test_the_settings_say_what_happens_after_a_break(tmp_path: Path) -> None:
    async def body() -> None:
        chat = ScriptedChat([Delta("One, "), StreamBroken("It broke off.")], says("two."))
        async with place(tmp_path, '[chat]\nafter_break = "continue"\n', box=chat) as here:
            ongoing, _ = await here.ask(after_break=None)

            assert ongoing.text == "One, two."

    run(body())


def test_a_failed_try_is_booked_and_its_money_given_back(tmp_path: Path) -> None:
    async def body() -> None:
        chats: dict[str, Any] = {
            "box": ScriptedChat([Unreachable("Nothing there.")]),
            "hosted": ScriptedChat(says("Here.")),
        }
        async with place(tmp_path, **chats) as here:
            ongoing, notices = await here.ask(model="both")

            first, second = await here.booked()
            assert [notice.kind for notice in notices] == ["fallback"]
            assert (first.endpoint, first.outcome, first.cost_usd) == ("box", "failed", Decimal(0))
            assert (second.endpoint, second.outcome) == ("hosted", "complete")
            assert second.cost_usd == ongoing.answer().cost_usd
            assert here.rows("SELECT count(*) FROM reservations") == [(0,)]

    run(body())


def test_money_is_given_back_when_every_try_fails(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path, hosted=ScriptedChat([RateLimited("Slow down.", retry_after_s=99)])) as here:
            with pytest.raises(RateLimited):
                await here.ask(model="hosted/m")

            assert here.rows("SELECT count(*) FROM reservations") == [(0,)]
            assert [entry.cost_usd for entry in await here.booked()] == [0]

    run(body())


def test_an_unknown_price_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async def body() -> None:
        chat = ScriptedChat(says("never"))
        async with place(tmp_path, dark=chat) as here:
            with pytest.raises(PriceUnknown):
                await here.ask(model="dark/m")

            assert chat.requests == []

    run(body())


def test_an_allowed_unknown_price_is_booked_as_unknown(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path, dark=ScriptedChat(says("Here."))) as here:
            ongoing, _ = await here.ask(model="dark/m", allow_unknown_price=True)

            assert ongoing.answer().cost_usd is None
            assert [entry.cost_usd for entry in await here.booked()] == [None]

    run(body())


def test_a_price_that_the_host_lists_is_used(tmp_path: Path) -> None:
    async def body() -> None:
        from console.history.models_seen import seen

        listed = ModelInfo("m", price_input_usd_per_million=Decimal(1), price_output_usd_per_million=Decimal(10))
        script: list[Step] = [Delta("Here."), End(Finish.STOP, Usage(1_000, 100))]
        async with place(tmp_path, dark=ScriptedChat(script)) as here:
            await here.store.remember_models("dark", [seen(listed)])
            ongoing, _ = await here.ask(model="dark/m")

            assert ongoing.answer().cost_usd == Decimal("0.002000")

    run(body())


def test_a_host_whose_prices_nobody_knows_is_asked_once(tmp_path: Path) -> None:
    async def body() -> None:
        listed = ModelInfo("m", price_input_usd_per_million=Decimal(1), price_output_usd_per_million=Decimal(10))
        script: list[Step] = [Delta("Here."), End(Finish.STOP, Usage(1_000, 100))]
        chat = ScriptedChat(script, models=[listed])
        async with place(tmp_path, dark=chat) as here:
            ongoing, _ = await here.ask(model="dark/m")
            await here.ask(model="dark/m")

            assert ongoing.answer().cost_usd == Decimal("0.002000")
            assert chat.times_listed == 1

    run(body())


def test_a_cap_on_the_cost_limits_the_answer_and_stops_it(tmp_path: Path) -> None:
    async def body() -> None:
        chat = ScriptedChat([Delta("word " * 50), End(Finish.LENGTH, Usage(10, 50))])
        async with place(tmp_path, hosted=chat) as here:
            with pytest.raises(BudgetReached):
                await here.ask(model="hosted/m", max_cost_usd=Decimal("0.05"))

            limit = chat.requests[0].max_tokens
            assert limit is not None
            assert 40 <= limit <= 50
            assert here.rows("SELECT state FROM messages WHERE role = 'assistant'") == [("failed",)]

    run(body())


def test_a_server_that_ignores_its_limit_is_stopped_by_our_count(tmp_path: Path) -> None:
    async def body() -> None:
        chat = ScriptedChat([*[Delta("more and more words ")] * 100, forever])
        async with place(tmp_path, hosted=chat) as here:
            with pytest.raises(BudgetReached):
                await here.ask(model="hosted/m", max_cost_usd=Decimal("0.05"))

            assert chat.finished == ["closed"]

    run(body())


def test_the_answer_goes_on_when_the_store_fails_and_the_failure_is_told_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise StoreFull("The disk is full.")

    async def body() -> None:
        async with place(tmp_path, box=ScriptedChat(says("All ", "of it."))) as here:
            monkeypatch.setattr(here.store, "end_answer", full)
            ongoing = here.conversation.ask(Turn("Hello?", "prompt", model="box/m"))
            with pytest.raises(StoreFull):
                await follow(ongoing)

            assert ongoing.text == "All of it."

    run(body())


def test_a_chat_goes_on_with_all_that_was_said_in_it(tmp_path: Path) -> None:
    async def body() -> None:
        chat = ScriptedChat(says("A rope."), says("Thick."))
        async with place(tmp_path, box=chat) as here:
            first, _ = await here.ask("What is a hawser?", system="Be brief.")
            again = await here.conversation.find_chat((first.answer().chat_id or "")[:24])
            await here.ask("How thick?", chat=again)

            assert chat.requests[1].messages == (
                Message("system", "Be brief."),
                Message("user", "What is a hawser?"),
                Message("assistant", "A rope."),
                Message("user", "How thick?"),
            )

    run(body())


def test_an_unsaved_turn_leaves_only_its_line_in_the_books(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path, box=ScriptedChat(says("Hush."))) as here:
            ongoing, _ = await here.ask(save=False)

            assert ongoing.answer().chat_id is None
            assert here.rows("SELECT count(*) FROM messages") == [(0,)]
            assert len(await here.booked()) == 1

    run(body())


def test_a_long_chat_is_packed_and_says_so(tmp_path: Path) -> None:
    async def body() -> None:
        chat = ScriptedChat(says("first " * 300), says("second"))
        settings = '[models."m"]\ncontext_tokens = 600\n[chat]\nmax_tokens = 100\n'
        async with place(tmp_path, settings, box=chat) as here:
            first, _ = await here.ask("one " * 20)
            again = await here.conversation.find_chat(first.answer().chat_id or "")
            _, notices = await here.ask("two " * 200, chat=again)

            assert [message.role for message in chat.requests[1].messages] == ["user"]
            assert "left out" in notices[0].text

    run(body())


def test_dropped_turns_are_summarised_if_that_is_set(tmp_path: Path) -> None:
    async def body() -> None:
        chat = ScriptedChat(says("first " * 300), says("They spoke of ropes."), says("second"))
        settings = '[models."m"]\ncontext_tokens = 800\n[chat]\nmax_tokens = 100\ncontext_overflow = "summarise"\n'
        async with place(tmp_path, settings, box=chat) as here:
            first, _ = await here.ask("one " * 20)
            again = await here.conversation.find_chat(first.answer().chat_id or "")
            _, notices = await here.ask("two " * 500, chat=again)

            assert "They spoke of ropes." in chat.requests[2].messages[0].text
            assert "summarised" in notices[0].text
            assert [entry.task for entry in await here.booked()] == ["chat", "summary", "chat"]

    run(body())


def test_a_prompt_that_the_server_cut_in_silence_is_noticed(tmp_path: Path) -> None:
    async def body() -> None:
        script: list[Step] = [Delta("Hm."), End(Finish.STOP, Usage(500, 1))]
        async with place(tmp_path, box=ScriptedChat(script)) as here:
            _, notices = await here.ask("many words " * 2_000)

            assert [notice.kind for notice in notices] == ["context"]

    run(body())


def test_a_marker_picks_the_route_and_is_not_sent(tmp_path: Path) -> None:
    async def body() -> None:
        chat = ScriptedChat(says("def add(): ..."), models=["deepseek-coder-v2"])
        async with place(tmp_path, box=chat, hosted=ScriptedChat(), dark=ScriptedChat()) as here:
            await here.ask("@code add two numbers", model="auto")

            assert chat.requests[0].messages == (Message("user", "add two numbers"),)
            assert chat.requests[0].model == "deepseek-coder-v2"

    run(body())


@pytest.mark.parametrize(("words", "asked_for"), [(10, None), (6_000, 16_384)])
def test_an_ollama_server_is_asked_for_the_window_that_a_long_chat_needs(
    tmp_path: Path, words: int, asked_for: int | None
) -> None:
    async def body() -> int | None:
        settings = '[endpoints.ship]\nwire = "ollama"\nbase_url = "http://127.0.0.1:9"\n'
        chat = ScriptedChat(says("Read."))
        async with place(tmp_path, settings, ship=chat) as here:
            await here.ask("word " * words, model="ship/llama3.1:8b")
        return chat.requests[0].context_tokens

    assert run(body()) == asked_for


def test_the_call_of_a_killed_process_is_booked_as_an_estimate(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path) as here:
            turn = await here.store.begin_turn(
                None, None, "Tell me about ropes.", client="prompt", model="m", endpoint="hosted"
            )
            await here.store.append_answer(turn.answer_id, "Ropes are " * 20)
            with closing(sqlite3.connect(here.store.paths.store_file)) as connection, connection:
                connection.execute("UPDATE messages SET owner = '999999999 0' WHERE owner IS NOT NULL")

            recovered = await here.store.recover()
            await book_lost_calls(recovered, here.store, here.conversation.settings, here.clock)

            (entry,) = await here.booked()
            assert [message.id for message in recovered] == [turn.answer_id]
            assert (entry.endpoint, entry.outcome, entry.estimated) == ("hosted", "failed", True)
            assert entry.cost_usd is not None
            assert entry.cost_usd > Decimal("0.01")

    run(body())
