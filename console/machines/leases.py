"""The leases of all machines: begun with each run, extended and pinned by the user, shown with what decides them.

Nothing here ends a machine. `guard.py` acts on the verdicts, in whichever process has that role.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from console.clock import Clock
from console.errors import MachineError, NotFound
from console.machines import lease as rules
from console.machines.lease import End, Keep, Lease, Limits, Signal, Verdict, Warn, limits_of
from console.machines.protection import Protection, protection_of
from console.settings import Settings

if TYPE_CHECKING:
    from console.history.store import Store
    from console.machines.records import AtEnd, MachineRecord

T = TypeVar("T")


class LeaseView(NamedTuple):
    """How a lease stands."""

    name: str
    is_leased: bool
    """Whether one runs: the machine is on, and something is to end it."""
    began_at: datetime | None
    ends_at: datetime | None
    """When it ends if nothing more happens; not before the past."""
    hard_until: datetime | None
    idle_since: datetime | None
    """None while work is seen, or cannot be seen."""
    is_over: bool
    why: str
    at_end: AtEnd
    idle_after: timedelta | None
    pinned_until: datetime | None
    pin_why: str
    signals: tuple[Signal, ...]
    unread: tuple[str, ...]
    """Kinds of work of which nobody knows; they count as work."""
    protection: Protection


class Standing(NamedTuple):
    """A machine whose lease runs, and what the rules say."""

    record: MachineRecord
    lease: Lease
    limits: Limits
    signals: Mapping[str, Signal]
    verdict: Verdict


class Leases:
    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock

    # What the user says

    async def begin(self, name: str) -> LeaseView:
        """Begin the lease of a machine that was just rented or started; nothing if it runs already."""
        return await self._changed(name, lambda *_: None)

    async def renew(self, name: str, why: str = "renewed") -> LeaseView:
        """Somebody works with it: its idle time begins anew."""

        def work(connection: sqlite3.Connection, lease: Lease, now: datetime) -> None:
            from console.history import leases

            leases.note(connection, lease.machine, "user", now, why, active=True, unbroken=rules.STALE)

        return await self._changed(name, work)

    async def extend(self, name: str, by: timedelta) -> LeaseView:
        """Move the end that holds even for a busy machine."""

        def work(connection: sqlite3.Connection, lease: Lease, now: datetime) -> None:
            self._change(connection, lease, hard_until=max(lease.hard_until, now) + by)

        return await self._changed(name, work)

    async def pin(self, name: str, span: timedelta, why: str) -> LeaseView:
        """Keep it through idleness for a while. The end of its lease stays where it is."""

        def work(connection: sqlite3.Connection, lease: Lease, now: datetime) -> None:
            self._change(connection, lease, pinned_until=now + span, pin_why=why)

        return await self._changed(name, work)

    async def unpin(self, name: str) -> LeaseView:
        return await self._changed(
            name, lambda connection, lease, _: self._change(connection, lease, pinned_until=None, pin_why=None)
        )

    # What is the case

    async def show(self, name: str) -> LeaseView:
        """How a lease stands; also of a machine that is off, and has none at the moment."""

        def work(connection: sqlite3.Connection) -> LeaseView:
            return self._view(connection, _record(connection, name), self._clock.now())

        return await self._store.run(work)

    async def every(self) -> list[LeaseView]:
        """Of all machines that are not gone."""
        from console.history import machines

        def work(connection: sqlite3.Connection) -> list[LeaseView]:
            now = self._clock.now()
            return [self._view(connection, record, now) for record in machines.every(connection)]

        return await self._store.run(work)

    async def keep_up(self) -> list[Standing]:
        """Begin and end the rows of leases as machines come up and go off; those that run, with their verdicts."""
        standing, due = await self._store.run(lambda c: self._look(c, self._clock.now()))
        if due:
            standing, _ = await self._store.run(self._keep_up, write=True)
        return standing

    async def standing(self, name: str) -> Standing | None:
        """One of them, as it is at this moment."""
        found = await self.keep_up()
        return next((one for one in found if one.record.name == name), None)

    # Inside

    def _keep_up(self, connection: sqlite3.Connection) -> tuple[list[Standing], bool]:
        from console.history import leases, machines

        now = self._clock.now()
        deeds, there, starts = machines.open_deeds(connection), leases.every(connection), leases.last_starts(connection)
        for record in machines.every(connection):
            limits, lease = limits_of(record, self._settings), there.get(record.seq)
            if rules.is_leased(record, deeds.get(record.seq), limits):
                began = rules.run_began(record, lease, starts.get(record.seq), now)
                if began is not None:
                    leases.begin(connection, record.seq, began, began + limits.hard)
            elif lease is not None and lease.ended_at is None:
                leases.change(connection, record.seq, ended_at=now)
        return self._look(connection, now)

    def _look(self, connection: sqlite3.Connection, now: datetime) -> tuple[list[Standing], bool]:
        """The leases that run, and whether rows have to be written first."""
        from console.history import leases, machines

        deeds, there, starts = machines.open_deeds(connection), leases.every(connection), leases.last_starts(connection)
        signals = leases.all_signals(connection)
        standing: list[Standing] = []
        due = False
        for record in machines.every(connection):
            limits, lease = limits_of(record, self._settings), there.get(record.seq)
            if not rules.is_leased(record, deeds.get(record.seq), limits):
                due = due or (lease is not None and lease.ended_at is None)
            elif lease is None or rules.run_began(record, lease, starts.get(record.seq), now) is not None:
                due = True
            else:
                seen = signals.get(record.seq, {})
                standing.append(Standing(record, lease, limits, seen, _verdict(record, lease, seen, limits, now)))
        return standing, due

    async def _changed(self, name: str, change: Callable[[sqlite3.Connection, Lease, datetime], None]) -> LeaseView:
        def work(connection: sqlite3.Connection) -> LeaseView:
            from console.history import leases

            record = _record(connection, name)
            self._keep_up(connection)
            lease = leases.get(connection, record.seq)
            if lease is None or lease.ended_at is not None:
                raise self._no_lease(record)
            change(connection, lease, self._clock.now())
            return self._view(connection, record, self._clock.now())

        return await self._store.run(work, write=True)

    def _no_lease(self, record: MachineRecord) -> MachineError:
        if limits_of(record, self._settings).at_end == "nothing":
            return MachineError(
                f"{record.name!r} has no lease: nothing ends it but you.",
                hint=f'Set at_end = "stop" in [machines.{record.name}] for it to have one.',
            )
        return MachineError(f"{record.name!r} is not running, so it has no lease.", hint=f"hawser vm up {record.name}")

    def _change(self, connection: sqlite3.Connection, lease: Lease, **values: object) -> None:
        from console.history import leases

        leases.change(connection, lease.machine, **values)

    def _view(self, connection: sqlite3.Connection, record: MachineRecord, now: datetime) -> LeaseView:
        from console.history import leases, machines

        limits = limits_of(record, self._settings)
        lease = leases.get(connection, record.seq)
        signals = leases.signals(connection, record.seq)
        runs = rules.is_leased(record, machines.deed_of(connection, record.seq), limits)
        if lease is not None and (lease.ended_at is not None or not runs):
            lease = None
        protection = protection_of(connection, record, leases.get(connection, record.seq) if runs else None, now)
        if lease is None:
            return LeaseView(
                record.name, runs, None, None, None, None, False, "", limits.at_end, limits.idle, None, "",
                tuple(signals.values()), (), protection,
            )  # fmt: skip
        said = _verdict(record, lease, signals, limits, now)
        unread = tuple(rules.unread(signals, now))
        worked_at, _ = rules.last_work(lease, signals, now, rules.came_up_at(record, lease))
        match said:
            case Keep(ends_at, _, why) | Warn(ends_at, _, why):
                is_over = False
            case End(_, why):
                ends_at, is_over = now, True
        pin_holds = lease.pinned_until is not None and lease.pinned_until > now
        return LeaseView(
            record.name,
            True,
            lease.began_at,
            ends_at,
            lease.hard_until,
            None if unread or now - worked_at < rules.STALE else worked_at,
            is_over,
            why,
            limits.at_end,
            limits.idle,
            lease.pinned_until if pin_holds else None,
            lease.pin_why if pin_holds else "",
            tuple(signals.values()),
            unread,
            protection,
        )


def _verdict(
    record: MachineRecord, lease: Lease, signals: Mapping[str, Signal], limits: Limits, now: datetime
) -> Verdict:
    return rules.verdict(lease, signals, limits, now, came_up=rules.came_up_at(record, lease))


def _record(connection: sqlite3.Connection, name: str) -> MachineRecord:
    from console.history import machines

    record = machines.get(connection, name)
    if record is None:
        raise NotFound(f"There is no machine {name!r}.", hint="hawser vm ls shows what there is.")
    return record
