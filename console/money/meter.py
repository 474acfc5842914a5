"""The meter: what machines cost, from readings of their state to lines of the ledger.

It is called inside the transaction that stores a reading, so a reading and what it cost are kept together or not at
all. Only confirmed time is booked:

* Both ends of a span say that it is charged for: all of it. Where something in between did not say, or the readings
  are far apart, the line is marked as estimated, and ends before it where the cloud says that the machine was started
  again in between.
* Only the later end says so: from the start that the cloud tells, if that lies in the span; else from the reading.
* Only the earlier end says so: nothing more. What is left is settled by the cloud's own books (`reconcile_books.py`).
* Nothing before the moment up to which those books were settled: it is in the ledger as the cloud charged it.

A machine of the user's own that is paid by the month costs its share of each month, whatever its state.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from console.history import books, meters
from console.history.meters import MS_PER_HOUR, MeterRow
from console.history.rows import from_ms, to_ms
from console.money.days import begins, by_day, month_of
from console.money.ledger import LedgerEntry
from providers.clouds.base import Bills, Reading

if TYPE_CHECKING:
    from console.machines.records import MachineRecord
    from console.settings import Machine

LINE = timedelta(minutes=15)
"""A line is booked when this much has come together: thousands in a month of a machine, not millions."""
FAR_APART = timedelta(minutes=15)
"""Readings that lie further apart do not prove what was in between; what they agree on is taken, as an estimate."""
OUT_OF_ORDER = timedelta(minutes=10)
"""A reading older than the last by less than this came late and is left out; by more, the clock was set back."""


class Rates(NamedTuple):
    """What an hour costs; None where nobody says."""

    gpu: Decimal | None
    disk: Decimal | None
    """While it runs."""
    disk_stopped: Decimal | None
    source: str
    """Who says so: the cloud with its reading, the launch, or the settings."""


def rates_of(record: MachineRecord, reading: Reading | None, own: Machine | None = None) -> Rates:
    """The price in force: what the cloud says with the reading, else that of the launch; of an own machine, its
    settings. While it runs the disk's part is told apart, where it is known."""
    if own is not None:
        price = own.usd_per_hour if own.usd_per_hour is not None else record.usd_per_hour
        return Rates(price, Decimal(0), Decimal(0), "settings")
    stopped = record.usd_per_hour_stopped
    price, source = record.usd_per_hour, "launch"
    if reading is not None:
        if reading.usd_per_hour_stopped is not None:
            stopped = reading.usd_per_hour_stopped
        if reading.usd_per_hour and reading.bills is Bills.EVERYTHING:
            price, source = reading.usd_per_hour, "cloud"
    if price is None or stopped is None or stopped >= price:
        return Rates(price, Decimal(0), stopped, source)
    return Rates(price - stopped, stopped, stopped, source)


def charged(kind: str, bills: Bills) -> bool | None:
    """Whether a reading says that something is charged for; None where it does not say."""
    if bills is Bills.UNKNOWN:
        return None
    return bills is Bills.EVERYTHING or (kind == "disk" and bills is Bills.DISK)


def confirmed(
    before: MeterRow | None, is_charged: bool, at: datetime, started_at: datetime | None, known_since: datetime
) -> tuple[datetime, bool] | None:
    """From when up to this reading the time is proved to be charged for, and whether that is an estimate."""
    if not is_charged:
        return None
    seen_at = None if before is None else from_ms(before.seen_at)
    if before is None or seen_at is None or not before.billing:
        earliest = known_since if seen_at is None else seen_at
        return None if started_at is None or not earliest <= started_at < at else (started_at, False)
    if not before.gap and at - seen_at <= FAR_APART:
        return seen_at, False
    if started_at is not None and seen_at < started_at <= at:
        return started_at, False
    return seen_at, True


