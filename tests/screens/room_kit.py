"""The chat room over a real store and simulated services, driven by its keys.

async with room(tmp_path, box()) as r:
    await r.say("echo one")
    await r.sees("one")
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

from textual import events
from textual.drivers.headless_driver import HeadlessDriver
from textual.geometry import Size
from textual.keys import _character_to_key, key_to_character
from textual.pilot import Pilot

from console.chat.open_chat import OpenChat
from console.history.store import Store
from providers.simulated.services import FaultKind, SimulatedOllama, Speed
from providers.simulated.services import SimulatedService as Service
from screens.app import HawserApp
from screens.chat import ChatRoom
from screens.widgets.transcript import Item
from tests.clocks import EagerClock
from tests.flows.kit import endpoint, key_of
from tests.screens.kit import PATIENCE_S, running, screen_of, toasts_of

MODEL = "box/llama3.1:8b"
HOPS = 4
"""Over how many widgets a key goes until what it means is done."""
LOOK_S = 0.01
"""How often a condition is looked at that no message tells of."""


class RoomKit:
    def __init__(self, app: HawserApp, pilot: Pilot[int]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def room(self) -> ChatRoom:
        room = self.app.screen_stack[0]
        assert isinstance(room, ChatRoom)
        return room

    @property
    def chat(self) -> OpenChat:
        assert self.room.chat is not None
        return self.room.chat

    @property
    def items(self) -> tuple[Item, ...]:
        return self.room.transcript.items

    @property
    def texts(self) -> list[str]:
        """What the transcript shows, message by message."""
        return [item.text for item in self.items]

    @property
    def written(self) -> str:
        return self.room.composer.text

    @property
    def screen(self) -> str:
        return screen_of(self.app)

    @property
    def toasts(self) -> str:
        return "\n".join(toasts_of(self.app))

    async def store(self) -> Store:
        return await self.app.runtime.store()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What another process would read."""
        with closing(sqlite3.connect(self.app.runtime.paths.store_file)) as connection:
            return connection.execute(sql).fetchall()

    async def until(self, condition: Callable[[], object], *, patience_s: float = PATIENCE_S) -> None:
        """Go on when something is so. Unlike the kit's of the same name it does not wait for a process at rest, which
        one that streams is not."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_s
        while True:
            await self.settle()
            if condition():
                return
            if loop.time() > deadline:
                raise AssertionError(f"it did not come to be; toasts: {self.toasts!r}; the screen:\n{self.screen}")
            await asyncio.sleep(LOOK_S)

    async def settle(self, rounds: int = 1) -> None:
        """Every widget has dealt with what it was sent; that may send on, so perhaps several times."""
        for _ in range(rounds):
            await self.pilot._wait_for_screen()

    async def sees(self, *words: str) -> None:
        await self.until(lambda: all(word in self.screen for word in words))

    async def sees_no(self, *words: str) -> None:
        await self.until(lambda: not any(word in self.screen for word in words))

    async def told(self, words: str) -> None:
        """A toast says it."""
        await self.until(lambda: words in self.toasts)

    async def press(self, *keys: str) -> None:
        driver = self.app._driver
        assert driver is not None
        for key in keys:
            name = _character_to_key(key) if len(key) == 1 and not key.isalnum() else key
            event = events.Key(name, key if len(key) == 1 else key_to_character(name))
            event.set_sender(self.app)
            driver.send_message(event)
            await self.settle(HOPS)

    async def type(self, text: str) -> None:
        await self.press(*text)

    async def write(self, text: str) -> None:
        """Put a text where one writes, as a paste would."""
        self.room.composer.focus()
        self.room.composer.area.type(text)
        await self.settle(HOPS)

    async def ask(self, text: str) -> None:
        """Write a question and send it."""
        count = len(self.items)
        await self.write(text)
        await self.press("enter")
        await self.until(lambda: len(self.items) > count)

    async def say(self, *texts: str) -> None:
        """Ask one after the other, and let each be answered."""
        for text in texts:
            await self.ask(text)
            await self.answered()

    async def answered(self) -> None:
        await self.until(lambda: not self.chat.is_busy and all(item.state != "streaming" for item in self.items))

    async def streams(self) -> None:
        """Something of an answer is there, and more is to come."""
        await self.until(lambda: any(item.state == "streaming" and item.text for item in self.items))

    async def resize(self, width: int, height: int) -> None:
        """As the pilot does it, without waiting for a process at rest."""
        driver, size = self.app._driver, Size(width, height)
        assert isinstance(driver, HeadlessDriver)
        driver._size = size
        self.app.post_message(events.Resize(size, size))
        await self.settle()

    async def go_to(self, number: int) -> None:
        """Make a message the current one, as the keys j and k do; -1 is the last."""
        self.room.transcript.focus()
        self.room.transcript.go_to(self.items[number].id)
        await self.settle(HOPS)


@asynccontextmanager
async def room(
    home: Path,
    *services: Service,
    settings: str = "",
    model: str = MODEL,
    prices: Sequence[str] = (),
    lines: Sequence[str] = (),
    **how: Any,
) -> AsyncIterator[RoomKit]:
    """The app whose settings name these services as endpoints; those in `prices` are paid by the token.

    `lines` are added to every endpoint."""
    async with AsyncExitStack() as stack:
        environment: dict[str, str] = dict(how.pop("environment", {}))
        for service in services:
            await stack.enter_async_context(service)
        for service in services:
            if service.key is not None:
                environment.update(key_of(service.name, service))
        price = "price = { input = 2.0, output = 8.0 }"
        tables = [
            endpoint(service.name, service, *lines, *([price] if service.name in prices else []))
            for service in services
        ]
        written = "\n\n".join([f'[chat]\nmodel = "{model}"\n{settings}', *tables])
        app, pilot = await stack.enter_async_context(running(home, written, environment=environment, **how))
        kit = RoomKit(app, pilot)
        await kit.until(lambda: kit.room.chat is not None)
        yield kit


def box(name: str = "box", **more: Any) -> SimulatedOllama:
    return SimulatedOllama(name, **more)


def endless(tokens_per_s: float = 100.0) -> SimulatedOllama:
    """One whose next answer has no end."""
    ollama = box(speed=Speed(tokens_per_second=tokens_per_s))
    ollama.faults.once(FaultKind.ENDLESS)
    return ollama


def eager() -> EagerClock:
    """A clock on which no wait takes time."""
    return EagerClock()
