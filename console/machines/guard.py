"""The guard: the one process of all that run that looks after machines, leases and budgets when nobody else does.

Every process that stays (`hawser guard`, `hawser link up`, the app, the gateway) asks for the role each three seconds.
One has it, by a row with a heartbeat; when it dies or freezes, another has it within fifteen seconds. One that was
frozen asks the store before it acts on anything, and steps down when the role is no longer its own.

What the guard does is in parts, each repeated on its own. One that fails, or hangs, fails alone, and is told after it
failed a few times in a row.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from console.clock import Clock
from console.errors import CloudCannot, ConsoleError, MachineBusy, StoreError
from console.events import Bus, Event
from console.history import roles
from console.history.owner import this_process
from console.machines.lease import End, Warn, minutes
from console.machines.leases import Leases, Standing
from console.machines.protection import BEAT_S, ROLE, STALE_ROLE
from console.machines.standing import Report, standing_troubles
from providers.errors import ProviderError

if TYPE_CHECKING:
    from console.history.store import Store
    from console.machines.fleet import Fleet
    from console.machines.records import MachineRecord
    from console.machines.watch import Watch
    from console.money.budget import Budget
    from console.money.verdicts import BudgetVerdict
    from console.notify import Alerts

_log = logging.getLogger(__name__)

FAILURES = 3
"""So often in a row a part has to fail before it is told."""
FRESH_S = 20.0
"""How old the reading may be by which a machine is ended."""


class GuardTook(Event):
    """A fact: this process guards from here on."""

    __slots__ = ()


class GuardLost(Event):
    """A fact: this process does not guard any more, since another has taken the role meanwhile."""

    __slots__ = ()


class GuardTrouble(Event):
    """A fact: a part of the guard's work fails again and again. It goes on trying."""

    __slots__ = ("part", "text")

    def __init__(self, part: str, text: str) -> None:
        self.part = part
        self.text = text


