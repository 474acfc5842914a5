"""The second stopper of each machine: installed, proved, renewed, read. It is on the machine itself, where its cloud
gives it a key of its own, or on another host of the user's, which then has the key of the account.

A renewal carries the time at which the machine would be ended by us, and a little more: who is there goes first. So a
machine that nobody renews, because the computer is off, ends by itself when its work is done, or at the end of its
lease. What is found is kept with the lease, so that everybody can say how well the machine is protected.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from console.clock import Clock
from console.errors import ConsoleError, LinkError, RemoteRefused
from console.history.rows import from_ms, to_ms
from console.machines.lease import STALE, Keep, Warn
from console.machines.stopper import SILENT_S, VERSION, Seen, Stopper, Times
from providers.clouds.base import State

if TYPE_CHECKING:
    from console.history.store import Store
    from console.links.remote import Connect
    from console.machines.leases import Standing
    from console.machines.records import MachineRecord
    from providers.clouds.ending import Ending, How

_log = logging.getLogger(__name__)

GRACE = timedelta(minutes=5)
"""How much later than us the other stopper ends a machine."""
RENEW = timedelta(seconds=60)
TEST_AGAIN = timedelta(minutes=2)
"""Between two self-tests while something is wrong."""


class OnMachines:
    """The guards on the machines themselves."""

    field: ClassVar[str] = "on_machine"
    """Where what is known of them is kept, in the row of the lease."""
    at_once: ClassVar[int] = 16

    def __init__(
        self,
        store: Store,
        reach: Callable[[str], Connect],
        ending: Callable[[MachineRecord, How], Ending | None],
        key: Callable[[MachineRecord], str | None],
        clock: Clock,
        *,
        tick_s: int = 30,
    ) -> None:
        """`ending` tells how a machine is ended; `key` is the one that its cloud made for it alone, if we have it."""
        self._store = store
        self._reach = reach
        self._ending = ending
        self._key = key
        self._clock = clock
        self._tick_s = tick_s
        self._places = asyncio.Semaphore(self.at_once)

    async def round(self, standing: Sequence[Standing]) -> None:
        """Tend to those whose turn it is."""
        now = self._clock.now()
        due = [one for one in standing if self._is_there(one, now) and _is_due(self._told(one), now)]
        await asyncio.gather(*map(self.attend, due))

    async def attend(self, one: Standing) -> None:
        """Tend to one that can be reached, due or not: the first guard of a machine is not to wait for its turn."""
        ending = self._ending(one.record, "destroy" if one.limits.at_end == "destroy" else "stop")
        if ending is None or not self._can_use(ending):
            return
        async with self._places:
            await self._keep(one.record, await self.tend(one, ending))

    # Where it is

    def _host(self, one: Standing) -> str:
        return one.record.name

    def _told(self, one: Standing) -> Mapping[str, Any]:
        return one.lease.on_machine

    def _can_use(self, ending: Ending) -> bool:
        return ending.key_variable is not None

    def _is_there(self, one: Standing, now: datetime) -> bool:
        """One that could not be looked at just now is not there to be tended to."""
        reading, seen = one.record.reading, one.signals.get("ssh")
        runs = reading is not None and reading.state is State.RUNNING and one.record.origin != "settings"
        return runs and seen is not None and timedelta(0) <= now - seen.seen_at <= STALE

    def _times(self, one: Standing) -> Times:
        return times_of(one)

    # How it is kept

    async def tend(self, one: Standing, ending: Ending) -> Mapping[str, Any]:
        """Renew one machine's own guard, put it there if need be, and prove it; what is known of it then."""
        told = dict(self._told(one))
        now = self._clock.now()
        told["looked_ms"] = to_ms(now)
        name, host = lease_id(one.record), self._host(one)
        stopper = Stopper(self._reach(host), host, self._clock, tick_s=self._tick_s)
        try:
            seen = await self._renew(stopper, name, one, ending, told)
            if seen.version != VERSION or told.get("id") != name or _is_silent(seen, now):
                await stopper.set_up(name, ending, self._key(one.record))
                told |= {"id": name, "set_up_ms": to_ms(now), "tested_ms": None}
                seen = await self._renew(stopper, name, one, ending, told)
            if _test_is_due(told, now):
                told |= {"trouble": await stopper.test(name), "tested_ms": to_ms(now)}
        except RemoteRefused as error:
            told["trouble"] = f"{error.text[0].lower()}{error.text[1:]}".rstrip(".")
            return told
        except LinkError as error:  # it may well be there: its last word stands, and grows old
            _log.info(
                "a machine's own guard cannot be renewed", extra={"machine": one.record.name, "error": error.text}
            )
            return told
        except ConsoleError as error:
            told["trouble"] = error.text.rstrip(".")
            return told
        if seen.beat_at is not None:
            told["beat_ms"] = to_ms(seen.beat_at)
        return told

    async def _renew(self, stopper: Stopper, name: str, one: Standing, ending: Ending, told: dict[str, Any]) -> Seen:
        known = told.get("offset_s")
        offset_s = float(known) if isinstance(known, int | float) else None
        seen = await stopper.renew(name, ending, self._times(one), offset_s or 0.0)
        if offset_s is None or abs(seen.offset_s - offset_s) > 2:
            seen = await stopper.renew(name, ending, self._times(one), seen.offset_s)
        told["offset_s"] = round(seen.offset_s, 1)
        return seen

    async def _keep(self, record: MachineRecord, told: Mapping[str, Any]) -> None:
        from console.history import leases

        def work(connection: sqlite3.Connection) -> None:
            leases.change(connection, record.seq, **{self.field: told})

        await self._store.run(work, write=True)


