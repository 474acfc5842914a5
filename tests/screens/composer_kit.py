"""A composer alone in an app, over a real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from textual.app import App, ComposeResult
from textual.message import Message
from textual.pilot import Pilot

from console.chat.drafts import Draft, History
from console.history.store import Store
from screens.widgets.composer import Command, Composer
from tests.console.store_kit import SetClock, opened

M = TypeVar("M", bound=Message)
PATIENCE_S = 20.0
COMMANDS = (
    Command("model", "Choose who answers", "NAME", lambda: ("general", "quick", "inference/qwen3:8b")),
    Command("new", "Begin a chat"),
    Command("rename", "Another title", "TITLE"),
)


class ComposerApp(App[None]):
    CSS = "Screen { layout: vertical; } #above { height: 1fr; }"

    def __init__(self, composer: Composer) -> None:
        super().__init__()
        self.composer = composer
        self.heard: list[Message] = []
        self.hear_documents: Callable[[tuple[Path, ...]], None] = print

    def compose(self) -> ComposeResult:
        from textual.widgets import Static

        yield Static("", id="above")
        yield self.composer

    def on_mount(self) -> None:
        self.composer.focus()

    async def on_composer_sent(self, message: Composer.Sent) -> None:
        self.heard.append(message)

    async def on_composer_changed(self, message: Composer.Changed) -> None:
        self.heard.append(message)

    async def on_composer_command(self, message: Composer.Command) -> None:
        self.heard.append(message)

    async def on_composer_left(self, message: Composer.Left) -> None:
        self.heard.append(message)

    async def on_composer_for_documents(self, message: Composer.ForDocuments) -> None:
        self.hear_documents(message.paths)

    def of(self, kind: type[M]) -> list[M]:
        return [message for message in self.heard if isinstance(message, kind)]

    @property
    def sent(self) -> list[str]:
        return [message.question.text for message in self.of(Composer.Sent)]


@asynccontextmanager
async def composing(
    folder: Path,
    *,
    size: tuple[int, int] = (80, 24),
    past: Sequence[str] = (),
    enter_sends: bool = True,
    collections: Callable[[], Sequence[str]] = tuple,
    has_library: Callable[[], bool] = bool,
    files: Path | None = None,
    image_from_clipboard: Callable[[], Awaitable[Path | None]] | None = None,
    app_type: type[ComposerApp] = ComposerApp,
) -> AsyncIterator[tuple[ComposerApp, Composer, Pilot[None]]]:
    """The app with its composer focused and its history loaded; `past` is what was asked before, oldest first."""
    async with opened(folder / "store") as store:

        async def the_store() -> Store:
            return store

        history = History(the_store, SetClock())
        for text in past:
            await history.add(Draft(text))
        composer = Composer(
            history=History(the_store, SetClock()),
            folder=files or folder,
            commands=lambda: COMMANDS,
            collections=collections,
            has_library=has_library,
            image_from_clipboard=image_from_clipboard,
            enter_sends=enter_sends,
        )
        app = app_type(composer)
        async with app.run_test(size=size) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            yield app, composer, pilot


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Go on when something is so."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while not condition():
        if loop.time() > deadline:
            raise AssertionError("it did not come to be; the screen:\n" + screen_of(pilot.app))
        await pilot.pause(0.01)


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await pilot.pause()


async def type_text(pilot: Pilot[None], text: str) -> None:
    await press(pilot, *({" ": "space", "\n": "ctrl+j"}.get(each, each) for each in text))


async def paste(app: App[None], pilot: Pilot[None], text: str) -> None:
    """As the terminal brings it: one event for all of it."""
    from textual import events

    app.post_message(events.Paste(text))
    await pilot.pause()
    await pilot.pause()


def screen_of(app: App[None]) -> str:
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())
