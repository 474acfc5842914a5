"""From a name to a machine whose service answers: starts what is off, and waits through its phases.

    await ensure.up("gpu1", tell, why="asked for")     rented or started, reachable, its recipe done, its models there
    runtime.ready = ensure.ready                       the same for a prompt, within the limits that the user set

Each step looks first whether it is done already. So it may be repeated, also after a kill in the middle, and ten who
want the same machine at once make one start: the others find each step done. Where a phase takes much longer than it
usually does, that is told with what can be done, and the waiting goes on up to its limit.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from console.clock import Clock
from console.errors import LinkError, LinkUnreachable, LoginRefused, MachineBusy, MachineError, NotFound
from console.events import Bus
from console.machines import boot, wishes, words
from console.machines.boot import Phase, Timeline
from console.machines.fleet import Fleet, LaunchPlan
from console.machines.progress import Progress, Tell
from console.machines.records import MachineRecord, MachineState
from console.machines.useful import AGAIN_S, Useful
from console.settings import Machine, Settings
from providers.clouds.base import State
from providers.errors import ProviderError

if TYPE_CHECKING:
    from console.history.store import Store
    from console.links.links import Links

_log = logging.getLogger(__name__)

_TICK_S = 1.0
_SEEN_S = 15.0
"""How old a reading may be that says that a machine runs."""


class Limits(NamedTuple):
    """How long each part may take."""

    start_s: float = 1800.0
    """Until the cloud says that it runs; large images take that long."""
    login_s: float = 300.0
    """From there to a login. Keys arrive late, too: a refused login is not final in that time."""


class Up(NamedTuple):
    """A machine that is there."""

    record: MachineRecord
    was_started: bool
    """Whether it was off before."""
    timeline: Timeline | None
    """How it came up, if it did."""


Plan: TypeAlias = Callable[[Machine], Awaitable[LaunchPlan]]
"""Finds what to rent for a machine of the settings that does not exist yet."""


class Ensure:
    def __init__(
        self,
        settings: Settings,
        store: Store,
        fleet: Fleet,
        links: Callable[[], Links],
        useful: Useful,
        clock: Clock,
        bus: Bus,
        *,
        plan: Plan,
        protect: Callable[[str], Awaitable[None]] | None = None,
        limits: Limits | None = None,
    ) -> None:
        """`protect(name)` puts a guard onto a machine that has come up."""
        self._settings = settings
        self._store = store
        self._fleet = fleet
        self._links = links
        self._useful = useful
        self._clock = clock
        self._bus = bus
        self._plan = plan
        self._protect = protect
        self._limits = limits or Limits()
        self._turns: dict[str, asyncio.Lock] = {}
        self.woken: set[str] = set()
        """What was started for a prompt by this process."""

    async def ready(self, name: str, tell: Tell) -> None:
        """For a prompt: see to it that a machine can be asked."""
        async with self._turn(name):
            record = await self._known(name)
            if record is None or not await self._is_running(record):
                await self._check_wake(name)
            elif record.state in (MachineState.REACHABLE, MachineState.READY) or record.origin == "settings":
                return
            await self._whole_way(name, tell, wishes.BY_PROMPT, warm=False)

    async def check_on(self, name: str) -> None:
        """Raises `MachineError` for a rented machine that does not run."""
        record = await self._known(name)
        is_own = record is not None and record.origin == "settings"
        if not is_own and (record is None or not await self._is_running(record)):
            raise MachineError(f"{name!r} is off, and --no-wake leaves it so.", hint=f"hawser vm up {name}")

    async def up(self, name: str, tell: Tell, *, why: str, warm: bool = True) -> Up:
        """Rent or start it, and make it useful. Raises what prevents it; the machine is then as far as it came."""
        async with self._turn(name):
            return await self._whole_way(name, tell, why, warm=warm)

    def _turn(self, name: str) -> asyncio.Lock:
        return self._turns.setdefault(name, asyncio.Lock())

    async def _whole_way(self, name: str, tell: Tell, why: str, *, warm: bool) -> Up:
        up = await self._running(name, tell, why)
        record, timeline = up.record, up.timeline
        if record.origin != "settings":
            if record.state not in (MachineState.REACHABLE, MachineState.READY):
                await self._until_login(record, tell, timeline)
            await self._guarded(name)
            await self._useful.make(record, tell, timeline, warm=warm)
            await self._fleet.reached(name, MachineState.READY, "Its services answer.")
        if timeline is not None:
            timeline.end()
            await self._learn(record, timeline)
        return up._replace(record=await self._fleet.machine(name))

    async def _guarded(self, name: str) -> None:
        """As soon as it can be reached, before it is useful. Without a guard it is used all the same: who looks at it
        sees that nobody would end it, and whoever guards goes on trying."""
        if self._protect is None:
            return
        try:
            await self._protect(name)
        except (LinkError, ProviderError) as error:
            _log.warning("No guard could be put onto a machine.", extra={"machine": name, "error": error.text})

    # Is it there, and may it be started

    async def _known(self, name: str) -> MachineRecord | None:
        """Its record; None for one of the settings that was not rented yet."""
        try:
            return await self._fleet.machine(name)
        except NotFound:
            if name in self._settings.machines:
                return None
            raise

    async def _is_running(self, record: MachineRecord) -> bool:
        await self._fleet.refresh([record.cloud], max_age_s=_SEEN_S)
        there = await self._known(record.name)
        return there is not None and there.reading is not None and there.reading.state is State.RUNNING

    async def _check_wake(self, name: str) -> None:
        now = self._clock.now()
        wakes = await self._store.run(lambda c: wishes.wakes_today(c, now))
        wishes.check_wake(name, self._settings.lease, wakes, now)

    # From the wish to the cloud's word that it runs

    async def _running(self, name: str, tell: Tell, why: str) -> Up:
        record = await self._known(name)
        if record is not None and await self._is_running(record):
            return Up(await self._fleet.machine(name), False, None)
        if record is None:
            record = await self._rent(name, tell, why)
        else:
            tell(f"Starting {name}.")
            record = await self._fleet.start(name, why=why)
        if why == wishes.BY_PROMPT:
            self.woken.add(name)
        timeline = await self._timeline(record) if record.origin != "settings" else None
        record = await self._until_running(record, tell, timeline)
        if record.reading is None or record.reading.state is not State.RUNNING:
            raise MachineError(
                f"{name!r} did not come up: {record.state_why or record.state.value}.",
                hint=f"hawser vm ls shows its state; hawser vm destroy {name} gives it up.",
            )
        return Up(record, True, timeline)

    async def _rent(self, name: str, tell: Tell, why: str) -> MachineRecord:
        machine = self._settings.machines[name]
        tell(f"Looking for {machine.gpu or 'a machine'} to rent as {name}.")
        plan = await self._plan(machine)
        price = plan.bid_usd_per_hour if plan.bid_usd_per_hour is not None else plan.offer.usd_per_hour
        tell(f"Renting {plan.offer.gpu} from {plan.cloud} as {name}, for {words.per_hour(price)}.")
        try:
            return await self._fleet.launch(name, plan, why=why)
        except MachineBusy:
            return await self._fleet.machine(name)  # another process was first, and what it rents is for all

    async def _until_running(self, record: MachineRecord, tell: Tell, timeline: Timeline | None) -> MachineRecord:
        told = Progress(tell, record.name, self._clock)
        settling = asyncio.ensure_future(self._fleet.settled(record.name, limit_s=self._limits.start_s))
        try:
            while not settling.done():
                tick = asyncio.ensure_future(self._clock.sleep(_TICK_S))
                await asyncio.wait({settling, tick}, return_when=asyncio.FIRST_COMPLETED)
                tick.cancel()
                there = await self._known(record.name) or record
                if timeline is not None and there.reading is not None and there.reading.state is State.STARTING:
                    timeline.enter(Phase.IMAGE, _words(there))
                told.at(timeline, _words(there))
            return settling.result()
        finally:
            settling.cancel()
            await asyncio.wait({settling})

    # From there to a login

    async def _until_login(self, record: MachineRecord, tell: Tell, timeline: Timeline | None) -> None:
        """The word of a cloud is no login: until then it may refuse connections, or our key, which arrives late."""
        name, began = record.name, self._clock.monotonic()
        told = Progress(tell, name, self._clock)
        while True:
            if timeline is not None:
                timeline.enter(Phase.SSH)
            try:
                await self._log_in(name)
                break
            except (LinkUnreachable, LoginRefused) as error:
                if self._clock.monotonic() - began > self._limits.login_s:
                    raise MachineError(
                        f"{name!r} runs, but no login worked in {words.span(self._limits.login_s)}: {error.text}",
                        hint=f"Try again, or end what it costs: hawser vm destroy {name}",
                    ) from error
                told.at(timeline, error.text)
            await self._clock.sleep(AGAIN_S)
        await self._fleet.reached(name, MachineState.REACHABLE, "SSH answers.")

    async def _log_in(self, name: str) -> None:
        """One try. A link that failed is not kept: it would wait longer with each try, and for a person."""
        link = self._links().make(name)
        await link.start()
        try:
            await link.wait_up(is_patient=False)
        except LinkError:
            await self._links().drop(name)
            raise

    # What boots take

    async def _timeline(self, record: MachineRecord) -> Timeline:
        expected = await self._store.run(lambda c: boot.expected(c, record.cloud, *_where(record)))
        timeline = Timeline(record.name, expected, self._clock, self._bus)
        timeline.enter(Phase.RENTED)
        return timeline

    async def _learn(self, record: MachineRecord, timeline: Timeline) -> None:
        now = self._clock.now()
        host, image = _where(await self._fleet.machine(record.name))

        def work(connection: sqlite3.Connection) -> None:
            for passed in timeline.phases():
                boot.learn(connection, record.cloud, host, image, passed.phase, passed.seconds, now)

        await self._store.run(work, write=True)


def _words(record: MachineRecord) -> str:
    reading = record.reading
    return "" if reading is None else reading.message or reading.words


def _where(record: MachineRecord) -> tuple[str, str]:
    """The physical host and the image, which is what boots are compared by."""
    host = record.reading.host if record.reading is not None and record.reading.host else record.order.get("host")
    return str(host or ""), str(record.order.get("image") or "")
