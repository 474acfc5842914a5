"""Signals of real work on machines: who does some notes it here, and it costs next to nothing.

    await signals.note("gpu1", "requests", "qwen3:8b is answering")
    async with signals.busy("gpu1", "requests", "qwen3:8b is answering"):     for as long as it takes
        ...

Kinds that others note: `requests` (calls to a machine's endpoint), `tunnels` (bytes of any program through our local
ports), `user` (somebody said so). Kinds that are read on the machine (`gpu`, `ssh`, `jobs`) come from `work.py`. A row
is written at most every quarter of a minute for each machine and kind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from console.clock import Clock
from console.errors import StoreError
from console.machines.lease import STALE

if TYPE_CHECKING:
    import sqlite3

    from console.events import Bus, Event
    from console.history.store import Store

_log = logging.getLogger(__name__)

DEBOUNCE_S = 15.0
"""Within this much time after a note nothing more is written."""
AGAIN_S = 60.0
"""How often something that goes on is noted again."""

PROBE_BYTES_UP, PROBE_BYTES_DOWN = 400, 4096
"""More than one of our own probes of a service sends, and is answered with."""
WINDOW_S = 60.0


class Look(NamedTuple):
    """What somebody saw who looked at one kind of work."""

    kind: str
    active: bool
    detail: str


class Signals:
    def __init__(self, store: Callable[[], Awaitable[Store]], clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._noted: dict[tuple[str, str], float] = {}
        self._writing: set[asyncio.Task[None]] = set()

    async def note(self, machine: str, kind: str, detail: str) -> None:
        """There is work now. Of a machine that nobody rents or keeps, nothing is written.

        A store that cannot be written is no reason for the work to fail; it is told in the log.
        """
        now_s = self._clock.monotonic()
        noted_s = self._noted.get((machine, kind))
        if noted_s is not None and now_s - noted_s < DEBOUNCE_S:
            return
        self._noted[machine, kind] = now_s
        try:
            await self.looked(machine, [Look(kind, active=True, detail=detail)])
        except StoreError as error:
            _log.warning("work on a machine was not noted", extra={"machine": machine, "error": error.text})

    def soon(self, machine: str, kind: str, detail: str) -> None:
        """As `note`, for who has no time to wait for the store."""
        task = asyncio.get_running_loop().create_task(self.note(machine, kind, detail), name=f"note work on {machine}")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def close(self) -> None:
        if self._writing:
            await asyncio.wait(self._writing)

    async def looked(self, machine: str, looks: Iterable[Look]) -> None:
        """Write down what was seen of a machine, work or none."""
        from console.history import leases

        now = self._clock.now()

        def work(connection: sqlite3.Connection) -> None:
            seq = leases.machine_named(connection, machine)
            if seq is None:
                return
            for look in looks:
                leases.note(connection, seq, look.kind, now, look.detail, active=look.active, unbroken=STALE)

        await (await self._store()).run(work, write=True)

    @asynccontextmanager
    async def busy(self, machine: str, kind: str, detail: str) -> AsyncIterator[None]:
        """There is work for as long as the block lasts."""

        async def again() -> None:
            while True:
                await self._clock.sleep(AGAIN_S)
                await self.note(machine, kind, detail)

        await self.note(machine, kind, detail)
        repeating = asyncio.create_task(again(), name=f"work on {machine}")
        try:
            yield
        finally:
            repeating.cancel()
            with suppress(asyncio.CancelledError):
                await repeating
            await self.note(machine, kind, detail)

    async def follow(self, bus: Bus) -> None:
        """Note what goes through the local ports of this process, until cancelled."""
        traffic = Traffic()
        with bus.subscribe() as events:
            async for event in events:
                machine = traffic.take(event, self._clock.monotonic())
                if machine is not None:
                    await self.note(machine, "tunnels", "bytes went through a local port")


class Traffic:
    """Tells the traffic of others from our own probes, which go through the same local ports.

    What went through is added up for each machine; it is work when it is more than the probes of that time can be.
    """

    def __init__(self) -> None:
        self._before: dict[tuple[str, int], tuple[int, int]] = {}
        self._began_s: dict[str, float] = {}
        self._up: dict[str, int] = {}
        self._down: dict[str, int] = {}
        self._probes: dict[str, int] = {}

    def take(self, event: Event, now_s: float) -> str | None:
        """The machine on which this event shows work."""
        from console.links.events import TunnelTraffic
        from console.links.health import ServiceProbed

        if isinstance(event, ServiceProbed):
            self._window(event.machine, now_s)
            self._probes[event.machine] += 1
            return None
        if not isinstance(event, TunnelTraffic):
            return None
        machine, port = event.link, (event.link, event.local_port)
        self._window(machine, now_s)
        up, down = self._before.get(port, (0, 0))
        self._before[port] = event.bytes_up, event.bytes_down
        self._up[machine] += max(event.bytes_up - up, 0)
        self._down[machine] += max(event.bytes_down - down, 0)
        probes = self._probes[machine] + 1
        if self._up[machine] <= PROBE_BYTES_UP * probes and self._down[machine] <= PROBE_BYTES_DOWN * probes:
            return None
        del self._began_s[machine]  # what comes next is measured anew
        return machine

    def _window(self, machine: str, now_s: float) -> None:
        began_s = self._began_s.get(machine)
        if began_s is None or now_s - began_s >= WINDOW_S:
            self._began_s[machine] = now_s
            self._up[machine] = self._down[machine] = self._probes[machine] = 0
