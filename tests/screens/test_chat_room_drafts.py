"""What is being written in the chat room, whatever is opened, sent, refused or ended meanwhile."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from console.chat.drafts import Draft, PastedText
from tests.conftest import run
from tests.console.store_kit import say
from tests.screens.room_kit import RoomKit, box, endless, room

DRAFTS = "SELECT chat_key, text FROM drafts WHERE text <> '' ORDER BY chat_key"


async def two_chats(r: RoomKit) -> tuple[str, str]:
    store = await r.store()
    first, second = await say(store, "first question", "one"), await say(store, "second question", "two")
    return first, second


async def opened(r: RoomKit, chat_id: str) -> None:
    r.room.open_chat(chat_id)
    await r.until(lambda: r.chat.id == chat_id)


def test_each_chat_has_its_own_draft(tmp_path: Path) -> None:
    async def body() -> None:
        async with room(tmp_path, box()) as r:
            first, second = await two_chats(r)
            await r.type("for a new one")
            await opened(r, first)
            await r.until(lambda: r.written == "")
            await r.type("for the first")
            await opened(r, second)
            await r.type("for the second")
            await opened(r, first)
            await r.until(lambda: r.written == "for the first")
            await r.press("ctrl+n")
            await r.until(lambda: r.written == "for a new one")

            kept = sorted([(first, "for the first"), (second, "for the second"), ("new", "for a new one")])
            await r.until(lambda: r.rows(DRAFTS) == kept)

            await opened(r, second)
            await r.until(lambda: r.written == "for the second")
            await r.press("enter")
            await r.until(lambda: len(r.items) == 4)
            await r.until(lambda: [key for key, _ in r.rows(DRAFTS)] == sorted([first, "new"]))

    run(body())


def test_what_is_written_is_there_after_the_end_of_the_app(tmp_path: Path) -> None:
    async def body() -> None:
        async with room(tmp_path, box()) as r:
            await r.say("echo one")
            await r.type("half a sent")
            chat_id = r.chat.id
        async with room(tmp_path, box()) as r:
            await r.until(lambda: r.written == "half a sent")
            assert r.chat.id == chat_id
            await r.press("e", "n", "c", "e", "ctrl+c")
            assert r.written == ""
            await r.press("up")
            assert r.written == "half a sentence"
            await r.press("ctrl+c")
        async with room(tmp_path, box()) as r:
            await r.until(lambda: r.texts == ["echo one", "one"])
            await r.press("up")
            await r.until(lambda: r.written == "half a sentence")

    run(body())


def test_what_is_typed_while_a_chat_begins_goes_with_it(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = endless()
        async with room(tmp_path, ollama) as r:
            await r.write("go on for ever")
            await r.press("enter", "n", "e", "x", "t")
            await r.streams()
            await r.until(lambda: r.rows(DRAFTS) == [(r.chat.id, "next")])

            await r.press("ctrl+n")
            await r.until(lambda: r.items == ())
            assert r.written == ""
            assert r.rows(DRAFTS)[0][1] == "next"

    run(body())


def test_a_question_that_cannot_be_kept_comes_back(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        async with room(tmp_path, ollama) as r:
            await r.say("echo one")
            store = await r.store()
            store._wait_s = 0.05
            asked = len(ollama.requests_to("/api/chat"))
            with closing(sqlite3.connect(store.paths.store_file, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                await r.write("echo two")
                await r.press("enter")
                await r.told("Another process is using the history")
                await r.until(lambda: r.written == "echo two")
                await r.type("!")
                await r.sees("What you write is not kept")
                assert len(r.items) == 2
                other.execute("ROLLBACK")

            await r.type("!")
            await r.until(lambda: r.rows(DRAFTS) == [(r.chat.id, "echo two!!")])
            assert len(ollama.requests_to("/api/chat")) == asked
            await r.press("enter")
            await r.until(lambda: r.texts[2:] == ["echo two!!", "two!!"])

    run(body())


def test_a_failed_edit_is_still_an_edit(tmp_path: Path) -> None:
    async def body() -> None:
        async with room(tmp_path, box()) as r:
            await r.say("echo one")
            store = await r.store()
            store._wait_s = 0.05
            await r.go_to(0)
            await r.press("e")
            await r.until(lambda: r.written == "echo one")
            with closing(sqlite3.connect(store.paths.store_file, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                await r.press("s", "enter")
                await r.told("Another process is using the history")
                await r.until(lambda: r.written == "echo ones")
                other.execute("ROLLBACK")

            assert r.room.editing is not None
            await r.press("enter")
            await r.until(lambda: r.texts == ["echo ones", "ones"])
            assert r.items[0].siblings == 2

    run(body())


def test_files_that_are_added_to_an_edit_stay_in_the_composer(tmp_path: Path) -> None:
    async def body() -> None:
        async with room(tmp_path, box()) as r:
            await r.say("echo one")
            await r.go_to(0)
            await r.press("e")
            await r.until(lambda: r.written == "echo one")
            chip = PastedText("a long paste\n" * 40)
            r.room.composer.set_draft(Draft("echo ones", (chip,)))
            await r.until(lambda: r.room.composer.attachments)
            await r.press("enter")
            await r.told("keeps the files it had")
            await r.until(lambda: r.texts == ["echo ones", "ones"])
            assert r.room.composer.draft() == Draft("", (chip,))

    run(body())


def test_leaving_an_edit_brings_back_what_was_being_written(tmp_path: Path) -> None:
    async def body() -> None:
        async with room(tmp_path, box()) as r:
            first, _ = await two_chats(r)
            await opened(r, first)
            await r.type("set aside")
            await r.go_to(1)  # of an answer, the question above it
            await r.press("e")
            await r.until(lambda: r.written == "first question")
            await r.sees("Esc leaves it as it was")
            await r.type(" again")
            await r.press("escape")
            await r.until(lambda: r.written == "set aside")
            await r.sees_no("Esc leaves it as it was")
            await r.until(lambda: r.rows(DRAFTS) == [(first, "set aside")])
            await r.press("ctrl+r")  # the words of the edit are among the past ones
            await r.sees("first question again")

    run(body())


def test_an_edit_ends_with_its_chat_and_with_the_app(tmp_path: Path) -> None:
    async def body() -> None:
        async with room(tmp_path, box()) as r:
            first, second = await two_chats(r)
            await opened(r, first)
            await r.type("set aside")
            await r.go_to(0)
            await r.press("e")
            await r.until(lambda: r.written == "first question")
            await opened(r, second)
            await r.until(lambda: r.written == "")
            assert r.room.editing is None
            await opened(r, first)
            await r.until(lambda: r.written == "set aside")
            await r.go_to(0)
            await r.press("e")
            await r.until(lambda: r.written == "first question")
            await r.type(" and more")
        async with room(tmp_path, box()) as r:
            await opened(r, first)
            await r.until(lambda: r.written == "set aside")
            assert "first question and more" in await r.room.composer.history.search("")

    run(body())


def test_off_the_record_nothing_is_left_but_the_books(tmp_path: Path) -> None:
    secret = "xylophone"

    async def body() -> None:
        async with room(tmp_path, box(), box("paid"), prices=("paid",)) as r:
            await r.say("echo on the record")
            await r.press("alt+n")
            await r.sees("off the record")
            await r.say(f"echo {secret}", f"echo {secret} twice")
            await r.press("up")
            assert r.written == f"echo {secret} twice"
            await r.type(f" {secret}")
            await r.press("ctrl+c")
            await r.type(f"unsent {secret}")
            await r.go_to(0)
            await r.press("e")
            await r.until(lambda: r.room.editing is not None)
            await r.press("escape")
            await r.type("x")
            assert secret.encode() not in r.app.frame()
            await r.press("f8")
            await r.until(lambda: r.app.current_mode == "logs")
            assert secret.encode() not in r.app.frame()
            await r.press("f2")

            await r.press("ctrl+n")
            await r.told("Alt+N comes back to it")
            assert r.written == ""
            await r.press("up")
            assert secret not in r.written
            await r.press("down", "alt+n")
            await r.until(lambda: len(r.items) == 4)
            assert r.written == f"unsent {secret}x"
            assert r.rows("SELECT count(*) FROM chats") == [(1,)]
            assert r.rows("SELECT count(*) FROM ledger") == [(3,)]

    run(body())
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert len(files) > 1
    assert [each for each in files if secret.encode() in each.read_bytes()] == []


def test_another_chat_off_the_record_ends_what_nobody_can_come_back_to(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = endless()
        async with room(tmp_path, ollama) as r:
            await r.press("alt+n")
            await r.ask("go on for ever")
            await r.streams()
            first = r.chat
            await r.press("ctrl+n")
            await r.until(lambda: r.items == ())
            assert first.is_busy
            await r.press("alt+n")
            await r.streams()
            await r.press("alt+n")
            await r.ask("echo second")
            await r.answered()
            assert first.is_busy
            await r.press("alt+n")  # the first one cannot be reached from here on
            await r.until(lambda: not first.is_busy)
            await ollama.until_idle()
            await r.press("ctrl+n", "alt+n")
            await r.until(lambda: r.texts == ["echo second", "second"])

    run(body())
