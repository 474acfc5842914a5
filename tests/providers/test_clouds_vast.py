"""What Vast's four status fields, addresses and refusals come to."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from providers.clouds.base import (
    AnswerLost,
    Bills,
    NoCapacity,
    Offer,
    Order,
    OrderRefused,
    Search,
    State,
)
from providers.clouds.vast_rows import addresses, offer, reading
from providers.errors import KeyRefused, OutOfCredit, ProviderError
from providers.simulated.clouds.faults import Call, CloudFaultKind
from providers.simulated.http_server import Exchange
from tests.clocks import EagerClock
from tests.conftest import run
from tests.contracts.clouds_bench import OUR_KEY, CloudBench, answering, bench_for, reply_json

ORDER = Order(Offer("7001", "RTX 4090", 1, Decimal(24), Decimal("0.4")), "hawser-1", OUR_KEY)
Words = tuple[str | None, str | None, str | None]
RUNNING = ("running", "running", "running")
INSTANCE: dict[str, Any] = {
    "id": 20001,
    "label": "lab-1",
    "machine_id": 41,
    "num_gpus": 2,
    "gpu_name": "RTX 4090",
    "gpu_ram": 24564,
    "disk_space": 40.0,
    "dph_base": 0.39,
    "dph_total": 0.4011,
    "storage_total_cost": 0.0111,
    "is_bid": False,
    "min_bid": 0.2,
    "start_date": 1790000000.0,
    "end_date": 1900000000.0,
    "ssh_host": "ssh5.vast.ai",
    "ssh_port": 10600,
    "public_ipaddr": " 203.0.113.45 ",
    "ports": {"8080/tcp": [{"HostPort": "41080"}], "22/tcp": [{"HostIp": "0.0.0.0", "HostPort": "41022"}]},
    "image_runtype": "ssh_direc ssh_proxy",
    "geolocation": "Sweden, SE",
    "extra_env": [["TOKEN", "very secret"]],
    "onstart": "export TOKEN=very-secret",
    "jupyter_token": "very secret",
}


def instance(intended: str | None, contract: str | None, actual: str | None, **more: Any) -> dict[str, Any]:
    return {**INSTANCE, "intended_status": intended, "cur_state": contract, "actual_status": actual, **more}


@pytest.mark.parametrize(
    ("words", "state", "bills"),
    [
        (("running", "stopped", None), State.STARTING, Bills.DISK),
        (("running", "stopped", "created"), State.STARTING, Bills.DISK),
        (("running", "running", "loading"), State.STARTING, Bills.DISK),
        (("running", "running", "rebooting"), State.STARTING, Bills.DISK),
        (RUNNING, State.RUNNING, Bills.EVERYTHING),
        (("stopped", "running", "running"), State.STOPPING, Bills.EVERYTHING),
        (("stopped", "stopped", "running"), State.STOPPING, Bills.EVERYTHING),
        (("stopped", "running", "exited"), State.STOPPING, Bills.EVERYTHING),
        (("stopped", "running", "loading"), State.STOPPING, Bills.DISK),
        (("stopped", "stopped", "exited"), State.STOPPED, Bills.DISK),
        (("stopped", "stopped", "created"), State.STOPPED, Bills.DISK),
        (("stopped", "stopped", "stopped"), State.STOPPED, Bills.DISK),
        (("running", "stopped", "exited"), State.QUEUED, Bills.DISK),
        (("running", "stopped", "stopped"), State.QUEUED, Bills.DISK),
        (("running", "running", "exited"), State.DIED, Bills.EVERYTHING),
        (("running", "running", "offline"), State.LOST, Bills.NOTHING),
        (("stopped", "stopped", "offline"), State.LOST, Bills.NOTHING),
        (("running", "running", "unknown"), State.LOST, Bills.UNKNOWN),
        (("running", "running", "frozen"), State.UNKNOWN, Bills.EVERYTHING),
        (("running", "stopped", "running"), State.UNKNOWN, Bills.UNKNOWN),
        ((None, None, None), State.UNKNOWN, Bills.UNKNOWN),
        (("asleep", "running", "dreaming"), State.UNKNOWN, Bills.EVERYTHING),
    ],
)
def test_four_fields_make_one_state(
    words: tuple[str | None, str | None, str | None], state: State, bills: Bills
) -> None:
    seen = reading(instance(*words))

    assert (seen.state, seen.bills) == (state, bills)


def test_a_container_that_cannot_start_is_broken() -> None:
    said = "Error response from daemon: OCI runtime create failed: unresolvable CDI devices"

    seen = reading(instance("running", "stopped", "created", status_msg=said))

    assert (seen.state, seen.bills, seen.message) == (State.BROKEN, Bills.DISK, said)


def test_a_bid_below_the_market_is_outbid_and_one_above_it_was_stopped() -> None:
    outbid = reading(instance("stopped", "stopped", "exited", is_bid=True, dph_base=0.25, min_bid=0.35))
    stopped = reading(instance("stopped", "stopped", "exited", is_bid=True, dph_base=0.25, min_bid=0.2))

    assert (outbid.state, outbid.market_usd_per_hour) == (State.OUTBID, Decimal("0.35"))
    assert (stopped.state, stopped.bid_usd_per_hour) == (State.STOPPED, Decimal("0.25"))


def test_the_direct_way_comes_before_the_proxy() -> None:
    assert [(one.host, one.port, one.user) for one in addresses(instance(*RUNNING))] == [
        ("203.0.113.45", 41022, "root"),
        ("ssh5.vast.ai", 10600, "root"),
    ]


def test_the_proxy_of_a_jupyter_image_is_one_port_further() -> None:
    (proxy,) = addresses(instance(*RUNNING, image_runtype="jupyter_proxy ssh_proxy", ports=None))

    assert proxy.port == 10601


@pytest.mark.parametrize("words", [("stopped", "stopped", "exited"), ("running", "stopped", "exited")])
def test_what_is_stopped_has_no_way_in(words: tuple[str, str, str]) -> None:
    assert reading(instance(*words)).addresses == ()


def test_nothing_secret_is_kept_of_a_row() -> None:
    seen = reading(instance(*RUNNING))

    assert "secret" not in repr(seen)
    assert seen.raw["actual_status"] == "running"


def test_prices_and_memory_are_told_in_our_units() -> None:
    seen = reading(instance(*RUNNING))

    assert (seen.usd_per_hour, seen.usd_per_hour_stopped) == (Decimal("0.4011"), Decimal("0.0111"))
    assert (seen.gpu, seen.gpu_count, seen.vram_gb, seen.disk_gb) == ("RTX 4090", 2, Decimal(24), Decimal(40))
    assert (seen.region, seen.host, seen.label) == ("Sweden, SE", "41", "lab-1")


def test_the_least_bid_comes_with_the_disk() -> None:
    fields = {
        **INSTANCE,
        "num_gpus": 1,
        "min_bid": 0.2,
        "storage_total_cost": None,
        "storage_cost": 0.36,
        "rentable": True,
    }

    found = offer(fields, Search(spot=True, disk_gb=Decimal(100)))

    assert found is not None
    assert found.disk_usd_per_hour == Decimal("0.05")
    assert found.usd_per_hour == Decimal("0.25")


# ---- refusals


def test_a_session_that_expired_is_not_taken_for_a_machine_that_is_gone() -> None:
    async def refused(exchange: Exchange) -> None:
        words = {"success": False, "error": "auth_error", "msg": "Session expired. Please log in again."}
        await reply_json(exchange, words, 404)

    async def body() -> None:
        async with answering("vast", refused) as vast:
            for call in (vast.destroy("20001"), vast.stop("20001"), vast.machine("20001")):
                with pytest.raises(KeyRefused):
                    await call

    run(body())


@pytest.mark.parametrize(
    ("status", "words", "error"),
    [
        (400, {"error": "missing_billing", "msg": "add a card"}, OutOfCredit),
        (400, {"error": "spend_rate_limit", "msg": "new account"}, OutOfCredit),
        (400, {"error": "no_ssh_key_for_vm", "msg": "…"}, OrderRefused),
        (400, {"msg": "error 400/1782: Invalid args: invalid json"}, OrderRefused),
        (
            404,
            {"error": "invalid_args", "msg": "error 404/3603: no_such_ask Instance type by id 1"},
            NoCapacity,
        ),
        (410, {"error": "no_such_ask", "msg": "error 410/3907: no longer available"}, NoCapacity),
        (400, {"error": "invalid_price", "msg": "bid below the minimum", "new_contract": 20002}, NoCapacity),
        (200, {"message": "what?"}, AnswerLost),
        (200, {"detail": "internal", "error": "server_error"}, AnswerLost),
    ],
)
def test_refused_orders(status: int, words: dict[str, Any], error: type[ProviderError]) -> None:
    async def refused(exchange: Exchange) -> None:
        if "/asks/" in exchange.request.path:
            await reply_json(exchange, {"success": False, **words}, status)
        else:
            await reply_json(exchange, [{"key": OUR_KEY}])

    async def body() -> None:
        async with answering("vast", refused) as vast:
            with pytest.raises(error) as failed:
                await vast.create(ORDER)

        if "new_contract" in words:
            assert isinstance(failed.value, NoCapacity)
            assert failed.value.leftover == "20002"

    run(body())


def test_an_interval_that_the_cloud_tells_is_kept_from_then_on() -> None:
    answers = iter([(429, b"API requests too frequent: endpoint threshold=7.5")])

    async def replies(exchange: Exchange) -> None:
        status, words = next(answers, (200, b'{"success": true, "instances": [], "next_token": null}'))
        await exchange.reply(status, words, content_type="text/plain")

    async def body() -> None:
        clock = EagerClock()
        async with answering("vast", replies, clock) as vast:
            await vast.machines()
            begun = clock.monotonic()
            await vast.machines()
            await vast.machines()

        assert begun >= 7.5
        assert clock.monotonic() - begun >= 15

    run(body())


def test_a_search_over_its_daily_quota_says_when_to_come_back(tmp_path: Path) -> None:
    async def benched() -> None:
        async with bench_for("vast", tmp_path, search_quota=1) as bench:
            await bench.offer()

            with pytest.raises(ProviderError) as limited:
                await bench.offer()

            assert "minutes" in limited.value.text

    run(benched())


def test_an_order_is_sent_once_though_it_is_a_put() -> None:
    """The connection that is open may be closed by the server in the moment it is used; the order takes a fresh one."""
    came: list[str] = []

    async def hangs_up(exchange: Exchange) -> None:
        came.append(f"{exchange.request.method} {exchange.request.path}")
        if "/asks/" in exchange.request.path:
            await exchange.hang_up()
        else:
            await reply_json(exchange, [{"key": OUR_KEY}])

    async def body() -> None:
        async with answering("vast", hangs_up) as vast:
            with pytest.raises(AnswerLost):
                await vast.create(ORDER)

        assert came == ["GET /api/v0/ssh/", "PUT /api/v0/asks/7001/"]

    run(body())


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"start_script": "x" * 5000}, "start script"),
        ({"image": "x" * 2000}, "image"),
        ({"environment": {"A": "x" * 300}}, "environment"),
        ({"disk_gb": Decimal(4)}, "8 GB"),
        ({"label": "x" * 300}, "label"),
    ],
)
def test_orders_that_the_cloud_would_cut_off_are_not_sent(wishes: dict[str, Any], words: str, tmp_path: Path) -> None:
    async def benched() -> None:
        async with bench_for("vast", tmp_path) as bench:
            order = await bench.order(**wishes)

            with pytest.raises(OrderRefused, match=words):
                await bench.cloud.create(order)

            assert bench.asked("PUT", "/asks/") == 0

    run(benched())


def test_a_list_that_goes_round_in_a_circle_is_no_list() -> None:
    async def circles(exchange: Exchange) -> None:
        await reply_json(exchange, {"success": True, "instances": [{"id": 1}], "next_token": "again"})

    async def body() -> None:
        async with answering("vast", circles) as vast:
            with pytest.raises(ProviderError, match="circle"):
                await vast.machines()

    run(body())


def test_a_log_is_fetched_without_the_key(tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()

        lines = [line async for line in bench.cloud.logs(machine, lines=2)]

        assert len(lines) == 2
        fetched = [one for one in bench.twin.requests if one.path.startswith("/results/")]
        assert fetched
        assert all("authorization" not in one.headers for one in fetched)

    async def benched() -> None:
        async with bench_for("vast", tmp_path) as bench:
            await body(bench)

    run(benched())


def test_a_start_that_was_queued_fires_later_and_a_stop_cancels_it(tmp_path: Path) -> None:
    async def benched() -> None:
        async with bench_for("vast", tmp_path) as bench:
            machine = await bench.machine()
            await bench.cloud.stop(machine)
            await bench.until(machine, State.STOPPED)
            bench.twin.faults.once(CloudFaultKind.NO_GPU, on=Call.START)
            with pytest.raises(NoCapacity, match="state change queued"):
                await bench.cloud.start(machine)

            await bench.cloud.stop(machine)
            bench.clock.advance(86_400)

            assert (await bench.reading(machine)).state is State.STOPPED

    run(benched())
