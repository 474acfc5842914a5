"""Reads the accounts: one list call for all machines of one, shared by all processes.

Who finds a reading that is fresh enough takes it from the store. Who does not takes the role `poll:CLOUD`, asks, writes
down what came, and gives the role back; the others wait for that. So however many processes run, a cloud is asked once
per interval, and a process that is killed while it asks is replaced as soon as somebody needs a reading.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from console.clock import Clock
from console.errors import ConsoleError, explain
from console.events import Bus
from console.history import machines, roles
from console.history.owner import this_process
from console.machines.events import AccountTrouble
from console.machines.records import MachineRecord, MachineState
from console.machines.sighting import ReadingHook, Sighting
from providers.clouds.base import Cloud, NotThere, Reading, State
from providers.errors import ProviderError, RateLimited, ServiceFailed

if TYPE_CHECKING:
    from console.history.store import Store

_log = logging.getLogger(__name__)
T = TypeVar("T")

CHANGING_S = 3.0
"""How often an account is read while something is being done on it, or a machine comes up."""
RUNNING_S = 20.0
"""While machines run and nothing changes."""
CALM_S = 60.0
"""While nothing runs."""

FIRST_PAUSE_S = 4.0
LONGEST_PAUSE_S = 120.0
"""Between two readings that fail; doubling."""

ASKING = timedelta(seconds=90)
"""How long another process may be at it before it is taken for dead."""
LOOK_S = 0.1
"""How often one looks whether another's reading has come."""


def interval_s(records: Sequence[MachineRecord], *, has_deeds: bool) -> float:
    """How old the reading of an account may become."""
    if has_deeds or any(record.missing or _is_brought_up(record) for record in records):
        return CHANGING_S
    calm = (MachineState.STOPPED, MachineState.GONE, MachineState.FAILED)
    return CALM_S if all(record.state in calm for record in records) else RUNNING_S


def told(error: Exception) -> ProviderError | ConsoleError:
    """What a call to a cloud came to, as an error that can be told; a fault of ours is logged with its traceback."""
    if isinstance(error, ProviderError | ConsoleError):
        return error
    _log.error("a call to a cloud failed in a way nobody thought of", exc_info=error)
    return ServiceFailed(f"The answer could not be dealt with ({type(error).__name__}).")


def _is_brought_up(record: MachineRecord) -> bool:
    """Whether its cloud still has something to tell: of one that runs and has an address, only SSH knows more."""
    if record.state is not MachineState.BOOTING:
        return False
    return record.reading is None or record.reading.state is not State.RUNNING or not record.reading.addresses


