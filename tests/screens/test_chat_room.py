"""Turns in the chat room: asking, streaming, waiting, stopping, and what is being written meanwhile."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import run
from tests.screens.room_kit import box, endless, room


def test_a_question_is_answered(tmp_path: Path) -> None:
    async def body() -> None:
        async with room(tmp_path, box()) as r:
            await r.type("echo hello there")
            await r.press("enter")
            await r.until(lambda: len(r.items) == 2)
            await r.answered()

            assert r.texts == ["echo hello there", "hello there"]
            assert r.written == ""
            await r.sees("You · ", "llama3.1:8b · box", "7 → 2 tokens · $0")
            assert r.rows("SELECT text FROM messages ORDER BY seq") == [("echo hello there",), ("hello there",)]

    run(body())


def test_questions_wait_while_one_is_answered_and_esc_stops(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = endless()
        async with room(tmp_path, ollama) as r:
            await r.ask("go on for ever")
            await r.streams()
            await r.ask("echo second")
            await r.ask("echo third")
            await r.sees("waits, 1 of 2", "waits, 2 of 2")
            assert ollama.running_requests == 1

            await r.press("escape")
            await r.until(lambda: r.items[1].state == "stopped")
            await ollama.until_idle()
            assert ollama.cancelled_requests == 1
            await r.sees("waits for /send, 1 of 2", "Stopped.", "c goes on, r asks again")
            assert len(ollama.requests_to("/api/chat")) == 1

            await r.press("escape")
            await r.until(lambda: r.written == "echo second\n\necho third")
            assert len(r.items) == 2
            drafts = "SELECT text FROM drafts WHERE text <> ''"
            await r.until(lambda: r.rows(drafts) == [("echo second\n\necho third",)])

    run(body())


def test_send_lets_held_questions_go_on(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = endless()
        async with room(tmp_path, ollama) as r:
            await r.ask("go on for ever")
            await r.streams()
            await r.ask("echo second")
            await r.press("escape")
            await r.until(lambda: r.chat.is_held)
            await r.answered()

            await r.type("/send")
            await r.press("enter")
            await r.until(lambda: [item.state for item in r.items] == ["complete", "stopped", "complete", "complete"])
            assert r.texts[-1] == "second"

    run(body())
