"""A process that does something with a machine, and may be killed at a step of it.

    python -m tests.flows.fleet_child HOME BEGAN TIMES WISH NAME [STEP]

Prints the name of each step as it comes to it; at STEP it sends itself SIGKILL.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

from console.events import Bus
from console.history.store import Store
from console.keys import Keys
from console.machines.clouds import Clouds
from console.machines.fleet import Fleet, LaunchPlan
from console.paths import find_paths
from console.settings import load_settings
from providers.clouds.base import Search
from tests.clocks import FastClock

OUR_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOurKeyOurKeyOurKeyOurKeyOurKeyOurKeyOur hawser"


class Household:
    def __init__(self, fleet: Fleet, clouds: Clouds, store: Store) -> None:
        self.fleet, self.clouds, self.store = fleet, clouds, store

    async def plan(self, account: str) -> LaunchPlan:
        offers = await self.clouds.cloud(account).offers(Search(gpu="RTX 4090"))
        return LaunchPlan(account, offers[0], ceiling_usd_per_hour=Decimal(2))


@asynccontextmanager
async def household(
    home: Path, clock: FastClock, bus: Bus, checkpoint: Callable[[str], None] | None = None
) -> AsyncIterator[Household]:
    """A fleet as the program has it, over the accounts of the settings in `home`."""
    environment = {"HAWSER_HOME": str(home), "HAWSER_ISOLATED": "1", **_keys()}
    paths = find_paths(environment)
    settings = load_settings(paths, environment, discover=False)
    store = await Store.open(paths, clock)
    clouds = Clouds(settings, Keys(paths, environment), clock, paths, environment=environment)
    fleet = Fleet(
        settings,
        store,
        clouds.cloud,
        clock,
        bus,
        public_key=lambda: OUR_KEY,
        accounts=clouds.names,
        checkpoint=checkpoint,
    )
    try:
        yield Household(fleet, clouds, store)
    finally:
        await clouds.close()
        await store.close()


def _keys() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("HAWSER_KEY_")}


async def main(home: str, began: str, times: str, wish: str, name: str, fatal: str = "") -> None:
    def checkpoint(step: str) -> None:
        print(step, flush=True)
        if step == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    clock = FastClock(float(times), float(began))
    async with household(Path(home), clock, Bus(), checkpoint) as house:
        match wish:
            case "create":
                await house.fleet.launch(name, await house.plan("lab"), why="asked for")
            case "start":
                await house.fleet.start(name, why="asked for")
            case "stop":
                await house.fleet.stop(name, why="asked for")
            case _:
                await house.fleet.destroy(name, why="asked for")
        await house.fleet.settled(name)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
