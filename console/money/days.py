"""The user's days: where midnight is, and spans of time cut there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo


def begins(day: date, zone: tzinfo | None = None) -> datetime:
    """Midnight, looked up for each day by itself: a day is 23 or 25 hours long when the clocks change."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def month_of(day: date, zone: tzinfo | None = None) -> tuple[datetime, datetime]:
    first = day.replace(day=1)
    return begins(first, zone), begins((first + timedelta(days=32)).replace(day=1), zone)


def by_day(since: datetime, until: datetime, zone: tzinfo | None = None) -> Iterator[tuple[datetime, datetime]]:
    """A span cut at every midnight inside it."""
    while since < until:
        midnight = begins(since.astimezone(zone).date() + timedelta(days=1), zone)
        yield since, min(midnight, until)
        since = midnight
