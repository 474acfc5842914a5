"""Before a candidate is asked: its machine is woken and connected, which may take minutes and is told meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from providers.errors import TimedOut

if TYPE_CHECKING:
    from console.chat.router import Candidate

MakeReady: TypeAlias = Callable[["Candidate", Callable[[str], None]], Awaitable[None]]
"""Gets a candidate ready to be asked; what it tells meanwhile are plain sentences. Raises a `ProviderError`."""


async def getting_ready(
    make_ready: MakeReady, candidate: Candidate, deadline: float | None
) -> AsyncGenerator[str, None]:
    """What is told while it is made ready; ends when it is. Closing this gives it up."""
    told: asyncio.Queue[str | None] = asyncio.Queue()
    task = asyncio.ensure_future(make_ready(candidate, told.put_nowait))
    task.add_done_callback(lambda _: told.put_nowait(None))
    try:
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    text = await told.get()
            except TimeoutError:
                limit_s = candidate.timeout_s or 0.0
                raise TimedOut(
                    f"{candidate.name} was not connected within the {limit_s:g} s it is given in its chain.",
                    phase="connect",
                    limit_s=limit_s,
                ) from None
            if text is None:
                break
            yield text
        await task
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
