"""What a link promises, against every sort of SSH server: the simulated machine, and OpenSSH where it is installed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest

from console.clock import SystemClock
from console.errors import HostKeyChanged
from console.events import Bus
from console.links import events
from console.links.connector import Nobody
from console.links.identity import Pins, Target, connect
from console.links.link import Link
from console.links.tunnels import Forward, Tunnel, Tunnels
from tests.conftest import run
from tests.flows.link_kit import CLOSED, ECHO, PATIENCE_S, Client, Echo, Told, client, paths_in
from tests.sshd_kit import SSHD, Sshd, free_port

SOON_S = 10.0


class Server(NamedTuple):
    """An SSH server in the hands of a test."""

    target: Target
    host_key: str
    echo_port: int
    closed_port: int
    cut: Callable[[], Awaitable[None]]
    go: Callable[[], Awaitable[None]]
    come: Callable[[], Awaitable[None]]
    change_key: Callable[[], object]


@asynccontextmanager
async def simulated(echo: Echo, folder: Path, forwarding: bool) -> AsyncIterator[Server]:
    from providers.simulated.machine import SimulatedMachine

    async with SimulatedMachine("berth", services={ECHO: echo.address}) as machine:
        machine.forbid_forwarding(not forwarding)

        async def go() -> None:
            await machine.refuse()
            await machine.drop()

        target = Target("berth", "ssh:berth", machine.host, machine.port, machine.user, (str(machine.key_file),))
        yield Server(
            target,
            machine.host_key,
            ECHO,
            CLOSED,
            machine.drop,
            go,
            machine.accept,
            machine.new_host_key,
        )


@asynccontextmanager
async def openssh(echo: Echo, folder: Path, forwarding: bool) -> AsyncIterator[Server]:
    options = [] if forwarding else ["AllowTcpForwarding no"]
    with Sshd(folder / "sshd", options=options) as sshd:

        async def cut() -> None:
            await asyncio.to_thread(sshd.cut)

        async def go() -> None:
            await asyncio.to_thread(sshd.stop)

        async def come() -> None:
            await asyncio.to_thread(sshd.start)

        target = Target("berth", "ssh:berth", sshd.host, sshd.port, sshd.user, (str(sshd.key_file),))
        yield Server(target, sshd.host_key, echo.address[1], free_port(), cut, go, come, sshd.new_host_key)


SERVERS = [simulated, *([openssh] if SSHD is not None else [])]


class Scene(NamedTuple):
    server: Server
    link: Link
    tunnel: Tunnel
    to_nowhere: Tunnel
    told: Told
    echo: Echo

    async def client(self) -> Client:
        return await client(self.tunnel.local_port)

    async def ask(self) -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        each = await self.client()
        assert await each.ask(b"ping") == b"ping"
        await each.close()
        return loop.time() - begun


Tell: TypeAlias = Callable[[Scene], Awaitable[None]]


@pytest.fixture(params=SERVERS, ids=lambda make: make.__name__)
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., None]:
    """Plays a scene: a link to the server at hand, up, with its two local ports."""
    make = request.param

    async def body(tell: Tell, forwarding: bool) -> None:
        bus = Bus()
        pins = Pins(paths_in(tmp_path))
        async with Echo() as echo, make(echo, tmp_path, forwarding) as server:
            pins.pin("ssh:berth", server.host_key)
            told = Told(bus)
            await asyncio.sleep(0)  # its subscription is there from here on
            link = Link(
                lambda: connect(server.target, pins, ask=Nobody(), first="known-only"), SystemClock(), bus, "berth"
            )
            ports = Tunnels(bus)
            tunnel, nowhere = await ports.open(link, [Forward(server.echo_port), Forward(server.closed_port)])
            try:
                await link.start()
                await link.wait_up(PATIENCE_S)
                await tell(Scene(server, link, tunnel, nowhere, told, echo))
            finally:
                await ports.close()
                await link.close()
                await told.end()

    def run_it(tell: Tell, *, forwarding: bool = True) -> None:
        run(body(tell, forwarding))

    return run_it


def test_bytes_go_both_ways_and_ends_one_at_a_time(play: Callable[..., None]) -> None:
    async def tell(scene: Scene) -> None:
        stream = await scene.client()
        text = bytes(range(256)) * 20_000
        stream.writer.write(text)
        stream.writer.write_eof()

        assert await stream.rest() == text
        await stream.close()
        assert scene.tunnel.bytes_up == scene.tunnel.bytes_down == len(text)

    play(tell)


def test_a_service_that_is_down_is_told_at_once(play: Callable[..., None]) -> None:
    async def tell(scene: Scene) -> None:
        assert await (await client(scene.to_nowhere.local_port)).is_reset()

        refusal = await scene.told.first(events.StreamRefused)
        assert refusal.reason == f"Nothing answers at port {scene.server.closed_port} on berth."
        assert await scene.ask() < SOON_S

    play(tell)


def test_forbidden_forwarding_is_told_at_once(play: Callable[..., None]) -> None:
    async def tell(scene: Scene) -> None:
        assert await (await scene.client()).is_reset()

        refusal = await scene.told.first(events.StreamRefused)
        assert refusal.reason == f"berth does not allow forwarding to port {scene.server.echo_port}."

    play(tell, forwarding=False)


def test_a_cut_connection_resets_its_streams_and_is_replaced(play: Callable[..., None]) -> None:
    async def tell(scene: Scene) -> None:
        stream = await scene.client()
        await stream.ask(b"before")

        await scene.server.cut()

        assert await stream.is_reset()
        assert await scene.ask() < SOON_S

    play(tell)


def test_a_client_is_held_until_the_server_is_back(play: Callable[..., None]) -> None:
    async def tell(scene: Scene) -> None:
        await scene.server.go()
        held = await scene.client()
        await held.say(b"early")
        await scene.told.first(events.LinkWaiting)

        await scene.server.come()

        assert await held.hear(5) == b"early"
        await held.close()

    play(tell)


def test_another_key_on_the_same_machine_stops_everything(play: Callable[..., None]) -> None:
    async def tell(scene: Scene) -> None:
        scene.server.change_key()
        await scene.server.go()
        await scene.server.come()

        blocked = await scene.told.first(events.LinkBlocked)

        assert isinstance(blocked.error, HostKeyChanged)
        assert await (await scene.client()).is_reset()

    play(tell)


def test_clients_that_leave_early_leave_nothing_behind(play: Callable[..., None]) -> None:
    async def tell(scene: Scene) -> None:
        for _ in range(4):
            for hasty in [await scene.client() for _ in range(25)]:
                hasty.leave()
        await scene.ask()

        connection = await scene.link.connection()
        async with asyncio.timeout(PATIENCE_S):
            while scene.tunnel.active or scene.tunnel.held or scene.echo.writers or connection._channels:
                await asyncio.sleep(0.01)

        assert scene.link.is_up

    play(tell)
