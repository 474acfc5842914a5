"""The list of chats, the search and the sidebar, driven over a real store."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from console.chat.shelf import PAGE
from console.history.store import Store
from screens.app import HawserApp
from screens.dialogs.chats import ChatsDialog, Place
from screens.dialogs.search import SearchDialog
from screens.widgets.glimpse import GlimpseView
from tests.clocks import EagerClock
from tests.conftest import run
from tests.console.store_kit import say
from tests.screens.kit import press, running, screen_of, text_of, type_text, until

NOW = datetime(2026, 9, 1, 10, tzinfo=UTC)


class Kit:
    """The app with a dialog over it; `answers` is what the dialog was left with."""

    def __init__(self, app: HawserApp, pilot: Pilot[int], store: Store) -> None:
        self.app = app
        self.pilot = pilot
        self.store = store
        self.answers: list[Place | None] = []

    async def chat(self, title: str, question: str = "why", answer: str = "because") -> str:
        chat_id = await say(self.store, question, answer)
        await self.store.rename_chat(chat_id, title)
        return chat_id

    async def chats(self, **how: Any) -> ChatsDialog:
        dialog = ChatsDialog(self.app.runtime.shelf, lambda: NOW, **how)
        await self.app.push_screen(dialog, self.answers.append)
        await self.sees("chat")
        return dialog

    async def search(self, words: str = "") -> SearchDialog:
        dialog = SearchDialog(self.app.runtime.shelf, lambda: NOW, words=words)
        await self.app.push_screen(dialog, self.answers.append)
        return dialog

    async def sees(self, *words: str) -> None:
        await until(self.pilot, lambda: all(word in screen_of(self.app) for word in words))

    async def sees_no(self, *words: str) -> None:
        await until(self.pilot, lambda: not any(word in screen_of(self.app) for word in words))

    async def press(self, *keys: str) -> None:
        await press(self.pilot, *keys)

    async def type(self, text: str) -> None:
        await type_text(self.pilot, text)


@asynccontextmanager
async def kit(home: Path, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Kit]:
    async with running(home, size=size, clock=EagerClock(NOW)) as (app, pilot):
        yield Kit(app, pilot, await app.runtime.store())


def titles(dialog: ChatsDialog) -> list[str]:
    return [row.title for row in dialog.rows.rows if row is not None]


def test_empty_list_says_what_to_do(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            await k.chats()
            await k.sees("There are no chats yet.")

            await k.press("enter", "ctrl+r", "ctrl+s", "ctrl+d", "ctrl+o", "ctrl+t")
            await k.sees("There are no chats yet.")
            await k.press("ctrl+y")
            await k.sees("There is nothing to bring back.")
            await k.press("escape")
            await until(k.pilot, lambda: k.answers == [None])

    run(body())


def test_enter_opens_the_chat_under_the_cursor(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            first = await k.chat("About anchors")
            await k.chat("About hawsers")
            await k.chats()
            await k.sees("About hawsers", "About anchors", "2 chats")

            await k.press("down", "enter")

            await until(k.pilot, lambda: k.answers == [Place(first)])

    run(body())


def test_typing_filters_and_marks(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            await k.chat("About anchors", answer="They are made of nickel")
            await k.chat("About hawsers")
            dialog = await k.chats()

            await k.type("haw")
            await until(k.pilot, lambda: titles(dialog) == ["About hawsers"])
            await k.sees("1 chat with “haw”")
            await k.press("backspace", "backspace", "backspace")
            await k.type("nick")
            await until(k.pilot, lambda: titles(dialog) == ["About anchors"])
            await k.press("k", "e", "l", "x")
            await k.sees("No chat has “nickkelx”.")

    run(body())


def test_preview_shows_the_end_and_where_the_words_stand(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            chat_id = await k.chat("About anchors", "first question", "about nickel")
            leaf = (await k.store.path(chat_id))[-1].id
            await say(k.store, "second question", "the last answer", chat_id, leaf)
            await k.chats()

            await k.sees("the last answer", "4 messages")
            await k.type("nickel")
            await k.sees("about nickel")
            await k.sees_no("the last answer")

    run(body())


@pytest.mark.parametrize(("size", "there"), [((80, 24), False), ((120, 40), True), ((200, 60), True)])
def test_preview_is_there_where_there_is_room(tmp_path: Path, size: tuple[int, int], there: bool) -> None:
    async def body() -> None:
        async with kit(tmp_path, size) as k:
            await k.chat("About anchors", "why", "a long reason")
            dialog = await k.chats()
            await k.sees("About anchors")

            assert dialog.query_one(GlimpseView).display is there
            if there:
                await k.sees("a long reason")

    run(body())


def test_rename(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            await k.chat("Newer")
            chat_id = await k.chat("Ropes")
            await k.chat("Newest")
            await k.chats()
            await k.press("down", "ctrl+r")
            await k.sees("Rename")

            await k.press("end", "space", "x")
            await k.press("enter")

            await k.sees("Ropes x")
            assert (await k.store.chat(chat_id)).title == "Ropes x"
            dialog = k.app.screen
            assert isinstance(dialog, ChatsDialog)
            await until(k.pilot, lambda: dialog.rows.cursor is not None and dialog.rows.cursor.title == "Ropes x")

    run(body())


def test_a_title_is_never_empty(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            chat_id = await k.chat("Ropes")
            await k.chats()
            await k.press("ctrl+r")
            await k.sees("Rename")
            k.app.screen.query_one(Input).value = "  "
            await k.press("enter")
            await k.sees("A title has at least one letter.")
            await k.press("escape")

            assert (await k.store.chat(chat_id)).title == "Ropes"

    run(body())


def test_pin_moves_a_chat_to_the_top_and_the_cursor_with_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            for title in ("one", "two", "three"):
                await k.chat(title)
            dialog = await k.chats()
            await k.press("down", "down", "ctrl+s")

            await until(k.pilot, lambda: titles(dialog) == ["one", "three", "two"])
            await until(k.pilot, lambda: dialog.rows.cursor_index == 0)
            assert any("★ one" in line for line in text_of(k.app))
            await k.press("ctrl+s")
            await until(k.pilot, lambda: titles(dialog) == ["three", "two", "one"])

    run(body())


def test_tags_are_given_and_found(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            chat_id = await k.chat("one")
            await k.chat("two")
            dialog = await k.chats()
            await k.press("down", "ctrl+t")
            await k.sees("Tags")
            await k.type("#gpu work")
            await k.press("enter")

            await until(k.pilot, lambda: k.app.screen is dialog)
            await k.sees("#gpu #work")
            assert (await k.store.chat(chat_id)).tags == ("gpu", "work")
            await k.type("#gp")
            await until(k.pilot, lambda: titles(dialog) == ["one"])

    run(body())


def test_delete_says_how_to_undo_and_undo_brings_it_back(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            for title in ("one", "two", "three"):
                await k.chat(title)
            dialog = await k.chats()
            await k.press("down", "ctrl+d")

            await k.sees("Deleted “two”. ^Y brings it back.")
            assert titles(dialog) == ["three", "one"]
            assert dialog.rows.cursor_index == 1
            await k.press("ctrl+y")
            await k.sees("“two” is back.")
            assert titles(dialog) == ["three", "two", "one"]

    run(body())


def test_deleted_chats_are_listed_and_brought_back(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            chat_id = await k.chat("one")
            await k.chat("two")
            await k.store.put_away_chat(chat_id)
            dialog = await k.chats()
            await k.sees("1 chat")

            await k.press("ctrl+g")
            await k.sees("Deleted chats", "1 chat; Enter brings one back")
            assert titles(dialog) == ["one"]
            await k.press("ctrl+d")
            await k.sees("It is deleted already")
            await k.press("enter")
            await k.sees("“one” is back.", "Nothing was deleted")
            await k.press("ctrl+g")
            await until(k.pilot, lambda: titles(dialog) == ["two", "one"])
            assert k.answers == []

    run(body())


def test_export_writes_the_file_and_refuses_a_second_time(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path / "home") as k:
            await k.chat("My ropes", answer="because of the tide")
            await k.chats(folder=tmp_path)
            await k.press("ctrl+o")
            await k.sees("Export", "my-ropes.md")
            await k.press("enter")

            await k.sees("Written to")
            assert "because of the tide" in (tmp_path / "my-ropes.md").read_text()
            await k.press("ctrl+o")
            await k.sees("my-ropes-2.md")
            k.app.screen.query_one(Input).value = str(tmp_path / "my-ropes.md")
            await k.press("enter")
            await k.sees("is there already", "another name.")

    run(body())


def test_a_chat_that_another_program_removed_is_said_so(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            chat_id = await k.chat("one")
            await k.chats()
            await k.sees("one")
            await k.store.delete_chat(chat_id)

            await k.press("ctrl+s")

            await k.sees("There is no chat")

    run(body())


def test_a_failing_store_is_a_sentence_and_no_crash(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            await k.chat("one")
            await k.store.run(lambda c: c.execute("ALTER TABLE chat_tags RENAME TO elsewhere"), write=True)
            await k.app.push_screen(ChatsDialog(k.app.runtime.shelf, lambda: NOW))
            await k.sees("no such table")
            await k.press("down", "x", "escape")

            await k.store.run(lambda c: c.execute("DROP TABLE message_search"), write=True)
            await k.search("rope")
            await k.sees("no such table")

    run(body())


def test_a_long_list_is_read_as_it_is_looked_at(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            count = 5 * PAGE

            def many(connection: sqlite3.Connection) -> None:
                connection.executemany(
                    "INSERT INTO chats (seq, id, title, client, created_at, updated_at) VALUES (?, ?, ?, 'x', ?, ?)",
                    [(n, f"{n:026}", f"chat {n}", n, n) for n in range(1, count + 1)],
                )

            await k.store.run(many, write=True)
            dialog = await k.chats()
            await k.sees("500 chats", "chat 500")
            await k.press("ctrl+end")
            await until(k.pilot, lambda: any(f"chat {1} " in f"{line} " for line in text_of(k.app)))
            await k.press("pageup", "pageup", "pageup", "pageup", "pageup", "up")
            await until(k.pilot, lambda: dialog.rows.cursor is not None)
            row = dialog.rows.cursor
            assert row is not None
            await k.press("enter")
            await until(k.pilot, lambda: k.answers == [Place(row.id)])

    run(body())


def test_hostile_titles_stay_inside_their_line(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            await k.chat("\x1b[31mred\x07\nsecond \u202egnp.exe", "a\x1b]0;x\x07b", "c\x9bd")
            await k.chat("漢字" * 60)
            await k.chats()
            await k.sees("red", "漢字")
            await k.press("down")
            await k.sees("You")

            drawn = screen_of(k.app)
            assert not set(drawn) & set("\x1b\x07\x9b\u202e")
            assert {len(line) <= 120 for line in text_of(k.app)} == {True}

    run(body())


# Search


def test_search_goes_to_the_message(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            chat_id = await k.chat("About anchors", "made of what?", "of nickel and of iron")
            await k.chat("About hawsers")
            await k.search()
            await k.sees("All words must stand in one text")

            await k.type("nick")
            await k.sees("About anchors", "of nickel and of iron", "1 place")
            await k.press("enter")

            answer = (await k.store.path(chat_id))[-1].id
            await until(k.pilot, lambda: k.answers == [Place(chat_id, answer)])

    run(body())


def test_search_for_a_title_goes_to_the_chat(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            chat_id = await k.chat("About anchors")
            await k.search("anchors")
            await k.sees("title")
            await k.press("enter")

            await until(k.pilot, lambda: k.answers == [Place(chat_id, None)])

    run(body())


def test_search_says_when_nothing_was_found(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            await k.chat("About anchors")
            await k.search("xylophone")
            await k.sees("“xylophone” was not said anywhere.")
            await k.press("enter", "escape")

            await until(k.pilot, lambda: k.answers == [None])

    run(body())


def test_search_reads_more_at_the_end(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            for number in range(130):
                await k.store.add_chat(f"rope {number}", client="test")
            dialog = await k.search("rope")
            await k.sees("The newest 100 places; there are more.")
            await k.press("ctrl+end")

            await until(k.pilot, lambda: len(dialog.rows.rows) == 130)
            assert dialog.rows.cursor_index == 99

    run(body())


# In the chat room


def room_of(k: Kit) -> Any:
    return k.app.screen_stack[0]


def test_the_room_follows_what_is_done_to_its_chat_in_the_list(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            other = await k.chat("Other")
            chat_id = await k.chat("Anchors")
            room = room_of(k)
            room.open_chat(chat_id)
            await until(k.pilot, lambda: room.chat is not None and room.chat.id == chat_id)

            await k.press("ctrl+g")
            await k.sees("▸ Anchors", "2 chats")
            await k.app.runtime.shelf.rename(chat_id, "Chains")
            await until(k.pilot, lambda: room.chat.title == "Chains")
            await k.press("ctrl+d")
            await k.sees("Deleted “")
            await until(k.pilot, lambda: room.chat.id is None)
            await k.press("enter")
            await until(k.pilot, lambda: room.chat.id == other)

    run(body())


def test_a_place_that_was_found_is_opened_in_the_room(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            chat_id = await k.chat("Anchors", "made of what?", "of nickel")
            await k.chat("Other")
            room = room_of(k)

            await k.press("ctrl+f")
            await k.sees("Search in all chats")
            await k.type("nickel")
            await k.sees("1 place")
            await k.press("enter")

            await until(k.pilot, lambda: room.chat is not None and room.chat.id == chat_id)
            answer = (await k.store.path(chat_id))[-1].id
            await until(k.pilot, lambda: room.transcript.current is not None and room.transcript.current.id == answer)

    run(body())


def test_what_was_deleted_a_week_ago_is_gone_after_a_start(tmp_path: Path) -> None:
    async def body() -> None:
        async with kit(tmp_path) as k:
            old = await k.chat("Old")
            await k.store.put_away_chat(old)
        later = EagerClock(NOW + timedelta(days=8))
        async with running(tmp_path, clock=later) as (app, pilot):
            store = await app.runtime.store()
            left = [1]

            async def look() -> None:
                left[:] = await store.run(lambda c: c.execute("SELECT 1 FROM chats").fetchall())

            while left:
                await look()
                await pilot.pause()

            assert await app.runtime.shelf.row(old) is None

    run(body())
