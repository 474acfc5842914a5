"""What the stories of links share: a machine with an echo service, a link to it, its ports, and everything it told."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from console.clock import SystemClock
from console.events import Bus, Event
from console.links.connector import Nobody
from console.links.identity import Pins, Target, connect
from console.links.leg import Pace
from console.links.link import Link
from console.links.links import Links
from console.links.tunnels import Forward, Tunnel, Tunnels
from console.paths import Paths

if TYPE_CHECKING:
    import asyncssh

    from providers.simulated.machine import SimulatedMachine

E = TypeVar("E", bound=Event)
PATIENCE_S = 30.0
"""How long anything may take before a test gives up; a busy machine is not a failure."""
ECHO = 7
CLOSED = 9


class Echo:
    """A service on the machine that sends back what it gets, and ends when the client does."""

    def __init__(self) -> None:
        self.connections = 0
        self.writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Echo:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self.writers):
            writer.transport.abort()
        await self._server.wait_closed()

    @property
    def address(self) -> tuple[str, int]:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        try:
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
            writer.write_eof()
        except OSError:
            pass
        finally:
            self.writers.discard(writer)
            writer.close()


class Told:
    """Everything that was published, in order; waits for what is to come."""

    def __init__(self, bus: Bus) -> None:
        self.events: list[Event] = []
        self._bus = bus
        self._more = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        with self._bus.subscribe() as events:
            async for event in events:
                self.events.append(event)
                self._more.set()

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def first(self, kind: type[E], is_it: Callable[[E], bool] = lambda _: True) -> E:
        """The first event of a kind since the beginning or the last `forget`."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for event in self.all(kind):
                    if is_it(event):
                        return event
                self._more.clear()
                await self._more.wait()

    def forget(self) -> None:
        self.events.clear()

    async def end(self) -> None:
        self._bus.close()
        await self._task


class Client:
    """A plain TCP client of a local port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, text: bytes) -> None:
        self.writer.write(text)
        await self.writer.drain()

    async def hear(self, count: int) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readexactly(count)

    async def ask(self, text: bytes) -> bytes:
        await self.say(text)
        return await self.hear(len(text))

    async def rest(self) -> bytes:
        """Until the end; raises ConnectionResetError if that is a reset."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    async def is_reset(self) -> bool:
        try:
            await self.rest()
        except ConnectionResetError:
            return True
        return False

    def leave(self) -> None:
        """Go at once, with a reset."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass


async def client(port: int) -> Client:
    async with asyncio.timeout(PATIENCE_S):
        return Client(*await asyncio.open_connection("127.0.0.1", port))


class Rig:
    """A machine, a link to it, a local port to its echo service, and one to a port where nothing listens."""

    def __init__(
        self, machine: SimulatedMachine, link: Link, told: Told, echo: Echo, pins: Pins, tunnels: list[Tunnel]
    ) -> None:
        self.machine = machine
        self.link = link
        self.told = told
        self.echo = echo
        self.pins = pins
        self.tunnel, self.to_nowhere = tunnels

    async def client(self) -> Client:
        return await client(self.tunnel.local_port)

    async def ask(self, text: bytes = b"ping") -> float:
        """A whole request over a connection of its own; returns how long it took, in seconds."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        each = await self.client()
        assert await each.ask(text) == text
        await each.close()
        return loop.time() - begun


def paths_in(folder: Path) -> Paths:
    return Paths(folder / "config", folder / "data", folder / "state", folder / "cache")


def target_of(machine: SimulatedMachine) -> Target:
    return Target(
        name="berth",
        identity="ssh:berth",
        host=machine.host,
        port=machine.port,
        user=machine.user,
        key_files=(str(machine.key_file),),
    )


@asynccontextmanager
async def rig(folder: Path, pace: Pace | None = None, *, is_up: bool = True) -> AsyncIterator[Rig]:
    from providers.simulated.machine import SimulatedMachine

    bus = Bus()
    pins = Pins(paths_in(folder))
    async with Echo() as echo, SimulatedMachine("berth", services={ECHO: echo.address}) as machine:
        pins.pin("ssh:berth", machine.host_key)

        async def connect_once() -> asyncssh.SSHClientConnection:
            return await connect(target_of(machine), pins, ask=Nobody(), first="known-only")

        told = Told(bus)
        await asyncio.sleep(0)  # its subscription is there from here on
        links = Links(lambda _: connect_once, SystemClock(), bus, pace=pace)
        link = links.make("berth")
        ports = Tunnels(bus)
        tunnels = await ports.open(link, [Forward(ECHO), Forward(CLOSED)])
        try:
            if is_up:
                await link.start()
                await link.wait_up(PATIENCE_S)
            yield Rig(machine, link, told, echo, pins, tunnels)
        finally:
            await ports.close()
            await links.close()
            await told.end()
