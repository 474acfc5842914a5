"""Documents in the chat: dropped, asked, cited, opened, and put away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from console.history.among import Among
from providers.simulated.answers import Answer
from screens.viewer import Viewer
from tests.conftest import run
from tests.console.library_kit import ROPES, put_in
from tests.screens.library_worker import end_worker, use_worker
from tests.screens.room_kit import RoomKit, box, room

ANSWER = "A hawser is a thick rope of five inches or more around [1]. It was invented on the moon in 1412 [1]."

pytestmark = pytest.mark.timeout(120)


def test_what_is_dropped_is_asked_cited_opened_and_put_away(tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "hawsers.md"
    file.write_text(ROPES["hawsers.md"])
    home = tmp_path / "home"
    monkeypatch.setenv("HAWSER_HOME", str(home))

    async def body() -> None:
        ollama = box()
        ollama.answers.queue(Answer(ANSWER))
        ollama.answers.queue(Answer("I do not know."))
        async with room(home, ollama, before=use_worker) as r:
            await r.room.composer.takes_paste(str(file))
            await r.sees("Add to documents")
            await r.press("d")
            await r.sees("hawsers.md ✕")
            await r.ask("How thick is a hawser?")
            await r.answered()
            await r.sees("[1] hawsers.md", "✗ not found there", "not in it: “It was invented on the moon", "passages")
            assert r.chat.among.documents
            assert "hawsers.md" in r.screen.splitlines()[-4]  # the chip stays for the next question

            await r.go_to(-1)
            await r.press("v")
            await r.until(lambda: isinstance(r.app.screen, Viewer))
            await r.sees("▌ A hawser is a thick rope of five inches", "[1] not found")
            await r.press("escape")

            await r.press("s")
            await r.sees("Sources", "words #1")
            await r.press("x")
            await r.until(lambda: "I do not know." in r.texts)
            await r.answered()
            assert [row[0] for row in r.rows("SELECT excluded FROM message_sources")] == [1]
            end_worker(r.app)

    run(body())


def test_a_collection_is_named_with_a_hash_and_stays_with_the_chat(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HAWSER_HOME", str(tmp_path))

    def before(runtime: Any) -> None:
        put_in(runtime.paths, "ropes", ROPES)
        use_worker(runtime)

    async def body() -> None:
        ollama = box()
        ollama.answers.queue(Answer("The bowline makes a loop that does not slip [1]."))
        async with room(tmp_path, ollama, before=before) as r:
            r.room.composer.focus()
            await r.type("x #ro")
            await r.sees("#ropes")
            await r.press("tab")
            await r.sees("#ropes ✕")
            assert r.written == "x "
            await r.press("ctrl+u")
            await r.ask("Which knot makes a loop?")
            await r.answered()
            await r.sees("[1] knots.md", "✓ exact")
            assert r.chat.among == Among(("ropes",))

            await r.press("enter")  # nothing is written, so nothing is asked
            assert len(r.items) == 2
            first = r.chat.id
            await r.press("ctrl+n")
            await r.until(lambda: not r.room.composer.chips)
            assert first is not None
            r.room.open_chat(first)
            await r.sees("#ropes ✕", "Which knot makes a loop?")
            await remove_chip(r)
            await r.until(lambda: not r.chat.among)
            end_worker(r.app)

    run(body())


async def remove_chip(r: RoomKit) -> None:
    r.room.composer.action_remove_last()
    await r.settle(3)
