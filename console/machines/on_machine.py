"""The second stopper of each machine, where its cloud gives it a key of its own: installed, proved, renewed, read.

A renewal carries the time at which the machine would be ended by us, and a little more: who is there goes first. So a
machine that nobody renews, because the computer is off, ends by itself when its work is done, or at the end of its
lease. What is found is kept with the lease, so that everybody can say how well the machine is protected.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from console.clock import Clock
from console.errors import ConsoleError, LinkError
from console.history.rows import from_ms, to_ms
from console.machines.lease import Keep, Warn
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
TEST_AGAIN = timedelta(minutes=10)
"""Between two self-tests while something is wrong."""


class OnMachines:
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
        """`ending` tells how a machine is ended; `key` gives the key that its cloud made for it alone, if we have it."""
        self._store = store
        self._reach = reach
        self._ending = ending
        self._key = key
        self._clock = clock
        self._tick_s = tick_s

    async def round(self, standing: Sequence[Standing]) -> None:
        """Tend to those whose turn it is."""
        for one in standing:
            reading = one.record.reading
            if one.record.origin == "settings" or reading is None or reading.state is not State.RUNNING:
                continue
            looked_ms = one.lease.on_machine.get("looked_ms")
            now = self._clock.now()
            if isinstance(looked_ms, int) and timedelta(0) <= now - from_ms(looked_ms) < RENEW:
                continue
            ending = self._ending(one.record, "destroy" if one.limits.at_end == "destroy" else "stop")
            if ending is not None and ending.key_variable is not None:
                await self._keep(one.record, await self.tend(one, ending))

    async def tend(self, one: Standing, ending: Ending) -> Mapping[str, Any]:
        """Renew one machine's own guard, put it there if need be, and prove it; what is known of it then."""
        told = dict(one.lease.on_machine)
        now = self._clock.now()
        told["looked_ms"] = to_ms(now)
        name, stopper = lease_id(one.record), Stopper(
            self._reach(one.record.name), one.record.name, self._clock, tick_s=self._tick_s
        )  # fmt: skip
        try:
            seen = await self._renew(stopper, name, one, ending, told)
            if seen.version != VERSION or told.get("id") != name or _is_silent(seen, now):
                await stopper.set_up(name, ending, self._key(one.record))
                told |= {"id": name, "set_up_ms": to_ms(now), "tested_ms": None}
                seen = await self._renew(stopper, name, one, ending, told)
            if _test_is_due(told, now):
                told |= {"trouble": await stopper.test(name), "tested_ms": to_ms(now)}
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
        seen = await stopper.renew(name, ending, times_of(one), offset_s or 0.0)
        if offset_s is None or abs(seen.offset_s - offset_s) > 2:
            seen = await stopper.renew(name, ending, times_of(one), seen.offset_s)
        told["offset_s"] = round(seen.offset_s, 1)
        return seen

    async def _keep(self, record: MachineRecord, told: Mapping[str, Any]) -> None:
        from console.history import leases

        def work(connection: sqlite3.Connection) -> None:
            leases.change(connection, record.seq, on_machine=told)

        await self._store.run(work, write=True)


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


def _is_silent(seen: Seen, now: datetime) -> bool:
    return seen.beat_at is None or now - seen.beat_at > timedelta(seconds=SILENT_S)


def _test_is_due(told: Mapping[str, Any], now: datetime) -> bool:
    tested_ms = told.get("tested_ms")
    if not isinstance(tested_ms, int):
        return True
    return bool(told.get("trouble")) and now - from_ms(tested_ms) >= TEST_AGAIN
