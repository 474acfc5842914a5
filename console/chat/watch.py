"""A provider's stream under the limits of its phases: the first token, a loading model, between tokens, all in all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from providers.chat.base import ChatProvider, ChatRequest, Delta, End, LoadState
from providers.errors import StreamBroken, TimedOut

if TYPE_CHECKING:
    from console.chat.router import Candidate

LONGEST_ASK_S = 5.0
"""How long a server has to say what it is doing, and how often it is asked while it loads."""


class Watched:
    """One answer on its way. Closing it closes the request at the other side."""

    def __init__(
        self, server: ChatProvider, request: ChatRequest, candidate: Candidate, deadline: float | None, ask_s: float
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._server, self._candidate, self._deadline = server, candidate, deadline
        self._stream = server.stream(request)
        self._alarm = _Alarm(self._loop)
        self._first: asyncio.Task[Delta | End | None] | None = None
        self._has_begun = False
        self._is_loading = False
        begun = self._loop.time()
        self._begun = begun
        self._first_by = begun + candidate.endpoint.first_token_s
        self._ask_at = begun + ask_s

    async def next(self) -> Delta | End | None:
        """What comes next; None, once, when nothing comes because the server is loading the model."""
        if not self._has_begun:
            return await self._next_first()
        limit_s, phase = self._candidate.endpoint.between_tokens_s, "between_tokens"
        if self._deadline is not None and self._deadline - self._loop.time() < limit_s:
            limit_s, phase = max(self._deadline - self._loop.time(), 0.0), "total"
        self._alarm.set(limit_s)
        try:
            return await anext(self._stream)
        except asyncio.CancelledError:
            if self._alarm.has_cancelled():
                raise self._too_late(phase, limit_s) from None
            raise
        except StopAsyncIteration:
            raise _broken(self._candidate) from None
        finally:
            self._alarm.rest()

    async def aclose(self) -> None:
        self._alarm.close()
        first, self._first = self._first, None
        if first is not None:
            first.cancel()
            await asyncio.wait({first})
            if not first.cancelled():
                first.exception()  # seen, so that nobody complains that it was not
        await self._stream.aclose()

    async def _next_first(self) -> Delta | End | None:
        """The first token: waited for in a task, so that the server can be asked meanwhile what it is doing."""
        while True:
            if self._first is None:
                self._first = self._loop.create_task(_take(self._stream))
            until = min(self._first_by, self._ask_at)
            if self._deadline is not None:
                until = min(until, self._deadline)
            await asyncio.wait({self._first}, timeout=max(until - self._loop.time(), 0))
            if self._first.done():
                item, self._first = self._first.result(), None
                if item is None:
                    raise _broken(self._candidate)
                if isinstance(item, Delta) and not (item.text or item.thinking or item.tool_calls):
                    continue
                self._has_begun = True
                return item
            now = self._loop.time()
            if self._deadline is not None and now >= self._deadline:
                raise self._too_late("total", self._candidate.timeout_s or 0.0)
            if await self._begins_to_load(self._first):
                return None
            if now >= self._first_by and not self._first.done():
                raise self._too_late("first_token", self._first_by - self._begun)

    async def _begins_to_load(self, first: asyncio.Task[Delta | End | None]) -> bool:
        """Move the limit to what the server is doing; true the first time that it says it is loading."""
        asking = self._loop.create_task(self._server.load_state(self._candidate.model))
        try:
            await asyncio.wait({asking, first}, timeout=LONGEST_ASK_S, return_when=asyncio.FIRST_COMPLETED)
            state = asking.result() if asking.done() else LoadState.UNKNOWN
        finally:
            asking.cancel()
        endpoint, now = self._candidate.endpoint, self._loop.time()
        if state is LoadState.LOADING:
            was_loading, self._is_loading = self._is_loading, True
            self._first_by = max(self._begun + endpoint.load_s, self._begun + endpoint.first_token_s)
            self._ask_at = now + LONGEST_ASK_S
            return not was_loading
        if self._is_loading and state is LoadState.LOADED:
            # From here on it only has to begin, for which it has the usual time.
            self._is_loading = False
            self._first_by = min(self._first_by, now + endpoint.first_token_s)
        self._ask_at = now + LONGEST_ASK_S if self._is_loading else self._first_by
        return False

    def _too_late(self, phase: str, limit_s: float) -> TimedOut:
        name, limit = self._candidate.name, f"{limit_s:g} s"
        text = {
            "first_token": f"{name} sent nothing for {limit}.",
            "between_tokens": f"{name} stopped sending for {limit} in the middle of its answer.",
            "total": f"{name} took longer than the {self._candidate.timeout_s:g} s it is given in its chain."
            if self._candidate.timeout_s
            else f"{name} took too long.",
        }[phase]
        return TimedOut(text, phase=phase, limit_s=limit_s)


class _Alarm:
    """`asyncio.timeout` for very many short waits of one stream: the timer is moved on only when it goes off, which
    costs a tenth. `set` before a wait and `rest` after it; in between it cancels the task once the time is over."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._rang = False

    def set(self, seconds: float) -> None:
        self._due = self._loop.time() + seconds
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._ring)

    def rest(self) -> None:
        self._due = None

    def has_cancelled(self) -> bool:
        """Whether the cancellation that arrived is this alarm's, and nobody else's."""
        return self._rang and self._task is not None and self._task.uncancel() <= self._cancelling

    def close(self) -> None:
        self._due = None
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._ring)
            return
        self._due = None
        self._rang = True
        assert self._task is not None
        self._task.cancel()


async def _take(stream: AsyncGenerator[Delta | End, None]) -> Delta | End | None:
    return await anext(stream, None)


def _broken(candidate: Candidate) -> StreamBroken:
    return StreamBroken(f"The answer of {candidate.name} ended without its closing word.")
