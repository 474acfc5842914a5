"""The meters of machines: what of their time was confirmed and is not yet a line of the ledger.

Amounts here are products of a price per hour and milliseconds. Those are exact whatever the price; a division by the
3.6 million milliseconds of an hour is not, and is done once, when a line is booked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import datetime
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

from console.history.rows import from_ms, to_ms

MS_PER_HOUR = Decimal(3_600_000)
_SIX_PLACES = Decimal("0.000001")
_COLUMNS = "machine, kind, seen_at, billing, gap, usd_per_hour, price_source, open_from, open_to, estimated, unbooked"


class MeterRow(NamedTuple):
    """One sort of cost of one machine."""

    machine: int
    kind: str
    """gpu, disk or month."""
    seen_at: int
    """The last reading that said whether it is charged for, in milliseconds."""
    billing: bool
    """What that reading said."""
    usd_per_hour: Decimal | None
    """The price since that reading; None where nobody says."""
    price_source: str
    gap: bool = False
    """Something since then did not say."""
    open_from: int | None = None
    """Since when there is confirmed time that is not booked."""
    open_to: int | None = None
    estimated: bool = False
    unbooked: Decimal = Decimal(0)
    """USD per hour × milliseconds; after a booking what was too little for a millionth of a dollar."""


class Running(NamedTuple):
    """What costs money at this moment, as far as was seen."""

    machine: int
    name: str
    cloud: str
    origin: str
    at_end: str
    desired: str
    usd_per_hour: Decimal
    """Of everything that is charged for, with a known price."""
    has_unknown_price: bool
    gpu: bool
    """More than the disk."""
    fixed: bool
    """By the month, whatever its state."""


def get(connection: sqlite3.Connection, machine: int, kind: str) -> MeterRow | None:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM meters WHERE machine = ? AND kind = ?",  # noqa: S608
        (machine, kind),
    ).fetchone()
    return None if row is None else _row(row)


def opened(connection: sqlite3.Connection, cloud: str | None = None) -> list[tuple[MeterRow, str, str]]:
    """The meters with confirmed time that is not booked, each with its machine's name and cloud."""
    columns = ", ".join(f"meters.{column}" for column in _COLUMNS.split(", "))
    rows = connection.execute(
        f"SELECT {columns}, machines.name, machines.cloud FROM meters JOIN machines ON machines.seq = meters.machine"  # noqa: S608
        " WHERE meters.open_from IS NOT NULL AND coalesce(?, machines.cloud) = machines.cloud",
        (cloud,),
    )
    return [(_row(row[:-2]), row[-2], row[-1]) for row in rows]


def settle(connection: sqlite3.Connection, cloud: str, to: datetime) -> None:
    """Note that the ledger has all that a cloud charged up to here; what the meters find later is in it already."""
    connection.execute("UPDATE accounts SET settled_to = ? WHERE cloud = ?", (to_ms(to), cloud))


def settled_to(connection: sqlite3.Connection, cloud: str) -> datetime | None:
    row = connection.execute("SELECT settled_to FROM accounts WHERE cloud = ?", (cloud,)).fetchone()
    return None if row is None or row[0] is None else from_ms(row[0])


def put(connection: sqlite3.Connection, row: MeterRow) -> None:
    connection.execute(
        f"INSERT INTO meters ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
        " ON CONFLICT (machine, kind) DO UPDATE SET seen_at = excluded.seen_at, billing = excluded.billing,"
        " gap = excluded.gap, usd_per_hour = excluded.usd_per_hour, price_source = excluded.price_source,"
        " open_from = excluded.open_from, open_to = excluded.open_to, estimated = excluded.estimated,"
        " unbooked = excluded.unbooked",
        (
            row.machine,
            row.kind,
            row.seen_at,
            row.billing,
            row.gap,
            None if row.usd_per_hour is None else str(row.usd_per_hour),
            row.price_source,
            row.open_from,
            row.open_to,
            row.estimated,
            str(row.unbooked),
        ),
    )


def unbooked_usd(connection: sqlite3.Connection, since: datetime, until: datetime) -> Decimal:
    """What was confirmed in a span and is not yet in the ledger, to six places; what is paid by the month left out.

    No open span reaches over a midnight, so it is the day's in which it began.
    """
    rows = connection.execute(
        "SELECT unbooked FROM meters WHERE open_from >= ? AND open_from < ? AND kind <> 'month'",
        (to_ms(since), to_ms(until)),
    )
    return in_usd(sum((Decimal(unbooked) for (unbooked,) in rows), Decimal(0)))


def in_usd(product: Decimal) -> Decimal:
    return (product / MS_PER_HOUR).quantize(_SIX_PLACES, ROUND_HALF_UP)


def split(product: Decimal) -> tuple[Decimal, Decimal]:
    """The whole millionths of a dollar in a product, and the product of what is left; together they are exact."""
    usd = (product / MS_PER_HOUR).quantize(_SIX_PLACES, ROUND_FLOOR)
    return usd, product - usd * MS_PER_HOUR


def running(connection: sqlite3.Connection) -> list[Running]:
    """Every machine that costs money by its last reading, the dearest first."""
    rows = connection.execute(
        "SELECT machines.seq, machines.name, machines.cloud, machines.origin, machines.at_end, machines.desired,"
        " meters.kind, meters.usd_per_hour FROM meters JOIN machines ON machines.seq = meters.machine"
        " WHERE meters.billing AND machines.gone_at IS NULL ORDER BY machines.seq"
    ).fetchall()
    found: dict[int, Running] = {}
    for seq, name, cloud, origin, at_end, desired, kind, price in rows:
        one = found.get(seq) or Running(seq, name, cloud, origin, at_end, desired, Decimal(0), False, False, False)
        found[seq] = one._replace(
            usd_per_hour=one.usd_per_hour + Decimal(price or 0),
            has_unknown_price=one.has_unknown_price or price is None,
            gpu=one.gpu or kind == "gpu",
            fixed=one.fixed or kind == "month",
        )
    return sorted(found.values(), key=lambda one: (-one.usd_per_hour, one.name))


def last_price(connection: sqlite3.Connection, name: str) -> tuple[Decimal, Decimal] | None:
    """What an hour of a machine last cost, running and stopped; None where it is not known."""
    row = connection.execute(
        "SELECT usd_per_hour, usd_per_hour_stopped FROM machines WHERE name = ? ORDER BY seq DESC LIMIT 1", (name,)
    ).fetchone()
    return None if row is None or row[0] is None else (Decimal(row[0]), Decimal(row[1] or 0))


def _row(values: Iterable[Any]) -> MeterRow:
    machine, kind, seen_at, billing, gap, price, source, open_from, open_to, estimated, unbooked = values
    return MeterRow(
        machine,
        kind,
        seen_at,
        bool(billing),
        None if price is None else Decimal(price),
        source,
        bool(gap),
        open_from,
        open_to,
        bool(estimated),
        Decimal(unbooked),
    )
