"""Keys that come all at once are obeyed as if they came one by one."""

from __future__ import annotations

from pathlib import Path

from textual import events

from providers.simulated.services import SimulatedOllama
from screens.app import HawserApp
from screens.chat import ChatRoom
from screens.dialogs.ask import AskDialog
from tests.conftest import run
from tests.flows.kit import endpoint
from tests.screens.kit import press, running, screen_of, text_of, until


def together(app: HawserApp, *keys: str) -> None:
    """As from a slow line: all are there before the first is looked at."""
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


def test_letters_behind_a_command_are_what_it_asks_for(tmp_path: Path) -> None:
    async def body() -> None:
        async with SimulatedOllama() as ollama:
            settings = f'[chat]\nmodel = "inference/llama3.1:8b"\n{endpoint("inference", ollama)}'
            async with running(tmp_path, settings) as (app, pilot):
                room = app.screen
                assert isinstance(room, ChatRoom)
                together(app, *"echo a better error", "enter")
                await until(pilot, lambda: room.chat and len(room.chat.entries) == 2 and not room.chat.is_busy)
                await press(pilot, "alt+up")
                asked = len(ollama.requests_to("/api/chat"))

                together(app, "slash", *"error", "enter", "e")

                await until(pilot, lambda: room.editing is not None)
                assert "1 of 2" in screen_of(app)
                assert room.composer.text == "echo a better error"
                assert len(ollama.requests_to("/api/chat")) == asked

                together(app, "escape", "f9", *"Mistakes", "enter", *"next")

                await until(pilot, lambda: room.composer.text == "next")
                await until(pilot, lambda: room.chat is not None and room.chat.title == "Mistakes")
                assert not isinstance(app.screen, AskDialog)

                together(app, "ctrl+u", "ctrl+f", *"better", "f8")

                await until(pilot, lambda: any("better" in line for line in text_of(app)[:3]))
                assert room.composer.text == ""

    run(body())
