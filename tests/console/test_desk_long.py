"""Chats of thousands of messages, and answers of thousands of tokens."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from console.chat.chat_contents import FIRST_ENTRIES
from console.chat.live import BEGINNING, Live
from console.chat.news import AnswerGrew
from console.history import chats, messages
from providers.chat.base import Delta
from tests.conftest import run
from tests.console.desk_kit import Place, asked, box, place, q


async def long_chat(here: Place, turns: int) -> str:
    """A stored chat of so many turns, with a regenerated answer at its beginning."""

    def write(connection: sqlite3.Connection) -> str:
        at = 1_700_000_000_000
        chat = chats.add(connection, at, "long", client="test").id
        parent: str | None = None
        for number in range(turns):
            at += 10
            question = messages.add_question(connection, at, chat, parent, f"question {number}")
            for _ in range(1 + (number == 0)):
                parent = messages.begin_answer(connection, at + 1, chat, question, model="m", endpoint="box")
                messages.end_answer(connection, at + 2, parent, state="complete", text=f"answer {number}")
        return chat

    return await (await here.store()).run(write, write=True)


def test_of_a_long_chat_the_end_is_read_and_the_rest_when_it_is_wanted(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path, box()) as here:
            turns = FIRST_ENTRIES + 10
            chat = await here.desk.open(await long_chat(here, turns))

            assert (len(chat.entries), chat.earlier) == (FIRST_ENTRIES, turns * 2 - FIRST_ENTRIES)
            assert chat.entries[-1].message.text == f"answer {turns - 1}"
            whole = await chat.estimate(q("and so?"))
            assert len(chat.branches.messages) == FIRST_ENTRIES

            await chat.read_earlier()
            assert (len(chat.entries), chat.earlier) == (2 * FIRST_ENTRIES, turns * 2 - 2 * FIRST_ENTRIES)
            await chat.read_earlier(None)
            assert [entry.message.text for entry in chat.entries] == [
                text for number in range(turns) for text in (f"question {number}", f"answer {number}")
            ]
            assert (chat.entries[1].sibling, chat.entries[1].siblings) == (2, 2)
            assert (await chat.estimate(q("and so?"))).tokens == whole.tokens

    run(body())


def test_a_message_far_up_is_there_when_the_chat_is_opened_at_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path, box()) as here:
            chat_id = await long_chat(here, FIRST_ENTRIES)
            (first,) = here.rows("SELECT id FROM messages ORDER BY seq LIMIT 1")

            chat = await here.desk.open(chat_id, first[0])

            assert (chat.entries[0].message.id, chat.earlier) == (first[0], 0)

    run(body())


def test_a_question_in_a_long_chat_sends_all_of_it(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        async with place(tmp_path, ollama) as here:
            chat = await here.desk.open(await long_chat(here, FIRST_ENTRIES))
            await asked(chat, "echo so")

            assert (chat.entries[-1].message.text, len(chat.entries)) == ("so", FIRST_ENTRIES + 2)
            sent = [request.json["messages"] for request in ollama.requests if request.path == "/api/chat"][-1]
            assert len(sent) == FIRST_ENTRIES * 2 + 1

    run(body())


def test_growth_is_told_once_until_somebody_fetches(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box(answer_tokens=3000)
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            await chat.ask(q("a long one"))
            await chat.settled()

            assert len(chat.entries[1].message.text) > 3000
            assert len(here.told(AnswerGrew)) == 1

    run(body())


def test_a_live_answer_is_fetched_piece_by_piece_or_whole() -> None:
    seconds = 0.0
    live = Live("m", "box/x", lambda: seconds, so_far="Once ")

    assert [live.tokens_per_s] == [None]
    assert live.take(Delta("upon "))
    assert not live.take(Delta("a ", thinking="hm"))
    text, thinking, position = live.since()
    assert (text, thinking) == ("Once upon a ", "hm")
    assert live.take(Delta("time"))
    text, thinking, after = live.since(position)
    assert (text, thinking, after.era) == ("time", "", position.era)
    assert live.since(after)[:2] == ("", "")
    assert live.since(BEGINNING)[0] == "Once upon a time" == live.text
    seconds = 2.0
    assert live.tokens_per_s == live.tokens / 2
    assert live.tokens < 15

    live.void()
    live.take(Delta("Twice"))
    text, thinking, renewed = live.since(after)
    assert (text, thinking) == ("Once Twice", "")
    assert renewed.era != after.era


def test_an_answer_that_begins_anew_is_told_as_such(tmp_path: Path) -> None:
    from providers.simulated.services import FaultKind

    async def body() -> None:
        ollama = box()
        ollama.faults.once(FaultKind.CUT, 3)
        async with place(tmp_path, ollama, settings='after_break = "restart"') as here:
            chat = here.desk.new()
            await chat.ask(q("echo one two three four five six"))
            await here.until(lambda: "restart" in dict(here.notices()))
            await chat.settled()

            assert chat.entries[1].message.text == "one two three four five six"
            stored = await (await here.store()).path(chat.id or "")
            assert stored[1].text == "one two three four five six"

    run(body())
