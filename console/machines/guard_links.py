"""The links that the guard looks at machines over: one that this process has up already, or its own.

Its own ask nobody and tell nobody anything: whoever sits at the terminal of this process wants another one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncssh

    from console.links.link import Link
    from console.links.links import Links
    from console.links.remote import Connect

REACH_S = 15.0
"""How long the guard waits for the link to a machine that it looks at."""


class GuardLinks:
    def __init__(
        self, there: Callable[[], Iterable[Link]], make: Callable[[], Links], reached: Callable[[str], Awaitable[None]]
    ) -> None:
        """`there` are the links that others in this process have; `make` makes the guard's own, when one is needed.
        `reached` is told of every machine that was got through to."""
        self._there = there
        self._make = make
        self.reached = reached
        self._links: Links | None = None

    def reach(self, name: str) -> Connect:
        async def connect() -> asyncssh.SSHClientConnection:
            for link in self._there():
                if link.name == name and link.is_up:
                    return await link.connection(REACH_S)
            if self._links is None:
                self._links = self._make()
            return await (await self._links.link(name)).connection(REACH_S)

        return connect

    async def leave(self, name: str) -> None:
        """The machine is off, or about to be."""
        if self._links is not None:
            await self._links.drop(name)

    async def close(self) -> None:
        if self._links is not None:
            await self._links.close()
