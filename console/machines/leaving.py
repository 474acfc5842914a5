"""What goes on costing money when nobody is left to look: told before a program ends, from the store alone."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from console.machines import consequences, words

if TYPE_CHECKING:
    from console.clock import Clock
    from console.history.store import Store
    from console.settings import Settings


class Billing(NamedTuple):
    """A machine that costs money while it runs."""

    name: str
    state: str
    usd_per_hour: Decimal | None
    """None where nobody knows."""
    ends: str
    """What ends it by itself, as a sentence."""

    @property
    def line(self) -> str:
        price = words.per_hour(self.usd_per_hour) if self.usd_per_hour is not None else "at a price nobody knows"
        return f"{self.name} is {self.state}, {price}. {self.ends}"


async def still_billing(store: Store, settings: Settings, clock: Clock) -> list[Billing]:
    """The machines that cost more than their disks, the dearest first."""
    from console.history import machines
    from console.machines.lease import limits_of
    from providers.clouds.base import Bills

    records = await store.run(machines.every)
    now = clock.now()
    billing = [
        Billing(
            record.name,
            str(record.state),
            record.usd_per_hour,
            consequences.ends_by_itself(limits_of(record, settings), now),
        )
        for record in records
        if record.cloud_id is not None
        and record.bills in (Bills.EVERYTHING, Bills.UNKNOWN)
        and record.usd_per_hour != 0
    ]
    return sorted(billing, key=lambda each: -(each.usd_per_hour or 0))
