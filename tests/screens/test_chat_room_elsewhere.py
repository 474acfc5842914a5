"""Two apps on one home: what the other window says, renames and deletes."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events

from console.history.store import Store
from tests.conftest import run
from tests.console.store_kit import say
from tests.screens.room_kit import RoomKit, box, endless, room


async def look_away_and_back(r: RoomKit) -> None:
    """The terminal loses and gets the focus."""
    r.app.post_message(events.AppBlur())
    await r.until(lambda: not r.app.app_focus)
    r.app.post_message(events.AppFocus())
    await r.until(lambda: r.app.app_focus)


async def other_window(r: RoomKit) -> Store:
    return await Store.open(r.app.runtime.paths, r.app.runtime.clock)


def test_what_another_window_did_is_there_when_one_looks_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with room(tmp_path, box()) as r:
            await r.say("echo one")
            chat_id = r.chat.id or ""
            other = await other_window(r)
            try:
                leaf = r.items[-1].id
                await say(other, "from elsewhere", "an answer", chat_id, leaf)
                await other.rename_chat(chat_id, "Named elsewhere")
                await look_away_and_back(r)
                await r.until(lambda: r.texts == ["echo one", "one", "from elsewhere", "an answer"])
                await r.sees("Named elsewhere")
                assert r.app.focused is r.room.composer.area

                await say(other, "once more", "and again", chat_id, r.items[-1].id)
                await r.press("f8")
                await r.until(lambda: r.app.current_mode == "logs")
                await r.press("f2")
                await r.until(lambda: r.texts[-1] == "and again")
            finally:
                await other.close()

    run(body())


@pytest.mark.parametrize("how", ["put away", "removed"])
def test_the_open_chat_is_deleted_elsewhere(tmp_path: Path, how: str) -> None:
    async def body() -> None:
        async with room(tmp_path, box()) as r:
            await r.say("echo one")
            chat_id = r.chat.id or ""
            await r.type("draft")
            other = await other_window(r)
            try:
                await (other.put_away_chat(chat_id) if how == "put away" else other.delete_chat(chat_id))
            finally:
                await other.close()
            await look_away_and_back(r)
            await r.sees("This chat is deleted. What you ask next begins a new one.", "No chats yet")
            assert r.texts == ["echo one", "one"]
            assert r.written == "draft"
            await look_away_and_back(r)
            await r.type("s")
            await r.sees_no("This chat is deleted")

            await r.press("ctrl+c")
            await r.write("echo two")
            await r.press("enter")
            await r.until(lambda: r.texts == ["echo two", "two"])
            await r.told("This chat was deleted elsewhere; the question began a new one.")
            assert r.chat.id != chat_id

    run(body())


def test_a_chat_deleted_elsewhere_while_it_is_answered_is_kept(tmp_path: Path) -> None:
    async def body() -> None:
        async with room(tmp_path, endless()) as r:
            await r.ask("go on for ever")
            await r.streams()
            await r.type("next")
            other = await other_window(r)
            try:
                await other.delete_chat(r.chat.id or "")
            finally:
                await other.close()
            await look_away_and_back(r)
            await r.press("escape")
            await r.told("its last turn is kept as a new one")
            assert r.texts[0] == "go on for ever"
            assert r.items[1].state == "stopped"
            assert r.written == "next"
            await r.until(lambda: r.rows("SELECT chat_key FROM drafts WHERE text = 'next'") == [(r.chat.id,)])

    run(body())


def test_two_apps_at_once_on_one_home(tmp_path: Path) -> None:
    async def body() -> None:
        async with room(tmp_path, box()) as here, room(tmp_path, endless()) as there:
            await here.say("echo one")
            there.room.open_chat(here.chat.id or "")
            await there.until(lambda: there.texts == ["echo one", "one"])
            await there.ask("go on for ever")
            await there.streams()
            await look_away_and_back(here)
            await here.until(lambda: len(here.items) == 4)
            await here.sees("arrives in another window")
            await here.write("echo two")
            await here.press("enter")
            await here.until(lambda: here.texts[-1] == "two")
            await there.press("escape")
            await there.answered()
            await look_away_and_back(here)
            await here.sees_no("arrives in another window")
            assert here.items[3] == there.items[3]._replace(head=here.items[3].head)
            stored = {text for (text,) in here.rows("SELECT text FROM messages")}
            assert {"echo one", "one", "go on for ever", "echo two", "two", there.items[-1].text} == stored

    run(body())


def test_a_chat_deleted_in_the_list_is_left_and_comes_back(tmp_path: Path) -> None:
    async def body() -> None:
        async with room(tmp_path, box()) as r:
            await r.say("echo one")
            chat_id = r.chat.id
            await r.press("ctrl+g")
            await r.sees("1 chat")
            await r.press("ctrl+d")
            await r.sees("brings it back")
            await r.until(lambda: r.items == ())
            await r.press("ctrl+y")
            await r.sees("is back.")
            await r.press("enter")
            await r.until(lambda: r.chat.id == chat_id and len(r.items) == 2)

    run(body())
