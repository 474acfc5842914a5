"""What stands in an empty chat: who answers, or what to do where nobody can."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import run
from tests.flows.kit import endpoint
from tests.screens.kit import press, running, screen_of, until
from tests.screens.room_kit import box


def test_who_is_the_only_one_that_can_answer_is_named_and_answers(tmp_path: Path) -> None:
    async def body() -> None:
        keys = '\n[keys]\n"chat.model" = "f12"\n'
        async with box() as ollama, running(tmp_path, endpoint("box", ollama) + keys) as (app, pilot):
            await until(pilot, lambda: " answers." in screen_of(app))
            assert " F12  choose the model" in screen_of(app)
            named = next(line.split()[-2] for line in screen_of(app).splitlines() if " answers." in line)
            await press(pilot, "h", "i", "enter")
            await until(pilot, lambda: f"{named} · box · " in screen_of(app))

    run(body())


def test_where_nobody_answers_it_says_how_to_begin(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path, endpoint("ollama", "http://127.0.0.1:1", wire="ollama")) as (app, pilot):
            await until(pilot, lambda: "There is nobody to ask yet." in screen_of(app))

            assert "hawser demo" in screen_of(app)

    run(body())
