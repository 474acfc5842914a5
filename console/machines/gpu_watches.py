"""The GPUs of all machines that run, each read by one stream that stays: begun when a machine can be reached, and ended
when it is off."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from console.clock import Clock
from console.events import Bus
from console.machines.gpu import GpuWatch

if TYPE_CHECKING:
    from console.links.remote import Connect
    from providers.gpu_smi import Snapshot

EVERY_MS = 10_000
"""Often enough for an alarm after a minute of heat, and no load with hundreds of machines."""


class GpuWatches:
    def __init__(
        self,
        reach: Callable[[str], Connect],
        clock: Clock,
        bus: Bus,
        told: Callable[[str, Snapshot], None],
        *,
        every_ms: int = EVERY_MS,
    ) -> None:
        """`told(machine, snapshot)` gets every round of every machine."""
        self._reach = reach
        self._clock = clock
        self._bus = bus
        self._told = told
        self._every_ms = every_ms
        self._watches: dict[str, GpuWatch] = {}

    async def follow(self, machines: Iterable[str]) -> None:
        """Watch these, and no others."""
        wanted = set(machines)
        for name in [name for name in self._watches if name not in wanted]:
            await self._watches.pop(name).__aexit__()
        for name in sorted(wanted - self._watches.keys()):
            self._watches[name] = await self._watch(name).__aenter__()

    def _watch(self, name: str) -> GpuWatch:
        def told(snapshot: Snapshot) -> None:
            self._told(name, snapshot)

        return GpuWatch(name, self._reach(name), self._clock, self._bus, told=told, every_ms=self._every_ms)

    async def close(self) -> None:
        await self.follow(())
