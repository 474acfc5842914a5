"""Once a day: what a cloud says that it charged, beside what our meters counted; the difference is booked, labelled.

A cloud that tells its charges is compared machine by machine for whole days of UTC. One that tells only its balance is
compared as a whole, from one look to the next. One that tells neither goes by our own count. Nothing in the ledger is
changed: a correction is a line of its own, dated into the days that it is about. What is settled so is settled: a meter
that reads its machine only later, after an outage or a night, books nothing before that moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from console.errors import ConsoleError
from console.history import books, meters
from console.history.rows import from_ms, to_ms
from console.money.ledger import ZERO, LedgerEntry, to_six_places
from providers.clouds.base import Capability, Charge
from providers.errors import ProviderError

if TYPE_CHECKING:
    from console.clock import Clock
    from console.history.store import Store
    from console.money.meter import Meter
    from providers.clouds.base import Account

    class CloudBooks(Protocol):
        """The part of a `Cloud` that tells what it costs."""

        @property
        def capabilities(self) -> frozenset[Capability]: ...

        async def account(self) -> Account: ...

        async def charges(self, since: datetime, until: datetime) -> list[Charge]: ...


Manner: TypeAlias = Literal["charges", "balance", "count"]

SETTLED_AFTER = timedelta(hours=2)
"""A cloud's books of a day are complete this long after its end."""
BALANCE_EVERY = timedelta(hours=20)
FARTHEST_BACK = timedelta(days=31)
_TICK = timedelta(milliseconds=1)
_EXPLAINED_USD = Decimal("0.50")
_EXPLAINED_SHARE = Decimal("0.25")


class Correction(NamedTuple):
    machine: str | None
    kind: str
    """gpu, disk, transfer or other; of a balance, all."""
    counted_usd: Decimal
    charged_usd: Decimal

    @property
    def usd(self) -> Decimal:
        return to_six_places(self.charged_usd - self.counted_usd)


class Reconciled(NamedTuple):
    """How one account came out."""

    cloud: str
    by: Manner
    since: datetime | None = None
    until: datetime | None = None
    counted_usd: Decimal = ZERO
    charged_usd: Decimal | None = None
    corrections: tuple[Correction, ...] = ()
    foreign_usd: Decimal = ZERO
    """Charged for machines that we never knew."""
    note: str = ""
    """What stood in the way, or what cannot be explained, in a sentence."""


class _Account(NamedTuple):
    reconciled_to: int | None
    balance_usd: str | None


