"""Tunnels that are shared: published in the store by the process that holds them, used by all others.

A tunnel is somebody's only as long as three things are true: its heartbeat is at most 3 s old, the process that wrote
it runs (the pid and the time it began), and that process listens on the port. Whoever finds that one of them is not
true any more may claim the tunnel; the first to do so in one transaction has it.

    shared = Shared(store, clock)
    if theirs := await shared.live("box", "ollama"):                 use theirs.local_port
    claim = await shared.publish("box", "ollama", remote_port=11434)     nobody can begin the same meanwhile
    if claim.is_mine:                                                connect, listen, then tell the port:
        await shared.publish("box", "ollama", remote_port=11434, local_port=port, state="up")

Between two looks at the store nothing is certain: a port that was alive may be gone when it is used. Connecting to it
then fails at once, and `live` tells who has the tunnel by that time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Self

from console.clock import Clock
from console.errors import StoreError
from console.history import tunnels
from console.history.owner import is_alive, this_process
from console.history.rows import to_ms
from console.history.tunnels import Note, Published, TunnelState
from console.links import ports

if TYPE_CHECKING:
    from console.history.store import Store
    from console.links.health import Reading

__all__ = ["Claim", "Published", "Shared", "TunnelState", "is_held"]

_log = logging.getLogger(__name__)

BEAT_S = 1.0
FRESH_S = 3.0
"""How old a heartbeat may be."""

LOOK_S = 0.25
"""How often a process that uses another's tunnel looks whether that one lives: a pid, and no file."""

SECOND_CHANCE_S = 2 * BEAT_S
"""After a sleep every heartbeat is old. An owner that runs and listens gets this long for the next one."""


class Claim(NamedTuple):
    published: Published
    is_mine: bool


def is_held(published: Published) -> bool:
    """Whether its process runs and, once it has told its port, listens on it; the heartbeat is another matter."""
    if not is_alive(published.owner):
        return False
    return published.state == "starting" or ports.holds(published.pid, published.local_port)


