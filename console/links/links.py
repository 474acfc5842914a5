"""All links of a process: one to each machine, made when it is first asked for and closed together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

from console.clock import Clock
from console.events import Bus
from console.links.leg import Pace
from console.links.link import Gate, Link
from console.links.wake import Cause, Wake

if TYPE_CHECKING:
    import asyncssh


class Links:
    """One link per machine, at most four handshakes at once over all of them, and one watch for waking."""

    def __init__(
        self,
        connect_to: Callable[[str], Callable[[], Awaitable[asyncssh.SSHClientConnection]]],
        clock: Clock,
        bus: Bus,
        *,
        pace: Pace | None = None,
    ) -> None:
        self._connect_to = connect_to
        self._clock = clock
        self._bus = bus
        self._pace = pace
        self._gate = Gate()
        self._links: dict[str, Link] = {}
        self._wake = Wake(self._woke, self._check_routes)

    def __iter__(self) -> Iterator[Link]:
        return iter(self._links.values())

    async def link(self, name: str) -> Link:
        """The link to a machine, wanted from the first time it is asked for. Does not wait until it is up."""
        link = self.make(name)
        await link.start()
        return link

    def make(self, name: str) -> Link:
        """The link to a machine, not yet wanted: `start` it when its local ports are bound."""
        link = self._links.get(name)
        if link is None:
            link = self._links[name] = Link(
                self._connect_to(name),
                self._clock,
                self._bus,
                name,
                gate=self._gate,
                pace=self._pace,
                succeeded=self._hurry_others,
            )
            self._wake.start()
        return link

    def may_ask(self, name: str, question: str) -> bool:
        """Whether the login of a link may ask a person, as `Link.may_ask` says."""
        link = self._links.get(name)
        return link is None or link.may_ask(question)

    async def drop(self, name: str) -> None:
        """No longer want one."""
        link = self._links.pop(name, None)
        if link is not None:
            await link.close()

    async def close(self) -> None:
        self._wake.stop()
        links = list(self._links.values())
        self._links.clear()
        if links:
            await asyncio.gather(*(link.close() for link in links))

    def kick(self) -> None:
        for link in self._links.values():
            link.kick()

    def _woke(self, cause: Cause) -> None:
        for link in self._links.values():
            link.woke(cause)

    def _check_routes(self) -> None:
        for link in self._links.values():
            link.check_route()

    def _hurry_others(self, up: Link) -> None:
        for link in self._links.values():
            if link is not up:
                link.hurry()