class Poll:
    def __init__(
        self,
        store: Store,
        cloud: Callable[[str], Cloud],
        clock: Clock,
        bus: Bus,
        hooks: Sequence[ReadingHook] = (),
        *,
        owner: str | None = None,
    ) -> None:
        self._store = store
        self._cloud = cloud
        self._clock = clock
        self._bus = bus
        self._hooks = hooks
        self._owner = owner or this_process()
        self._turns: dict[str, asyncio.Lock] = {}

    async def read(self, cloud: str, *, max_age_s: float = 0.0, patient: bool = False) -> AccountTrouble | None:
        """Bring what is known of an account to at most this age; the trouble, if it cannot be read.

        `patient` leaves an account that failed alone until its pause is over.
        """
        wanted_from = self._clock.now() - timedelta(seconds=max_age_s)
        role = f"poll:{cloud}"
        async with self._turns.setdefault(cloud, asyncio.Lock()):
            while True:
                row, is_mine = await self._store.run(
                    lambda c: self._look(c, cloud, role, wanted_from, patient), write=True
                )
                if is_mine:
                    try:
                        return (await self._ask(cloud, row))[1]
                    finally:
                        await self._store.run(lambda c: roles.give_back(c, role, self._owner), write=True)
                if row is not None:
                    return None if row.error is None else AccountTrouble(cloud, row.error)
                await self._clock.sleep(LOOK_S)

    async def list_now(self, cloud: str) -> list[Reading]:
        """Everything on an account, strangers too, asked for now; what came is written down. Raises what went wrong."""
        readings, _ = await self._ask(cloud, await self._store.run(lambda c: machines.account(c, cloud)), raising=True)
        return readings

    def _look(
        self, connection: sqlite3.Connection, cloud: str, role: str, wanted_from: datetime, patient: bool
    ) -> tuple[machines.AccountRow | None, bool]:
        """The account's row if it will do, or the role of asking; neither while somebody else asks."""
        row = machines.account(connection, cloud)
        now = self._clock.now()  # times beyond it are from before the clock was set back
        if row.error is None:
            if row.read_at is not None and wanted_from <= row.read_at <= now:
                return row, False
        elif row.failed_at is not None and row.failed_at <= now:
            is_pausing = patient and row.next_at is not None and now < row.next_at
            if is_pausing or wanted_from <= row.failed_at:
                return row, False
        if roles.take(connection, role, self._owner, now, stale=ASKING):
            return row, True
        return None, False

    async def _ask(
        self, cloud: str, row: machines.AccountRow | None, *, raising: bool = False
    ) -> tuple[list[Reading], AccountTrouble | None]:
        asked_at = self._clock.now()
        try:
            adapter = self._cloud(cloud)
            readings = await adapter.machines()
        except Exception as error:
            known = told(error)
            trouble = await self._note_failure(cloud, row or machines.AccountRow(cloud), known)
            if raising:
                raise known from error
            return [], trouble

        def work(connection: sqlite3.Connection) -> Sighting:
            sighting = Sighting(connection, cloud, asked_at, self._clock.now(), self._hooks, self._owner)
            sighting.list_came(readings)
            machines.change_account(connection, cloud, read_at=asked_at, error=None, failures=0, next_at=None)
            return sighting

        sighting = await self._write(work)
        for cloud_id in sighting.to_look_at:
            await self.look_at(cloud, cloud_id)
        return readings, None

    async def look_at(self, cloud: str, cloud_id: str) -> None:
        """Ask for one machine alone: what decides whether one that lists miss is gone."""
        asked_at = self._clock.now()
        try:
            reading = await self._cloud(cloud).machine(cloud_id)
        except NotThere:
            reading = None
        except Exception as error:  # noqa: BLE001 - as above
            text = told(error).text
            _log.info("a machine could not be asked for", extra={"cloud": cloud, "id": cloud_id, "error": text})
            return  # no answer proves nothing

        def work(connection: sqlite3.Connection) -> Sighting:
            sighting = Sighting(connection, cloud, asked_at, self._clock.now(), self._hooks, self._owner)
            record = machines.by_cloud_id(connection, cloud, cloud_id)
            if record is not None and reading is not None:
                sighting.machine_seen(record, reading)
            elif record is not None:
                sighting.machine_missed(record, alone=True)
            return sighting

        await self._write(work)

    async def _write(self, work: Callable[[sqlite3.Connection], Sighting]) -> Sighting:
        sighting = await self._store.run(work, write=True)
        for event in sighting.events:
            self._bus.publish(event)
        return sighting

    async def _note_failure(
        self, cloud: str, row: machines.AccountRow, error: ProviderError | ConsoleError
    ) -> AccountTrouble:
        trouble = AccountTrouble(cloud, error.text, explain(error).hint)
        now = self._clock.now()
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(row.failures, 10)) * random.uniform(0.75, 1.25)  # noqa: S311
        if isinstance(error, RateLimited) and error.retry_after_s is not None:
            pause_s = max(pause_s, error.retry_after_s)

        def work(connection: sqlite3.Connection) -> Sighting:
            sighting = Sighting(connection, cloud, now, now, self._hooks, self._owner)
            sighting.no_answer()
            machines.change_account(
                connection,
                cloud,
                failed_at=now,
                error=error.text,
                failures=row.failures + 1,
                next_at=now + timedelta(seconds=pause_s),
            )
            return sighting

        await self._write(work)
        if row.error != error.text:
            self._bus.publish(trouble)
            _log.warning("an account cannot be read", extra={"cloud": cloud, "error": error.text})
        return trouble
