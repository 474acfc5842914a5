"""Hostile words, very long answers and resize storms in the chat room."""

from __future__ import annotations

from pathlib import Path

from rich.cells import cell_len

from providers.simulated.services import Answer, Fault, FaultKind, SimulatedOpenAI, Speed
from tests.conftest import run
from tests.screens.kit import text_of
from tests.screens.room_kit import RoomKit, box, room

NASTY = "\x1b]0;owned\x07\x1b[31mred\x1b[0m [red]not red[/] [link=x]y \u202egnp.exe\u202c \x9b2J a\u200bb \x00\r end"
FORBIDDEN = set("\x1b\x07\x9b\x00\r\u202e\u202c")


async def assert_calm(r: RoomKit, size: tuple[int, int]) -> None:
    """Nothing on the screen steers the terminal, and no line is longer than it."""
    await r.until(lambda: len(text_of(r.app)) == size[1])
    lines = text_of(r.app)
    assert [line for line in lines if set(line) & FORBIDDEN] == []
    assert [line for line in lines if cell_len(line) > size[0]] == []


def test_hostile_words_of_people_models_and_servers(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        ollama.answers.queue(Answer(NASTY, thinking=NASTY))
        async with room(tmp_path, ollama) as r:
            await r.say(NASTY)
            await r.sees("[red]not red[/]")
            assert r.rows("SELECT count(*) FROM messages WHERE role = 'assistant' AND state = 'complete'") == [(1,)]
            await r.go_to(1)
            await r.press("enter", "w")
            await assert_calm(r, (120, 40))
            await r.press("w", "i")
            await r.sees("Characters")
            await assert_calm(r, (120, 40))
            await r.press("escape")
            store = await r.store()
            await store.rename_chat(r.chat.id or "", NASTY)
            await store.run(
                lambda c: c.execute("UPDATE messages SET model = ?, endpoint = ?", (NASTY, NASTY)), write=True
            )
            await store.run(lambda c: c.execute("UPDATE chats SET model = ?, system = ?", (NASTY, NASTY)), write=True)
        async with room(tmp_path, box()) as r:
            await r.until(lambda: len(r.items) == 2)
            await r.sees("[red]not red[/]")
            await assert_calm(r, (120, 40))
            await r.go_to(1)
            for key in ("i", "b"):
                await r.press(key)
                await assert_calm(r, (120, 40))
                await r.press("escape")
            await r.press("e")
            await r.until(lambda: r.room.editing is not None)
            await assert_calm(r, (120, 40))
            await r.press("escape", "ctrl+y")
            await r.sees("System prompt of this chat")
            await assert_calm(r, (120, 40))
            await r.press("escape", "ctrl+t")
            await r.sees("Parameters")
            await assert_calm(r, (120, 40))
            await r.press("escape")
            await r.press("f9")
            await assert_calm(r, (120, 40))
            await r.press("escape", "ctrl+g")
            await r.sees("1 chat")
            await assert_calm(r, (120, 40))

    run(body())


def test_hostile_errors_of_servers(tmp_path: Path) -> None:
    async def body() -> None:
        paid = SimulatedOpenAI("paid")
        paid.faults.always(Fault(FaultKind.STATUS, 400, message=NASTY))
        async with room(tmp_path, paid, model="paid/gpt-4.1") as r:
            await r.say("echo one")
            await r.sees("✗ ", "[red]not red[/]")
            await assert_calm(r, (120, 40))
            await r.go_to(1)
            await r.press("i")
            await r.sees("Error")
            await assert_calm(r, (120, 40))
            await r.press("escape", "R")
            await r.until(lambda: r.app.screen is not r.room)
            await assert_calm(r, (120, 40))
            await r.press("escape")
            await r.write("/model \x1b[31m[red]nobody[/]")
            await r.press("enter")
            await r.until(lambda: "nobody" in r.toasts)
            await assert_calm(r, (120, 40))

    run(body())


def test_a_resize_storm_while_an_answer_streams(tmp_path: Path) -> None:
    words = "".join(f"- item **{number}** with `code` and some words to wrap at the edge\n" for number in range(400))
    sizes = [(120, 40), (40, 15), (200, 60), (80, 24), (20, 8), (1, 1), (300, 10), (60, 60)]

    async def body() -> None:
        ollama = box(speed=Speed(tokens_per_second=8000))
        ollama.answers.queue(Answer(words))
        async with room(tmp_path, ollama) as r:
            await r.ask("list them")
            await r.streams()
            for number in range(48):
                await r.resize(*sizes[number % len(sizes)])
            await r.answered()
            assert r.texts == ["list them", words]
            await r.resize(100, 30)
            await r.sees("item 399 with code")
            await assert_calm(r, (100, 30))
            storm = text_of(r.app)
        async with room(tmp_path, box(), size=(100, 30)) as r:
            await r.sees("item 399 with code")
            fresh = text_of(r.app)
            talk = [line[31:90] for line in fresh if "item" in line]
            assert [line[31:90] for line in storm if "item" in line] == talk

    run(body())


def test_a_very_long_answer_is_whole_and_leaves_the_keys_alone(tmp_path: Path) -> None:
    words = ("word " * 2000 + "\n\n") * 30 + "```\n" + "x" * 300_000 + "\n```\n\nThe end."

    async def body() -> None:
        ollama = box()
        ollama.answers.queue(Answer(words))
        async with room(tmp_path, ollama, size=(80, 24)) as r:
            await r.ask("write a book")
            await r.type("typed meanwhile")
            await r.answered()
            assert r.written == "typed meanwhile"
            assert r.texts[1] == words
            await r.sees("The end.")
            await r.go_to(-1)
            await r.press("g", "G")
            await r.sees("The end.")
            assert r.rows("SELECT length(text) FROM messages WHERE role = 'assistant'") == [(len(words),)]

    run(body())
