"""The machines behind simulated rentals: real SSH servers that come and go as the cloud says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncssh
import httpx
import pytest

from providers.simulated.clouds.faults import CloudFaultKind
from providers.simulated.clouds.rental import Timings
from providers.simulated.clouds.runpod import RunPodTwin
from providers.simulated.clouds.vast import VastTwin
from tests.conftest import run
from tests.providers.twin_kit import HandClock, client_of

TIMINGS = Timings(provision_s=1, pull_s=1, boot_s=1, ssh_s=10, service_s=10, stop_s=5, destroy_s=1, restart_s=2)
ORDER = {"image": "ollama/ollama", "disk": 20, "runtype": "ssh_direc ssh_proxy", "onstart": "ollama pull qwen3:8b"}


class Login:
    """A key of our own and what its owner does with a machine."""

    def __init__(self) -> None:
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.public = self.key.export_public_key().decode().strip()

    async def connect(self, host: str, port: int) -> asyncssh.SSHClientConnection:
        return await asyncssh.connect(
            host, port, username="root", client_keys=[self.key], known_hosts=None, config=None, agent_path=None
        )

    async def output(self, host: str, port: int, command: str) -> str:
        connection = await self.connect(host, port)
        async with connection:
            done = await connection.run(command, check=True)
        return str(done.stdout)

    async def host_key(self, host: str, port: int) -> str:
        key = await asyncssh.get_server_host_key(host, port)
        assert key is not None
        return key.export_public_key().decode()


class Rented:
    def __init__(self, twin: VastTwin, clock: HandClock, http: httpx.AsyncClient, login: Login) -> None:
        self.twin = twin
        self.clock = clock
        self.http = http
        self.login = login

    async def rent(self, **more: Any) -> str:
        answer = await self.http.put("/api/v0/asks/7001/", json={**ORDER, **more})
        return str(answer.json()["new_contract"])

    async def rent_running(self, **more: Any) -> str:
        machine_id = await self.rent(**more)
        await self.forward(3 + 10 + 10)
        return machine_id

    async def forward(self, seconds: float) -> None:
        self.clock.forward(seconds)
        await self.twin.settle()

    async def row(self, machine_id: str) -> dict[str, Any]:
        row: dict[str, Any] = (await self.http.get(f"/api/v0/instances/{machine_id}/?owner=me")).json()["instances"]
        return row

    async def direct(self, machine_id: str) -> tuple[str, int]:
        row = await self.row(machine_id)
        return row["public_ipaddr"].strip(), int(row["ports"]["22/tcp"][0]["HostPort"])

    async def set_state(self, machine_id: str, state: str) -> None:
        await self.http.put(f"/api/v0/instances/{machine_id}/", json={"state": state})


@asynccontextmanager
async def vast(**traits: Any) -> AsyncIterator[Rented]:
    clock, login = HandClock(), Login()
    async with (
        VastTwin(clock=clock, limits=False, with_machines=True, timings=TIMINGS, **traits) as twin,
        client_of(twin) as http,
    ):
        await http.post("/api/v0/ssh/", json={"ssh_key": login.public})
        yield Rented(twin, clock, http, login)


async def refused(connect: Callable[[], Awaitable[object]]) -> bool:
    try:
        await connect()
    except ConnectionRefusedError:
        return True
    return False


def test_address_the_cloud_tells_is_the_machine_s() -> None:
    async def body() -> None:
        async with vast() as cloud:
            machine_id = await cloud.rent_running()
            host, port = await cloud.direct(machine_id)
            name = await cloud.login.output(host, port, "hostname")
            gpus = await cloud.login.output(host, port, "nvidia-smi -L")
            described = cloud.twin.machine_descriptions()

            assert name.strip() == machine_id
            assert "NVIDIA GeForce RTX 4090" in gpus
            assert [(row["cloud"], row["id"], row["port"]) for row in described] == [("vast", machine_id, port)]

    run(body())


def test_sshd_comes_a_while_after_the_word_running() -> None:
    async def body() -> None:
        async with vast() as cloud:
            machine_id = await cloud.rent()
            await cloud.forward(4)
            place = await cloud.direct(machine_id)
            was_refused = await refused(lambda: cloud.login.connect(*place))
            await cloud.forward(9)

            assert was_refused
            assert (await cloud.login.output(*place, "hostname")).strip() == machine_id

    run(body())


def test_stopped_machine_refuses_and_comes_back_elsewhere_as_itself() -> None:
    async def body() -> None:
        async with vast() as cloud:
            machine_id = await cloud.rent_running()
            before = await cloud.direct(machine_id)
            key = await cloud.login.host_key(*before)
            await cloud.login.output(*before, "echo kept > note.txt")
            open_connection = await cloud.login.connect(*before)
            await cloud.set_state(machine_id, "stopped")
            await cloud.forward(5)
            await open_connection.wait_closed()
            was_refused = await refused(lambda: cloud.login.connect(*before))
            await cloud.set_state(machine_id, "running")
            await cloud.forward(3 + 10)
            after = await cloud.direct(machine_id)

            assert was_refused
            assert after != before
            assert await cloud.login.host_key(*after) == key
            assert await cloud.login.output(*after, "cat note.txt") == "kept\n"
            assert await refused(lambda: cloud.login.connect(*before))

    run(body())


def test_destroyed_machine_leaves_nothing_behind() -> None:
    async def body() -> None:
        async with vast() as cloud:
            machine_id = await cloud.rent_running()
            place = await cloud.direct(machine_id)
            disk = cloud.twin.machine(machine_id).disk
            await cloud.http.request("DELETE", f"/api/v0/instances/{machine_id}/", json={})
            await cloud.forward(2)

            assert await refused(lambda: cloud.login.connect(*place))
            assert not disk.exists()
            with pytest.raises(KeyError):
                cloud.twin.machine(machine_id)

    run(body())


def test_key_that_is_attached_later_is_let_in_later() -> None:
    async def body() -> None:
        async with vast() as cloud:
            machine_id = await cloud.rent_running()
            place = await cloud.direct(machine_id)
            late = Login()
            with pytest.raises(asyncssh.PermissionDenied):
                await late.connect(*place)
            await cloud.http.post(f"/api/v0/instances/{machine_id}/ssh/", json={"ssh_key": late.public})

            assert (await late.output(*place, "hostname")).strip() == machine_id

    run(body())


def test_keys_come_late_when_told() -> None:
    async def body() -> None:
        async with vast() as cloud:
            cloud.twin.faults.once(CloudFaultKind.LATE_KEYS, 30)
            machine_id = await cloud.rent_running()
            place = await cloud.direct(machine_id)
            with pytest.raises(asyncssh.PermissionDenied):
                await cloud.login.connect(*place)
            await cloud.forward(30)

            assert (await cloud.login.output(*place, "hostname")).strip() == machine_id

    run(body())


def test_blocked_direct_address_leaves_the_proxy() -> None:
    async def body() -> None:
        async with vast() as cloud:
            cloud.twin.faults.once(CloudFaultKind.DIRECT_BLOCKED)
            machine_id = await cloud.rent_running(runtype="jupyter_direc ssh_direc ssh_proxy")
            row = await cloud.row(machine_id)
            direct = await cloud.direct(machine_id)

            assert await refused(lambda: cloud.login.connect(*direct))
            name = await cloud.login.output(row["ssh_host"], row["ssh_port"] + 1, "hostname")
            assert name.strip() == machine_id

    run(body())


def test_host_that_is_away_answers_nothing_until_it_is_back() -> None:
    async def body() -> None:
        async with vast() as cloud:
            machine_id = await cloud.rent_running()
            place = await cloud.direct(machine_id)
            host = cloud.twin.rentals[machine_id].host
            cloud.twin.market.lose_host(host)
            await cloud.twin.settle()
            connecting = asyncio.create_task(cloud.login.output(*place, "hostname"))
            done, _ = await asyncio.wait([connecting], timeout=0.2)
            cloud.twin.market.find_host(host)
            await cloud.twin.settle()

            assert not done
            assert (await connecting).strip() == machine_id

    run(body())


def test_ollama_answers_on_the_machine_after_its_start_script() -> None:
    async def body() -> None:
        async with vast() as cloud:
            machine_id = await cloud.rent()
            await cloud.forward(3 + 10)
            place = await cloud.direct(machine_id)
            connection = await cloud.login.connect(*place)
            async with connection:
                with pytest.raises(asyncssh.ChannelOpenError):
                    await connection.open_connection("127.0.0.1", 11434)
                await cloud.forward(10)
                listener = await connection.forward_local_port("127.0.0.1", 0, "127.0.0.1", 11434)
                async with httpx.AsyncClient(trust_env=False) as http:
                    tags = (await http.get(f"http://127.0.0.1:{listener.get_port()}/api/tags")).json()
                listener.close()

            assert [model["name"] for model in tags["models"]] == ["qwen3:8b"]

    run(body())


def test_machine_that_was_rented_goes_when_the_money_is_gone_while_nobody_asks() -> None:
    async def body() -> None:
        async with vast() as cloud:
            machine_id = await cloud.rent_running()
            place = await cloud.direct(machine_id)
            connection = await cloud.login.connect(*place)
            cloud.clock.forward(days=9)
            await connection.wait_closed()

            assert await refused(lambda: cloud.login.connect(*place))

    run(body())


def test_machine_can_read_its_own_key() -> None:
    async def body() -> None:
        async with vast() as cloud:
            machine_id = await cloud.rent_running(env={"TZ": "UTC", "-p 8080:8080": "1"})
            place = await cloud.direct(machine_id)
            read = await cloud.login.output(*place, "cat /proc/1/environ")

            assert dict(line.split("=", 1) for line in read.split("\0") if line) == {
                "TZ": "UTC",
                "CONTAINER_ID": machine_id,
                "CONTAINER_API_KEY": cloud.twin.rentals[machine_id].own_key,
                "VAST_CONTAINERLABEL": f"C.{machine_id}",
            }

    run(body())


def test_pod_is_reached_directly_with_the_key_of_the_account() -> None:
    async def body() -> None:
        clock, login = HandClock(), Login()
        async with (
            RunPodTwin(clock=clock, with_machines=True, timings=TIMINGS) as twin,
            client_of(twin) as http,
        ):
            await http.put("/v2/account/ssh-keys", json={"keys": [login.public]})
            order = {
                "image": "runpod/pytorch:1.0",
                "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 2},
                "ports": ["22/tcp", "11434/tcp"],
                "startSsh": True,
                "args": "bash -c 'ollama serve'",
            }
            pod_id = (await http.post("/v2/pods", json=order)).json()["id"]
            clock.forward(60)
            direct = (await http.get(f"/v2/pods/{pod_id}")).json()["ssh"]["direct"]
            ports = (await http.get(f"/v2/pods/{pod_id}")).json()["runtime"]["ports"]
            gpus = await login.output(direct["host"], direct["port"], "nvidia-smi -L")
            ollama = next(port for port in ports if port["private"] == 11434)
            async with httpx.AsyncClient(trust_env=False) as anybody:
                version = await anybody.get(f"http://{ollama['ip']}:{ollama['public']}/api/version")

            assert gpus.count("RTX 4090") == 2
            assert version.is_success

    run(body())
