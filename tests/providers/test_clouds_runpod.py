"""RunPod's prices that fall to nothing while a disk bills, ports that linger, keys that replace each other."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from providers.clouds.base import Bills, CannotDo, CloudError, NoCapacity, Offer, Order, OrderRefused, State
from providers.clouds.runpod_rows import reading
from providers.errors import OutOfCredit, ProviderError, ServiceFailed
from providers.simulated.clouds.faults import Call, CloudFaultKind
from providers.simulated.clouds.runpod import RunPodTwin
from providers.simulated.http_server import Exchange
from tests.clocks import EagerClock
from tests.conftest import run
from tests.contracts.clouds_bench import OUR_KEY, THEIR_KEY, CloudBench, answering, bench_for, reply_json

ORDER = Order(Offer("NVIDIA GeForce RTX 4090|SECURE", "RTX 4090", 1, Decimal(24), Decimal("0.7")), "hawser-1", OUR_KEY)
DIRECT = {"host": "203.0.113.9", "port": 10341, "username": "root"}
PROXY = {"host": "ssh.runpod.io", "port": 22, "username": "xedezhzb9la3ye-64411eb2"}
POD: dict[str, Any] = {
    "id": "xedezhzb9la3ye",
    "name": "lab-3",
    "status": "RUNNING",
    "disk": 20,
    "env": {"TOKEN": "very secret"},
    "mounts": {"persistent": {"size": 72, "path": "/workspace"}},
    "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 1},
    "dataCenterId": "EU-RO-1",
    "cost": 0.69,
    "ssh": {"proxy": PROXY, "direct": DIRECT},
    "createdAt": "2026-09-01T10:00:00Z",
}


def on(folder: Path, body: Any, **traits: Any) -> None:
    async def benched() -> None:
        async with bench_for("runpod", folder, **traits) as bench:
            await body(bench)

    run(benched())


@pytest.mark.parametrize(
    ("fields", "state", "bills"),
    [
        ({}, State.RUNNING, Bills.EVERYTHING),
        ({"status": "PROVISIONING"}, State.STARTING, Bills.EVERYTHING),
        ({"status": "STARTING"}, State.STARTING, Bills.EVERYTHING),
        ({"status": "EXITED", "cost": 0.0}, State.STOPPED, Bills.DISK),
        ({"status": "EXITED", "cost": 0.0, "mounts": None}, State.STOPPED, Bills.NOTHING),
        ({"status": "EXITED", "cost": 0.0, "mounts": {"network": [{"volumeId": "v"}]}}, State.STOPPED, Bills.NOTHING),
        ({"status": "EXITED", "cost": 0.69}, State.STOPPED, Bills.EVERYTHING),
        ({"status": "ERROR", "cost": 0.69}, State.DIED, Bills.EVERYTHING),
        ({"status": "ERROR", "cost": 0}, State.DIED, Bills.DISK),
        ({"status": "ERROR", "cost": None}, State.DIED, Bills.UNKNOWN),
        ({"status": "TERMINATED"}, State.GONE, Bills.NOTHING),
        ({"status": "MIGRATING"}, State.UNKNOWN, Bills.EVERYTHING),
        ({"status": None, "cost": None}, State.UNKNOWN, Bills.UNKNOWN),
    ],
)
def test_words_and_price_make_one_state(fields: dict[str, Any], state: State, bills: Bills) -> None:
    seen = reading({**POD, **fields})

    assert (seen.state, seen.bills) == (state, bills)


def test_a_stopped_pod_costs_its_volume_at_double_rate() -> None:
    seen = reading({**POD, "status": "EXITED", "cost": 0.0})

    assert seen.usd_per_hour is None
    assert seen.usd_per_hour_stopped == Decimal("0.02")


def test_a_running_pod_costs_its_disks_as_well() -> None:
    assert reading({**POD, "disk": 72}).usd_per_hour == Decimal("0.71")


@pytest.mark.parametrize("status", ["PROVISIONING", "STARTING", "EXITED", "ERROR", "TERMINATED"])
def test_ports_of_a_pod_that_does_not_run_are_not_believed(status: str) -> None:
    assert reading({**POD, "status": status}).addresses == ()


def test_only_the_direct_way_forwards() -> None:
    direct, proxy = reading(POD).addresses

    assert (direct.host, direct.port, direct.user, direct.forwards) == ("203.0.113.9", 10341, "root", True)
    assert (proxy.host, proxy.forwards) == ("ssh.runpod.io", False)


def test_the_ports_of_the_container_tell_the_direct_way_as_well() -> None:
    ports = [
        {"private": 8888, "public": 2, "type": "http"},
        {"private": 22, "public": 5, "type": "tcp", "ip": "1.2.3.4"},
    ]

    (found,) = reading({**POD, "ssh": None, "runtime": {"ports": ports}}).addresses

    assert (found.host, found.port, found.user) == ("1.2.3.4", 5, "root")


def test_nothing_secret_is_kept_of_a_pod() -> None:
    assert "secret" not in repr(reading(POD))


def test_our_key_is_put_beside_the_others(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        bench.twin.account.add_key(THEIR_KEY, bench.clock.now())

        made = await bench.rent()

        assert list(bench.twin.account.public_keys()) == [THEIR_KEY, OUR_KEY]
        assert set(bench.rental(made.id).keys) == {THEIR_KEY, OUR_KEY}

    on(tmp_path, body)


def test_our_key_is_put_there_again_when_somebody_replaced_it_meanwhile() -> None:
    kept = [THEIR_KEY]
    puts: list[list[str]] = []

    async def account(exchange: Exchange) -> None:
        if exchange.request.method == "PUT":
            puts.append(exchange.request.json()["keys"])
            kept[:] = [THEIR_KEY] if len(puts) == 1 else puts[-1]
        if exchange.request.path.endswith("ssh-keys"):
            await reply_json(exchange, {"keys": kept})
        else:
            await reply_json(exchange, {"id": "x"}, 201)

    async def body() -> None:
        async with answering("runpod", account) as pods:
            await pods.create(ORDER)

        assert puts == [[THEIR_KEY, OUR_KEY]] * 2

    run(body())


def test_nothing_is_ordered_when_the_account_does_not_keep_our_key() -> None:
    async def account(exchange: Exchange) -> None:
        assert exchange.request.path.endswith("ssh-keys")
        await reply_json(exchange, {"keys": []})

    async def body() -> None:
        async with answering("runpod", account) as pods:
            with pytest.raises(CloudError, match="SSH key"):
                await pods.create(ORDER)

    run(body())


@pytest.mark.parametrize(
    ("status", "detail", "error"),
    [
        (400, "There are no longer any instances available with the requested specifications.", NoCapacity),
        (400, "image is required", OrderRefused),
        (402, "insufficient balance", OutOfCredit),
        (403, "pool ADA_24 is not allowed", NoCapacity),
        (422, "gpu.count must be >= 1", OrderRefused),
    ],
)
def test_refused_orders(status: int, detail: str, error: type[ProviderError]) -> None:
    async def refused(exchange: Exchange) -> None:
        if exchange.request.path.endswith("ssh-keys"):
            await reply_json(exchange, {"keys": [OUR_KEY]})
        else:
            await reply_json(exchange, {"title": "No", "status": status, "detail": detail}, status)

    async def body() -> None:
        async with answering("runpod", refused) as pods:
            with pytest.raises(error, match=detail[:20]):
                await pods.create(ORDER)

    run(body())


def test_a_start_whose_gpu_is_taken_is_not_queued(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        await bench.cloud.stop(machine)
        await bench.until(machine, State.STOPPED)
        bench.twin.faults.once(CloudFaultKind.NO_GPU, on=Call.START)

        with pytest.raises(NoCapacity, match="not enough free GPUs") as refused:
            await bench.cloud.start(machine)

        assert not refused.value.queued

    on(tmp_path, body)


def test_a_locked_pod_says_so(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        bench.rental(machine).extra["locked"] = True

        with pytest.raises(CannotDo, match="locked"):
            await bench.cloud.stop(machine)

        assert (await bench.reading(machine)).state is State.RUNNING

    on(tmp_path, body)


def test_a_region_is_a_data_centre(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        offer = await bench.offer(region="Sweden")
        made = await bench.rent(offer=offer)

        assert offer.region == "EU-SE-1, Sweden, SE"
        assert bench.rental(made.id).host.datacenter == "EU-SE-1"

    on(tmp_path, body)


def test_offers_tell_the_disk_and_what_it_costs_when_stopped(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        offer = await bench.offer(disk_gb=Decimal(52))

        assert offer.usd_per_hour == Decimal("0.34") + Decimal("0.01")  # 52 and the container's 20 GB
        assert offer.raw["cloud"] == "community"

    on(tmp_path, body)


def test_graphql_errors_inside_an_answer_are_no_balance(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        bench.twin.faults.always(CloudFaultKind.ERROR_INSIDE, on=Call.ACCOUNT)

        with pytest.raises(ServiceFailed):
            await bench.cloud.account()

        bench.twin.faults.clear()
        assert isinstance(bench.twin, RunPodTwin)
        assert (await bench.cloud.account()).balance_usd == bench.twin.balance_usd

    on(tmp_path, body)


def test_a_log_goes_on_until_its_reader_leaves(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        lines: list[str] = []

        log = bench.cloud.logs(machine)
        async for line in log:
            lines.append(line)
            if "running" in line:
                break

        assert len(lines) >= 2

    on(tmp_path, body)


def test_a_window_that_is_used_up_is_waited_out_before_it_is_refused() -> None:
    async def counts(exchange: Exchange) -> None:
        left = '"minute";r=0;t=12, "hour";r=2800;t=1812, "day";r=0;t=45012'
        await exchange.reply(200, b'{"pods": []}', content_type="application/json", headers=[("RateLimit", left)])

    async def body() -> None:
        clock = EagerClock()
        async with answering("runpod", counts, clock) as pods:
            await pods.machines()
            await pods.machines()

        assert clock.monotonic() == 12

    run(body())
