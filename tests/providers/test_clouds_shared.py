"""What the cloud adapters share: their pace, the names of GPUs, places, and what they load."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from decimal import Decimal

import pytest

from providers.clouds import gpus, regions
from providers.clouds.adapter import base_url_of
from providers.clouds.base import CloudHost
from providers.clouds.pace import ALL, Limit, Pace
from providers.clouds.vast import Vast
from providers.clouds.wire import MAX_BODY
from providers.errors import BadReply, KeyMissing, RateLimited, RequestRefused
from providers.registry import CLOUD_KINDS, cloud
from providers.simulated.http_server import Exchange
from tests.clocks import EagerClock
from tests.conftest import run, unmeasured
from tests.contracts.clouds_bench import answering

# ---- pace


def went_at(limits: dict[str, Limit], calls: list[str]) -> list[tuple[float, str]]:
    """When each of these calls goes, all of which begin to wait at once."""
    clock = EagerClock()
    pace = Pace("lab", clock, limits)
    went: list[tuple[float, str]] = []

    async def call(number: int, kind: str) -> None:
        await pace.turn(kind)
        went.append((round(clock.monotonic(), 3), f"{kind}{number}"))

    async def body() -> None:
        await asyncio.gather(*(call(number, kind) for number, kind in enumerate(calls)))

    run(body())
    return went


def test_callers_of_a_kind_go_in_the_order_they_came() -> None:
    assert went_at({"list": Limit(3)}, ["list"] * 4) == [(0, "list0"), (3, "list1"), (6, "list2"), (9, "list3")]


def test_kinds_do_not_wait_for_each_other() -> None:
    assert went_at({"list": Limit(3), "create": Limit(5)}, ["list", "create", "list", "stop"]) == [
        (0, "list0"), (0, "create1"), (0, "stop3"), (3, "list2"),
    ]  # fmt: skip


def test_after_a_quiet_time_some_go_at_once() -> None:
    went = went_at({ALL: Limit(2, burst=3)}, ["a", "b", "c", "d", "e"])

    assert [moment for moment, _ in went] == [0, 0, 0, 2, 4]


def test_a_call_counts_for_its_kind_from_when_it_goes() -> None:
    """It waited for the turn that all calls share; the interval of its kind begins after that."""
    went = went_at({ALL: Limit(1), "create": Limit(12)}, ["list", "list", "create", "create"])

    assert went == [(0, "list0"), (1, "list1"), (2, "create2"), (14, "create3")]


def test_a_caller_that_leaves_gives_its_turn_to_the_next() -> None:
    async def body() -> None:
        clock = EagerClock()
        pace = Pace("lab", clock, {"list": Limit(3)})
        await pace.turn("list")
        leaving = asyncio.create_task(pace.turn("list"))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)

        await pace.turn("list")

        assert clock.monotonic() == 3

    run(body())


def test_a_pause_that_the_cloud_asks_for_holds_everybody() -> None:
    async def body() -> None:
        clock = EagerClock()
        pace = Pace("lab", clock, {"list": Limit(1)})
        pace.hold("list", 20)

        await pace.turn("stop")
        assert clock.monotonic() == 0
        await pace.turn("list")
        assert clock.monotonic() == 20

        pace.hold(ALL, 3600)
        with pytest.raises(RateLimited, match="60 minutes") as limited:
            await pace.turn("stop")
        assert limited.value.retry_after_s == 3600
        clock.advance(3600)
        await pace.turn("stop")

    run(body())


# ---- GPUs

SAME = [
    ("RTX 4090", "rtx_4090", "4090", "NVIDIA GeForce RTX 4090", "geforcertx4090-pcie-24gb"),
    ("RTX 3060 Ti", "3060ti", "NVIDIA GeForce RTX 3060 Ti"),
    ("RTX 4070S Ti", "rtx4070 ti super", "NVIDIA GeForce RTX 4070 Ti SUPER"),
    ("RTX A6000", "A6000", "NVIDIA RTX A6000", "rtxa6000-pcie-48gb", "A6000 (48 GB)"),
    ("RTX 6000 Ada", "RTX 6000Ada", "NVIDIA RTX 6000 Ada Generation", "rtx6000ada-pcie-48gb"),
    ("RTX PRO 6000", "NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000 WS"),
    ("A10", "A10 (24 GB PCIe)", "NVIDIA A10"),
    ("L40S", "NVIDIA L40S", "l40s-pcie-48gb"),
    ("V100", "Tesla V100"),
    ("H100 SXM", "NVIDIA H100 80GB HBM3", "h100-sxm5-80gb", "H100 (80 GB SXM5)", "h100 sxm"),
    ("A100 PCIe", "A100 PCIE", "NVIDIA A100 80GB PCIe", "a100-pcie-80gb"),
    ("GTX 1080 Ti", "1080 ti", "NVIDIA GeForce GTX 1080 Ti"),
    ("MI300X", "AMD Instinct MI300X OAM"),
]  # fmt: skip


@pytest.mark.parametrize("names", SAME, ids=lambda names: names[0])
def test_a_gpu_is_the_same_under_all_its_names(names: tuple[str, ...]) -> None:
    for wanted in names:
        assert gpus.wanted_among(wanted, names) == list(names)
    assert len({gpus.vram_gb(name) for name in names}) == 1
    assert gpus.vram_gb(names[0])


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("4090", "RTX 4090D"),
        ("RTX 4090", "RTX 4080"),
        ("3090", "RTX 3090 Ti"),
        ("A100", "A10"),
        ("L40", "L40S"),
        ("H100 PCIe", "H100 SXM"),
        ("H100 NVL", "H100 PCIE"),
        ("A100 80GB", "A100-PCIE-40GB"),
        ("RTX 6000", "RTX 6000 Ada"),
        ("RTX 6000", "RTX A6000"),
        ("4070", "RTX 4070S"),
    ],
)
def test_another_gpu_is_another(wanted: str, name: str) -> None:
    assert not gpus.is_wanted(wanted, name)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("geforcertx4090-pcie-24gb", "RTX 4090"),
        ("RTX 4070S Ti", "RTX 4070 Ti SUPER"),
        ("rtxa6000-pcie-48gb", "RTX A6000"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX PRO 6000"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("H100 NVL", "H100 NVL"),
        ("A100 SXM4", "A100 SXM"),
        ("NVIDIA A100 80GB PCIe", "A100 PCIe"),
        ("GH200 (96 GB)", "GH200"),
        ("Tesla T4", "T4"),
        ("Voodoo 2", "VOODOO2"),
        ("", ""),
    ],
)
def test_a_gpu_is_shown_by_its_short_name(name: str, shown: str) -> None:
    assert gpus.shown(name) == shown
    assert gpus.shown(shown) == shown


@pytest.mark.parametrize(
    ("name", "told_mb", "gb"),
    [
        ("RTX 4090", 24564, 24),
        ("L40S", 46068, 48),
        ("H100 SXM", 81559, 80),
        ("A100 SXM4", 40960, 40),
        ("Voodoo 2", 12288, 12),
        ("RTX 5090", None, 32),
        ("NVIDIA A100-PCIE-40GB", None, 40),
        ("Voodoo 2", None, None),
    ],
)
def test_memory_is_what_the_maker_says_where_the_driver_says_a_little_less(
    name: str, told_mb: int | None, gb: int | None
) -> None:
    told = None if told_mb is None else Decimal(told_mb)

    assert gpus.vram_gb(name, told) == (None if gb is None else Decimal(gb))


# ---- places


@pytest.mark.parametrize(
    ("wanted", "region", "fits"),
    [
        ("se", "Sweden, SE", True),
        ("Sweden", "EU-SE-1, SE", True),
        ("US", "Austin, Texas, US", True),
        ("united states", "Austin, Texas, US", True),
        ("texas", "Austin, Texas, US", True),
        ("TX", "US-TX-3, US", True),
        ("EU", "Warsaw, Mazovia, PL", True),
        ("europe", "Austin, Texas, US", False),
        ("us", "Austria, AT", False),
        ("us-west", "us-west-1, California, US", True),
        ("eu-ro", "EU-RO-1, RO", True),
        (None, "", True),
        ("US", "", False),
    ],
)
def test_a_wish_for_a_place(wanted: str | None, region: str, fits: bool) -> None:
    assert regions.fits(wanted, region) is fits


def test_places_end_with_the_code_of_their_country() -> None:
    assert regions.place("Austin", "Texas", "United States") == "Austin, Texas, US"
    assert regions.place("us-west-1", "California, USA") == "us-west-1, California, US"
    assert regions.place("", "") == ""
    assert regions.country_of_datacenter("EUR-IS-1") == "IS"
    assert regions.country_of_datacenter("CA-MTL-1") == "CA"
    assert regions.country_of_datacenter("nowhere") == ""


# ---- wiring


@pytest.mark.parametrize(
    ("given", "usual", "found"),
    [
        (None, "https://api.runpod.io/v2", "https://api.runpod.io/v2/"),
        ("http://127.0.0.1:9", "https://api.runpod.io/v2", "http://127.0.0.1:9/v2/"),
        ("http://127.0.0.1:9/v2", "https://api.runpod.io/v2", "http://127.0.0.1:9/v2/"),
        ("http://127.0.0.1:9/", "https://console.vast.ai", "http://127.0.0.1:9/"),
        ("http://127.0.0.1:9/behind/", "https://console.vast.ai", "http://127.0.0.1:9/behind/"),
    ],
)
def test_a_stand_in_may_be_named_with_or_without_the_path(given: str | None, usual: str, found: str) -> None:
    assert base_url_of(given, usual) == found


def test_an_unknown_cloud_names_the_nearest() -> None:
    with pytest.raises(RequestRefused) as refused:
        cloud("runpdo", CloudHost("lab"), EagerClock())

    assert refused.value.hint == "Did you mean 'runpod'?"


@pytest.mark.parametrize("kind", CLOUD_KINDS)
def test_without_a_key_nothing_is_asked(kind: str) -> None:
    async def body() -> None:
        there = cloud(kind, CloudHost("lab", "http://127.0.0.1:9"), EagerClock())
        with pytest.raises(KeyMissing, match="no key for lab"):
            await there.machines()
        await there.close()

    run(body())


def test_an_adapter_loads_no_http_before_it_is_used() -> None:
    code = (
        "import sys\n"
        "from providers.registry import cloud\n"
        "from providers.clouds.base import CloudHost\n"
        "for kind in ('vast', 'tensordock', 'runpod', 'lambda'): cloud(kind, CloudHost('lab', key='k'), None)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=unmeasured())

    assert not set(done.stdout.split()) & {"httpx", "httpcore", "httptools", "providers.http"}


def test_neither_the_adapter_nor_its_host_shows_the_key() -> None:
    host = CloudHost("lab", "http://127.0.0.1:9", "a-very-secret-key")

    assert "secret" not in f"{host!r} {Vast(host, EagerClock())!r}"


def test_a_redirect_is_not_followed() -> None:
    async def elsewhere(exchange: Exchange) -> None:
        came.append(exchange.request.path)
        await exchange.reply(302, b"", headers=[("Location", "/there")])

    came: list[str] = []

    async def body() -> None:
        async with answering("lambda", elsewhere) as there:
            with pytest.raises(BadReply, match="not followed"):
                await there.machines()

        assert came == ["/api/v1/instances"]

    run(body())


def test_an_answer_without_end_is_cut_off() -> None:
    async def endless(exchange: Exchange) -> None:
        exchange.begin(200, content_type="application/json")
        exchange.send([b'{"data": ["'])
        while sum(sizes) < 2 * MAX_BODY:
            sizes.append(1024 * 1024)
            exchange.send([b"x" * sizes[-1]])
            await exchange.drain()

    sizes: list[int] = []

    async def body() -> None:
        async with answering("lambda", endless) as there:
            with pytest.raises(BadReply, match="no JSON"):
                await there.machines()

        assert sum(sizes) < 2 * MAX_BODY

    run(body())
