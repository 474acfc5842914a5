"""What the keys do to a message of the chat room, and to the chat."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from providers.simulated.services import Answer, SimulatedOpenAI
from screens.compare import CompareScreen
from screens.dialogs.ask import AskDialog
from screens.dialogs.branches import BranchesDialog
from screens.dialogs.confirm import ChoiceDialog
from screens.dialogs.details import DetailsDialog
from screens.dialogs.models import ModelsDialog
from tests.conftest import run
from tests.screens.room_kit import RoomKit, box, endless, room


def shows(r: RoomKit, kind: type) -> bool:
    return isinstance(r.app.screen, kind)


def test_writing_anew_asking_again_and_the_branches_of_it(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        async with room(tmp_path, ollama) as r:
            await r.say("echo one", "echo two")
            await r.go_to(0)
            await r.press("e")
            await r.until(lambda: r.written == "echo one")
            await r.type(" more")
            await r.press("enter")
            await r.until(lambda: r.texts == ["echo one more", "one more"])
            await r.answered()
            await r.sees("‹2/2›")

            await r.go_to(-1)
            await r.press("left_square_bracket")  # of an answer without siblings, its question's
            await r.until(lambda: r.texts == ["echo one", "one", "echo two", "two"])
            assert r.room.transcript.current == r.items[0]
            await r.press("[")
            assert len(r.items) == 4
            await r.press("]")
            await r.until(lambda: len(r.items) == 2)
            await r.press("[")
            await r.until(lambda: len(r.items) == 4)

            await r.go_to(1)
            await r.press("r")
            await r.until(lambda: len(r.items) == 2)
            await r.answered()
            assert r.items[1].siblings == 2
            assert ollama.last_json["messages"] == [{"role": "user", "content": "echo one"}]

            await r.go_to(1)
            await r.press("b")
            await r.until(lambda: shows(r, BranchesDialog))
            dialog = r.app.screen
            assert isinstance(dialog, BranchesDialog)
            assert [branch.message.text for branch in dialog.rows.rows] == [
                "echo one", "one", "echo two", "two", "one", "echo one more", "one more",
            ]  # fmt: skip
            await r.type("two")
            await r.until(lambda: len(dialog.rows.rows) == 2)
            await r.press("enter")
            await r.until(lambda: r.texts[-1] == "two")
            assert r.room.transcript.current == r.items[2]

            await r.press("b")
            await r.until(lambda: shows(r, BranchesDialog))
            await r.press("ctrl+d")
            await r.until(lambda: shows(r, ChoiceDialog))
            await r.sees("everything below it is removed")
            await r.press("escape")
            await r.until(lambda: shows(r, type(r.room)))
            assert len(r.items) == 4
            await r.press("b")
            await r.until(lambda: shows(r, BranchesDialog))
            await r.press("ctrl+d")
            await r.until(lambda: shows(r, ChoiceDialog))
            await r.press("D")
            await r.until(lambda: r.texts == ["echo one", "one"])
            assert r.rows("SELECT count(*) FROM messages WHERE text LIKE '%two%'") == [(0,)]
            assert r.rows("SELECT count(*) FROM ledger") == [(4,)]

    run(body())


def test_another_model_answers_again_and_the_answers_stand_side_by_side(tmp_path: Path) -> None:
    async def body() -> None:
        async with room(tmp_path, box(), box("other")) as r:
            await (await r.app.runtime.on_hand()).listed()
            async for _ in (await r.app.runtime.on_hand()).refresh():
                pass
            await r.say("echo one")
            await r.go_to(1)
            await r.press("equals_sign")
            await r.told("nothing to lay beside")
            await r.press("R")
            await r.until(lambda: shows(r, ModelsDialog))
            await r.type("other")
            await r.press("enter")
            await r.until(lambda: len(r.items) == 2 and r.items[1].siblings == 2)
            await r.answered()
            await r.sees("· other ·", "‹2/2›")
            assert r.chat.model is None

            await r.press("=")
            await r.until(lambda: shows(r, CompareScreen))
            await r.press("left", "enter")
            await r.until(lambda: shows(r, type(r.room)))
            await r.until(lambda: r.items[1].sibling == 1)

            await r.go_to(1)
            await r.press("R")
            await r.until(lambda: shows(r, ModelsDialog))
            await r.press("escape")
            await r.until(lambda: shows(r, type(r.room)))
            assert r.items[1].siblings == 2

    run(body())


def test_going_on_and_leaving_out(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = endless()
        async with room(tmp_path, ollama) as r:
            await r.ask("go on for ever")
            await r.streams()
            await r.press("escape")
            await r.answered()
            assert r.items[1].state == "stopped"
            cut = r.items[1].text
            ollama.answers.queue(" and the rest")
            await r.go_to(1)
            await r.press("c")
            await r.until(lambda: r.items[1].state == "complete")
            assert r.items[1].text == cut + " and the rest"
            assert r.rows("SELECT text FROM messages WHERE role = 'assistant'") == [(r.items[1].text,)]

            await r.press("x")
            await r.until(lambda: [item.excluded for item in r.items] == [True, True])
            await r.say("echo after")
            assert [each["content"] for each in ollama.last_json["messages"]] == ["echo after"]
            await r.go_to(0)
            await r.press("x")
            await r.until(lambda: not any(item.excluded for item in r.items))

            await r.press("i")
            await r.until(lambda: shows(r, DetailsDialog))
            await r.sees("Written")
            await r.press("escape")
            await r.go_to(1)
            await r.press("i")
            await r.until(lambda: shows(r, DetailsDialog))
            await r.sees("Tokens out", "Cost of tokens", "llama3.1:8b")
            await r.press("escape")
            await r.press("tab")
            assert r.app.focused is r.room.composer.area

    run(body())


CODE = "Look:\n\n```python\nprint('one')\n```\n\n```sh\nls\n```\n\nSee [here](https://example.com/a) and more."


def test_copying_links_thinking_raw_and_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[tuple[str, str]] = []

    async def body() -> None:
        ollama = box()
        ollama.answers.queue(Answer(CODE, thinking="Let me think about cables."))
        async with room(tmp_path, ollama) as r:
            monkeypatch.setattr(r.app, "copy", lambda text, what="": copied.append((text, what)))
            await r.say("what is there?", "echo the cables")
            await r.go_to(1)
            await r.press("y", "1", "2", "3", "Y")
            await r.sees("Copy a code block")
            await r.press("down", "enter")
            await r.until(lambda: len(copied) == 4)
            assert copied == [
                (CODE, "the message"),
                ("print('one')", "code block 1 (python)"),
                ("ls", "code block 2 (sh)"),
                ("ls", "code block 2 (sh)"),
            ]
            assert "This message has 2 code blocks." in r.toasts
            await r.press("o")
            await r.until(lambda: len(copied) == 5)
            assert copied[-1] == ("https://example.com/a", "the link, for there is no browser here")

            assert "about cables" not in r.screen
            await r.press("t")
            await r.sees("Let me think about cables.")
            await r.press("t")
            await r.sees_no("about cables")
            await r.press("enter")
            await r.sees("about cables")
            await r.press("enter")
            await r.press("w")
            await r.sees("```python", "[here](https://example.com/a)")
            await r.press("w")
            await r.sees_no("```python")

            await r.press("slash")
            await r.type("cables")
            await r.until(lambda: r.room.transcript.found[1] >= 2)
            await r.press("enter", "n", "N", "escape")
            await r.until(lambda: r.room.transcript.found == (0, 0))

    run(body())


def test_the_chat_is_named_exported_deleted_and_brought_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def body() -> None:
        async with room(tmp_path / "home", box()) as r:
            for words in ("/export", "/delete"):
                await r.write(words)
                await r.press("enter")
            await r.told("there is nothing to export")
            await r.told("there is nothing to delete")
            await r.say("echo one")
            chat_id = r.chat.id
            await r.press("f9")
            await r.until(lambda: shows(r, AskDialog))
            await r.press("end", "!", "enter")
            await r.sees("echo one!")
            await r.until(lambda: r.rows("SELECT title FROM chats") == [("echo one!",)])
            await r.write("/rename Ropes and [red]cables[/]")
            await r.press("enter")
            await r.sees("Ropes and [red]cables[/]")

            await r.write("/export")
            await r.press("enter")
            await r.until(lambda: shows(r, AskDialog))
            await r.press("enter")
            await r.told("Written to")
            file = tmp_path / "ropes-and-red-cables.md"
            assert "echo one" in file.read_text()
            await r.write(f"/export {file}")
            await r.press("enter")
            await r.told("is there already")

            await r.press("ctrl+backslash")
            await r.until(lambda: not r.room.sidebar.display)
            await r.press("ctrl+backslash")
            await r.until(lambda: r.room.sidebar.display)

            await r.write("/delete")
            await r.press("enter")
            await r.until(lambda: r.items == ())
            await r.told("Deleted.")
            await r.sees("No chats yet")
            await r.write("/undo")
            await r.press("enter")
            await r.until(lambda: r.chat.id == chat_id and len(r.items) == 2)
            await r.sees("Ropes and")

    run(body())


def test_money_is_told_only_where_it_is_known(tmp_path: Path) -> None:
    async def body() -> None:
        priced = SimulatedOpenAI("priced")
        async with room(tmp_path, priced, model="priced/gpt-4.1", prices=("priced",)) as r:
            await r.write("echo one")
            await r.sees("tokens · about $0.0")
            await r.press("enter")
            await r.until(lambda: len(r.items) == 2)
            await r.answered()
            assert r.items[1].foot[-1][0].startswith("<$0.0001")
            await r.app.runtime.store()
            with sqlite3.connect(r.app.runtime.paths.store_file) as other:
                other.execute("UPDATE messages SET cost_usd = NULL")
        async with room(tmp_path, priced, model="priced/gpt-4.1", prices=("priced",)) as r:
            await r.until(lambda: len(r.items) == 2)
            assert r.items[1].foot[-1] == ("-", "muted")

    run(body())
