"""The dialogs that everything asks with: by keyboard and by mouse, at every size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from screens.app import HawserApp
from screens.dialogs.ask import AskDialog
from screens.dialogs.confirm import ChoiceLine, ConfirmDialog
from screens.dialogs.details import DetailsDialog
from screens.dialogs.pick import PickDialog
from screens.widgets.rows import Rows
from tests.conftest import run
from tests.screens.kit import SIZES, press, running, screen_of, type_text, until

FRUIT = ("apple", "banana", "cherry", "crab apple")


def pick() -> PickDialog[str]:
    return PickDialog("Fruit", FRUIT, lambda row, width, here: row, str)


async def asked(app: HawserApp, dialog: Any) -> list[Any]:
    answers: list[Any] = []
    await app.push_screen(dialog, answers.append)
    return answers


@pytest.mark.parametrize("size", SIZES)
def test_pick_by_typing_and_enter(tmp_path: Path, size: tuple[int, int]) -> None:
    async def body() -> None:
        async with running(tmp_path, size=size) as (app, pilot):
            answers = await asked(app, pick())
            await until(pilot, lambda: "banana" in screen_of(app))
            await type_text(pilot, "app")
            await until(pilot, lambda: "banana" not in screen_of(app))
            await press(pilot, "down", "enter")

            assert answers == ["crab apple"]

    run(body())


def test_pick_by_click(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            answers = await asked(app, pick())
            await pilot.pause()
            await pilot.click(Rows, offset=(3, 2))
            await until(pilot, lambda: answers)

            assert answers == ["cherry"]

    run(body())


def test_dialogs_are_left_with_escape_ctrl_c_and_a_click_beside(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            answers = await asked(app, pick())
            await press(pilot, "escape")
            assert answers == [None]
            second = await asked(app, AskDialog("Title", "A label"))
            await press(pilot, "ctrl+c")
            await until(pilot, lambda: second == [None])
            third = await asked(app, pick())
            await pilot.pause()
            await pilot.click(offset=(1, 1))
            await until(pilot, lambda: third == [None])

            assert not app.screen.is_modal

    run(body())


def test_ask_answers_what_was_typed(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            dialog = AskDialog("Name", "A name", "old", check=lambda text: "Too short." if len(text) < 3 else "")
            answers = await asked(app, dialog)
            await pilot.pause()
            dialog.query_one(Input).value = ""
            await type_text(pilot, "ab")
            await press(pilot, "enter")
            assert "Too short." in screen_of(app)
            await type_text(pilot, "c")
            await press(pilot, "enter")

            assert answers == ["abc"]

    run(body())


@pytest.mark.parametrize(
    ("keys", "answer"), [(["enter"], False), (["y"], True), (["n"], False), (["down", "enter"], True)]
)
def test_confirm_does_nothing_by_default(tmp_path: Path, keys: list[str], answer: bool) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            answers = await asked(app, ConfirmDialog("Destroy box", ["Its disk is lost."], "Destroy it"))
            await pilot.pause()
            await press(pilot, *keys)

            assert answers == [answer]

    run(body())


@pytest.mark.parametrize("size", SIZES)
def test_confirm_by_a_typed_name(tmp_path: Path, size: tuple[int, int]) -> None:
    async def body() -> None:
        async with running(tmp_path, size=size) as (app, pilot):
            dialog = ConfirmDialog("Destroy box", ["Its disk is lost."], "Destroy it", "box")
            answers = await asked(app, dialog)
            await pilot.pause()
            await press(pilot, "y", "enter")
            assert answers == []
            assert dialog.query(ChoiceLine).last().disabled
            dialog.query_one(Input).value = ""
            await type_text(pilot, "box")
            await press(pilot, "enter")

            assert answers == [True]

    run(body())


def test_confirm_by_click(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            dialog = ConfirmDialog("Destroy box", ["Its disk is lost."], "Destroy it")
            answers = await asked(app, dialog)
            await pilot.pause()
            await pilot.click(dialog.query(ChoiceLine).last())
            await until(pilot, lambda: answers)

            assert answers == [True]

    run(body())


def test_hostile_words_do_not_reach_the_terminal(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            await asked(app, ConfirmDialog("A \x1b[31mname", ["\x1b]0;title\x07 [b]"], "Yes\x1b"))
            await pilot.pause()

            assert "\x1b" not in screen_of(app)
            assert "[b]" in screen_of(app)

    run(body())


def test_details_show_brackets_as_they_are(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            app.push_screen(
                DetailsDialog("Message", [("Route", "the model of [chat] here"), ("Error", "no [/such] tag")])
            )
            await until(pilot, lambda: "the model of [chat] here" in screen_of(app))

            assert "no [/such] tag" in screen_of(app)

    run(body())
