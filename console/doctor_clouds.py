"""The doctor's look at clouds: whether each account lets us in, what is on it, and what money it has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from console.doctor import Finding, failed_with, info, ok, warn
from console.errors import ConsoleError
from console.machines import words
from providers.clouds.base import Bills, Capability, Cloud
from providers.errors import ProviderError, TimedOut

LIMIT_S = 10.0
"""For each account; all are asked at once."""
LOW_HOURS = 24
"""A balance that lasts less long than this at the present rate is worth a warning."""


async def check_clouds(
    names: Sequence[str], cloud: Callable[[str], Cloud], *, limit_s: float = LIMIT_S
) -> list[Finding]:
    if not names:
        return [info("clouds", "There is no account to rent machines from.", "Store a key: hawser key set vast")]
    return list(await asyncio.gather(*(_check(name, cloud, limit_s) for name in names)))


async def _check(name: str, cloud: Callable[[str], Cloud], limit_s: float) -> Finding:
    try:
        async with asyncio.timeout(limit_s):
            return await _judge(name, cloud(name))
    except TimeoutError:
        error = TimedOut(f"{name} did not answer within {limit_s:g} s.", phase="total", limit_s=limit_s)
        return failed_with("clouds", error, "Try again; machines there cannot be seen until it answers.")
    except (ConsoleError, ProviderError) as error:
        return failed_with("clouds", error, f"Set another key with: hawser key set {name}")


async def _judge(name: str, cloud: Cloud) -> Finding:
    readings = await cloud.machines()
    billing = sum(reading.bills is Bills.EVERYTHING for reading in readings)
    there = f"{len(readings)} machine{'' if len(readings) == 1 else 's'}, {billing} of them billed in full"
    if Capability.BALANCE not in cloud.capabilities:
        return ok("clouds", f"{name} lets us in: {there}. It does not tell its balance.")
    account = await cloud.account()
    text = f"{name} lets us in: {there}"
    if account.balance_usd is None:
        return ok("clouds", f"{text}.")
    text = f"{text}, {words.usd(account.balance_usd)} left"
    rate = account.usd_per_hour
    if account.balance_usd <= 0 or (rate and account.balance_usd < rate * LOW_HOURS):
        return warn("clouds", f"{text}, which is soon gone.", f"Pay in at {name}: at zero it stops, or destroys, all.")
    return ok("clouds", f"{text}.")