class Shared:
    """This process's part in it: what it publishes, with a heartbeat while `async with` lasts, and what others have."""

    def __init__(self, store: Store, clock: Clock, *, on_lost: Callable[[str, str], None] | None = None) -> None:
        """`on_lost(machine, service)` is called when another process has taken over a tunnel of ours, which can happen
        only if this one stood still for seconds. Our listener stays as it is; others are sent elsewhere."""
        self._store = store
        self._clock = clock
        self._on_lost = on_lost
        self._mine: set[tuple[str, str]] = set()
        self._notes: dict[tuple[str, str], Note] = {}
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.clean_ghosts()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the heartbeat and withdraw all that is ours; a store that cannot be written then is no failure."""
        if self._beating is not None:
            self._beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beating
            self._beating = None
        if self._mine:
            self._mine.clear()
            with _nothing_lost("The published tunnels could not be withdrawn; their process is gone soon."):
                await self._store.run(lambda c: tunnels.withdraw(c, this_process()), write=True)

    # What others have

    async def live(self, machine: str, service: str) -> Published | None:
        """The tunnel of another process (or of this one) that can be used now."""
        published = await self._store.run(lambda c: tunnels.get(c, machine, service))
        if published is None or published.state == "starting" or not self._is_fresh(published):
            return None
        return published if await _off_the_loop(is_held, published) else None

    async def every(self) -> list[Published]:
        """All that is published, also what is dead but not yet cleaned away; see `is_live`."""
        return await self._store.run(tunnels.every)

    async def is_live(self, published: Published) -> bool:
        return self._is_fresh(published) and await _off_the_loop(is_held, published)

    def age(self, published: Published) -> timedelta:
        """Since its last heartbeat."""
        return timedelta(milliseconds=self._now() - published.beat_ms)

    async def until_gone(self, published: Published) -> None:
        """Return when a tunnel of another process is up for a takeover: within a second of the owner's death."""
        beat, seen_at = published.beat_ms, self._clock.monotonic()
        looked_at = seen_at
        while is_alive(published.owner):
            await self._clock.sleep(LOOK_S)
            now = self._clock.monotonic()
            if now - looked_at < BEAT_S:
                continue
            looked_at = now
            there = await self._store.run(lambda c: tunnels.get(c, published.machine, published.service))
            if there is None or there.owner != published.owner:
                return
            if there.beat_ms != beat:
                beat, seen_at = there.beat_ms, now
            elif now - seen_at >= FRESH_S:
                return

    async def clean_ghosts(self) -> int:
        """Remove what processes left behind that are gone; returns how many there were."""
        rows = await self._store.run(tunnels.every)
        if not rows or self._store.read_only:
            return 0
        ghosts = [row for row in rows if row.owner != this_process() and not await _off_the_loop(is_held, row)]
        if not ghosts:
            return 0
        return await self._store.run(lambda c: tunnels.remove(c, ghosts), write=True)

    # What is ours

    async def publish(
        self, machine: str, service: str, *, remote_port: int, local_port: int = 0, state: TunnelState = "starting"
    ) -> Claim:
        """Claim a tunnel, or tell where ours listens; `Claim.published` is the other's if one was there first.

        Claim it before connecting: of two processes that want the same tunnel, and perhaps the same pinned port, one
        gets it and the other one waits for it (`until_up`).
        """
        now_ms = self._now()
        mine = Published(
            machine, service, remote_port, local_port, this_process(), state, now_ms, now_ms, None, None, None
        )
        dead: Published | None = None
        while True:
            there = await self._store.run(partial(tunnels.claim, mine=mine, instead_of=dead), write=True)
            if there.owner == mine.owner:
                self._mine.add((machine, service))
                if self._beating is None:
                    self._beating = asyncio.create_task(self._beat(), name="tunnel heartbeat")
                return Claim(there, is_mine=True)
            if not await self._is_dead(there):
                return Claim(there, is_mine=False)
            dead = there

    async def until_up(self, machine: str, service: str, *, limit_s: float) -> Published | None:
        """Wait for a tunnel that another process is about to open; None if that comes to nothing."""
        deadline = self._clock.monotonic() + limit_s
        while True:
            there = await self._store.run(lambda c: tunnels.get(c, machine, service))
            if there is None or not is_alive(there.owner) or self._clock.monotonic() >= deadline:
                return None
            if there.state != "starting":
                return await self.live(machine, service)
            await self._clock.sleep(LOOK_S)

    def note(
        self, machine: str, service: str, *, state: TunnelState | None = None, reading: Reading | None = None
    ) -> None:
        """Tell others with the next heartbeat."""
        before = self._notes.get((machine, service), Note())
        if state is not None:
            before = before._replace(state=state)
        if reading is not None:
            before = before._replace(
                probed_ms=to_ms(reading.at), probe_ms=reading.round_trip_ms, probe_error=reading.error
            )
        self._notes[machine, service] = before

    async def beat(self) -> None:
        """One heartbeat for everything of ours; done by itself every second."""
        notes, self._notes = self._notes, {}
        try:
            still_mine = await self._store.run(
                lambda c: tunnels.beat(c, this_process(), self._now(), notes), write=True
            )
        except BaseException:
            self._notes = {**notes, **self._notes}
            raise
        for machine, service in sorted(self._mine - still_mine):
            self._mine.discard((machine, service))
            _log.warning("Another process has taken over a tunnel.", extra={"machine": machine, "service": service})
            if self._on_lost is not None:
                self._on_lost(machine, service)

    async def withdraw(self, machine: str, service: str) -> None:
        self._mine.discard((machine, service))
        self._notes.pop((machine, service), None)
        await self._store.run(lambda c: tunnels.withdraw(c, this_process(), machine, service), write=True)

    # Local ports that services keep

    async def remember_port(self, machine: str, service: str, port: int) -> None:
        key = machine, service
        if (await self._store.run(tunnels.remembered_ports)).get(key) != port:
            await self._store.run(lambda c: tunnels.remember_port(c, self._now(), machine, service, port), write=True)

    async def remembered_ports(self) -> dict[tuple[str, str], int]:
        """By machine and service. A fresh port is chosen outside of these, so that none is given twice."""
        return await self._store.run(tunnels.remembered_ports)

    # Inside

    async def _beat(self) -> None:
        while True:
            await self._clock.sleep(BEAT_S)
            if self._mine:
                with _nothing_lost("A heartbeat could not be written; the next one may be."):
                    await self.beat()

    async def _is_dead(self, published: Published) -> bool:
        if not await _off_the_loop(is_held, published):
            return True
        if self._is_fresh(published):
            return False
        deadline = self._clock.monotonic() + SECOND_CHANCE_S
        while self._clock.monotonic() < deadline:
            await self._clock.sleep(LOOK_S)
            there = await self._store.run(lambda c: tunnels.get(c, published.machine, published.service))
            if there is None or not await _off_the_loop(is_held, there):
                return True
            if there.owner != published.owner or there.beat_ms != published.beat_ms:
                return False
        return True

    def _is_fresh(self, published: Published) -> bool:
        return abs(self._now() - published.beat_ms) <= FRESH_S * 1000

    def _now(self) -> int:
        return to_ms(self._clock.now())


async def _off_the_loop(look: Callable[[Published], bool], published: Published) -> bool:
    """A process may have thousands of descriptors to look through."""
    return await asyncio.to_thread(look, published)


@contextlib.contextmanager
def _nothing_lost(sentence: str) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        _log.warning(sentence, extra={"error": str(error)})
