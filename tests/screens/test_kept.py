"""Dialogs that are kept while they are left, and what showing one again takes: counted, as times tell little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.css.stylesheet import Stylesheet
from textual.screen import Screen
from textual.widgets import Input

from console.history.store import Store
from screens.app import HawserApp
from screens.chat import ChatRoom
from screens.chat_choices import search
from screens.dialogs.chats import ChatsDialog
from screens.dialogs.search import SearchDialog
from tests.conftest import run
from tests.console.store_kit import say
from tests.screens.kit import press, running, screen_of, type_text, until


class Counted:
    """How often something was done since the last look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.frames = self.styled = 0
        display, apply = HawserApp._display, Stylesheet.apply

        def counted_display(app: HawserApp, screen: Screen[Any], frame: Any) -> None:
            self.frames += frame is not None
            display(app, screen, frame)

        def counted_apply(*these: Any, **how: Any) -> None:
            self.styled += 1
            apply(*these, **how)

        monkeypatch.setattr(HawserApp, "_display", counted_display)
        monkeypatch.setattr(Stylesheet, "apply", counted_apply)

    def begin(self) -> None:
        self.frames = self.styled = 0


async def fill(store: Store, *titles: str) -> None:
    for title in titles:
        await store.rename_chat(await say(store, "why", "because"), title)


def test_a_list_that_is_shown_again_is_as_new_and_nothing_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        counted = Counted(monkeypatch)
        async with running(tmp_path) as (app, pilot):
            store = await app.runtime.store()
            await fill(store, "anchors", "hawsers")
            await press(pilot, "ctrl+g")
            await until(pilot, lambda: "2 chats" in screen_of(app))
            first = app.screen
            await type_text(pilot, "haw")
            await until(pilot, lambda: "1 chat with “haw”" in screen_of(app))
            await press(pilot, "ctrl+g")
            await until(pilot, lambda: "Deleted chats" in screen_of(app))
            await press(pilot, "escape")
            await until(pilot, lambda: not app.screen.is_modal)
            await fill(store, "cranes")
            counted.begin()

            await press(pilot, "ctrl+g")
            await until(pilot, lambda: "3 chats" in screen_of(app))

            assert app.screen is first
            assert first.query_one(Input).value == ""
            assert isinstance(app.focused, Input)
            assert "Deleted chats" not in screen_of(app)
            assert [row.title for row in first.rows.rows if row] == ["cranes", "hawsers", "anchors"]  # type: ignore[attr-defined]
            assert counted.styled <= 20, "the styles of its widgets are not found anew"

    run(body())


def test_rows_that_stayed_are_not_painted_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            store = await app.runtime.store()
            await fill(store, *(f"chat number {number}" for number in range(30)))

            async def show(*words: str) -> ChatsDialog:
                await press(pilot, "ctrl+g")
                await until(pilot, lambda: all(each in screen_of(app) for each in ("30 chats", *words)))
                dialog = app.screen
                assert isinstance(dialog, ChatsDialog)
                return dialog

            async def leave() -> None:
                await press(pilot, "escape")
                await until(pilot, lambda: not app.screen.is_modal)

            dialog = await show("chat number 0", "chat number 29")
            painted: list[str] = []
            paint = dialog.rows.paint

            def counted(row: Any, width: int, is_cursor: bool) -> Any:
                painted.append(row.title)
                return paint(row, width, is_cursor)

            dialog.rows.paint = counted
            await leave()
            assert await show("chat number 0", "chat number 29") is dialog
            assert painted == []
            third = dialog.rows.rows[2]
            assert third is not None
            await leave()
            await store.rename_chat(third.id, "another name")
            await show("another name")
            assert painted == ["another name"]

    run(body())


def test_a_letter_and_the_rows_it_leaves_are_one_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        counted = Counted(monkeypatch)
        async with running(tmp_path) as (app, pilot):
            await fill(await app.runtime.store(), "anchors", "hawsers")
            await press(pilot, "ctrl+g")
            await until(pilot, lambda: "2 chats" in screen_of(app))
            dialog = app.screen
            assert isinstance(dialog, ChatsDialog)
            seen: list[tuple[str, str]] = []
            display = HawserApp._display

            def look(app: HawserApp, screen: Screen[Any], frame: Any) -> None:
                words = dialog.query_one(".status").render()
                seen.append((dialog.words, str(words)))
                display(app, screen, frame)

            monkeypatch.setattr(HawserApp, "_display", look)
            dialog.hold_frame(60)  # as long as it takes on a busy machine
            await type_text(pilot, "h")
            await until(pilot, lambda: "1 chat with “h”" in screen_of(app))

            assert ("h", "1 chat with “h”") in seen
            assert [words for letters, words in seen if letters == "h" and "“h”" not in words] == []
            assert counted.frames >= 1

    run(body())


def test_a_search_that_is_begun_again_looks_for_its_words(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            await fill(await app.runtime.store(), "anchors", "hawsers")
            room = app.screen
            assert isinstance(room, ChatRoom)
            for words, seen in (("anchors", "1 place"), ("anchors", "1 place"), ("", "All words must stand")):
                search(room, words)
                await until(pilot, lambda seen=seen: seen in screen_of(app))  # type: ignore[misc]
                assert app.screen.query_one(Input).value == words
                await press(pilot, "escape")
                await until(pilot, lambda: not app.screen.is_modal)
                await fill(await app.runtime.store(), "ropes")

    run(body())


def test_nothing_stays_held_when_nothing_comes(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            await press(pilot, "ctrl+f")
            await until(pilot, lambda: "Search in all chats" in screen_of(app))
            dialog = app.screen
            assert isinstance(dialog, SearchDialog)

            dialog.hold_frame(0.001)
            dialog.query_one(".status").update("after a while")  # type: ignore[attr-defined]

            await until(pilot, lambda: "after a while" in screen_of(app))
            assert app._batch_count == 0

    run(body())


def test_another_size_or_theme_makes_a_kept_dialog_anew(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            made = []
            for theme in (app.theme, "textual-light", "textual-light"):
                app.theme = theme
                await press(pilot, "ctrl+f")
                await until(pilot, lambda: "Search in all chats" in screen_of(app))
                made.append(app.screen)
                await press(pilot, "escape")
                await until(pilot, lambda: not app.screen.is_modal)
            await pilot.resize_terminal(80, 24)
            await press(pilot, "ctrl+f")
            await until(pilot, lambda: "Search in all chats" in screen_of(app))

            assert made[0] is not made[1]
            assert made[1] is made[2]
            assert app.screen is not made[2]
            assert app.screen.size.width == 80
            await until(pilot, lambda: not made[0].is_running)

    run(body())
