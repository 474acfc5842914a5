"""The twin of Vast over real HTTP: its calls, its four status words, its errors and its bills."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx

from providers.simulated.clouds.vast import VastTwin
from tests.conftest import run
from tests.providers.twin_kit import HandClock, client_of

SEARCH = {
    "verified": {"eq": True},
    "external": {"eq": False},
    "rentable": {"eq": True},
    "gpu_name": {"eq": "RTX 4090"},
    "num_gpus": {"eq": "1"},
    "dph_total": {"lt": "0.6"},
    "order": [["score", "desc"]],
    "type": "on-demand",
    "allocated_storage": 5.0,
}
"""As the vastai command sends it: numbers are text."""

ORDER = {
    "client_id": "me",
    "image": "vastai/base-image:cuda-12.8",
    "env": {"TZ": "UTC", "-p 8080:8080": "1"},
    "price": None,
    "disk": 36.0,
    "label": "demo",
    "extra": None,
    "onstart": "echo hi",
    "cancel_unavail": True,
    "template_hash_id": None,
    "runtype": "ssh_direc ssh_proxy",
}

RUNNING_S = 65


class Vast:
    """The calls of a client, by name."""

    def __init__(self, twin: VastTwin, clock: HandClock, http: httpx.AsyncClient) -> None:
        self.twin = twin
        self.clock = clock
        self.http = http

    async def rent(self, ask: int = 7001, **more: Any) -> int:
        answer = await self.http.put(f"/api/v0/asks/{ask}/", json={**ORDER, **more})
        assert answer.status_code == 200, answer.text
        return int(answer.json()["new_contract"])

    async def rent_running(self, ask: int = 7001, **more: Any) -> int:
        number = await self.rent(ask, **more)
        self.clock.forward(RUNNING_S)
        return number

    async def row(self, number: int) -> dict[str, Any]:
        answer = await self.http.get(f"/api/v0/instances/{number}/", params={"owner": "me"})
        row: dict[str, Any] = answer.json()["instances"]
        return row

    async def words(self, number: int) -> tuple[str, str, str, str | None]:
        row = await self.row(number)
        return row["intended_status"], row["cur_state"], row["next_state"], row["actual_status"]

    async def set_state(self, number: int, state: str) -> httpx.Response:
        return await self.http.put(f"/api/v0/instances/{number}/", json={"state": state})

    async def listed(self, **query: Any) -> dict[str, Any]:
        params = {name: value if isinstance(value, str) else json.dumps(value) for name, value in query.items()}
        answer = await self.http.get("/api/v1/instances/", params=params)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page


@asynccontextmanager
async def vast(**traits: Any) -> AsyncIterator[Vast]:
    clock = HandClock()
    async with VastTwin(clock=clock, **{"limits": False, **traits}) as twin, client_of(twin) as http:
        yield Vast(twin, clock, http)


def test_search_compares_text_as_numbers() -> None:
    async def body() -> None:
        async with vast() as cloud:
            offers = (await cloud.http.post("/api/v0/bundles/", json=SEARCH)).json()["offers"]

            assert {offer["gpu_name"] for offer in offers} == {"RTX 4090"}
            assert [offer["num_gpus"] for offer in offers] == [1, 1, 1]
            assert [offer["score"] for offer in offers] == sorted((offer["score"] for offer in offers), reverse=True)

    run(body())


def test_machine_comes_up_stops_and_is_destroyed_with_the_words_of_each_state() -> None:
    async def body() -> None:
        async with vast() as cloud:
            number = await cloud.rent()
            words = [await cloud.words(number)]
            for seconds in (1, 5, RUNNING_S):
                cloud.clock.forward(seconds)
                words.append(await cloud.words(number))
            await cloud.set_state(number, "stopped")
            words.append(await cloud.words(number))
            cloud.clock.forward(10)
            words.append(await cloud.words(number))
            await cloud.http.request("DELETE", f"/api/v0/instances/{number}/", json={})
            cloud.clock.forward(10)

            assert words == [
                ("running", "stopped", "running", None),
                ("running", "stopped", "running", "created"),
                ("running", "running", "running", "loading"),
                ("running", "running", "running", "running"),
                ("stopped", "running", "stopped", "running"),
                ("stopped", "stopped", "stopped", "exited"),
            ]
            assert await cloud.row(number) is None

    run(body())


def test_start_without_a_free_gpu_is_queued_and_fires_later() -> None:
    async def body() -> None:
        async with vast() as cloud:
            number = await cloud.rent_running()
            await cloud.set_state(number, "stopped")
            cloud.clock.forward(10)
            host = cloud.twin.market.hosts[41]
            cloud.twin.market.take(host, 4)
            answer = await cloud.set_state(number, "running")
            queued = await cloud.words(number)
            cloud.clock.forward(hours=5)
            still_queued = await cloud.words(number)
            cloud.twin.market.give_back(host, 1)
            cloud.clock.forward(RUNNING_S)

            assert (answer.status_code, answer.json()["success"]) == (200, False)
            assert "state change queued" in answer.json()["msg"]
            assert queued == still_queued == ("running", "stopped", "running", "exited")
            assert await cloud.words(number) == ("running", "running", "running", "running")

    run(body())


def test_gpu_is_billed_from_running_to_stopped_and_disk_from_first_to_last() -> None:
    async def body() -> None:
        async with vast() as cloud:
            number = await cloud.rent_running()  # runs after 65 s of 5 s, 50 s and 10 s
            cloud.clock.forward(hours=2)
            await cloud.set_state(number, "stopped")
            cloud.clock.forward(hours=10)

            gpu = Decimal("0.39") * (7_200 + 8) / 3_600
            disk = Decimal("0.01") * (RUNNING_S + 12 * 3_600) / 3_600
            assert abs(cloud.twin.billed(str(number)) - gpu - disk) < Decimal("1e-20")
            assert cloud.twin.billed(str(number)) == sum(charge.usd for charge in cloud.twin.invoice())

    run(body())
