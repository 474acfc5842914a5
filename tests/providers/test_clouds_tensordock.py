"""TensorDock's two stops, its many shapes, and its refusals that mean that there is nothing left to do."""

from __future__ import annotations

import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from providers.clouds.base import Bills, CannotDo, NoCapacity, OrderRefused, Search, State
from providers.clouds.tensordock_rows import reading
from providers.errors import OutOfCredit
from providers.simulated.clouds.faults import Call, CloudFaultKind
from providers.simulated.clouds.tensordock import Quirks, ReleaseBy, TensorDockTwin
from providers.simulated.clouds.tensordock_shapes import ListShape, ShowShape, Spelling
from providers.simulated.http_server import Exchange
from tests.conftest import run
from tests.contracts.clouds_bench import CloudBench, answering, bench_for, reply_json


def on(folder: Path, body: Any, **traits: Any) -> None:
    async def benched() -> None:
        async with bench_for("tensordock", folder, **traits) as bench:
            await body(bench)

    run(benched())


@pytest.mark.parametrize("way", ReleaseBy)
def test_a_stop_gives_the_gpu_back_wherever_it_is_looked_for(way: ReleaseBy, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()

        await bench.cloud.stop(machine)
        seen = await bench.until(machine, State.STOPPED)

        assert seen.bills is (Bills.EVERYTHING if way is ReleaseBy.FORM else Bills.DISK)
        assert ("costs as much as running" in seen.message) == (way is ReleaseBy.FORM)

    on(tmp_path, body, quirks=Quirks(release_by=frozenset({way})))


@pytest.mark.parametrize(
    "shapes", list(itertools.product(ListShape, ShowShape, Spelling)), ids=lambda shapes: "-".join(map(str, shapes))
)
def test_every_shape_is_read_alike(shapes: tuple[ListShape, ShowShape, Spelling], tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        listed, shown = await bench.reading(machine), await bench.cloud.machine(machine)
        await bench.cloud.stop(machine)
        stopped = await bench.until(machine, State.STOPPED)

        assert shown is not None
        assert listed._replace(raw={}, region="") == shown._replace(raw={}, region="")
        assert (listed.gpu, listed.gpu_count, listed.vram_gb) == ("RTX 4090", 1, Decimal(24))
        assert listed.usd_per_hour
        assert listed.addresses[0].user == "user"
        assert stopped.bills is Bills.DISK

    on(tmp_path, body, quirks=Quirks(*shapes))


def test_what_a_list_leaves_out_is_asked_for_once(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        await bench.reading(machine)
        asked = bench.asked("GET", f"/instances/{machine}")

        for _ in range(5):
            await bench.reading(machine)

        assert bench.asked("GET", f"/instances/{machine}") == asked
        await bench.cloud.stop(machine)
        await bench.until(machine, State.STOPPED)
        assert bench.asked("GET", f"/instances/{machine}") <= asked + 2

    on(tmp_path, body, quirks=Quirks(list_shape=ListShape.RESOURCES))


def test_a_way_in_is_read_anew_after_a_start(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        before = (await bench.reading(machine)).addresses
        await bench.cloud.stop(machine)
        await bench.until(machine, State.STOPPED)
        bench.rental(machine).moves += 1
        await bench.cloud.start(machine)

        after = (await bench.until(machine, State.RUNNING)).addresses

        assert after
        assert after != before

    on(tmp_path, body, quirks=Quirks(list_shape=ListShape.RESOURCES))


@pytest.mark.parametrize(
    ("fields", "port"),
    [
        ({"portForwards": [{"internal_port": 22, "external_port": 20007}]}, 20007),
        ({"portForwards": [{"internal_port": 80, "external_port": 8}, {"internal_port": 22, "external_port": 9}]}, 9),
        ({"port_forwards": {"30118": "22"}}, 30118),
        ({"portForwards": []}, 22),
    ],
)
def test_the_way_in_is_the_forward_of_ssh_or_its_own_port(fields: dict[str, Any], port: int) -> None:
    seen = reading({"id": "x", "status": "running", "ipAddress": "203.0.113.60", **fields})

    assert [(one.host, one.port, one.user) for one in seen.addresses] == [("203.0.113.60", port, "user")]


def test_the_older_words_are_known() -> None:
    words = ("Running", "Stopped", "StoppedDisassociated", "stopped_disassociated", "Outbid", "Relocating", "error")

    assert [reading({"id": "x", "status": word}).state for word in words] == [
        State.RUNNING, State.STOPPED, State.STOPPED, State.STOPPED, State.OUTBID, State.UNKNOWN, State.BROKEN,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("deed", "status", "words"),
    [
        ("start", 500, "Machine is running, therefore it cannot be started"),
        ("start", 409, "already running"),
        ("start", 400, "the machine must be stopped"),
        ("stop", 500, "Machine is stoppeddisassociated, therefore it cannot be stopped"),
        ("stop", 409, "already stopped"),
    ],
)
def test_refusals_that_mean_done_are_no_errors(deed: str, status: int, words: str) -> None:
    asked = 0

    async def refuses(exchange: Exchange) -> None:
        nonlocal asked
        asked += 1
        await reply_json(exchange, {"error": words, "status": status}, status)

    async def body() -> None:
        async with answering("tensordock", refuses) as dock:
            await (dock.start if deed == "start" else dock.stop)("x")

        assert asked == 1

    run(body())


def test_a_gpu_that_went_to_somebody_else_is_no_capacity(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        await bench.cloud.stop(machine)
        await bench.until(machine, State.STOPPED)
        bench.twin.faults.once(CloudFaultKind.NO_GPU, on=Call.START)

        with pytest.raises(NoCapacity) as refused:
            await bench.cloud.start(machine)

        assert refused.value.hint is not None
        assert "disk" in refused.value.hint

    on(tmp_path, body)


def test_a_host_that_takes_its_gpu_back_leaves_a_disk_that_bills(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        assert isinstance(bench.twin, TensorDockTwin)

        bench.twin.reclaim(machine)

        assert (await bench.until(machine, State.STOPPED)).bills is Bills.DISK

    on(tmp_path, body)


def test_an_order_takes_the_least_disk_and_even_processors(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        offer = await bench.offer(disk_gb=Decimal(20))
        made = await bench.rent(offer=offer, disk_gb=Decimal(20), ports=(8888,), environment={"TZ": "UTC"})

        rental = bench.rental(made.id)
        assert rental.disk_gb == 100
        assert rental.extra["vcpus"] % 2 == 0
        assert [inside for inside, _ in rental.extra["forwards"]] == [22, 8888]
        assert rental.extra["cloud_init"]["write_files"][0]["content"] == "TZ='UTC'\n"

    on(tmp_path, body)


def test_an_environment_that_would_break_its_file_is_refused(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        order = await bench.order(environment={"A": "one'\ntwo"})

        with pytest.raises(OrderRefused, match="environment"):
            await bench.cloud.create(order)

    on(tmp_path, body)


def test_too_little_money_is_no_credit(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        order = await bench.order()

        with pytest.raises(OutOfCredit, match="at least"):
            await bench.cloud.create(order)

    on(tmp_path, body, balance_usd=Decimal("0.5"))


def test_the_balance_wants_both_keys(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        with pytest.raises(CannotDo) as refused:
            await bench.cloud.account()

        assert refused.value.hint is not None
        assert "API_KEY:API_TOKEN" in refused.value.hint

    on(tmp_path, body)


@pytest.mark.parametrize("as_text", [False, True])
def test_the_older_api_gets_the_keys_in_its_form_and_no_header(as_text: bool, tmp_path: Path) -> None:
    async def benched() -> None:
        quirks = Quirks(success_as_text=as_text)
        async with bench_for("tensordock with both keys", tmp_path, quirks=quirks) as bench:
            machine = await bench.machine()
            account = await bench.cloud.account()

            assert account.usd_per_hour == (await bench.reading(machine)).usd_per_hour
            asked = next(one for one in bench.twin.requests if one.path.endswith("/billing/balance"))
            assert "authorization" not in asked.headers

    run(benched())


def test_hosts_without_a_free_gpu_are_not_offered(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        assert await bench.cloud.offers(Search()) == []

    on(tmp_path, body, stock=0)