class Reconciler:
    def __init__(self, store: Store, cloud: Callable[[str], CloudBooks], clock: Clock, meter: Meter) -> None:
        self._store = store
        self._cloud = cloud
        self._clock = clock
        self._meter = meter

    async def run_due(self, accounts: Sequence[str]) -> list[Reconciled]:
        """Reconcile the accounts whose day is over; what was done in the last day is left alone, whoever did it."""
        done = []
        for account in accounts:
            while (outcome := await self._one(account)) is not None:
                done.append(outcome)
                if outcome.by != "charges" or outcome.until is None:
                    break  # the days of charges are done one by one
        return done

    async def _one(self, account: str) -> Reconciled | None:
        try:
            capabilities = self._cloud(account).capabilities
        except ConsoleError as error:  # an account of machines that were, and of no setting that is
            return Reconciled(account, "count", note=f"{account} could not be asked: {error.text}")
        known = await self._store.run(lambda connection: _account(connection, account))
        try:
            if Capability.CHARGES in capabilities:
                return await self._by_charges(account, known)
            if Capability.BALANCE in capabilities:
                return await self._by_balance(account, known)
        except ProviderError as error:
            by: Manner = "charges" if Capability.CHARGES in capabilities else "balance"
            return Reconciled(account, by, note=f"{account} could not be asked: {error.text}")
        now = self._clock.now()
        if known is None or known.reconciled_to is None:
            await self._store.run(lambda c: _advance(c, account, known, now, "count"), write=True)
            return Reconciled(account, "count", note=f"{account} tells no charges; its costs are by our own count.")
        return None

    async def _by_charges(self, account: str, known: _Account | None) -> Reconciled | None:
        closed = _day_begins(self._clock.now() - SETTLED_AFTER)
        since = await self._store.run(lambda connection: _first_day(connection, account, known))
        if since is None or since >= closed:
            return None
        since = max(since, closed - FARTHEST_BACK)
        until = since + timedelta(days=1)
        charges = await self._cloud(account).charges(since, until)

        def settle(connection: sqlite3.Connection) -> Reconciled | None:
            if not _advance(connection, account, known, until, "charges"):
                return None  # another process was faster
            self._meter.close_lines(connection, account)
            names = _names(connection, account)
            counted = counted_by_kind(_lines(connection, account, since, until), since, until)
            charged, foreign_usd = charged_by_kind(charges, names, since, until)
            corrections = corrections_between(counted, charged)
            for correction in corrections:
                books.book(connection, _line(account, correction, since, until, "charges"))
            meters.settle(connection, account, until)
            return Reconciled(
                account,
                "charges",
                since,
                until,
                sum(counted.values(), ZERO),
                sum(charged.values(), ZERO),
                corrections,
                foreign_usd,
            )

        return await self._store.run(settle, write=True)

    async def _by_balance(self, account: str, known: _Account | None) -> Reconciled | None:
        now = self._clock.now()
        before = None if known is None or known.reconciled_to is None else from_ms(known.reconciled_to)
        if before is not None and now - before < BALANCE_EVERY:
            return None
        balance_usd = (await self._cloud(account).account()).balance_usd
        if balance_usd is None:
            return Reconciled(account, "balance", note=f"{account} does not tell its balance at the moment.")
        now = self._clock.now()

        def settle(connection: sqlite3.Connection) -> Reconciled | None:
            if not _advance(connection, account, known, now, "balance", balance_usd):
                return None
            if before is None or known is None or known.balance_usd is None:
                return Reconciled(account, "balance", until=now, note=f"The balance of {account} is watched from now.")
            self._meter.close_lines(connection, account)
            counted = _booked_at(connection, account, before, now)
            correction = Correction(None, "all", counted, Decimal(known.balance_usd) - balance_usd)
            outcome = Reconciled(account, "balance", before, now, counted, correction.charged_usd)
            if correction.usd < -max(_EXPLAINED_USD, counted * _EXPLAINED_SHARE):
                return outcome._replace(
                    note=f"The balance of {account} fell by less than was counted: something was paid in, or it is "
                    "charged later. Nothing was corrected."
                )
            meters.settle(connection, account, now)
            if not correction.usd:
                return outcome
            books.book(connection, _line(account, correction, before, now, "balance"))
            return outcome._replace(corrections=(correction,))

        return await self._store.run(settle, write=True)


_Key: TypeAlias = tuple[str, str]
"""A machine's name and a kind of cost."""


def counted_by_kind(lines: Iterable[LedgerEntry], since: datetime, until: datetime) -> dict[_Key, Decimal]:
    """What our lines come to in a span, for each machine and kind; of a line over its edge the part inside."""
    sums: dict[_Key, Decimal] = {}
    for line in lines:
        if line.machine is None or line.cost_usd is None or line.span_from is None or line.span_to is None:
            continue
        inside = _share(line.span_from, line.span_to, since, until)
        key = (line.machine, line.task)
        sums[key] = sums.get(key, ZERO) + line.cost_usd * inside
    return sums


def charged_by_kind(
    charges: Iterable[Charge], names: Mapping[str, str], since: datetime, until: datetime
) -> tuple[dict[_Key, Decimal], Decimal]:
    """The same for a cloud's charges; and what it charged for machines that we have no name for."""
    sums: dict[_Key, Decimal] = {}
    foreign = ZERO
    for charge in charges:
        usd = charge.usd * _share(charge.since, charge.until, since, until)
        name = names.get(charge.machine_id) if charge.machine_id is not None else None
        if name is None:
            foreign += usd
        else:
            sums[name, charge.kind] = sums.get((name, charge.kind), ZERO) + usd
    return sums, foreign


