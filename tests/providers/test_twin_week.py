"""A week at simulated clouds over real HTTP, on a clock moved by hand, and whether their books come out even."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from providers.simulated.clouds.faults import Call, CloudFaultKind
from providers.simulated.clouds.runpod import RunPodTwin
from providers.simulated.clouds.twin import CloudTwin
from providers.simulated.clouds.vast import VastTwin
from tests.conftest import run
from tests.providers.twin_kit import START, HandClock, client_of

STEP_S = 1_800
STEPS = 7 * 24 * 2
_ORDER = {"image": "vastai/base-image:cuda", "disk": 40, "runtype": "ssh_direc ssh_proxy"}
_POD = {
    "image": "runpod/pytorch:1.0",
    "gpu": {"id": "NVIDIA GeForce RTX 4090"},
    "mounts": {"persistent": {"size": 20, "path": "/workspace"}},
    "ports": ["22/tcp"],
}


async def vast_step(http: httpx.AsyncClient, dice: random.Random) -> None:
    rows = (await http.get("/api/v1/instances/")).json()["instances"]
    row = dice.choice(rows) if rows else None
    path = f"/api/v0/instances/{row['id']}/" if row else ""
    match dice.randrange(8):
        case 0 | 1 if len(rows) < 6:
            price = dice.choice([None, 0.22, 0.28])
            await http.put(f"/api/v0/asks/{dice.choice([7001, 7004, 7005])}/", json={**_ORDER, "price": price})
        case 2 if row:
            await http.put(path, json={"state": "stopped"})
        case 3 | 4 if row:
            await http.put(path, json={"state": "running"})
        case 5 if row and dice.random() < 0.3:
            await http.request("DELETE", path, json={})
        case 6 if row and row["is_bid"]:
            await http.put(f"/api/v0/instances/bid_price/{row['id']}/", json={"price": row["min_bid"] + 0.02})


async def runpod_step(http: httpx.AsyncClient, dice: random.Random) -> None:
    pods = (await http.get("/v2/pods")).json()["pods"]
    pod = dice.choice(pods) if pods else None
    match dice.randrange(6):
        case 0 | 1 if len(pods) < 6:
            await http.post("/v2/pods", json=_POD)
        case 2 | 3 | 4 if pod:
            action = dice.choice(pod["actions"])
            await http.post(f"/v2/pods/{pod['id']}/action", json={"action": action})


async def told_by_vast(http: httpx.AsyncClient) -> dict[str, float]:
    days = json.dumps({"day": {"gte": START.timestamp(), "lte": START.timestamp() + 9 * 86_400}})
    answer = await http.get("/api/v0/charges/", params={"select_filters": days, "limit": "1000"})
    return {charge["source"].removeprefix("instance-"): charge["amount"] for charge in answer.json()["results"]}


async def told_by_runpod(http: httpx.AsyncClient) -> dict[str, float]:
    records = (await http.get("/v2/billing/pods", params={"bucketSize": "day"})).json()["records"]
    sums: dict[str, float] = {}
    for record in records:
        sums[record["podId"]] = sums.get(record["podId"], 0) + record["totalAmount"]
    return sums


@pytest.mark.parametrize(
    ("kind", "step", "told"), [(VastTwin, vast_step, told_by_vast), (RunPodTwin, runpod_step, told_by_runpod)]
)
@pytest.mark.parametrize("seed", [1, 2])
def test_week_with_outbids_refusals_and_outages_has_even_books(
    kind: type[CloudTwin], step: Any, told: Any, seed: int
) -> None:
    async def body() -> None:
        clock, dice = HandClock(), random.Random(seed)
        async with kind(clock=clock, balance_usd=Decimal(1_000), seed=seed) as twin, client_of(twin) as http:
            twin.market.strangers_take_after_s = 3_600
            for host in twin.market.hosts.values():
                twin.market.wander(host, every_s=7_200)
            for day in (1, 3, 4):
                host = dice.choice(list(twin.market.hosts.values()))
                away = START + timedelta(days=day)
                twin.market.at(away, lambda host=host: twin.market.lose_host(host))  # type: ignore[misc]
                back = away + timedelta(hours=7)
                twin.market.at(back, lambda host=host: twin.market.find_host(host))  # type: ignore[misc]
            for number in range(STEPS):
                clock.forward(STEP_S)
                if number == 100:
                    twin.faults.until(clock.now() + timedelta(hours=5), CloudFaultKind.STATUS, 502, on=Call.STOP)
                await step(http, dice)
                if number % 10 == 0:  # others come and go
                    host = dice.choice(list(twin.market.hosts.values()))
                    (twin.market.give_back if host.taken else twin.market.take)(host, dice.randrange(1, host.gpus + 1))
            billed = {machine_id: float(twin.billed(machine_id)) for machine_id in twin.rentals}
            said = await told(http)

            assert len(billed) > 5
            assert {key: usd for key, usd in billed.items() if usd} == pytest.approx(said)
            assert twin.balance_usd == 1_000 - sum(charge.usd for charge in twin.invoice())
            assert len(twin.requests) > STEPS

    run(body())
