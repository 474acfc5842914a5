"""Two machines for one name: where the first one stalls on its way up, the next offer is taken as well.

Whichever is ready first is kept, under the name that was asked for; the other is destroyed. It costs the price of two
machines for as long as it takes, which is why nobody does it unless it was asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from console.errors import ConsoleError, explain
from console.events import Bus
from console.machines.boot import BootStalled
from console.machines.fleet import Fleet, LaunchPlan
from console.machines.progress import Tell
from console.machines.records import MachineRecord
from providers.errors import ProviderError

if TYPE_CHECKING:
    from console.machines.ensure import Ensure, Up

Next: TypeAlias = Callable[[MachineRecord], Awaitable[LaunchPlan]]
"""Another offer for what a machine was ordered as, on another host."""


async def race(ensure: Ensure, fleet: Fleet, bus: Bus, next_offer: Next, name: str, tell: Tell, *, why: str) -> Up:
    """As `Ensure.up`, with a second machine from the moment at which the first one stalls."""
    first = asyncio.ensure_future(ensure.up(name, tell, why=why))
    stalling = asyncio.ensure_future(_stalled(bus, name))
    try:
        await asyncio.wait({first, stalling}, return_when=asyncio.FIRST_COMPLETED)
        if first.done():
            return first.result()
        return await _both(ensure, fleet, next_offer, name, tell, first, why)
    finally:
        for task in (first, stalling):
            task.cancel()
        await asyncio.gather(first, stalling, return_exceptions=True)


async def _stalled(bus: Bus, name: str) -> None:
    with bus.subscribe() as events:
        async for event in events:
            if isinstance(event, BootStalled) and event.machine == name:
                return


async def _both(
    ensure: Ensure, fleet: Fleet, next_offer: Next, name: str, tell: Tell, first: asyncio.Future[Up], why: str
) -> Up:
    other = f"{name}-2"
    tell(f"{name} is stalled; taking the next offer too, and keeping the one that is ready first.")
    second = asyncio.ensure_future(_rent(ensure, fleet, next_offer, name, other, tell, why))
    try:
        waiting = {first, second}
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.exception() is None:
                    return await _decide(fleet, name, other, tell, task is second, task.result(), why)
        return first.result()  # both failed; what the first died of is told
    finally:
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)


async def _rent(ensure: Ensure, fleet: Fleet, next_offer: Next, name: str, other: str, tell: Tell, why: str) -> Up:
    try:
        plan = await next_offer(await fleet.machine(name))
        await fleet.launch(other, plan, why=why)
        return await ensure.up(other, tell, why=why)
    except (ConsoleError, ProviderError) as error:
        tell(f"The second machine is no help: {explain(error).text}")
        raise


async def _decide(fleet: Fleet, name: str, other: str, tell: Tell, second_won: bool, up: Up, why: str) -> Up:
    loser = other
    if second_won:
        loser = await fleet.take_name(name, other)
    try:
        await fleet.destroy(loser, why="The other machine was ready first.")
        tell(f"{name} is ready; {loser}, which was slower, is being destroyed.")
    except (ConsoleError, ProviderError) as error:
        tell(f"{name} is ready. {loser} is not destroyed yet, and that stays wished: {explain(error).text}")
    return up._replace(record=await fleet.machine(name))
