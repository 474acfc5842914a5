"""The one place that builds and closes services."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from console.paths import find_paths
from console.runtime import open_runtime
from tests.conftest import run
from tests.console.money_kit import call


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


def test_the_guard_looks_after_money_and_heat_as_well(tmp_path: Path) -> None:
    async def body() -> None:
        environment = {"HAWSER_HOME": str(tmp_path), "HAWSER_ISOLATED": "1", "PATH": "/nowhere"}
        paths = find_paths(environment)
        paths.config_file.parent.mkdir(parents=True)
        paths.config_file.write_text("[budget]\nday_usd = 1\n")
        async with open_runtime(paths, environment, print, discover=False) as runtime:
            store = await runtime.store()

            def unpaid(connection: sqlite3.Connection) -> None:
                now_ms = int(runtime.clock.now().timestamp() * 1000)
                connection.execute(
                    "INSERT INTO accounts (cloud, balance_usd, usd_per_hour, balance_at) VALUES ('vast', '1', '1', ?)",
                    (now_ms,),
                )

            await store.run(unpaid, write=True)
            await store.book(call("0.90", runtime.clock.now()))
            await (await runtime.guard()).once()

            standing = [(alert.subject, alert.level) for alert in await (await runtime.alerts()).open()]
            assert sorted(standing) == [("balance:vast", "alarm"), ("budget:day:0.8", "alarm")]

    run(body())
