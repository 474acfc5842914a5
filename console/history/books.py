"""The books: what was spent, which is only ever added to, and what is set aside for calls under way."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from console.history import meters
from console.history.owner import is_alive, this_process
from console.history.rows import from_ms, new_id, storable, to_ms

if TYPE_CHECKING:
    from console.money.ledger import LedgerEntry

_MONEY = ("price_input", "price_output", "price_cached_input", "price_cache_write", "cost_usd")
_AMOUNTS = (*_MONEY, "usd_per_hour", "gigabytes")
_MOMENTS = ("span_from", "span_to")
_COLUMNS = (
    "task",
    "client",
    "endpoint",
    "wire",
    "model",
    "outcome",
    "machine",
    "chat_id",
    "message_id",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "thinking_tokens",
    "images",
    "estimated",
    *_MONEY,
    "price_source",
    "price_dated",
    "first_token_ms",
    "total_ms",
    "error",
    *_MOMENTS,
    "usd_per_hour",
    "gigabytes",
)
_INSERT = f"INSERT INTO ledger (at, {', '.join(_COLUMNS)}) VALUES (?{', ?' * len(_COLUMNS)})"  # noqa: S608

# A stored amount always has six places, so without its point it is a whole number of millionths, and sums are exact.
_MILLIONTHS = "CAST(replace({}, '.', '') AS INTEGER)"


class Spent(NamedTuple):
    known_usd: Decimal
    """Booked, and set aside for calls under way."""
    unknown_calls: int
    """Calls whose cost nobody knows."""
    reserved_usd: Decimal = Decimal(0)
    """The part of `known_usd` that is only set aside."""


def book(connection: sqlite3.Connection, entry: LedgerEntry) -> None:
    connection.execute(_INSERT, (to_ms(entry.at), *(_stored(name, getattr(entry, name)) for name in _COLUMNS)))


def _stored(name: str, value: Any) -> Any:
    match value:
        case Decimal():
            return f"{value:.6f}" if name == "cost_usd" else str(value)
        case datetime():
            return to_ms(value)
        case date():
            return value.isoformat()
        case str():
            return storable(value)
        case _:
            return value


def entries(connection: sqlite3.Connection, since: datetime, until: datetime) -> list[LedgerEntry]:
    """The lines of the ledger from `since` up to, not including, `until`, oldest first."""
    from console.money.ledger import LedgerEntry

    rows = connection.execute(
        f"SELECT at, {', '.join(_COLUMNS)} FROM ledger WHERE at >= ? AND at < ? ORDER BY at, seq",  # noqa: S608
        (to_ms(since), to_ms(until)),
    )
    found = []
    for row in rows:
        values: dict[str, Any] = dict(zip(_COLUMNS, row[1:], strict=True))
        for name in _AMOUNTS:
            values[name] = None if values[name] is None else Decimal(values[name])
        for name in _MOMENTS:
            values[name] = None if values[name] is None else from_ms(values[name])
        values["estimated"] = bool(values["estimated"])
        values["price_dated"] = values["price_dated"] and date.fromisoformat(values["price_dated"])
        found.append(LedgerEntry(at=from_ms(row[0]), **values))
    return found


def spent(connection: sqlite3.Connection, since: datetime, until: datetime) -> Spent:
    """What a span cost that can be limited: calls, and machines up to their last reading, booked or not.

    What is paid by the month is left out: it is gone whatever is refused. Money set aside by living processes counts,
    whenever that was done.
    """
    span = (to_ms(since), to_ms(until))
    millionths, unknown = connection.execute(
        f"SELECT coalesce(sum({_MILLIONTHS.format('cost_usd')}), 0), count(*) - count(cost_usd)"  # noqa: S608
        " FROM ledger WHERE at >= ? AND at < ?",
        span,
    ).fetchone()
    (fixed,) = connection.execute(
        f"SELECT coalesce(sum({_MILLIONTHS.format('cost_usd')}), 0) FROM ledger"  # noqa: S608
        " WHERE task = 'month' AND span_from IS NOT NULL AND at >= ? AND at < ?",
        span,
    ).fetchone()
    reserved = sum(
        (
            Decimal(amount)
            for amount, owner in connection.execute("SELECT amount_usd, owner FROM reservations")
            if is_alive(owner)
        ),
        Decimal(0),
    )
    running = meters.unbooked_usd(connection, since, until)
    return Spent(Decimal(millionths - fixed).scaleb(-6) + running + reserved, unknown, reserved)


def spent_on_machines(connection: sqlite3.Connection, since: datetime, until: datetime) -> dict[str, Decimal]:
    """What time, disk and traffic of each machine cost in a span, up to its last reading; by name."""
    rows = connection.execute(
        f"SELECT machine, coalesce(sum({_MILLIONTHS.format('cost_usd')}), 0) FROM ledger"  # noqa: S608
        " WHERE at >= ? AND at < ? AND span_from IS NOT NULL AND task <> 'month' AND machine IS NOT NULL GROUP BY 1",
        (to_ms(since), to_ms(until)),
    )
    sums = {machine: Decimal(millionths).scaleb(-6) for machine, millionths in rows}
    for row, machine, _ in meters.opened(connection):
        assert row.open_from is not None
        if row.kind != "month" and to_ms(since) <= row.open_from < to_ms(until):
            sums[machine] = sums.get(machine, Decimal(0)) + meters.in_usd(row.unbooked)
    return sums


class Total(NamedTuple):
    """What a group of calls, and of machine time, cost together."""

    key: str | None
    """The machine, model, endpoint or day; None for calls without a machine, and for machine time without a model."""
    calls: int
    input_tokens: int
    output_tokens: int
    known_usd: Decimal
    unknown_calls: int
    """Calls, and lines of machine time, whose cost nobody knows."""
    estimated_calls: int
    """Calls whose tokens we counted, not the server."""
    gpu_hours: Decimal = Decimal(0)
    machine_usd: Decimal = Decimal(0)
    """The part of `known_usd` that is machines: their time, disks, traffic, and corrections of these."""
    corrected_usd: Decimal = Decimal(0)
    """The part of that which a cloud's own books added, or took off."""
    estimated_usd: Decimal = Decimal(0)
    """The part that rests on readings far apart."""


