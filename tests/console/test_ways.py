"""Ways to services of machines: whose tunnel is used, what happens when it is dead, and what is asked for first."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from console.clock import SystemClock
from console.errors import ForwardRefused, LinkUnreachable, NoWay, SettingsError
from console.history.tunnels import Published
from console.keys import Keys
from console.links.connector import LoginManners, Nobody
from console.links.shared import Shared
from console.links.ways import Ways
from console.machines.services import service_named
from console.runtime import Runtime
from console.settings import settings_from
from providers.simulated.machine import SimulatedMachine
from providers.simulated.services import SimulatedOllama
from tests.conftest import run
from tests.console.store_kit import paths_in

OLLAMA = service_named("ollama")


class Anybody(Nobody):
    """Meets every stranger."""

    async def accept_host_key(self, target: object, fingerprint: str) -> bool:
        return True

    def can_answer(self) -> bool:
        return False

    async def answers(self, target: object, challenge: object) -> None:
        return None


class Place:
    """A machine with an Ollama, and a process that knows it as gpubox."""

    def __init__(self, folder: Path, machine: SimulatedMachine, ollama: SimulatedOllama) -> None:
        self.folder, self.machine, self.ollama = folder, machine, ollama
        self.told: list[str] = []

    @asynccontextmanager
    async def process(self, *, stays: bool = False) -> AsyncIterator[Runtime]:
        machine = self.machine
        paths = paths_in(self.folder)
        written = (
            f'[machines.gpubox]\ncloud = "ssh"\nhost = "{machine.user}@127.0.0.1:{machine.port}"\n'
            f'key_file = "{machine.key_file}"\nservices = ["ollama", "comfyui"]\n'
        )
        environment = {"HAWSER_ISOLATED": "1", "PATH": "/usr/bin:/bin"}
        settings = settings_from(written, paths, environment, discover=False)
        runtime = Runtime(
            paths,
            settings,
            Keys(paths, environment),
            SystemClock(),
            self.told.append,
            environment=environment,
            login_manners=lambda: LoginManners(Anybody()),
        )
        runtime.stays = stays
        try:
            yield runtime
        finally:
            await runtime.close()


@asynccontextmanager
async def place(folder: Path) -> AsyncIterator[Place]:
    async with (
        SimulatedOllama() as ollama,
        SimulatedMachine("gpubox", services={11434: ("127.0.0.1", ollama.port)}) as machine,
    ):
        yield Place(folder, machine, ollama)


def test_ten_callers_make_one_link_and_one_tunnel(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path) as there, there.process() as runtime:
            ways = await asyncio.gather(*(runtime.ways.way_to("gpubox", "ollama") for _ in range(10)))

            assert len({way.local_port for way in ways}) == 1
            assert there.machine.logins == 1
            assert [model.name for model in await runtime.provider("gpubox").models()]
            assert there.machine.logins == 1

    run(body())


def test_services_of_one_machine_share_its_link(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path) as there, there.process() as runtime:
            one = await runtime.ways.way_to("gpubox", "ollama")
            other = await runtime.ways.way_to("gpubox", "comfyui")

            assert one.local_port != other.local_port
            assert there.machine.logins == 1

    run(body())


def test_a_process_that_stays_offers_its_tunnel_and_one_that_ends_does_not(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path) as there:
            async with there.process() as brief, there.process(stays=True) as app:
                await brief.ways.way_to("gpubox", "ollama")
                before = await Shared(await app.store(), SystemClock()).every()
                ours = await app.ways.way_to("gpubox", "ollama")
                (after,) = await Shared(await app.store(), SystemClock()).every()

            assert before == []
            assert (after.machine, after.service, after.local_port) == ("gpubox", "ollama", ours.local_port)

    run(body())


def tunnel_of_another(port: int) -> Published:
    return Published("gpubox", "ollama", 11434, port, "4242:7", "up", 0, 0, None, None, None)


class Look(Shared):
    """What was found when it was looked up; by the time that it is used it may be different."""

    def __init__(self, found: Published) -> None:
        self.found = found

    async def live(self, machine: str, service: str) -> Published | None:
        return self.found

    async def every(self) -> list[Published]:
        return [self.found]


def ways_with(runtime: Runtime, shared: Look) -> Ways:
    async def look() -> Shared:
        return shared

    return Ways(
        lambda: runtime.settings.machines, SystemClock(), lambda: runtime.links, lambda: runtime.tunnels, shared=look
    )


def test_an_owner_that_dies_between_look_up_and_use_is_passed_over(tmp_path: Path) -> None:
    async def body() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets it, and it refuses
            dead = tunnel_of_another(taken.getsockname()[1])
            async with place(tmp_path) as there, there.process() as runtime:
                ways = ways_with(runtime, Look(dead))
                readied = await ways.make_ready("gpubox", OLLAMA, there.told.append)
                assert there.machine.logins == 0, "the look-up says that it is there"

                connected = await ways.reach("gpubox", OLLAMA).dial()

                connected.close()
                assert readied.wake_ms is None
                assert there.machine.logins == 1
                assert (await ways.way_to("gpubox", OLLAMA)).theirs is None

    run(body())


def test_a_tunnel_that_only_waits_for_its_link_is_not_used(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path) as there, there.process() as runtime:
            waiting = tunnel_of_another(9)._replace(state="waiting")

            way = await ways_with(runtime, Look(waiting)).way_to("gpubox", "ollama")

            assert way.theirs is None
            assert there.machine.logins == 1

    run(body())


def test_a_tunnel_that_ends_connections_is_not_used_again_and_tells_what_its_owner_knows(tmp_path: Path) -> None:
    async def body() -> None:
        def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server, place(tmp_path) as there, there.process() as runtime:
            port = server.sockets[0].getsockname()[1]
            ways = ways_with(runtime, Look(tunnel_of_another(port)._replace(probe_error="It answers 500.")))
            reach = ways.reach("gpubox", OLLAMA)
            (await reach.dial()).close()

            reason = await reach.reason()

            assert isinstance(reason, NoWay)
            assert isinstance(reason.cause, ForwardRefused)
            assert reason.text == "Ollama on gpubox does not answer: It answers 500."
            assert (await ways.way_to("gpubox", "ollama")).theirs is None

    run(body())


def test_a_machine_is_made_ready_before_its_link_and_only_for_questions(tmp_path: Path) -> None:
    async def body() -> None:
        woken: list[tuple[str, int]] = []

        async with place(tmp_path) as there, there.process() as runtime:

            async def ready(machine: str, tell: Callable[[str], None]) -> None:
                tell(f"{machine} is starting.")
                woken.append((machine, there.machine.accepted))

            runtime.ready = ready
            service = runtime.ways.service("gpubox", "ollama")
            first = await runtime.ways.make_ready("gpubox", service, there.told.append)
            second = await runtime.ways.make_ready("gpubox", service, there.told.append)

            assert woken == [("gpubox", 0)]
            assert there.told == ["gpubox is starting."]
            assert first.wake_ms is not None
            assert second.wake_ms is None
            assert second.connect_ms < first.connect_ms

    run(body())


def test_whoever_only_looks_wakes_nobody(tmp_path: Path) -> None:
    async def body() -> None:
        async def ready(machine: str, tell: Callable[[str], None]) -> None:
            raise AssertionError("it was woken")

        async with place(tmp_path) as there, there.process() as runtime:
            runtime.ready = ready

            assert await runtime.provider("gpubox").models()

    run(body())


def test_a_machine_that_is_off_says_so_with_its_first_try(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path) as there, there.process() as runtime:
            await there.machine.refuse()

            with pytest.raises(LinkUnreachable, match="refuses connections"):
                await runtime.ways.way_to("gpubox", "ollama")

            await there.machine.accept()
            assert (await runtime.ways.way_to("gpubox", "ollama")).local_port

    run(body())


def test_a_provider_goes_on_when_its_connection_was_dropped(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path) as there, there.process() as runtime:
            provider = runtime.provider("gpubox")
            before = await provider.models()
            await there.machine.drop()

            assert await provider.models() == before
            assert there.machine.logins == 2

    run(body())


def test_a_machine_that_is_not_in_the_settings_has_the_services_of_the_table(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path) as there, there.process() as runtime:
            assert runtime.ways.service("elsewhere", "ollama").port == 11434
            with pytest.raises(SettingsError, match="no service 'olama'"):
                runtime.ways.service("elsewhere", "olama")

    run(body())


def test_a_machine_that_is_off_is_not_tried_for_ever(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path) as there, there.process() as runtime:
            await there.machine.refuse()
            with pytest.raises(LinkUnreachable):
                await runtime.ways.way_to("gpubox", "ollama")

            assert list(runtime.links) == []
            assert list(runtime.tunnels) == []

    run(body())


def test_a_link_that_others_want_is_not_let_go(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path) as there, there.process() as runtime:
            theirs = await runtime.links.link("gpubox")
            await theirs.wait_up()
            await runtime.ways.way_to("gpubox", "ollama")

            await runtime.ways.let_go("gpubox")

            assert theirs.is_up
            assert list(runtime.tunnels) == []
            assert there.machine.logins == 1

    run(body())


def test_after_it_was_let_go_a_machine_is_connected_anew(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path) as there, there.process() as runtime:
            provider = runtime.provider("gpubox")
            before = await provider.models()

            await runtime.ways.let_go("gpubox")
            assert await provider.models() == before
            await runtime.links.drop("gpubox")

            assert await provider.models() == before
            assert there.machine.logins == 3

    run(body())


def test_ten_questions_to_a_machine_that_is_off_all_hear_why(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path) as there, there.process() as runtime:
            await there.machine.refuse()
            asked = (runtime.ways.way_to("gpubox", name) for name in ["ollama", "comfyui"] * 5)

            told = await asyncio.gather(*asked, return_exceptions=True)
            await there.machine.accept()

            assert {type(each) for each in told} == {LinkUnreachable}
            assert (await runtime.ways.way_to("gpubox", "ollama")).local_port

    run(body())
