"""What stands under an answer that broke, what is kept of it, and what works while nothing answers."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from providers.simulated.services import Fault, FaultKind, SimulatedOpenAI, Speed
from screens.chat import ChatRoom
from screens.dialogs.chats import ChatsDialog
from screens.dialogs.models import ModelsDialog
from tests.conftest import run
from tests.screens.room_kit import RoomKit, box, endless, room

AGAIN = "r asks again, R asks another model"
ON = f"c goes on from here, {AGAIN}"


@pytest.mark.parametrize(
    ("fault", "error", "hint"),
    [
        (Fault(FaultKind.MODEL_GONE), "box does not have the model", f"hawser model pull box/llama3.1:8b\n  {AGAIN}"),
        (Fault(FaultKind.HTML), "sent a web page titled '502 Bad Gateway'", AGAIN),
        (Fault(FaultKind.STATUS, 503), "server busy, please try again", AGAIN),
        (Fault(FaultKind.EMPTY), "box/llama3.1:8b gave an empty answer.", AGAIN),
        (Fault(FaultKind.CUT, 3), "broke off in the middle of the answer", ON),
        (Fault(FaultKind.ERROR, 3), "llama runner process has terminated", ON),
    ],
    ids=lambda each: each.kind.value if isinstance(each, Fault) else "",
)
def test_a_broken_answer_says_why_and_what_to_do(tmp_path: Path, fault: Fault, error: str, hint: str) -> None:
    async def body() -> None:
        ollama = box()
        ollama.faults.always(fault)
        async with room(tmp_path, ollama) as r:
            await r.say("tell me about rope")
            item = r.items[-1]
            assert item.state == "failed"
            assert error.removeprefix("box ") in (item.error or "")
            assert (item.hint or "").endswith(hint)
            await r.sees("✗ ", "→ ", "r asks again")
            shown = " ".join(words for words, _ in item.foot)
            assert ("tokens" in shown) is bool(item.text or fault.kind is FaultKind.EMPTY)

            ollama.faults.clear()
            await r.go_to(-1)
            await r.press("r")
            await r.until(lambda: r.items[-1].siblings == 2)
            await r.answered()
            assert (r.items[-1].state, r.items[-1].error) == ("complete", None)

    run(body())


def test_a_key_that_is_refused_names_the_command_that_sets_it(tmp_path: Path) -> None:
    async def body() -> None:
        paid = SimulatedOpenAI("paid")
        async with room(tmp_path, paid, model="paid/gpt-4.1") as r:
            paid.key = SimulatedOpenAI.new_key()
            await r.say("tell me about rope")
            await r.sees("does not accept the key", "hawser key set paid")

    run(body())


def test_what_others_answer_in_its_place_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        down, up = box("down"), box("up")
        settings = '[aliases]\nmine = ["down/llama3.1:8b", "up/llama3.1:8b"]'
        async with room(tmp_path, down, up, model="mine", settings=settings) as r:
            await down.close_door()
            await r.say("echo one")
            assert r.texts[-1] == "one"
            await r.sees("· up ·", "instead of down")
            assert "down" in r.toasts

    run(body())


def test_a_context_that_was_cut_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        ollama.faults.always(FaultKind.TRUNCATE, 64)
        async with room(tmp_path, ollama) as r:
            await r.say("echo on " + "long and longer words of a story " * 100)
            await r.told("The server read only 64")

    run(body())


def test_nothing_waits_for_an_endpoint_that_never_answers(tmp_path: Path) -> None:
    async def body() -> None:
        silent = box()
        silent.faults.always(Fault(FaultKind.SLOW, on="/"))
        async with room(tmp_path, silent, box("other")) as r:
            await r.ask("are you there?")
            await r.until(lambda: r.chat.is_busy)
            await r.sees("waiting")
            await r.type("typed meanwhile")
            assert r.written == "typed meanwhile"
            await r.press("ctrl+n")
            await r.until(lambda: not r.items)
            await r.press("ctrl+g")
            await r.until(lambda: isinstance(r.app.screen, ChatsDialog))
            await r.sees("are you there?")
            await r.press("escape", "ctrl+l")
            await r.until(lambda: isinstance(r.app.screen, ModelsDialog))
            await r.type("llama")
            await r.press("escape")
            await r.until(lambda: isinstance(r.app.screen, ChatRoom))
            await r.press("ctrl+g")
            await r.until(lambda: isinstance(r.app.screen, ChatsDialog))
            await r.sees("are you there?")
            await r.press("enter")
            await r.until(lambda: len(r.items) == 2)
            assert r.items[1].state == "streaming"
            await r.until(lambda: r.written == "typed meanwhile")
            await r.press("escape")
            await r.until(lambda: r.items[1].state == "stopped")
            await r.until(lambda: not r.chat.is_busy)
            await r.ask("and now?")  # what is under way when the app ends does not hold it
            await r.until(lambda: r.chat.is_busy)

    run(body())


def test_an_answer_goes_on_in_a_chat_that_is_not_shown(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box(speed=Speed(tokens_per_second=400))
        async with room(tmp_path, ollama) as r:
            await r.ask("say 100 tokens")
            await r.streams()
            chat = r.chat
            await r.press("ctrl+n")
            await r.ask("echo elsewhere")
            await r.answered()
            assert r.texts == ["echo elsewhere", "elsewhere"]
            await r.press("f8")
            await r.until(lambda: r.app.current_mode == "logs")
            await r.until(lambda: not chat.is_busy)
            await r.press("f2")
            r.room.open_chat(chat.id or "")
            await r.until(lambda: r.chat is chat)
            assert r.items[1].state == "complete"
            assert r.rows("SELECT text FROM messages WHERE parent_id IS NOT NULL ORDER BY seq")[0][0] == r.items[1].text

    run(body())


def test_the_end_of_the_app_keeps_what_has_come(tmp_path: Path) -> None:
    async def body() -> None:
        async with room(tmp_path, endless()) as r:
            await r.ask("go on for ever")
            await r.streams()
            seen = r.items[1].text
        async with room(tmp_path, box()) as r:
            await r.until(lambda: len(r.items) == 2)
            assert r.items[1].state == "stopped"
            assert r.items[1].text.startswith(seen)
            await r.sees("c goes on, r asks again")

    run(body())


def locked(r: RoomKit) -> sqlite3.Connection:
    other = sqlite3.connect(r.app.runtime.paths.store_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


def test_a_store_that_is_held_in_the_middle_of_an_answer(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = endless()
        async with room(tmp_path, ollama) as r:
            await r.ask("go on for ever")
            await r.streams()
            store = await r.store()
            store._wait_s = 0.05
            with closing(locked(r)) as other:
                seen = len(r.items[1].text)
                await r.until(lambda: len(r.items[1].text) > seen + 50)
                await r.press("escape")
                await r.until(lambda: r.items[1].state == "stopped")
                await r.told("Another process is using the history")
                text = r.items[1].text
                await r.press("escape", "left_square_bracket")
                other.execute("ROLLBACK")
            await r.until(
                lambda: r.rows("SELECT state, text FROM messages WHERE role = 'assistant'") == [("stopped", text)]
            )

    run(body())


def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    async def body() -> None:
        file = tmp_path / "data" / "hawser.db"
        file.mkdir(parents=True)
        ollama = box()
        async with room(tmp_path, ollama) as r:
            await r.told("cannot be opened.\nIt needs to be a file")
            await r.write("echo one")
            await r.press("enter")
            await r.until(lambda: r.written == "echo one")
            await r.sees("What you write is not kept")
            await r.press("alt+n")  # what it costs could not be booked, so nobody is asked
            await r.ask("echo off")
            await r.until(lambda: r.items[-1].state == "failed")
            assert "cannot be opened" in (r.items[-1].error or "")
            assert ollama.requests_to("/api/chat") == []
            file.rmdir()
            await r.go_to(-1)
            await r.press("r")
            await r.until(lambda: r.texts[-1] == "off")
            await r.press("ctrl+n")
            await r.until(lambda: r.written == "echo one")
            await r.press("enter")
            await r.until(lambda: r.texts == ["echo one", "one"])

    run(body())