class LeaseWarned(Event):
    """A fact: a machine will be ended soon. Told once for each time that it comes to that."""

    __slots__ = ("name", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text


class LeaseEnded(Event):
    """A fact: the guard asked for the end of a machine."""

    __slots__ = ("name", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text


class Role:
    """The right to guard, held by at most one process at a time."""

    def __init__(self, store: Store, clock: Clock, *, owner: str | None = None) -> None:
        self._store = store
        self._clock = clock
        self.owner = owner or this_process()

    async def take(self) -> bool:
        """Take it, or say that we still have it; False while another process has it."""
        return await self._store.run(
            lambda c: roles.take(c, ROLE, self.owner, self._clock.now(), stale=STALE_ROLE), write=True
        )

    async def is_ours(self) -> bool:
        """Whether we have it, by the store: however long this process stood still since it last looked."""
        holder = await self._store.run(lambda c: roles.holder(c, ROLE))
        return holder is not None and holder[0] == self.owner

    async def give_back(self) -> None:
        await self._store.run(lambda c: roles.give_back(c, ROLE, self.owner), write=True)


class Part(NamedTuple):
    name: str
    work: Callable[[], Awaitable[None]]
    every_s: float
    limit_s: float = 120.0
    """One that takes longer has failed."""


class Guard:
    def __init__(
        self,
        store: Store,
        fleet: Fleet,
        leases: Leases,
        budget: Budget,
        alerts: Alerts,
        watch: Watch,
        clock: Clock,
        bus: Bus,
        *,
        role: Role | None = None,
    ) -> None:
        self._store = store
        self._fleet = fleet
        self._leases = leases
        self._budget = budget
        self._alerts = alerts
        self._watch = watch
        self._clock = clock
        self._bus = bus
        self.role = role or Role(store, clock)
        self._parts = [
            Part("machines", fleet.reconcile, 5.0, 300.0),
            Part("work", self._look, 15.0, 600.0),
            Part("leases", self._keep_leases, 10.0),
            Part("budgets", self._keep_budgets, 20.0),
            Part("alerts", self._tell, 10.0),
        ]
        self._warned: dict[str, str] = {}
        self._failing: dict[str, str] = {}
        self._failed_in_a_row: dict[str, int] = {}
        self._not_ended: dict[str, str] = {}
        self._verdicts: list[BudgetVerdict] | None = None
        self._lost = asyncio.Event()
        self.only_in_role = False
        """Whether an end is asked for only while the role is ours: `run` sees to it, a single round acts anyhow."""

    def add(self, part: Part) -> None:
        """More for the guard to do, before it tells what stands."""
        self._parts.insert(-1, part)

    # The role

    async def run(self) -> None:
        """Ask for the role, and guard while it is ours, until cancelled."""
        guarding: list[asyncio.Task[None]] = []
        self.only_in_role = True
        try:
            while True:
                is_ours = await self._take()
                if guarding and (not is_ours or any(task.done() for task in guarding)):
                    await _stop(guarding)  # a part that found the role lost has ended, also if it is ours again
                    guarding = []
                    _log.warning("this process stood still, and does not guard any more")
                    self._bus.publish(GuardLost())
                if is_ours and not guarding:
                    self._lost.clear()
                    _log.info("this process guards")
                    self._bus.publish(GuardTook())
                    guarding = [
                        asyncio.create_task(self._repeat(part), name=f"guard: {part.name}") for part in self._parts
                    ]
                await self._pause()
        finally:
            await _stop(guarding)
            with suppress(StoreError):
                await self.role.give_back()

    async def _take(self) -> bool:
        try:
            return await self.role.take()
        except StoreError as error:
            _log.error("the guard cannot use the store", extra={"error": error.text})
            return False

    async def _pause(self) -> None:
        """Until the next beat, or until a part finds that the role is lost."""
        sleeping = asyncio.ensure_future(self._clock.sleep(BEAT_S))
        losing = asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait((sleeping, losing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._lost.clear()
            for task in (sleeping, losing):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _repeat(self, part: Part) -> None:
        while True:
            if not await self._may_act():
                return
            await self._do(part)
            await self._clock.sleep(part.every_s)

    async def _may_act(self) -> bool:
        try:
            if await self.role.is_ours():
                return True
        except StoreError as error:
            _log.error("the guard cannot use the store", extra={"error": error.text})
            return True  # the part will tell; it cannot act without the store either
        self._lost.set()
        return False

    async def once(self) -> Report:
        """One round of everything, one part after the other; who has the role does not matter to it."""
        for part in self._parts:
            await self._do(part, failures=1)
        return await self._report()

    # Its parts

    async def _do(self, part: Part, *, failures: int = FAILURES) -> None:
        try:
            async with asyncio.timeout(part.limit_s):
                await part.work()
        except TimeoutError:
            text = f"It takes longer than {part.limit_s:.0f} s."
        except (ConsoleError, ProviderError) as error:
            text = error.text
        except Exception:  # noqa: BLE001 - an outer edge: whatever it is, the other parts go on
            _log.exception("a part of the guard failed", extra={"part": part.name})
            text = "It fails; the log tells how."
        else:
            self._failed_in_a_row[part.name] = 0
            self._failing.pop(part.name, None)
            return
        count = self._failed_in_a_row[part.name] = self._failed_in_a_row.get(part.name, 0) + 1
        _log.warning("a part of the guard failed", extra={"part": part.name, "error": text, "times": count})
        if count >= failures and self._failing.get(part.name) != text:
            self._failing[part.name] = text
            self._bus.publish(GuardTrouble(part.name, text))

    async def _look(self) -> None:
        await self._watch.round(await self._leases.keep_up())

    async def _keep_leases(self) -> None:
        standing = await self._leases.keep_up()
        warned: dict[str, str] = {}
        for one in standing:
            name = one.record.name
            match one.verdict:
                case End():
                    await self._end_lease(one)
                case Warn(at, _, why):
                    how = "destroyed" if one.limits.at_end == "destroy" else "stopped"
                    text = f"{name} will be {how} in {minutes(at - self._clock.now())}: {why}."
                    warned[name] = text
                    if name not in self._warned:
                        self._bus.publish(LeaseWarned(name, text))
                case _:
                    pass
        running = {one.record.name for one in standing}
        self._warned = warned
        self._not_ended = {name: text for name, text in self._not_ended.items() if name in running}

    async def _end_lease(self, one: Standing) -> None:
        """End a machine whose lease is over, after a look at how it is now: what is known may be hours old."""
        name = one.record.name
        await self._fleet.refresh([one.record.cloud], max_age_s=FRESH_S)
        there = await self._leases.standing(name)
        if there is None or not isinstance(there.verdict, End):
            return
        why = f"Its lease is over: {there.verdict.why}."
        await self._end(there.record, why, destroy=there.limits.at_end == "destroy")

    async def _end(self, record: MachineRecord, why: str, *, destroy: bool) -> None:
        """Ask for the end of a machine, if it is still for this process to do."""
        if self.only_in_role and not await self._may_act():
            return
        name = record.name
        try:
            destroy = await self._ask_for_end(record, why, destroy=destroy)
        except CloudCannot as error:
            text = f"{name} costs money and cannot be ended here. {why} {error.text} {error.hint or ''}".rstrip()
            if self._not_ended.get(name) != text:
                self._not_ended[name] = text
                _log.error("a machine cannot be ended", extra={"machine": name, "error": error.text})
            return
        except MachineBusy as error:
            _log.info("a machine is being ended already", extra={"machine": name, "error": error.text})
            return
        self._not_ended.pop(name, None)
        what = "destroyed" if destroy else "stopped"
        self._bus.publish(LeaseEnded(name, f"{name} is being {what}. {why}"))

    async def _ask_for_end(self, record: MachineRecord, why: str, *, destroy: bool) -> bool:
        """Whether it is destroyed: that, too, where it cannot be stopped and its user has said that it may be."""
        try:
            if not destroy:
                await self._fleet.stop(record.name, why=why)
                return False
        except CloudCannot:
            if record.at_end != "destroy":
                raise
        except ProviderError as error:
            return self._not_accepted(record, error, destroy=False)
        try:
            await self._fleet.destroy(record.name, why=why)
        except ProviderError as error:
            return self._not_accepted(record, error, destroy=True)
        return True

    def _not_accepted(self, record: MachineRecord, error: ProviderError, *, destroy: bool) -> bool:
        """The end stays wished, and is sent again."""
        _log.warning("an end was not accepted yet", extra={"machine": record.name, "error": error.text})
        return destroy

    async def _keep_budgets(self) -> None:
        self._verdicts = await self._budget.verdict()
        for verdict in self._verdicts:
            for name in verdict.stop:
                await self._end_for_budget(name, verdict.text)

    async def _end_for_budget(self, name: str, text: str) -> None:
        record, deed = await self._fleet.machine(name), await self._fleet.deed(name)
        if deed is not None and deed.what in ("stop", "destroy"):
            return
        await self._end(record, text, destroy=False)

    # What is told

    async def _tell(self) -> None:
        report = await self._report()
        for trouble in report.troubles:
            await self._alerts.raise_(trouble.subject, trouble.level, trouble.text)
        for alert in await self._alerts.open():
            if report.is_over(alert.subject):
                await self._alerts.clear(alert.subject)

    async def _report(self) -> Report:
        views = await self._leases.every()
        now = self._clock.now()
        report = await self._store.run(lambda c: standing_troubles(c, views, now))
        return report.with_guard(self._warned, self._not_ended, self._failing, self._verdicts)


async def _stop(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
