"""Waiting until something is so, without polling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Watch:
    """`until` looks again at each `note`."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    async def until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def note(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
