"""Titles of chats: the first words at once, a model's in the background where that is wanted, a person's for good."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.chat.titles import tidy
from providers.simulated.services import FaultKind, SimulatedOllama, SimulatedOpenAI
from tests.conftest import run
from tests.console.desk_kit import Place, asked, box, place, q

BY_MODEL = 'titles = "model"\n[routes]\nquick = "box/phi3:latest"'


async def all_done(here: Place) -> None:
    while here.runtime.jobs.running:
        await here.runtime.jobs.running[0].finished()


def asked_for_titles(service: SimulatedOllama | SimulatedOpenAI) -> list[str]:
    return [
        request.json["model"]
        for request in service.requests
        if request.json and "title of at most six words" in str(request.json.get("messages"))
    ]


def test_without_a_wish_the_first_words_are_the_title_and_nobody_is_asked(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            await chat.ask(q("echo How thick\n is a hawser, and why? " + "rope " * 40))
            assert chat.title.startswith("echo How thick is a hawser, and why?")
            assert len(chat.title) <= 60
            await all_done(here)

            assert asked_for_titles(ollama) == []
            assert here.rows("SELECT titled_by FROM chats") == [("words",)]

    run(body())


def test_a_free_model_gives_a_title_in_the_background_once(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        async with place(tmp_path, ollama, settings=BY_MODEL) as here:
            ollama.answers.queue("Thick.", '**"On Hawsers."**\nand more')
            chat = here.desk.new()
            await asked(chat, "how thick?")
            await all_done(here)

            assert (chat.title, chat.titled_by) == ("On Hawsers", "model")
            assert asked_for_titles(ollama) == ["phi3:latest"]
            assert here.rows("SELECT title, titled_by FROM chats") == [("On Hawsers", "model")]
            assert here.rows("SELECT task FROM ledger ORDER BY seq") == [("chat",), ("title",)]
            await asked(chat, "and now?")
            await all_done(here)
            assert len(asked_for_titles(ollama)) == 1

    run(body())


def test_a_title_that_a_person_gave_meanwhile_stays(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        async with place(tmp_path, ollama, settings=BY_MODEL) as here:
            chat = here.desk.new()
            await chat.ask(q("how thick?"))
            await chat.rename("Mine")
            await all_done(here)

            assert asked_for_titles(ollama) == []
            assert not await chat.rename("Theirs", "model")
            assert here.rows("SELECT title, titled_by FROM chats") == [("Mine", "person")]

    run(body())


def test_no_money_is_spent_unasked(tmp_path: Path) -> None:
    async def body() -> None:
        ollama, paid = box(), SimulatedOpenAI("paid")
        settings = 'titles = "model"\n[routes]\nquick = "paid/gpt-4.1"'
        async with place(tmp_path, ollama, paid, settings=settings, prices=["paid"]) as here:
            await asked(here.desk.new(), "how thick?")
            await all_done(here)

            assert asked_for_titles(paid) == []
            assert here.rows("SELECT title FROM chats") == [("how thick?",)]

    run(body())


def test_a_model_that_is_named_for_it_may_cost(tmp_path: Path) -> None:
    async def body() -> None:
        ollama, paid = box(), SimulatedOpenAI("paid")
        settings = 'titles = "model"\ntitle_model = "paid/gpt-4.1"'
        async with place(tmp_path, ollama, paid, settings=settings, prices=["paid"]) as here:
            paid.answers.queue("On Hawsers")
            chat = here.desk.new()
            await asked(chat, "how thick?")
            await all_done(here)

            assert (asked_for_titles(paid), chat.title) == (["gpt-4.1"], "On Hawsers")

    run(body())


def test_off_the_record_no_title_is_asked_for_and_failures_are_quiet(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        async with place(tmp_path, ollama, settings=BY_MODEL) as here:
            await asked(here.desk.new(off_the_record=True), "how thick?")
            await all_done(here)
            assert asked_for_titles(ollama) == []

            chat = here.desk.new()
            await chat.ask(q("echo a"))
            await chat.settled()
            ollama.faults.always(FaultKind.MODEL_GONE)
            await all_done(here)
            assert here.notices() == []

    run(body())


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("On Hawsers", "On Hawsers"),
        ('\n\n  "On   Hawsers."  \nBecause it is short.', "On Hawsers"),
        ("# **On Hawsers**", "On Hawsers"),
        ("Title: On Hawsers", "On Hawsers"),
        ("„Über Trossen“", "Über Trossen"),
        ("\x1b[31mOn Hawsers", "␛[31mOn Hawsers"),
        ("***\n---", ""),
        ("", ""),
        ('""\n``', ""),
    ],
)
def test_what_a_model_writes_becomes_one_plain_line(written: str, title: str) -> None:
    assert tidy(written) == title


def test_a_long_title_is_cut() -> None:
    assert len(tidy("rope " * 100)) <= 60
