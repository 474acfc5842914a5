"""When the money is gone, in clock time, if everything goes on as it does now."""

from __future__ import annotations

import sqlite3
from datetime import datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from console.history import meters
from console.history.rows import from_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from console.history.books import Limit

_MORNING = time(9)
_MS_PER_HOUR = 3_600_000
_LONGEST_H = Decimal(24 * 366)
"""Nothing is forecast beyond a year."""


class Reaching(NamedTuple):
    """When a budget is spent; only if that is before its day or month is over."""

    when: str
    """today or this month."""
    limit_usd: Decimal
    at: datetime


class Emptying(NamedTuple):
    """When the balance of an account is gone."""

    cloud: str
    balance_usd: Decimal
    at: datetime


class Forecast(NamedTuple):
    usd_per_hour: Decimal
    """What everything that was last seen running costs."""
    has_unknown_price: bool
    reaching: tuple[Reaching, ...]
    emptying: tuple[Emptying, ...]
    morning: datetime
    until_morning_usd: Decimal
    """What is spent from now until then."""


def forecast(
    running: Iterable[meters.Running],
    budgets: Sequence[tuple[str, Decimal, Limit]],
    balances: Iterable[tuple[str, Decimal, Decimal | None, datetime]],
    now: datetime,
    zone: tzinfo | None = None,
) -> Forecast:
    """`budgets` are words, what is spent, and the limit with its span; `balances` are an account, what it had, what
    it says that it spends in an hour, and when it said so."""
    costing = [one for one in running if not one.fixed]
    rate = sum((one.usd_per_hour for one in costing), Decimal(0))
    reaching = []
    for when, spent_usd, limit in budgets:
        at = reached_at(limit.limit_usd - spent_usd, rate, now)
        if at is not None and at < limit.until:
            reaching.append(Reaching(when, limit.limit_usd, at))
    emptying = []
    for cloud, balance_usd, told_rate, told_at in balances:
        own_rate = sum((one.usd_per_hour for one in costing if one.cloud == cloud), Decimal(0))
        at = reached_at(balance_usd, told_rate or own_rate, told_at)
        if at is not None:
            emptying.append(Emptying(cloud, balance_usd, at))
    morning = next_morning(now, zone)
    return Forecast(
        rate,
        any(one.has_unknown_price for one in costing),
        tuple(reaching),
        tuple(emptying),
        morning,
        rate * ((morning - now) // timedelta(milliseconds=1)) / _MS_PER_HOUR,
    )


def reached_at(left_usd: Decimal, usd_per_hour: Decimal, now: datetime) -> datetime | None:
    """When an amount is used up; None if it never is, or not within a year. At once if it is gone."""
    if left_usd <= 0:
        return now
    if usd_per_hour <= 0 or left_usd > usd_per_hour * _LONGEST_H:
        return None
    return now + timedelta(milliseconds=int(left_usd * _MS_PER_HOUR / usd_per_hour))


def next_morning(now: datetime, zone: tzinfo | None = None) -> datetime:
    """The next nine o'clock of the user."""
    today = now.astimezone(zone).date()
    for day in (today, today + timedelta(days=1)):
        morning = datetime.combine(day, _MORNING, zone).astimezone(now.tzinfo)
        if morning > now:
            break
    return morning


def sentences(forecast: Forecast, now: datetime, zone: tzinfo | None = None) -> list[str]:
    """The forecast in words; none while nothing costs money."""
    from console.money.budget import usd

    lines = []
    if forecast.usd_per_hour:
        more = " and what has no known price" if forecast.has_unknown_price else ""
        lines.append(f"Machines cost {usd(forecast.usd_per_hour)} an hour{more} now.")
        for reaching in forecast.reaching:
            at = clock_time(reaching.at, now, zone)
            lines.append(f"{reaching.when.capitalize()} reaches {usd(reaching.limit_usd)} at {at}.")
        morning = clock_time(forecast.morning, now, zone)
        lines.append(f"Until {morning} that is {usd(forecast.until_morning_usd.quantize(Decimal('0.01')))} more.")
    for emptying in forecast.emptying:
        at = clock_time(emptying.at, now, zone)
        lines.append(f"The balance of {emptying.cloud} ({usd(emptying.balance_usd)}) is empty at {at}.")
    return lines


def clock_time(moment: datetime, now: datetime, zone: tzinfo | None) -> str:
    """A time as a person says it: the clock today, with the day after that, with the date in another week."""
    local, today = moment.astimezone(zone), now.astimezone(zone).date()
    if local.date() == today:
        return f"{local:%H:%M}"
    if local.date() - today == timedelta(days=1):
        return f"{local:%H:%M} tomorrow"
    return f"{local:%H:%M} on {local.day} {local:%b}"


def balances(connection: sqlite3.Connection) -> list[tuple[str, Decimal, Decimal | None, datetime]]:
    """What the accounts last said of themselves."""
    rows = connection.execute(
        "SELECT cloud, balance_usd, usd_per_hour, balance_at FROM accounts"
        " WHERE balance_usd IS NOT NULL AND balance_at IS NOT NULL ORDER BY cloud"
    )
    return [
        (cloud, Decimal(balance), None if rate is None else Decimal(rate), from_ms(at))
        for cloud, balance, rate, at in rows
    ]


def projected_month(spent_usd: Decimal, now: datetime, since: datetime, until: datetime) -> Decimal | None:
    """What a month comes to if it goes on as it began; None in its first hour, which says nothing."""
    passed, whole = now - since, until - since
    if passed < timedelta(hours=1) or now >= until:
        return None
    share = Decimal(passed // timedelta(seconds=1)) / Decimal(whole // timedelta(seconds=1))
    return (spent_usd / share).quantize(Decimal("0.01"))
