"""The user's own machines, as the settings name them, have rows too: money, leases and links hang on them."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING

from console.clock import Clock
from console.history import machines
from console.machines.clouds import SSH
from console.machines.records import MachineState, fresh_record
from console.settings import Machine

if TYPE_CHECKING:
    from console.history.store import Store

_log = logging.getLogger(__name__)


class OwnRows:
    def __init__(self, own: Mapping[str, Machine], store: Store, clock: Clock) -> None:
        self._own = own
        self._store = store
        self._clock = clock
        self._is_written = False

    async def write(self) -> None:
        """The user's own machines have rows too: money, leases and links hang on them."""
        if self._is_written or self._store.read_only:
            return
        there = await self._store.run(lambda c: machines.of_cloud(c, SSH))
        known = {record.name for record in there}
        if known != set(self._own):
            await self._store.run(self._bring_in_line, write=True)
        self._is_written = True

    def _bring_in_line(self, connection: sqlite3.Connection) -> None:
        now = self._clock.now()
        there = {record.name: record for record in machines.of_cloud(connection, SSH)}
        for name, own in self._own.items():
            if name in there:
                continue
            if machines.get(connection, name) is not None:
                _log.warning("a rented machine has the name of one in the settings", extra={"machine": name})
                continue
            former = machines.by_cloud_id(connection, SSH, name)
            if former is not None:  # it stood in the settings before
                machines.change(connection, former.seq, gone_at=None, state=MachineState.UNKNOWN, state_at=now)
                continue
            machines.add(
                connection,
                fresh_record(name, SSH, f"settings:{name}", now)._replace(
                    cloud_id=name,
                    origin="settings",
                    state=MachineState.UNKNOWN,
                    usd_per_hour=own.usd_per_hour,
                    at_end=own.at_end or "nothing",
                ),
            )
        for name, record in there.items():
            if name not in self._own:
                deed = machines.deed_of(connection, record.seq)
                if deed is not None:
                    machines.end_deed(connection, deed.seq, "overtaken", now)
                machines.change(connection, record.seq, gone_at=now, state=MachineState.GONE, state_at=now)
