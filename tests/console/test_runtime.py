"""The one place that builds and closes services."""

from __future__ import annotations

import asyncio
from pathlib import Path

from console.paths import find_paths
from console.runtime import open_runtime
from tests.conftest import run


def test_all_who_ask_for_the_store_at_once_get_the_same_one(tmp_path: Path) -> None:
    async def body() -> None:
        environment = {"HAWSER_HOME": str(tmp_path)}
        async with open_runtime(find_paths(environment), environment, print, discover=False) as runtime:
            stores = await asyncio.gather(*(runtime.store() for _ in range(5)))

            assert len({id(store) for store in stores}) == 1

    run(body())


def test_all_who_ask_for_the_offers_at_once_get_the_same_ones(tmp_path: Path) -> None:
    async def body() -> None:
        environment = {"HAWSER_HOME": str(tmp_path)}
        async with open_runtime(find_paths(environment), environment, print, discover=False) as runtime:
            offers = await asyncio.gather(*(runtime.offers() for _ in range(5)))

            assert len({id(each) for each in offers}) == 1

    run(body())
