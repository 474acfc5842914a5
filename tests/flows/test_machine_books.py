"""Days at simulated clouds, over their real adapters: whatever happened, the books end up at what the cloud billed."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from console.errors import ConsoleError
from console.events import Bus
from console.history import books
from console.history.store import Store
from console.machines.fleet import Fleet, LaunchPlan
from console.machines.records import Desired
from console.money.meter import Meter
from console.money.reconcile_books import Reconciler
from console.paths import find_paths
from console.settings import load_settings
from providers.errors import ProviderError
from providers.simulated.clouds.faults import CloudFaultKind
from tests.conftest import run
from tests.contracts.clouds_bench import CloudBench, bench_for

STEP_S = 900.0
CENT = Decimal("0.01")


class Books:
    """A fleet at one cloud, its meter, and who reconciles."""

    def __init__(self, bench: CloudBench, store: Store, fleet: Fleet, keeper: Reconciler, dice: random.Random) -> None:
        self.bench, self.store, self.fleet, self.keeper, self.dice = bench, store, fleet, keeper, dice
        self.names = iter(f"gpu{number}" for number in range(1, 1000))

    async def rounds(self, count: int, step_s: float = STEP_S) -> None:
        for _ in range(count):
            self.bench.clock.advance(step_s)
            await self.fleet.reconcile()

    async def whim(self) -> None:
        """Something that a user may do, at any time; refusals are part of life."""
        machines = [one for one in await self.fleet.machines() if one.cloud == "lab"]
        try:
            if len(machines) < 3 and self.dice.random() < 0.5:
                plan = LaunchPlan("lab", await self.bench.offer(), at_end="destroy")
                await self.fleet.launch(next(self.names), plan, why="a whim")
            elif machines:
                one = self.dice.choice(machines)
                deeds: list[Any] = [self.fleet.start, self.fleet.stop, self.fleet.stop, self.fleet.destroy]
                await self.dice.choice(deeds)(one.name, why="a whim")
        except (ConsoleError, ProviderError):
            return

    async def end(self) -> None:
        """Destroy everything, wait for the proof, and let the cloud close its books."""
        for _ in range(40):
            for one in await self.fleet.machines():
                if one.desired is not Desired.GONE and one.cloud == "lab":
                    try:
                        await self.fleet.destroy(one.name, why="the end")
                    except (ConsoleError, ProviderError):
                        continue
            await self.rounds(1)
            if not [one for one in await self.fleet.machines() if one.cloud == "lab"]:
                break
        self.bench.clock.advance(27 * 3600)
        await self.keeper.run_due(["lab"])

    async def booked(self) -> Decimal:
        entries = await self.store.run(
            lambda c: books.entries(c, self.bench.clock.now() - timedelta(days=60), self.bench.clock.now())
        )
        return sum((line.cost_usd or Decimal(0) for line in entries), Decimal(0))

    def billed(self) -> Decimal:
        return sum((charge.usd for charge in self.bench.twin.invoice()), Decimal(0))


@asynccontextmanager
async def opened(name: str, folder: Path, seed: int) -> AsyncIterator[Books]:
    async with bench_for(name, folder, balance_usd=Decimal(1_000), seed=seed) as bench:
        environment = {"HAWSER_HOME": str(folder), "HAWSER_ISOLATED": "1"}
        paths = find_paths(environment)
        store = await Store.open(paths, bench.clock)
        meter = Meter()
        fleet = Fleet(
            load_settings(paths, environment, discover=False),
            store,
            lambda account: bench.cloud,
            bench.clock,
            Bus(),
            hooks=(meter,),
            public_key=lambda: "ssh-ed25519 AAAA test",
            accounts=lambda: ["lab"],
        )
        keeper = Reconciler(store, lambda account: bench.cloud, bench.clock, meter)
        await keeper.run_due(["lab"])
        try:
            yield Books(bench, store, fleet, keeper, random.Random(seed))
        finally:
            await store.close()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", ["vast", "runpod", "tensordock with both keys"])
def test_after_days_of_whims_outages_and_sleep_the_books_are_the_clouds(name: str, seed: int, tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(name, tmp_path, seed) as world:
            for number in range(40):
                await world.whim()
                await world.rounds(4)
                if number == 12:  # the cloud's API is away for hours
                    world.bench.twin.faults.until(
                        world.bench.clock.now() + timedelta(hours=5), CloudFaultKind.STATUS, 502
                    )
                    await world.rounds(20)
                if number == 25:  # the laptop sleeps
                    world.bench.clock.advance(9 * 3600)
                if number % 10 == 9:
                    await world.keeper.run_due(["lab"])
            await world.end()

            assert world.billed() > 1
            assert abs(await world.booked() - world.billed()) < CENT

    run(body())


def test_without_the_clouds_books_our_own_count_is_near_and_never_above(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened("lambda", tmp_path, 3) as world:
            for _ in range(24):
                await world.whim()
                await world.rounds(4, 60.0)
            await world.end()

            booked, billed = await world.booked(), world.billed()
            assert billed > 1
            assert billed * Decimal("0.85") < booked <= billed  # a reading is missing at each end of short lives

    run(body())
