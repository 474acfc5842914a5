"""Lambda: no stop, prices in cents, keys by name, and boots that tell no address."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from providers.clouds.base import Bills, CannotDo, CloudError, NotThere, OrderRefused, State
from providers.clouds.lambda_cloud import reading
from providers.errors import KeyRefused, ProviderError
from providers.simulated.clouds.faults import Call, CloudFaultKind
from providers.simulated.clouds.lambda_cloud import LambdaTwin
from providers.simulated.http_server import Exchange
from tests.conftest import run
from tests.contracts.clouds_bench import OUR_KEY, THEIR_KEY, CloudBench, answering, bench_for, reply_json

INSTANCE: dict[str, Any] = {
    "id": "0920582c7ff041399e34823a0be62549",
    "name": "lab-4",
    "ip": "203.0.113.77",
    "status": "active",
    "region": {"name": "us-west-1", "description": "California, USA"},
    "instance_type": {
        "name": "gpu_2x_a6000",
        "gpu_description": "RTX A6000 (48 GB)",
        "price_cents_per_hour": 160,
        "specs": {"vcpus": 28, "memory_gib": 200, "storage_gib": 1000, "gpus": 2},
    },
    "jupyter_token": "very secret",
    "jupyter_url": "https://jupyter.example/?token=very-secret",
}


def on(folder: Path, body: Any, **traits: Any) -> None:
    async def benched() -> None:
        async with bench_for("lambda", folder, **traits) as bench:
            await body(bench)

    run(benched())


@pytest.mark.parametrize(
    ("fields", "state", "bills"),
    [
        ({}, State.RUNNING, Bills.EVERYTHING),
        ({"status": "booting", "ip": None}, State.STARTING, Bills.NOTHING),
        ({"status": "booting"}, State.STARTING, Bills.EVERYTHING),
        ({"status": "unhealthy"}, State.LOST, Bills.EVERYTHING),
        ({"status": "terminating"}, State.DESTROYING, Bills.EVERYTHING),
        ({"status": "terminated"}, State.GONE, Bills.NOTHING),
        ({"status": "preempted"}, State.OUTBID, Bills.NOTHING),
        ({"status": "hibernating"}, State.UNKNOWN, Bills.UNKNOWN),
    ],
)
def test_words_and_address_make_one_state(fields: dict[str, Any], state: State, bills: Bills) -> None:
    seen = reading({**INSTANCE, **fields})

    assert (seen.state, seen.bills) == (state, bills)


def test_cents_become_dollars_and_nothing_secret_is_kept() -> None:
    seen = reading(INSTANCE)

    assert seen.usd_per_hour == Decimal("1.60")
    assert (seen.gpu, seen.gpu_count, seen.vram_gb) == ("RTX A6000", 2, Decimal(48))
    assert seen.region == "us-west-1, California, US"
    assert [(one.host, one.port, one.user) for one in seen.addresses] == [("203.0.113.77", 22, "ubuntu")]
    assert "secret" not in repr(seen)


def test_there_is_no_stop_and_the_refusal_says_what_ends_the_bill(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        with pytest.raises(CannotDo) as refused:
            await bench.cloud.stop("x")

        assert refused.value.hint == "Only destroying it ends the billing."
        assert bench.twin.requests == []

    on(tmp_path, body)


def test_a_key_that_the_account_has_is_named_and_not_added_again(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        await bench.rent()
        await bench.cloud.close()
        made = await bench.rent()

        assert bench.asked("POST", "/ssh-keys") == 1
        assert list(bench.rental(made.id).keys) == [OUR_KEY]

    on(tmp_path, body)


def test_a_key_whose_adding_was_not_answered_is_found(tmp_path: Path) -> None:
    keys: list[dict[str, str]] = []
    launched: list[dict[str, Any]] = []

    async def loses_an_answer(exchange: Exchange) -> None:
        request = exchange.request
        if request.path.endswith("/launch"):
            launched.append(request.json())
            await reply_json(exchange, {"data": {"instance_ids": ["x"]}})
        elif request.method == "GET":
            await reply_json(exchange, {"data": keys})
        elif keys:
            await reply_json(exchange, {"error": {"code": "global/duplicate", "message": "It exists."}}, 400)
        else:
            keys.append(request.json())
            await exchange.hang_up()

    async def body(bench: CloudBench) -> None:
        async with answering("lambda", loses_an_answer) as there:
            await there.create(await bench.order())

        assert launched[0]["ssh_key_names"] == [keys[0]["name"]]

    on(tmp_path, body)


def test_a_key_under_another_name_is_found_by_what_it_is() -> None:
    launched: list[dict[str, Any]] = []

    async def answers(exchange: Exchange) -> None:
        if exchange.request.path.endswith("/ssh-keys"):
            assert exchange.request.method == "GET"
            keys = [("theirs", THEIR_KEY), ("laptop", " ".join([*OUR_KEY.split()[:2], "another comment"]))]
            await reply_json(exchange, {"data": [{"id": "k", "name": name, "public_key": key} for name, key in keys]})
        else:
            launched.append(exchange.request.json())
            await reply_json(exchange, {"data": {"instance_ids": ["x"]}})

    async def benched(folder: Path) -> None:
        async with bench_for("lambda", folder) as bench, answering("lambda", answers) as there:
            await there.create(await bench.order(start_script="echo once", environment={"TZ": "UTC"}))

    run(benched(Path()))
    assert launched[0]["ssh_key_names"] == ["laptop"]
    kind, _, boot = launched[0]["user_data"].partition("\n")
    assert kind == "#cloud-config"
    assert "echo once" in json.loads(boot)["runcmd"][0][2]


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "global/quota-exceeded", OrderRefused),
        (400, "global/invalid-parameters", OrderRefused),
        (404, "global/object-does-not-exist", OrderRefused),
        (403, "global/account-inactive", CloudError),
        (401, "global/invalid-api-key", KeyRefused),
    ],
)
def test_refused_orders(status: int, code: str, error: type[ProviderError], tmp_path: Path) -> None:
    async def refused(exchange: Exchange) -> None:
        if exchange.request.path.endswith("/ssh-keys"):
            await reply_json(exchange, {"data": [{"name": "laptop", "public_key": OUR_KEY}]})
        else:
            await reply_json(exchange, {"error": {"code": code, "message": "No such luck."}}, status)

    async def body(bench: CloudBench) -> None:
        async with answering("lambda", refused) as there:
            with pytest.raises(error, match="No such luck") as failed:
                await there.create(await bench.order())
        assert not isinstance(failed.value, NotThere)

    on(tmp_path, body)


def test_a_name_too_long_is_not_sent(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        with pytest.raises(OrderRefused, match="64"):
            await bench.rent(label="x" * 65)

        assert bench.asked("POST", "/launch") == 0

    on(tmp_path, body)


def test_a_machine_that_was_taken_away_costs_nothing(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        assert isinstance(bench.twin, LambdaTwin)

        bench.twin.preempt(machine)

        assert (await bench.until(machine, State.OUTBID)).bills is Bills.NOTHING

    on(tmp_path, body)


def test_a_host_without_contact_bills_on(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        bench.twin.faults.always(CloudFaultKind.HEARTBEAT_LOST, on=Call.LIST, machine_id=machine)

        seen = await bench.reading(machine)

        assert (seen.state, seen.bills) == (State.LOST, Bills.EVERYTHING)

    on(tmp_path, body)
