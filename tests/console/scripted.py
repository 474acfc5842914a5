"""Chat services that play a script, and a clock that is moved by hand: what a chain can meet, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from console.chat.router import Candidate, Choice
from console.settings import Endpoint
from providers.chat.base import ChatProvider, ChatRequest, Delta, End, Finish, LoadState, Message, ModelInfo, ToolCall

Step: TypeAlias = Delta | End | BaseException | Callable[[], Awaitable[None]]
"""Something to yield, an error to raise, or something to wait for."""

DONE = End(Finish.STOP)


class HandClock:
    """Sleeping moves it on and takes no time."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.seconds = 0.0
        self.started = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.started + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)


class ScriptedChat:
    """Plays one script per call, the last one again and again. Notes what it was asked and what was closed."""

    def __init__(
        self,
        *scripts: Iterable[Step],
        models: Iterable[ModelInfo | str] | BaseException = (),
        states: Iterable[LoadState] = (),
    ) -> None:
        self.scripts = [list(script) for script in scripts]
        self.offered = models
        self.states = list(states)
        self.requests: list[ChatRequest] = []
        self.finished: list[str] = []
        self.times_listed = 0
        self.times_asked_state = 0
        self.list_delay: Callable[[], Awaitable[None]] | None = None

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta | End, None]:
        self.requests.append(request)
        script = self.scripts[min(len(self.requests), len(self.scripts)) - 1]
        how = "closed"
        try:
            for step in script:
                if isinstance(step, BaseException):
                    how = "failed"
                    raise step
                if isinstance(step, Delta | End):
                    yield step
                else:
                    await step()
            how = "ended"
        finally:
            self.finished.append(how)

    async def models(self) -> list[ModelInfo]:
        self.times_listed += 1
        if self.list_delay is not None:
            await self.list_delay()
        if isinstance(self.offered, BaseException):
            raise self.offered
        return [model if isinstance(model, ModelInfo) else ModelInfo(model) for model in self.offered]

    async def load_state(self, model: str) -> LoadState:
        self.times_asked_state += 1
        if not self.states:
            return LoadState.UNKNOWN
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    async def close(self) -> None:
        self.finished.append("provider")


def says(*texts: str) -> list[Step]:
    return [*(Delta(text) for text in texts), DONE]


def calls_tool() -> Delta:
    return Delta(tool_calls=(ToolCall("1", "look", "{}"),))


async def forever() -> None:
    await asyncio.Event().wait()


def pause(seconds: float) -> Callable[[], Awaitable[None]]:
    """A server that is slow for real, for limits that count on the loop."""

    async def wait() -> None:
        await asyncio.sleep(seconds)

    return wait


def endpoint(name: str, **fields: Any) -> Endpoint:
    return Endpoint(**{"name": name, "wire": "openai", "base_url": "https://api.example.com/v1", **fields})


def chain(*names: str, limits: Mapping[str, Any] | None = None, **fields: Any) -> Choice:
    """A choice of `endpoint/model` names; `limits` belong to the endpoints, `fields` to the candidates."""
    candidates = tuple(
        Candidate(endpoint(place, **(limits or {})), model, **fields)
        for place, _, model in (name.partition("/") for name in names)
    )
    return Choice(candidates, "", (), len(candidates) > 1, "Hello?")


def request_for(candidate: Candidate) -> ChatRequest:
    return ChatRequest("unset", (Message("user", "Hello?"),))


def providers(chats: Mapping[str, ChatProvider]) -> Callable[[str], ChatProvider]:
    return chats.__getitem__