class OnHost(OnMachines):
    """The guard on another host of the user's. It has the keys of whole accounts, and cannot see who works."""

    field = "elsewhere"
    at_once = 1

    def __init__(
        self,
        host: str,
        clouds: Sequence[str],
        store: Store,
        reach: Callable[[str], Connect],
        ending: Callable[[MachineRecord, How], Ending | None],
        key: Callable[[MachineRecord], str | None],
        clock: Clock,
        *,
        tick_s: int = 30,
    ) -> None:
        super().__init__(store, reach, ending, key, clock, tick_s=tick_s)
        self.host = host
        self._clouds = clouds

    async def round(self, standing: Sequence[Standing]) -> None:
        await super().round(standing)
        from console.history import leases

        stopper = Stopper(self._reach(self.host), self.host, self._clock)
        for machine, name in await self._store.run(lambda c: leases.ended_elsewhere(c, self.host)):
            try:
                await stopper.forget(name)
            except ConsoleError as error:
                _log.info("a key cannot be taken away", extra={"host": self.host, "error": error.text})
                return
            await self._store.run(partial(leases.change, machine=machine, elsewhere=None), write=True)

    def _host(self, one: Standing) -> str:
        return self.host

    def _told(self, one: Standing) -> Mapping[str, Any]:
        told = one.lease.elsewhere
        return told if told.get("where") == self.host else {"where": self.host}

    def _can_use(self, ending: Ending) -> bool:
        return True

    def _is_there(self, one: Standing, now: datetime) -> bool:
        return one.record.cloud in self._clouds and one.record.cloud_id is not None

    def _times(self, one: Standing) -> Times:
        """Only the end that holds for busy machines, too."""
        hard = one.lease.hard_until + GRACE
        return Times(hard, hard, timedelta(0), watches=False)


def times_of(one: Standing) -> Times:
    """What its own guard is told: our time and a little more. Where it is over by our rules, that stays as it was."""
    hard = one.lease.hard_until
    match one.verdict:
        case Keep(ends, _, _) | Warn(ends, _, _):
            soft = ends
        case _:
            soft = hard
    return Times(soft + GRACE, hard + GRACE, one.limits.idle or timedelta(0), watches=True)


def lease_id(record: MachineRecord) -> str:
    """A name for its files there that says nothing and is never another machine's."""
    return f"m{hashlib.sha256(record.identity.encode()).hexdigest()[:12]}"


def _is_due(told: Mapping[str, Any], now: datetime) -> bool:
    looked_ms = told.get("looked_ms")
    return not isinstance(looked_ms, int) or not timedelta(0) <= now - from_ms(looked_ms) < RENEW


def _is_silent(seen: Seen, now: datetime) -> bool:
    return seen.beat_at is None or now - seen.beat_at > timedelta(seconds=SILENT_S)


def _test_is_due(told: Mapping[str, Any], now: datetime) -> bool:
    tested_ms = told.get("tested_ms")
    if not isinstance(tested_ms, int):
        return True
    return bool(told.get("trouble")) and now - from_ms(tested_ms) >= TEST_AGAIN
