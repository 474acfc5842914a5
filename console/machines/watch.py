"""Looks at every machine whose lease runs, once a minute, over a link of its own or one that is there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from console.clock import Clock
from console.errors import ConsoleError
from console.machines.lease import READ_KINDS
from console.machines.records import MachineState
from console.machines.signals import Look, Signals
from providers.clouds.base import State

if TYPE_CHECKING:
    from console.links.remote import Connect
    from console.machines.leases import Standing
    from console.machines.records import MachineRecord

_log = logging.getLogger(__name__)

EVERY_S = 60.0
AT_ONCE = 16
"""Machines that are looked at at the same time."""
LIMIT_S = 60.0
"""For one machine, with connecting to it."""


class Watch:
    def __init__(
        self,
        reach: Callable[[str], Connect],
        leave: Callable[[str], Awaitable[None]],
        read: Callable[[Connect, str], Awaitable[list[Look]]],
        signals: Signals,
        clock: Clock,
        *,
        reached: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """`reach` gives what connects to a machine, and `leave` is told when that is no longer needed. `reached` is
        told of a machine that was not known to be up and has answered."""
        self._reach = reach
        self._leave = leave
        self._read = read
        self._signals = signals
        self._clock = clock
        self._reached = reached
        self._looked_s: dict[str, float] = {}
        self._places = asyncio.Semaphore(AT_ONCE)
        self.troubles: dict[str, str] = {}
        """Why a machine could not be looked at the last time."""

    async def round(self, standing: Sequence[Standing]) -> None:
        """Look at those whose turn it is, and let go of those whose lease is over."""
        running = {one.record.name: one.record for one in standing}
        for name in [name for name in self._looked_s if name not in running]:
            del self._looked_s[name]
            self.troubles.pop(name, None)
            await self._leave(name)
        now_s = self._clock.monotonic()
        due = [record for name, record in running.items() if now_s - self._looked_s.get(name, -EVERY_S) >= EVERY_S]
        for record in due:
            if _is_off(record):
                await self._signals.looked(record.name, [Look(kind, active=False, detail="") for kind in READ_KINDS])
        await asyncio.gather(*(self._look(record) for record in due if _can_be_reached(record)))

    async def _look(self, record: MachineRecord) -> None:
        name = record.name
        async with self._places:
            self._looked_s[name] = self._clock.monotonic()
            try:
                async with asyncio.timeout(LIMIT_S):
                    looks = await self._read(self._reach(name), name)
            except TimeoutError:
                self._not_seen(name, f"It took longer than {LIMIT_S:.0f} s.")
                return
            except ConsoleError as error:
                self._not_seen(name, error.text)
                return
            self.troubles.pop(name, None)
            await self._signals.looked(name, looks)
            if record.state is MachineState.BOOTING and self._reached is not None:
                await self._reached(name)

    def _not_seen(self, name: str, text: str) -> None:
        if self.troubles.get(name) != text:
            _log.info("a machine cannot be looked at", extra={"machine": name, "error": text})
        self.troubles[name] = text


def _is_off(record: MachineRecord) -> bool:
    """Whether its cloud says that it is off. One that is paid in full all the same has a lease, and does no work."""
    return record.reading is not None and record.reading.state is State.STOPPED


def _can_be_reached(record: MachineRecord) -> bool:
    """Whether its cloud says that it runs. Everything else is no address to knock at."""
    return record.reading is not None and record.reading.state is State.RUNNING
