"""Offers of several clouds in one list, ranked by what the session costs."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

from console.machines.offers import Session, find, is_wanted, quote, ranked, suggestions
from providers.clouds.base import Offer, Search
from providers.errors import KeyRefused, ProviderError
from tests.conftest import run


def offer(id_: str, usd_per_hour: str, **more: Any) -> Offer:
    values: dict[str, Any] = {
        "gpu": "RTX 4090",
        "gpu_count": 1,
        "vram_gb": Decimal(24),
        "down_mbps": Decimal(800),
        "disk_gb": Decimal(500),
        "reliability": Decimal("0.99"),
    }
    return Offer(id=id_, usd_per_hour=Decimal(usd_per_hour), **{**values, **more})


SESSION = Session(hours=Decimal(1), download_gb=Decimal(20), needs_vram_gb=Decimal(20))


def test_a_session_is_boot_download_work_traffic_and_what_is_kept() -> None:
    one = offer("a", "0.36", usd_per_gb_down=Decimal("0.01"), disk_usd_per_hour=Decimal("0.02"))

    found = quote("vast", one, SESSION._replace(kept_hours=Decimal(10)), boot_s=100)

    assert found.boot_usd == Decimal("0.01")
    assert found.download_usd == Decimal("0.02")  # 20 GB at 800 Mbit/s are 200 s
    assert (found.work_usd, found.transfer_usd, found.kept_usd) == (Decimal("0.36"), Decimal("0.2"), Decimal("0.2"))
    assert found.total_usd == Decimal("0.79")
    assert (found.ready_s, found.fits, found.is_guess) == (300, True, False)


def test_a_cheap_hour_on_a_slow_line_is_not_the_cheapest_session() -> None:
    slow = quote("vast", offer("slow", "0.30", down_mbps=Decimal(20)), SESSION, 60)
    fast = quote("runpod", offer("fast", "0.40", down_mbps=Decimal(2000)), SESSION, 60)

    assert [one.offer.id for one in ranked([slow, fast])] == ["fast", "slow"]


def test_what_the_model_does_not_fit_into_comes_last_and_is_never_suggested() -> None:
    small = quote("vast", offer("small", "0.10", vram_gb=Decimal(12)), SESSION, 60)
    pair = quote("vast", offer("pair", "0.80", vram_gb=Decimal(12), gpu_count=2), SESSION, 60)

    assert [one.offer.id for one in ranked([small, pair])] == ["pair", "small"]
    three = suggestions([small, pair])
    assert three is not None
    assert {one.offer.id for one in three} == {"pair"}
    assert suggestions([small]) is None


def test_the_three_suggestions() -> None:
    quotes = [
        quote("vast", offer("spot", "0.15", spot=True), SESSION, 300),
        quote("runpod", offer("fast", "0.45", down_mbps=Decimal(5000), reliability=Decimal("0.97")), SESSION, 20),
        quote("tensordock", offer("steady", "0.40", reliability=Decimal("0.999")), SESSION, 200),
        quote("lambda", offer("silent", "0.41", down_mbps=None, reliability=None), SESSION, 1),
    ]

    three = suggestions(quotes)

    assert three is not None
    assert [one.offer.id for one in three] == ["spot", "fast", "steady"]


def test_offers_are_checked_again_whatever_the_cloud_filtered() -> None:
    search = Search(
        min_vram_gb=Decimal(24),
        max_usd_per_hour=Decimal("0.5"),
        min_down_mbps=Decimal(500),
        min_reliability=Decimal("0.98"),
        region="se",
        disk_gb=Decimal(100),
    )
    good = offer("good", "0.5", region="Sweden, SE")

    assert is_wanted(good, search)
    for wrong in (
        good._replace(vram_gb=Decimal(16)),
        good._replace(usd_per_hour=Decimal("0.51")),
        good._replace(down_mbps=None),
        good._replace(reliability=Decimal("0.9")),
        good._replace(region="Utah, US"),
        good._replace(disk_gb=Decimal(50)),
        good._replace(gpu_count=2),
        good._replace(spot=True),
    ):
        assert not is_wanted(wrong, search)


def test_clouds_are_asked_at_once_and_one_that_fails_costs_only_itself() -> None:
    both_asked = asyncio.Barrier(2)

    async def ask(cloud: str, search: Search) -> list[Offer]:
        if cloud == "silent":
            await asyncio.Event().wait()
        if cloud == "locked":
            raise KeyRefused("The key was not accepted.", host="locked")
        await both_asked.wait()
        return [offer(cloud, "0.40" if cloud == "runpod" else "0.30")]

    async def body() -> None:
        clouds = ("vast", "silent", "locked", "runpod")
        found = await find(clouds, Search(), SESSION, ask, lambda *_: 60, limit_s=0.5)

        assert [(one.cloud, one.offer.id) for one in found.quotes] == [("vast", "vast"), ("runpod", "runpod")]
        assert [trouble.cloud for trouble in found.troubles] == ["silent", "locked"]
        assert "within 0.5 s" in found.troubles[0].text
        assert found.troubles[1].hint is not None

    run(body())


def test_a_fault_of_ours_is_not_taken_for_a_trouble_of_a_cloud() -> None:
    async def ask(cloud: str, search: Search) -> list[Offer]:
        raise ZeroDivisionError

    try:
        run(find(("vast",), Search(), SESSION, ask, lambda *_: 60))
    except ZeroDivisionError as error:
        assert not isinstance(error, ProviderError)
    else:
        raise AssertionError("it was swallowed")
