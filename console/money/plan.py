"""A plan: hours of machines and use of APIs in a month, turned into dollars, for one way of life or several beside
each other."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from console.errors import UsageError

HOURS_PER_MONTH = Decimal(730)
MOST_TIERS = 20
_CENT = Decimal("0.01")


class PlannedMachine(NamedTuple):
    name: str
    hours: tuple[Decimal, ...]
    """In a month, for each tier; a single one counts for all of them."""
    usd_per_hour: Decimal = Decimal(0)
    usd_per_hour_stopped: Decimal = Decimal(0)
    usd_per_month: Decimal = Decimal(0)
    """Whatever its hours."""


class PlannedApi(NamedTuple):
    name: str
    usd: tuple[Decimal, ...]
    """In a month, for each tier."""


class Tier(NamedTuple):
    hours: tuple[Decimal, ...]
    """Of each machine."""
    machines_usd: Decimal
    apis_usd: Decimal

    @property
    def month_usd(self) -> Decimal:
        return self.machines_usd + self.apis_usd


def plan(machines: Sequence[PlannedMachine], apis: Sequence[PlannedApi] = ()) -> list[Tier]:
    """One tier for each of the hours that are given. Amounts are exact to the cent."""
    if not machines and not apis:
        raise UsageError("A plan needs a machine with its hours, or an API with what it is used for.")
    lists = [machine.hours for machine in machines] + [api.usd for api in apis]
    count = max(len(values) for values in lists)
    for name, values in zip([*(m.name for m in machines), *(a.name for a in apis)], lists, strict=True):
        if len(values) not in (1, count):
            raise UsageError(
                f"{name!r} has {len(values)} tiers, and others have {count}.",
                hint="Give each as many, or one that counts for all.",
            )
    tiers = []
    for number in range(count):
        hours = tuple(_nth(machine.hours, number) for machine in machines)
        cost = sum((_month(machine, used) for machine, used in zip(machines, hours, strict=True)), Decimal(0))
        apis_usd = sum((_nth(api.usd, number) for api in apis), Decimal(0))
        tiers.append(Tier(hours, cost.quantize(_CENT, ROUND_HALF_UP), apis_usd.quantize(_CENT, ROUND_HALF_UP)))
    return tiers


def whole_dollars(amount_usd: Decimal) -> str:
    """Half a dollar is rounded up."""
    return f"${amount_usd.quantize(Decimal(1), ROUND_HALF_UP):,}"


def _month(machine: PlannedMachine, hours: Decimal) -> Decimal:
    stopped = HOURS_PER_MONTH - hours if machine.usd_per_hour_stopped else Decimal(0)
    return (
        hours * machine.usd_per_hour + max(stopped, Decimal(0)) * machine.usd_per_hour_stopped + machine.usd_per_month
    )


def _nth(values: tuple[Decimal, ...], number: int) -> Decimal:
    return values[0] if len(values) == 1 else values[number]