class Meter:
    """The hook that the fleet calls with every reading."""

    def __init__(self, own: Mapping[str, Machine] | None = None, *, zone: tzinfo | None = None) -> None:
        """`own` are the machines of the settings; `zone` is where the user's days begin, None takes the computer's."""
        self._own = own or {}
        self._zone = zone

    def __call__(
        self, connection: sqlite3.Connection, record: MachineRecord, reading: Reading | None, at: datetime
    ) -> None:
        """Book what this reading confirms. `record` is the machine as it is with this reading."""
        own = self._own.get(record.name) if record.origin == "settings" else None
        if own is not None and own.usd_per_month is not None:
            self._fixed(connection, record, own.usd_per_month, at)
            return
        rates = rates_of(record, reading, own)
        if record.origin == "settings" and rates.gpu is None:
            return  # nobody asked to have it counted
        bills = reading.bills if reading is not None else Bills.UNKNOWN
        if record.is_gone:
            bills = Bills.NOTHING
        disk = rates.disk if bills is Bills.EVERYTHING else rates.disk_stopped
        self._kind(connection, record, "gpu", charged("gpu", bills), rates.gpu, rates.source, at)
        self._kind(connection, record, "disk", charged("disk", bills), disk, rates.source, at)

    def close_lines(self, connection: sqlite3.Connection, cloud: str | None = None) -> None:
        """Book what is confirmed and waits for its line to be full."""
        for row, name, account in meters.opened(connection, cloud):
            meters.put(connection, _booked(connection, row, name, account))

    def _kind(
        self,
        connection: sqlite3.Connection,
        record: MachineRecord,
        kind: str,
        is_charged: bool | None,
        price: Decimal | None,
        source: str,
        at: datetime,
    ) -> None:
        row = meters.get(connection, record.seq, kind)
        if is_charged is None:
            if row is not None and not row.gap:
                meters.put(connection, row._replace(gap=True))
            return
        if row is not None and at <= (seen_at := from_ms(row.seen_at)):
            if seen_at - at > OUT_OF_ORDER:
                meters.put(connection, row._replace(seen_at=to_ms(at), billing=is_charged, gap=False))
            return
        proof = confirmed(row, is_charged, at, record.started_at, record.created_at)
        if row is None:
            row = MeterRow(record.seq, kind, to_ms(at), False, price, source)
        if not row.billing and row.usd_per_hour != price:  # it starts at another price than it stopped at
            row = _booked(connection, row, record.name, record.cloud)._replace(usd_per_hour=price, price_source=source)
        if proof is not None:
            since, estimated = proof
            if (settled := meters.settled_to(connection, record.cloud)) is not None:
                since = max(since, settled)
            for begin, end in by_day(since, at, self._zone):
                row = self._counted(connection, row, record, begin, end, estimated)
        if row.billing and (not is_charged or row.usd_per_hour != price):
            row = _booked(connection, row, record.name, record.cloud)
        if is_charged:
            row = row._replace(usd_per_hour=price, price_source=source)
        meters.put(connection, row._replace(seen_at=to_ms(at), billing=is_charged, gap=False))

    def _fixed(
        self, connection: sqlite3.Connection, record: MachineRecord, usd_per_month: Decimal, at: datetime
    ) -> None:
        row = meters.get(connection, record.seq, "month")
        if record.is_gone:
            if row is not None:
                row = _booked(connection, row, record.name, record.cloud)
                meters.put(connection, row._replace(billing=False))
            return
        if row is None:
            meters.put(connection, MeterRow(record.seq, "month", to_ms(at), True, None, "settings"))
            return
        for begin, end in by_day(from_ms(row.seen_at), at, self._zone):
            price = _hourly(usd_per_month, begin, self._zone)
            if row.usd_per_hour != price:
                row = _booked(connection, row, record.name, record.cloud)._replace(usd_per_hour=price)
            row = self._counted(connection, row, record, begin, end, False)
        if to_ms(at) > row.seen_at:
            meters.put(connection, row._replace(seen_at=to_ms(at), billing=True))

    def _counted(
        self,
        connection: sqlite3.Connection,
        row: MeterRow,
        record: MachineRecord,
        begin: datetime,
        end: datetime,
        estimated: bool,
    ) -> MeterRow:
        """The meter with a confirmed span added; its line is booked when it is full or the day is over."""
        begin_ms, end_ms = to_ms(begin), to_ms(end)
        if row.open_from is not None and (row.open_to != begin_ms or row.estimated != estimated):
            row = _booked(connection, row, record.name, record.cloud)
        row = row._replace(
            open_from=begin_ms if row.open_from is None else row.open_from,
            open_to=end_ms,
            estimated=estimated,
            unbooked=row.unbooked + (row.usd_per_hour or Decimal(0)) * (end_ms - begin_ms),
        )
        assert row.open_from is not None
        is_full = end - from_ms(row.open_from) >= LINE and row.usd_per_hour is not None
        if is_full or end == begins(end.astimezone(self._zone).date(), self._zone):
            row = _booked(connection, row, record.name, record.cloud)
        return row


def unbooked_lines(connection: sqlite3.Connection) -> list[LedgerEntry]:
    """What waits for its line to be full, as lines that are not in the ledger."""
    found = []
    for row, name, cloud in meters.opened(connection):
        assert row.open_from is not None
        assert row.open_to is not None
        cost = None if row.usd_per_hour is None else meters.in_usd(row.unbooked)
        found.append(_line(row, name, cloud, from_ms(row.open_from), from_ms(row.open_to), cost))
    return found


def _booked(connection: sqlite3.Connection, row: MeterRow, name: str, cloud: str) -> MeterRow:
    """The meter with its open span turned into a line of the ledger."""
    if row.open_from is None or row.open_to is None:
        return row
    usd, rest = meters.split(row.unbooked)
    if row.usd_per_hour != 0:
        cost = None if row.usd_per_hour is None else usd
        books.book(connection, _line(row, name, cloud, from_ms(row.open_from), from_ms(row.open_to), cost))
    return row._replace(open_from=None, open_to=None, estimated=False, unbooked=rest)


def _line(
    row: MeterRow, name: str, cloud: str, since: datetime, until: datetime, cost_usd: Decimal | None
) -> LedgerEntry:
    return LedgerEntry(
        until - timedelta(milliseconds=1),  # inside the span, so that midnight ends the day before
        task=row.kind,
        client="meter",
        endpoint=name,
        wire=cloud,
        model="",
        outcome="complete",
        machine=name,
        estimated=row.estimated,
        price_source=row.price_source,
        price_dated=since.date(),
        cost_usd=cost_usd,
        span_from=since,
        span_to=until,
        usd_per_hour=row.usd_per_hour,
    )


def _hourly(usd_per_month: Decimal, moment: datetime, zone: tzinfo | None) -> Decimal:
    """What an hour of this month comes to."""
    first, next_first = month_of(moment.astimezone(zone).date(), zone)
    return usd_per_month * MS_PER_HOUR / (to_ms(next_first) - to_ms(first))
