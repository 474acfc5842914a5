"""The real app in a terminal of any size, over a store in a folder of its own and the simulated services.

async with running(tmp_path, settings, size=(80, 24)) as (app, pilot):
    await press(pilot, "f8")
    await until(pilot, lambda: app.current_mode == "logs")
    assert "Logs" in text_of(app)[0]
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.message import Message
from textual.pilot import Pilot

from console.clock import Clock
from console.paths import find_paths
from console.runtime import Runtime, open_runtime
from screens.app import HawserApp
from screens.start import prepare

PATIENCE_S = 30.0
"""How long anything may take before a test gives up; a busy machine is not a failure."""
SIZES = ((80, 24), (120, 40), (200, 60), (40, 15))


@asynccontextmanager
async def running(
    home: Path,
    settings: str = "",
    *,
    size: tuple[int, int] = (120, 40),
    theme: str | None = None,
    environment: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    before: Callable[[Runtime], Any] | None = None,
) -> AsyncIterator[tuple[HawserApp, Pilot[int]]]:
    """The app, drawn for the first time, and what presses its keys. `settings` is the text of config.toml; `before` is
    called with the runtime before the app is made."""
    env = {"HAWSER_HOME": str(home), "HAWSER_ISOLATED": "1", **(environment or {})}
    paths = find_paths(env)
    if settings:
        paths.config_file.parent.mkdir(parents=True, exist_ok=True)
        paths.config_file.write_text(settings)
    told: list[str] = []
    async with open_runtime(paths, env, told.append, clock=clock, discover=False) as runtime:
        prepare(runtime)
        if before is not None:
            done = before(runtime)
            if asyncio.iscoroutine(done):
                await done
        app = HawserApp(runtime)
        if theme is not None:
            app.theme = theme
        happens = asyncio.Event()
        _HAPPENS[app] = happens

        def note(_message: Message) -> None:
            happens.set()

        async with app.run_test(size=size, notifications=True, message_hook=note) as pilot:
            await until(pilot, lambda: app.current_mode == "chat" and app.screen.is_running)
            try:
                yield app, pilot
            finally:
                del _HAPPENS[app]


_HAPPENS: dict[Any, asyncio.Event] = {}


async def until(pilot: Pilot[int], condition: Callable[[], object], *, patience_s: float = PATIENCE_S) -> None:
    """Go on when something is so. Looked at again after every message that any widget gets."""
    happens = _HAPPENS[pilot.app]
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    while True:
        happens.clear()
        await pilot.pause()
        if condition():
            return
        if loop.time() > deadline:
            raise AssertionError("it did not come to be; the screen:\n" + "\n".join(text_of(pilot.app)))
        try:
            async with asyncio.timeout(0.1):  # what changes without a message is seen by then
                await happens.wait()
        except TimeoutError:
            continue


async def press(pilot: Pilot[int], *keys: str) -> None:
    """Press keys, by their names, and let what they cause happen."""
    await pilot.press(*keys)
    await pilot.pause()


async def type_text(pilot: Pilot[int], text: str) -> None:
    """Type a text, character by character."""
    names = {" ": "space", "\n": "ctrl+j"}
    await press(pilot, *(names.get(each, each) for each in text))


def text_of(app: Any) -> list[str]:
    """The lines of the screen as they are drawn, without colours, blanks at their ends cut."""
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]


def screen_of(app: Any) -> str:
    return "\n".join(text_of(app))


def toasts_of(app: Any) -> list[str]:
    """What the toasts that are shown say, oldest first."""
    return [notification.message for notification in app._notifications]
