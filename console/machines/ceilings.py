"""The price ceiling of a machine, asked before it is launched, before each start, and before its bid is changed."""

from __future__ import annotations

from decimal import Decimal

from console.errors import PriceTooHigh, PriceUnknown
from console.machines.records import MachineRecord


def check_ceiling(name: str, price: Decimal, ceiling: Decimal | None) -> None:
    if ceiling is not None and price > ceiling:
        raise PriceTooHigh(
            f"{name!r} would cost ${price} an hour, and may cost at most ${ceiling}.",
            hint="Raise max_price_usd_per_hour, or take another offer.",
        )


def check_start(record: MachineRecord) -> None:
    """The price of now, by a fresh reading, against the ceiling of then."""
    reading, ceiling = record.reading, record.ceiling_usd_per_hour
    if reading is not None and reading.spot:
        bid, market = reading.bid_usd_per_hour, reading.market_usd_per_hour
        if bid is not None and market is not None and market > bid:
            raise PriceTooHigh(
                f"{record.name!r} is outbid: it takes ${market} an hour, and the bid is ${bid}.",
                hint=f"hawser vm bid {record.name} {market}",
            )
        if bid is not None:
            check_ceiling(record.name, bid, ceiling)
            return
    if ceiling is None:
        return
    price = reading.usd_per_hour if reading is not None and reading.usd_per_hour is not None else record.usd_per_hour
    if price is None:
        raise PriceUnknown(f"Nobody says what {record.name!r} costs, and it may cost at most ${ceiling} an hour.")
    check_ceiling(record.name, price, ceiling)
