"""Local ports that stay: bound once on 127.0.0.1, and kept while the link below them breaks, moves and comes back.

A client that comes during an outage is held until the link is back, for up to a minute. One that comes while the
machine is there but its service is not is reset at once, and the reason is told.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from console.errors import LinkError, PortTaken
from console.events import Bus
from console.links.bridge import Stream, reset
from console.links.events import StreamRefused, TunnelTraffic
from console.links.ports import LOOPBACK, free_port_near, holder_of

if TYPE_CHECKING:
    import asyncssh

    from console.links.leg import Leg
    from console.links.link import Link

log = logging.getLogger(__name__)

MOST_CLIENTS = 4096
"""Clients of all local ports at a time, if the limit on open files allows; more are reset at once."""
BACKLOG = 1024
_MORE_FILES = "The limit on open files decides that: ulimit -n shows it."


class Forward(NamedTuple):
    """A port as the machine sees it, and the local one that leads to it."""

    remote_port: int
    local_port: int = 0
    """The local port that was asked for; 0 for any that is free."""
    remembered_port: int = 0
    """The one it had last time, taken again if it is free and no other was asked for."""
    remote_host: str = "127.0.0.1"
    service: str = ""


class Room:
    """How many clients there is room for, over all local ports of the process."""

    __slots__ = ("most", "taken")

    def __init__(self, most: int | None = None) -> None:
        self.most = most_clients() if most is None else most
        self.taken = 0


class Tunnel:
    """One local port and everything that goes through it."""

    def __init__(self, link: Link, forward: Forward, bus: Bus, room: Room) -> None:
        self.forward = forward
        self.local_port = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self.error: LinkError | None = None
        """Why the last client was not served; None once one was."""
        self._link = link
        self._bus = bus
        self._server: asyncio.Server | None = None
        self._streams: set[Stream] = set()
        self._room = room
        self._told: TunnelTraffic | None = None
        self._traffic_timer: asyncio.TimerHandle | None = None

    @property
    def link(self) -> Link:
        return self._link

    @property
    def service(self) -> str:
        return self.forward.service

    @property
    def remote_port(self) -> int:
        return self.forward.remote_port

    @property
    def active(self) -> int:
        """Clients that have their channel."""
        return len(self._streams) - self.held

    @property
    def held(self) -> int:
        """Clients that wait for theirs."""
        return sum(stream.is_held for stream in self._streams)

    async def open(self) -> None:
        """Bind the port. Raises `PortTaken` if one was asked for and another program has it."""
        wanted = self.forward.local_port or self.forward.remembered_port
        try:
            self._server = await self._bind(wanted)
        except OSError as error:
            if self.forward.local_port and error.errno in (errno.EADDRINUSE, errno.EACCES):
                raise _taken(self.forward, error) from error
            if not wanted or self.forward.local_port:
                raise
            self._server = await self._bind(0)  # somebody else has the remembered one
        self.local_port = self._server.sockets[0].getsockname()[1]

    async def _bind(self, port: int) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(self._client, LOOPBACK, port, backlog=BACKLOG)

    async def close(self) -> None:
        """Give up the port and reset what goes through it."""
        if self._traffic_timer is not None:
            self._traffic_timer.cancel()
        if self._server is not None:
            self._server.close()
        for stream in list(self._streams):
            stream.lost("The tunnel was closed")
        if self._server is not None:
            await self._server.wait_closed()

    def _client(self) -> asyncio.Protocol:
        loop = asyncio.get_running_loop()
        if self._room.taken >= self._room.most:
            self._refused(
                LinkError(f"There is room for {self._room.most} clients at once, and they are there.", hint=_MORE_FILES)
            )
            return _Refused()
        self._room.taken += 1
        stream = Stream(self._open_channel, self, loop)
        self._streams.add(stream)
        self._note_traffic()
        return stream

    async def _open_channel(self, session: Callable[[], Any]) -> tuple[asyncssh.SSHTCPChannel[bytes], Any, Leg]:
        return await self._link.channel(self.forward.remote_host, self.forward.remote_port, session)

    # What its streams tell it

    def stream_connected(self, stream: Stream) -> None:
        self.error = None
        self._note_traffic()

    def stream_refused(self, stream: Stream, error: LinkError) -> None:
        self._refused(error)

    def stream_ended(self, stream: Stream) -> None:
        self._streams.discard(stream)
        self._room.taken -= 1
        self._note_traffic()

    def _refused(self, error: LinkError) -> None:
        is_news = self.error is None or self.error.text != error.text
        self.error = error
        if is_news:
            self._bus.publish(StreamRefused(self._link.name, self.local_port, error.text, error.hint))

    def _note_traffic(self) -> None:
        if self._traffic_timer is None:
            self._traffic_timer = asyncio.get_running_loop().call_later(1.0, self._tell_traffic)

    def _tell_traffic(self) -> None:
        """At most once a second, and only while something goes on."""
        self._traffic_timer = None
        held = self.held
        sample = TunnelTraffic(
            self._link.name, self.local_port, len(self._streams) - held, held, self.bytes_up, self.bytes_down
        )
        if sample != self._told:
            self._told = sample
            self._bus.publish(sample)
        if self._streams:
            self._note_traffic()


class Tunnels:
    """The local ports of this process."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._tunnels: list[Tunnel] = []
        self._room = Room()

    def __iter__(self) -> Iterator[Tunnel]:
        return iter(self._tunnels)

    async def open(self, link: Link, forwards: Sequence[Forward]) -> list[Tunnel]:
        """Bind a local port for each; all of them or, with `PortTaken` raised, none."""
        opened: list[Tunnel] = []
        try:
            for forward in forwards:
                tunnel = Tunnel(link, forward, self._bus, self._room)
                await tunnel.open()
                opened.append(tunnel)
        except BaseException:
            await _close(opened)
            raise
        self._tunnels += opened
        return opened

    async def close(self, tunnels: Iterable[Tunnel] | None = None) -> None:
        """Give up some ports, or all."""
        going = list(self._tunnels if tunnels is None else tunnels)
        self._tunnels = [tunnel for tunnel in self._tunnels if tunnel not in going]
        await _close(going)


class _Refused(asyncio.Protocol):
    """A client too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        reset(transport)


def most_clients() -> int:
    """How many clients there may be: each takes a socket, and half of the files are left for everything else."""
    try:
        import resource
    except ImportError:  # a system without such limits
        return MOST_CLIENTS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CLIENTS if soft == resource.RLIM_INFINITY else max(min(MOST_CLIENTS, soft // 2), 16)


async def _close(tunnels: Iterable[Tunnel]) -> None:
    for tunnel in tunnels:
        await tunnel.close()


def _taken(forward: Forward, error: OSError) -> PortTaken:
    port = forward.local_port
    free = free_port_near(port)
    instead = f"Port {free} is free."
    if error.errno == errno.EACCES:
        return PortTaken(
            f"Local port {port} may not be used: {error.strerror}.", port=port, free_port=free, hint=instead
        )
    holder = holder_of(port)
    who = f"{holder.program}, process {holder.pid}" if holder is not None else "another program"
    return PortTaken(f"Local port {port} is in use by {who}.", port=port, free_port=free, hint=instead)
