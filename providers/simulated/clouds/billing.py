"""What a rental costs: rates that hold for a while, and things charged once. Exact, in Decimal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import NamedTuple

HOURS_PER_MONTH = Decimal(720)
"""How the clouds turn a price per month into one per hour."""
_MICROSECOND = timedelta(microseconds=1)
_LEAST_USD = Decimal("1e-18")
_YEAR_IN_MICROSECONDS = Decimal(timedelta(days=365) // _MICROSECOND)
_MICROSECONDS_PER_HOUR = Decimal(3_600_000_000)


class ChargeKind(StrEnum):
    GPU = "gpu"
    """GPU, processor and memory."""
    DISK = "disk"
    DOWNLOAD = "download"
    UPLOAD = "upload"


class Charge(NamedTuple):
    """One line of an invoice: a rate from `since` to `until`, or something charged once, at `since`."""

    machine_id: str
    label: str | None
    kind: ChargeKind
    since: datetime
    until: datetime
    usd_per_hour: Decimal | None
    usd: Decimal


def hours(length: timedelta) -> Decimal:
    return Decimal(length // _MICROSECOND) / _MICROSECONDS_PER_HOUR


def spent(usd_per_hour: Decimal, length: timedelta) -> Decimal:
    """To eighteen places, so that sums are exact in whatever order they are made."""
    return (usd_per_hour * Decimal(length // _MICROSECOND) / _MICROSECONDS_PER_HOUR).quantize(_LEAST_USD)


def lasts(usd: Decimal, usd_per_hour: Decimal) -> timedelta:
    """How long `usd` pays for a rate, to the microsecond after which nothing is left; a year at most."""
    exact = usd * _MICROSECONDS_PER_HOUR / usd_per_hour
    return timedelta(microseconds=int(min(exact, _YEAR_IN_MICROSECONDS).to_integral_value(ROUND_CEILING)))


class Bill:
    """The charges of one rental; `step` rounds each stretch up, as clouds do that bill by the minute."""

    def __init__(self, machine_id: str, step: timedelta | None = None) -> None:
        self.machine_id = machine_id
        self.label: str | None = None
        self._step = step
        self._closed: list[Charge] = []
        self._closed_usd = Decimal(0)
        self._open: dict[ChargeKind, tuple[Decimal, datetime]] = {}

    @property
    def usd_per_hour(self) -> Decimal:
        """What runs up at this moment."""
        return sum((rate for rate, _ in self._open.values()), Decimal(0))

    @property
    def is_open(self) -> bool:
        """Whether anything runs up."""
        return bool(self._open)

    def rates(self) -> dict[ChargeKind, Decimal]:
        return {kind: rate for kind, (rate, _) in self._open.items()}

    def charge_at(self, moment: datetime, rates: Mapping[ChargeKind, Decimal]) -> bool:
        """From `moment` on, charge these rates and no others; whether that changes anything."""
        if len(rates) == len(self._open) and all(
            kind in self._open and self._open[kind][0] == rate for kind, rate in rates.items()
        ):
            return False
        for kind in (*self._open, *(kind for kind in rates if kind not in self._open)):
            rate = rates.get(kind, Decimal(0))
            before = self._open.get(kind)
            if before is not None and before[0] == rate:
                continue
            if before is not None:
                del self._open[kind]
                self._close(self._stretch(kind, *before, moment))
            if rate:
                self._open[kind] = (rate, moment)
        return True

    def charge_once(self, moment: datetime, kind: ChargeKind, usd: Decimal) -> None:
        self._close(Charge(self.machine_id, self.label, kind, moment, moment, None, usd))

    def total(self, now: datetime) -> Decimal:
        """All that was charged up to `now`."""
        return self._closed_usd + sum((charge.usd for charge in self._running(now)), Decimal(0))

    def charges(self, now: datetime) -> Iterator[Charge]:
        """In the order of their ends; those that run end `now`."""
        yield from self._closed
        yield from self._running(now)

    def between(self, since: datetime, until: datetime, now: datetime) -> dict[ChargeKind, Decimal]:
        """What of it falls into a stretch of time, by kind."""
        sums: dict[ChargeKind, Decimal] = {}
        for charge in self.charges(now):
            if charge.usd_per_hour is None:
                part = charge.usd if since <= charge.since < until else Decimal(0)
            else:
                overlap = min(charge.until, until) - max(charge.since, since)
                part = spent(charge.usd_per_hour, max(overlap, timedelta(0)))
            if part:
                sums[charge.kind] = sums.get(charge.kind, Decimal(0)) + part
        return sums

    def _running(self, now: datetime) -> Iterator[Charge]:
        for kind, (rate, since) in self._open.items():
            if now > since:
                yield self._stretch(kind, rate, since, now)

    def _stretch(self, kind: ChargeKind, rate: Decimal, since: datetime, until: datetime) -> Charge:
        length = until - since
        if self._step is not None:
            length = -(-length // self._step) * self._step
        return Charge(self.machine_id, self.label, kind, since, since + length, rate, spent(rate, length))

    def _close(self, charge: Charge) -> None:
        if charge.until > charge.since or charge.usd_per_hour is None:
            self._closed.append(charge)
            self._closed_usd += charge.usd
