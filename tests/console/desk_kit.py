"""A desk with a real store and simulated services, for its tests."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any, TypeVar

from console.chat.desk import Desk
from console.chat.news import AnswerNotice
from console.chat.open_chat import OpenChat
from console.chat.questions import Question
from console.events import Event
from console.history.store import Store
from console.paths import find_paths
from console.runtime import Runtime, open_runtime
from providers.simulated.services import SimulatedOllama
from providers.simulated.services import SimulatedService as Service
from tests.flows.kit import endpoint, key_of

PATIENCE_S = 30.0

E = TypeVar("E", bound=Event)


class Place:
    """One process: a runtime with its desk, and every fact that was told on its bus."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.events: list[Event] = []
        self._something = asyncio.Event()

    @property
    def desk(self) -> Desk:
        return self.runtime.desk

    async def store(self) -> Store:
        return await self.runtime.store()

    def told(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def notices(self) -> list[tuple[str, str]]:
        return [(notice.kind, notice.text) for notice in self.told(AnswerNotice)]

    async def until(self, is_so: Callable[[], Any]) -> None:
        """Wait for an event after which something is so."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                self._something.clear()
                await self._something.wait()

    async def follow(self) -> None:
        with self.runtime.bus.subscribe() as subscription:
            async for event in subscription:
                self.events.append(event)
                self._something.set()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.runtime.paths.store_file)) as connection:
            return connection.execute(sql).fetchall()


@asynccontextmanager
async def place(
    folder: Path, *services: Service, settings: str = "", model: str = "box/llama3.1:8b", prices: Sequence[str] = ()
) -> AsyncIterator[Place]:
    """A process whose settings name these services as endpoints; those in `prices` are paid by the token."""
    async with AsyncExitStack() as stack:
        for service in services:
            await stack.enter_async_context(service)
        environment = {"HAWSER_HOME": str(folder)}
        for service in services:
            if service.key is not None:
                environment.update(key_of(service.name, service))
        paths = find_paths(environment)
        paths.config_file.parent.mkdir(parents=True, exist_ok=True)
        price = "price = { input = 2.0, output = 8.0 }"
        tables = [endpoint(service.name, service, *([price] if service.name in prices else [])) for service in services]
        paths.config_file.write_text("\n\n".join([f'[chat]\nmodel = "{model}"', settings, *tables]))
        async with open_runtime(paths, environment, print, discover=False) as runtime:
            here = Place(runtime)
            following = asyncio.create_task(here.follow())
            await asyncio.sleep(0)
            try:
                yield here
            finally:
                following.cancel()
                await asyncio.wait([following])


def box(**more: Any) -> SimulatedOllama:
    return SimulatedOllama("box", **more)


def said(chat: OpenChat) -> list[tuple[str, str, str]]:
    """The branch that is looked at: role, state and text of its messages."""
    return [(entry.message.role, entry.message.state, entry.message.text) for entry in chat.entries]


def q(text: str) -> Question:
    return Question(text)


async def asked(chat: OpenChat, *texts: str) -> None:
    """Ask one after the other, each when the one before was answered."""
    for text in texts:
        await chat.ask(Question(text))
        async with asyncio.timeout(PATIENCE_S):
            await chat.settled()