Grouping: TypeAlias = Literal["machine", "model", "endpoint", "day"]
_GROUPS: Mapping[Grouping, str] = {
    "machine": "machine",
    "model": "CASE WHEN span_from IS NULL THEN model END",
    "endpoint": "endpoint",
    "day": "date(at / 1000, 'unixepoch', 'localtime')",
}


def totals(connection: sqlite3.Connection, since: datetime, until: datetime, by: Grouping) -> list[Total]:
    """The span's calls and machine time in groups, the dearest first; days in their order. What meters counted and is
    not booked yet is in it."""
    cost = _MILLIONTHS.format("cost_usd")
    rows = connection.execute(
        f"SELECT {_GROUPS[by]}, sum(span_from IS NULL), coalesce(sum(input_tokens), 0),"  # noqa: S608
        f" coalesce(sum(output_tokens), 0), coalesce(sum({cost}), 0), count(*) - count(cost_usd),"
        " sum(estimated AND span_from IS NULL), coalesce(sum(CASE task WHEN 'gpu' THEN span_to - span_from END), 0),"
        f" coalesce(sum(CASE WHEN span_from IS NOT NULL THEN {cost} END), 0),"
        f" coalesce(sum(CASE task WHEN 'correction' THEN {cost} END), 0),"
        f" coalesce(sum(CASE WHEN estimated AND span_from IS NOT NULL THEN {cost} END), 0)"
        " FROM ledger WHERE at >= ? AND at < ? GROUP BY 1",
        (to_ms(since), to_ms(until)),
    )
    found = {
        key: Total(
            key,
            calls,
            asked,
            answered,
            Decimal(known).scaleb(-6),
            unknown,
            estimated,
            Decimal(hours) / meters.MS_PER_HOUR,
            Decimal(machine).scaleb(-6),
            Decimal(corrected).scaleb(-6),
            Decimal(guessed).scaleb(-6),
        )
        for key, calls, asked, answered, known, unknown, estimated, hours, machine, corrected, guessed in rows
    }
    for row, machine, _ in meters.opened(connection):
        assert row.open_from is not None
        assert row.open_to is not None
        if to_ms(since) <= row.open_from < to_ms(until):
            local_day = f"{from_ms(row.open_from).astimezone():%Y-%m-%d}"
            key = {"model": None, "day": local_day}.get(by, machine)
            sum_ = found.get(key) or Total(key, 0, 0, 0, Decimal(0), 0, 0)
            usd = meters.in_usd(row.unbooked)
            hours = Decimal(row.open_to - row.open_from) / meters.MS_PER_HOUR if row.kind == "gpu" else Decimal(0)
            found[key] = sum_._replace(
                known_usd=sum_.known_usd + usd,
                machine_usd=sum_.machine_usd + usd,
                gpu_hours=sum_.gpu_hours + hours,
                unknown_calls=sum_.unknown_calls + (row.usd_per_hour is None),
                estimated_usd=sum_.estimated_usd + (usd if row.estimated else 0),
            )
    if by == "day":
        return sorted(found.values(), key=lambda total: total.key or "")
    return sorted(
        found.values(), key=lambda total: (-total.known_usd, -total.unknown_calls, -total.calls, total.key or "")
    )