def corrections_between(counted: Mapping[_Key, Decimal], charged: Mapping[_Key, Decimal]) -> tuple[Correction, ...]:
    """What is to be booked so that our sums are the cloud's."""
    pairs = [
        Correction(machine, kind, counted.get((machine, kind), ZERO), charged.get((machine, kind), ZERO))
        for machine, kind in sorted({*counted, *charged})
    ]
    return tuple(pair for pair in pairs if pair.usd)


def _share(begin: datetime, end: datetime, since: datetime, until: datetime) -> Decimal:
    """Which part of [begin, end) lies in [since, until)."""
    if end <= begin:
        return Decimal(since <= begin < until)
    inside = min(end, until) - max(begin, since)
    return Decimal(max(inside // _TICK, 0)) / Decimal((end - begin) // _TICK or 1)


def _line(account: str, correction: Correction, since: datetime, until: datetime, source: str) -> LedgerEntry:
    # Of traffic and the like we count nothing ourselves; what the cloud says is no correction, it is the first word.
    task = correction.kind if correction.kind in ("transfer", "other") else "correction"
    return LedgerEntry(
        until - _TICK,
        task=task,
        client="meter",
        endpoint=correction.machine or account,
        wire=account,
        model="",
        outcome="complete",
        machine=correction.machine,
        price_source=f"{source}: {correction.kind}",
        price_dated=until.date(),
        cost_usd=correction.usd,
        span_from=since,
        span_to=until,
    )


def _account(connection: sqlite3.Connection, account: str) -> _Account | None:
    row = connection.execute(
        "SELECT reconciled_to, reconciled_balance_usd FROM accounts WHERE cloud = ?", (account,)
    ).fetchone()
    return None if row is None else _Account(*row)


def _advance(
    connection: sqlite3.Connection,
    account: str,
    known: _Account | None,
    to: datetime,
    by: Manner,
    balance_usd: Decimal | None = None,
) -> bool:
    """Note how far an account is reconciled; False if it is not any more where it was looked up."""
    connection.execute("INSERT OR IGNORE INTO accounts (cloud) VALUES (?)", (account,))
    expected = None if known is None else known.reconciled_to
    changed = connection.execute(
        "UPDATE accounts SET reconciled_to = ?, reconciled_by = ?, reconciled_balance_usd = ?"
        " WHERE cloud = ? AND reconciled_to IS ?",
        (to_ms(to), by, None if balance_usd is None else str(balance_usd), account, expected),
    )
    return changed.rowcount == 1


def _first_day(connection: sqlite3.Connection, account: str, known: _Account | None) -> datetime | None:
    """Where to begin: where the last time ended, else the day from which we have machines there."""
    if known is not None and known.reconciled_to is not None:
        return from_ms(known.reconciled_to)
    (first,) = connection.execute("SELECT min(created_at) FROM machines WHERE cloud = ?", (account,)).fetchone()
    return None if first is None else _day_begins(from_ms(first))


def _names(connection: sqlite3.Connection, account: str) -> dict[str, str]:
    rows = connection.execute(
        "SELECT cloud_id, name FROM machines WHERE cloud = ? AND cloud_id IS NOT NULL", (account,)
    )
    return dict(rows.fetchall())


def _lines(connection: sqlite3.Connection, account: str, since: datetime, until: datetime) -> list[LedgerEntry]:
    """The meters' lines of an account that reach into a span; none is longer than a day."""
    near = books.entries(connection, since - timedelta(days=2), until + timedelta(days=2))
    return [
        line
        for line in near
        if line.wire == account and line.client == "meter" and line.task in ("gpu", "disk", "transfer", "other")
    ]


def _booked_at(connection: sqlite3.Connection, account: str, since: datetime, until: datetime) -> Decimal:
    near = books.entries(connection, since, until)
    return sum((line.cost_usd or ZERO for line in near if line.wire == account and line.client == "meter"), ZERO)


def _day_begins(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
