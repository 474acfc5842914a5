"""One cloud adapter at the simulated twin of its cloud, and how a test drives both by one clock.

A new adapter begins as a line in `CLOUDS` and one in the table of claims in `test_clouds.py`.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from providers.clouds.base import Bills, Capability, Cloud, CloudHost, Created, Offer, Order, Reading, Search, State
from providers.clouds.ssh_host import SshHost
from providers.registry import cloud, ssh_cloud
from providers.simulated.clouds.lambda_cloud import LambdaTwin
from providers.simulated.clouds.rental import Rental
from providers.simulated.clouds.runpod import RunPodTwin
from providers.simulated.clouds.tensordock import TensorDockTwin
from providers.simulated.clouds.twin import CloudTwin
from providers.simulated.clouds.vast import VastTwin
from providers.simulated.http_server import Exchange, HttpServer
from tests.clocks import EagerClock
from tests.conftest import run

OUR_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOurKeyOurKeyOurKeyOurKeyOurKeyOurKeyOur hawser"
THEIR_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAITheirKeyTheirKeyTheirKeyTheirKeyTheir somebody"
RENTED: dict[str, tuple[str, type[CloudTwin], str]] = {
    "vast": ("vast", VastTwin, "{key}"),
    "runpod": ("runpod", RunPodTwin, "{key}"),
    "tensordock": ("tensordock", TensorDockTwin, "{key}"),
    "tensordock with both keys": ("tensordock", TensorDockTwin, "v0-api-key:{key}"),
    "lambda": ("lambda", LambdaTwin, "{key}"),
}
"""By name: the kind, its twin, and how the key is written in the settings."""
OWN = "own"
CLOUDS = (*RENTED, OWN)
GPU = {"lambda": "A10"}
STEP_S = 15.0
MOST_STEPS = 200
_PROGRAM = """
import pathlib, sys
state = pathlib.Path(sys.argv[1])
if len(sys.argv) > 2:
    state.write_text(sys.argv[2])
print(state.read_text())
"""

Body = Callable[["CloudBench"], Awaitable[None]]


class CloudBench:
    """A rented cloud with its twin, or the machines of the user's own with one that runs."""

    def __init__(self, name: str, adapter: Cloud, clock: EagerClock, twin: CloudTwin | None, folder: Path) -> None:
        self.name = name
        self.cloud = adapter
        self.clock = clock
        self.folder = folder
        self._twin = twin
        self._number = 0

    @property
    def twin(self) -> CloudTwin:
        assert self._twin is not None
        return self._twin

    def claims(self, capability: Capability, machine: str = OWN) -> bool:
        return capability in self.cloud.capabilities_of(machine)

    def rental(self, machine: str) -> Rental:
        return self.twin.rentals[machine]

    async def offer(self, **wishes: Any) -> Offer:
        return (await self.cloud.offers(Search(gpu=GPU.get(self.name, "RTX 4090"), **wishes)))[0]

    async def order(self, label: str = "", **wishes: Any) -> Order:
        self._number += 1
        wishes.setdefault("offer", await self.offer() if "offer" not in wishes else wishes["offer"])
        return Order(label=label or f"hawser-{self._number}", public_key=OUR_KEY, **wishes)

    async def rent(self, **wishes: Any) -> Created:
        return await self.cloud.create(await self.order(**wishes))

    async def machine(self) -> str:
        """One that runs, newly rented where machines are rented."""
        if self._twin is None:
            return OWN
        made = await self.rent()
        await self.until(made.id, State.RUNNING)
        return made.id

    async def reading(self, machine: str) -> Reading:
        """From the list, as the program reads it."""
        return next(one for one in await self.cloud.machines() if one.id == machine)

    async def until(self, machine: str, *states: State, bills: Bills | None = None) -> Reading:
        for _ in range(MOST_STEPS):
            seen = await self.reading(machine)
            if seen.state in states and bills in (None, seen.bills):
                return seen
            self.clock.advance(STEP_S)
        raise AssertionError(f"{machine} never became {states}: it is {seen.state}, {seen.words}, {seen.message}")

    async def until_gone(self, machine: str) -> None:
        for _ in range(MOST_STEPS):
            seen = await self.cloud.machine(machine)
            if seen is None or seen.state is State.GONE:
                return
            self.clock.advance(STEP_S)
        raise AssertionError(f"{machine} never went")

    def asked(self, method: str, part: str) -> int:
        """How often the twin was asked for this."""
        return sum(one.method == method and part in one.path for one in self.twin.requests)


def on(name: str, folder: Path, body: Body) -> None:
    async def benched() -> None:
        async with bench_for(name, folder) as bench:
            await body(bench)

    run(benched())


def large(name: str) -> dict[str, Any]:
    """Traits of a cloud that has room and money for a hundred machines."""
    hosts = [replace(host, gpus=128) for host in RENTED[name][1].default_hosts()]
    more = {"quota": 200} if name == "lambda" else {}
    return {"hosts": hosts, "balance_usd": Decimal(100_000), "limits": False, **more}


@asynccontextmanager
async def bench_for(name: str, folder: Path, *, total_s: float = 10.0, **traits: Any) -> AsyncGenerator[CloudBench]:
    clock = EagerClock()
    if name == OWN:
        own = ssh_cloud([own_host(folder)], clock)
        yield CloudBench(name, own, clock, None, folder)
        await own.close()
        return
    kind, twin_of, key = RENTED[name]
    async with twin_of(clock=clock, **traits) as twin:
        host = CloudHost("lab", twin.base_url, key.format(key=twin.key), total_s=total_s)
        adapter = cloud(kind, host, clock)
        try:
            yield CloudBench(name, adapter, clock, twin, folder)
        finally:
            await adapter.close()


def own_host(folder: Path, name: str = OWN, **traits: Any) -> SshHost:
    """A machine of the user's own whose commands are a file that says its state."""
    program, state = folder / "switch.py", folder / f"{name}.state"
    program.write_text(_PROGRAM)
    state.write_text("running")
    command = shlex.join([sys.executable, "-I", "-S", str(program), str(state)])
    given: dict[str, Any] = {
        "start": f"{command} running",
        "stop": f"{command} stopped",
        "status": command,
        "usd_per_hour": Decimal("0.10"),
    }
    return SshHost(name, "127.0.0.1", 22, "me", **{**given, **traits})


@asynccontextmanager
async def answering(
    kind: str, answers: Callable[[Exchange], Awaitable[None]], clock: EagerClock | None = None
) -> AsyncGenerator[Cloud]:
    """An adapter at a service that answers as the test says, for what no twin does."""
    server = HttpServer(answers)
    await server.start()
    adapter = cloud(kind, CloudHost("lab", f"http://127.0.0.1:{server.port}", "a-key"), clock or EagerClock())
    try:
        yield adapter
    finally:
        await adapter.close()
        await server.stop()


async def reply_json(exchange: Exchange, answer: object, status: int = 200) -> None:
    await exchange.reply(status, json.dumps(answer).encode(), content_type="application/json")