class Reconciliation(NamedTuple):
    """How far the books of an account were compared with its cloud's."""

    cloud: str
    by: str
    """charges, balance, or count: our own."""
    to: datetime | None


def reconciliations(connection: sqlite3.Connection, since: datetime, until: datetime) -> list[Reconciliation]:
    """For each account whose machines cost something in a span."""
    clouds = {
        cloud
        for (cloud,) in connection.execute(
            "SELECT DISTINCT wire FROM ledger WHERE span_from IS NOT NULL AND at >= ? AND at < ?",
            (to_ms(since), to_ms(until)),
        )
    }
    clouds |= {cloud for _, _, cloud in meters.opened(connection)}
    known = {
        cloud: Reconciliation(cloud, by or "count", None if to is None else from_ms(to))
        for cloud, by, to in connection.execute("SELECT cloud, reconciled_by, reconciled_to FROM accounts")
    }
    return [known.get(cloud) or Reconciliation(cloud, "count", None) for cloud in sorted(clouds)]


class Limit(NamedTuple):
    """No more than `limit_usd` in this span."""

    since: datetime
    until: datetime
    limit_usd: Decimal


def reserve(
    connection: sqlite3.Connection, now_ms: int, amount_usd: Decimal, what: str, within: Sequence[Limit] = ()
) -> str | None:
    """Set money aside until it is settled; None if that would break one of the limits.

    Looking and setting aside are one step: two processes that ask at once cannot both get the last dollar.
    """
    for reservation_id, owner in connection.execute("SELECT id, owner FROM reservations").fetchall():
        if not is_alive(owner):
            settle(connection, reservation_id)
    if any(spent(connection, limit.since, limit.until).known_usd + amount_usd > limit.limit_usd for limit in within):
        return None
    reservation_id = new_id(now_ms)
    connection.execute(
        "INSERT INTO reservations (id, amount_usd, what, owner, at) VALUES (?, ?, ?, ?, ?)",
        (reservation_id, f"{amount_usd:.6f}", storable(what), this_process(), now_ms),
    )
    return reservation_id


def settle(connection: sqlite3.Connection, reservation_id: str) -> None:
    """Give back what was set aside; the call itself is in the ledger by then. One that is gone is no error."""
    connection.execute("DELETE FROM reservations WHERE id = ?", (reservation_id,))
