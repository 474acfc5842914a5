"""Everything a status line shows of machines and money, read from the store in one go and without a network."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from console.history.alerts import Alert
    from console.history.books import Limit
    from console.history.glance import Glance
    from console.history.store import Store
    from console.money.budget import Budget

Guarding: TypeAlias = Literal["here", "elsewhere", "nobody"]


class Overview(NamedTuple):
    machines: tuple[Glance, ...]
    strangers: int
    """Machines on our accounts that nobody here knows and that may cost money."""
    accounts_in_trouble: tuple[str, ...]
    """Those whose last reading failed: what is known of their machines grows old."""
    today_usd: Decimal
    unpriced: int
    """Calls of today of which nobody knows what they cost."""
    day_limit_usd: Decimal
    guarding: Guarding
    alerts: tuple[Alert, ...]
    """Those that stand, the loudest first."""

    @property
    def running(self) -> tuple[Glance, ...]:
        """The machines that cost what a running one does, or may."""
        return tuple(each for each in self.machines if each.bills in ("everything", "unknown") and each.cloud_id)

    @property
    def usd_per_hour(self) -> Decimal | None:
        """What all machines cost at this moment; None where nobody knows it of one."""
        prices = [each.usd_per_hour_now for each in self.machines]
        return None if None in prices else sum((price for price in prices if price is not None), Decimal(0))

    @property
    def share_of_day(self) -> Decimal:
        """How much of the day's budget is spent; 1 where there is none."""
        return self.today_usd / self.day_limit_usd if self.day_limit_usd else Decimal(1)


async def overview(store: Store, budget: Budget, now: datetime, owner: str) -> Overview:
    """How things stand by the store. `owner` is this process, as roles name it."""
    day = budget.spans()[0]
    return await store.run(lambda connection: read(connection, day, now, owner))


def read(connection: sqlite3.Connection, day: Limit, now: datetime, owner: str) -> Overview:
    from console.history import alerts, books, glance, roles
    from console.history.owner import is_alive
    from console.machines.protection import ROLE, STALE_ROLE

    view = glance.look(connection, day.since)
    spent = books.spent(connection, day.since, day.until)
    guarding: Guarding = "nobody"
    holder = roles.holder(connection, ROLE)
    if holder is not None and holder[0] == owner:
        guarding = "here"
    elif holder is not None and abs(now - holder[1]) < STALE_ROLE and is_alive(holder[0]):
        guarding = "elsewhere"
    return Overview(
        tuple(view.machines),
        sum(1 for seen in view.accounts for each in seen.strangers if each.bills != "nothing"),
        tuple(seen.cloud for seen in view.accounts if seen.error),
        spent.known_usd - spent.reserved_usd,
        spent.unknown_calls,
        day.limit_usd,
        guarding,
        tuple(alerts.every(connection)),
    )
