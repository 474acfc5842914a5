"""Another process at the same chats: what it deletes, adds, locks, and what it leaves behind when it dies."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from console.chat import open_chat
from console.chat.questions import Question
from console.errors import NotFound, StoreLocked
from console.history import waiting
from providers.simulated.services import FaultKind
from tests.conftest import run
from tests.console.desk_kit import asked, box, place, q, said


@pytest.mark.parametrize("how", ["put away", "removed"])
def test_a_question_in_a_chat_deleted_elsewhere_begins_a_new_one(tmp_path: Path, how: str) -> None:
    async def body() -> None:
        async with place(tmp_path, box()) as here:
            chat = here.desk.new()
            await asked(chat, "echo one")
            old, store = chat.id or "", await here.store()
            await (store.put_away_chat(old) if how == "put away" else store.delete_chat(old))

            await asked(chat, "echo two")

            assert [text for _, _, text in said(chat)] == ["echo two", "two"]
            assert chat.id != old
            assert [(each.id, each.title) for each in await store.chats()] == [(chat.id, "echo two")]
            assert [kind for kind, _ in here.notices()] == ["moved"]
            with pytest.raises(NotFound):
                await here.desk.open(old)

    run(body())


def test_an_answer_whose_chat_is_removed_meanwhile_is_kept(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        ollama.faults.once(FaultKind.ENDLESS)
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            await chat.ask(q("go on for ever"))
            await here.until(lambda: any(live.text for live in chat.lives.values()))
            old, store = chat.id or "", await here.store()
            await store.delete_chat(old)

            await chat.stop()
            await here.until(lambda: "moved" in dict(here.notices()))

            (question, answer) = said(chat)
            assert question == ("user", "complete", "go on for ever")
            assert answer[1] == "stopped"
            assert answer[2]
            assert [message.text for message in await store.path(chat.id or "")] == [question[2], answer[2]]
            assert here.rows("SELECT outcome FROM ledger") == [("stopped",)]
            await asked(chat, "echo on")
            assert len(chat.entries) == 4

    run(body())


def test_a_branch_removed_elsewhere_lets_the_question_follow_what_is_left(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path, box()) as here:
            chat = here.desk.new()
            await asked(chat, "echo one", "echo two")
            store = await here.store()
            await store.cut_branch(chat.id or "", chat.entries[2].message.id)

            await asked(chat, "echo three")

            assert [text for _, _, text in said(chat)] == ["echo one", "one", "echo three", "three"]

    run(body())


def test_what_another_window_adds_is_seen_when_the_chat_is_opened_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path, box()) as here, place(tmp_path) as there:
            chat = here.desk.new()
            await asked(chat, "echo one")
            other = await there.desk.open(chat.id or "")
            assert said(other) == said(chat)

            leaf = chat.entries[-1].message.id
            store = await there.store()
            await store.add_question(chat.id or "", leaf, "from elsewhere")
            await here.desk.open(chat.id or "", leaf)

            assert [text for _, _, text in said(chat)] == ["echo one", "one", "from elsewhere"]

    run(body())


def test_a_question_that_cannot_be_kept_is_refused_and_nothing_is_asked(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            await asked(chat, "echo one")
            store = await here.store()
            store._wait_s = 0.1
            with closing(sqlite3.connect(store.paths.store_file, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                before = len(ollama.requests)
                began = time.monotonic()
                with pytest.raises(StoreLocked):
                    await chat.ask(q("echo two"))
                assert time.monotonic() - began < 5
                other.execute("ROLLBACK")

            assert (len(chat.entries), chat.is_busy, len(ollama.requests)) == (2, False, before)
            await asked(chat, "echo two")
            assert said(chat)[-1][2] == "two"

    run(body())


def test_an_answer_that_could_not_be_written_is_kept_when_the_store_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        ollama = box()
        ollama.faults.once(FaultKind.ENDLESS)
        monkeypatch.setattr(open_chat, "KEEP_AGAIN_S", (0.0,) * 1000)
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            await chat.ask(q("go on for ever"))
            await here.until(lambda: any(live.text for live in chat.lives.values()))
            store = await here.store()
            store._wait_s = 0.05
            with closing(sqlite3.connect(store.paths.store_file, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                await chat.stop()
                await chat.settled()
                assert said(chat)[1][1] == "stopped"
                other.execute("ROLLBACK")

            await here.until(lambda: ("store", "The answer is kept after all.") in here.notices())
            assert here.rows("SELECT state, text FROM messages WHERE role = 'assistant'") == [said(chat)[1][1:]]
            assert here.rows("SELECT count(*) FROM parts") == [(0,)]

    run(body())


def test_questions_that_waited_when_a_process_died_are_found_and_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from console.chat.attachments import Attachment

    async def body() -> None:
        ollama = box()
        ollama.faults.once(FaultKind.ENDLESS)
        note = Attachment("note.png", "image/png", b"\x89PNG\xff", "")
        async with place(tmp_path, ollama) as here:
            monkeypatch.setattr(waiting, "this_process", lambda: "999999999:1")
            chat = here.desk.new()
            await chat.ask(q("go on for ever"))
            await chat.ask(Question("echo two", (note,), "material"))
            await chat.compare(q("echo three"), ["box/llama3.1:8b", "box/phi3:latest"])
        monkeypatch.undo()

        async with place(tmp_path, box()) as here:
            again = await here.desk.latest()
            assert again is not None
            assert again.entries[-1].message.state == "stopped"
            assert again.waiting == (Question("echo two", (note,), "material"), q("echo three"))
            assert (again.is_held, again.is_busy) == (True, False)

            (await again.drop_waiting())
            assert here.rows("SELECT count(*) FROM drafts") == [(0,)]

    run(body())


def test_questions_that_wait_in_a_living_process_are_its_own(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        ollama.faults.always(FaultKind.ENDLESS)
        async with place(tmp_path, ollama) as here, place(tmp_path) as there:
            chat = here.desk.new()
            await chat.ask(q("go on for ever"))
            await chat.ask(q("echo two"))

            other = await there.desk.open(chat.id or "")

            assert (other.waiting, len(chat.waiting)) == ((), 1)

    run(body())


def test_the_branch_that_is_chosen_while_the_chat_is_read_again_stays_chosen(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path, box()) as here:
            chat = here.desk.new()
            await asked(chat, "echo one")
            first = chat.entries[-1].message.id
            await chat.regenerate(first)
            await chat.settled()
            assert chat.entries[-1].message.id != first
            store, began, may_go_on = await here.store(), threading.Event(), threading.Event()

            await chat.read_again()
            await store.run(lambda c: c.execute("UPDATE chats SET updated_at = updated_at + 1"), write=True)

            def hold(_: sqlite3.Connection) -> None:
                began.set()
                may_go_on.wait(30)

            reading = asyncio.create_task(chat.read_again())  # looks whether somebody changed the chat
            await asyncio.sleep(0)
            holding = asyncio.create_task(store.run(hold))  # and waits behind this to read it
            await asyncio.to_thread(began.wait, 30)
            for _ in range(5):
                await asyncio.sleep(0)
            choosing = asyncio.create_task(chat.keep(first))
            await asyncio.sleep(0)
            may_go_on.set()
            await asyncio.gather(reading, holding, choosing)

            assert chat.entries[-1].message.id == first

    run(body())
