"""How things stand, for the status line: kept from what happens, and read from the store every few seconds.

It also starts the guard beside the app, when there is something to guard, and ends it. Nothing here waits for a
network, and nothing runs before the first frame is drawn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from console.errors import ConsoleError
from screens.widgets.status import LinkState, Part, Snapshot

if TYPE_CHECKING:
    from console.events import Event
    from console.overview import Overview
    from console.runtime import Runtime

log = logging.getLogger(__name__)

FIRST_S = 0.3
"""How long after the first frame the store is read for the first time."""
GUARD_S = 3.0
"""How long after it the guard starts."""
SETTLED_S = 10.0
"""When it is time to say that nobody guards."""
SOON_S = 1.0
"""How soon after a fact the store is read again, so that many facts are one reading."""
EVERY_S = 5.0
SELDOM_S = 20.0
"""How often while nothing runs: only another process could have changed something."""
CLOSE_S = 2.0

_LINKS: dict[str, LinkState | None] = {
    "LinkUp": "up",
    "LinkSuspect": "suspect",
    "LinkSwitched": "up",
    "LinkLost": "lost",
    "LinkWaiting": "waiting",
    "LinkBlocked": "blocked",
    "LinkAsks": "asks",
    "LinkClosed": None,
}
"""By the name of the event: its module is not loaded before there is a link."""
_FACTS = frozenset(
    {
        "MachineChanged",
        "MachineDrifted",
        "MachineFound",
        "DeedProved",
        "DeedEnded",
        "AccountTrouble",
        "TurnEnded",
        "AlertRaised",
        "AlertCleared",
        "GuardTook",
        "GuardLost",
        "LeaseEnded",
    }
)
"""After which the store has something else to say."""


class Standing:
    def __init__(self, runtime: Runtime, changed: Callable[[Snapshot], None]) -> None:
        """`changed` is told of each snapshot that differs from the one before."""
        self.snapshot = Snapshot(is_settled=False)
        self._runtime = runtime
        self._changed = changed
        self._again = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._guarding: asyncio.Task[None] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._wants_guard = False

    def start(self) -> None:
        """Once the first frame is drawn."""
        loop = asyncio.get_running_loop()
        self._reading = loop.create_task(self._read_on(), name="standing")
        self._timers = [loop.call_later(GUARD_S, self._let_guard), loop.call_later(SETTLED_S, self._settle)]

    async def close(self) -> None:
        """End what was started; the guard gives its role back, and is not waited for beyond a moment."""
        for timer in self._timers:
            timer.cancel()
        tasks = [task for task in (self._reading, self._guarding) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_S)

    def note(self, event: Event) -> None:
        """Something happened."""
        kind = type(event).__name__
        if kind in _LINKS:
            links = dict(self.snapshot.links)
            state, name = _LINKS[kind], str(getattr(event, "link", ""))
            if state is None:
                links.pop(name, None)
            else:
                links[name] = state
            self._show(self.snapshot._replace(links=links))
        elif kind == "LibraryProgress":
            from screens.library_lines import short_work

            self._show(self.snapshot._replace(documents=short_work(event.status)))  # type: ignore[attr-defined]
        elif kind in _FACTS:
            self._again.set()

    def set_speed(self, tokens_per_s: float | None) -> None:
        """Of the answer that streams in sight; None when none does."""
        self._show(self.snapshot._replace(tokens_per_s=tokens_per_s))

    def set_more(self, *parts: Part) -> None:
        """What the room in sight adds to the line."""
        self._show(self.snapshot._replace(more=parts))

    async def read(self) -> Overview:
        """Read the store at once."""
        from console.history.owner import this_process
        from console.overview import overview

        runtime = self._runtime
        view = await overview(await runtime.store(), await runtime.budget(), runtime.clock.now(), this_process())
        self._show(self.snapshot._replace(overview=view))
        return view

    def _show(self, snapshot: Snapshot) -> None:
        if snapshot != self.snapshot:
            self.snapshot = snapshot
            self._changed(snapshot)

    async def _read_on(self) -> None:
        await asyncio.sleep(FIRST_S)
        while True:
            pause_s = SELDOM_S
            try:
                view = await self.read()
            except ConsoleError as error:
                log.warning("how things stand cannot be read: %s", error.text)
            else:
                pause_s = EVERY_S if view.running or self.snapshot.links else SELDOM_S
                self._consider_guard(bool(view.machines))
            self._again.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._again.wait()
                    await asyncio.sleep(SOON_S)

    def _settle(self) -> None:
        self._show(self.snapshot._replace(is_settled=True))

    # The guard

    def _let_guard(self) -> None:
        self._wants_guard = True
        view = self.snapshot.overview
        self._consider_guard(view is not None and bool(view.machines))

    def _consider_guard(self, knows_machines: bool) -> None:
        if not self._wants_guard or self._guarding is not None:
            return
        rents = any(machine.cloud != "ssh" for machine in self._runtime.settings.machines.values())
        if rents or knows_machines:
            self._guarding = asyncio.get_running_loop().create_task(self._guard(), name="guard")

    async def _guard(self) -> None:
        try:
            await (await self._runtime.guard()).run()
        except ConsoleError as error:
            log.error("this process cannot guard: %s", error.text)
            self._show(self.snapshot._replace(more=(*self.snapshot.more, Part(87, "cannot guard", "bad"))))
