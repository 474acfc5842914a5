"""The fleet: the only owner of machines. A wish is written down first, and nothing is believed without a proof.

`start`, `stop` and `destroy` return when the cloud has accepted; `settled` waits for the proof; `reconcile` is one
round of reading all accounts and going on with all that is open, whoever began it, and `run` does that again and again.
All of it may be done by several processes at once, and each may be killed at any time.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from console.clock import Clock
from console.errors import (
    CloudCannot,
    CloudSilent,
    ConsoleError,
    GivenUp,
    MachineBusy,
    NotFound,
    TimeLimit,
    UsageError,
)
from console.events import Bus
from console.history import machines
from console.history.owner import this_process
from console.machines import lifecycle
from console.machines.ceilings import check_ceiling, check_start
from console.machines.clouds import SSH
from console.machines.deeds import Deeds
from console.machines.events import AccountTrouble, MachineChanged
from console.machines.labels import is_ours, new_label
from console.machines.lifecycle import Act
from console.machines.own_rows import OwnRows
from console.machines.poll import CHANGING_S, Poll, interval_s
from console.machines.records import AtEnd, Deed, DeedKind, Desired, MachineRecord, MachineState, fresh_record
from console.machines.sighting import ReadingHook, Sighting
from console.settings import Settings
from providers.clouds.base import Capability, Cloud, Offer, Order, Reading, State
from providers.errors import ProviderError

if TYPE_CHECKING:
    from console.history.machines import LogLine
    from console.history.store import Store

T = TypeVar("T")

__all__ = ["Fleet", "LaunchPlan", "ReadingHook"]

_log = logging.getLogger(__name__)

FRESH_S = 10.0
"""How old the reading may be by which a price is checked before a start."""
AT_ONCE = 5
"""How many requests to one account go out in a round, so that a round, and the proof of what went out, is not late."""
FORGOTTEN_S = 86_400.0
"""A machine of ours that was not seen for so long may be forgotten; should it turn up, its label finds it."""


class LaunchPlan(NamedTuple):
    """What to rent, and how it is to end."""

    cloud: str
    offer: Offer
    disk_gb: Decimal = Decimal(40)
    image: str | None = None
    start_script: str = ""
    environment: Mapping[str, str] = {}
    ceiling_usd_per_hour: Decimal | None = None
    bid_usd_per_hour: Decimal | None = None
    at_end: AtEnd = "stop"
    recipe: str | None = None
    models: tuple[str, ...] = ()


class Fleet:
    def __init__(
        self,
        settings: Settings,
        store: Store,
        cloud: Callable[[str], Cloud],
        clock: Clock,
        bus: Bus,
        *,
        hooks: Sequence[ReadingHook] = (),
        public_key: Callable[[], str],
        accounts: Callable[[], Sequence[str]] | None = None,
        may_spend: Callable[[str, Decimal | None], Awaitable[None]] | None = None,
        keep_key: Callable[[MachineRecord, str], Awaitable[None]] | None = None,
        owner: str | None = None,
        checkpoint: Callable[[str], None] | None = None,
    ) -> None:
        """`accounts` names all accounts that there is a key for; without it, those of the settings.

        `may_spend(name, usd_per_hour)` raises when a launch or start would break a budget. `keep_key` is given the key
        with which a machine can end itself. `owner` and `checkpoint` are for tests: another process than this one, see
        `console/history/owner.py`, and what is called at each step, see deeds.py.
        """
        self._settings = settings
        self._store = store
        self._cloud = cloud
        self._clock = clock
        self._bus = bus
        self._public_key = public_key
        self._accounts = accounts or (lambda: list(settings.clouds))
        self._may_spend = may_spend
        self._checkpoint = checkpoint or (lambda _: None)
        self._hooks = hooks
        self._owner = owner or this_process()
        self.poll = Poll(store, cloud, clock, bus, hooks, owner=owner)
        self.deeds = Deeds(store, cloud, clock, bus, self.poll, owner=owner, keep_key=keep_key, checkpoint=checkpoint)
        self._own = {name: machine for name, machine in settings.machines.items() if machine.cloud == SSH}
        self._own_rows = OwnRows(self._own, store, clock)
        self._stir = asyncio.Event()
        """Set when something was wished, so that the loop does not sleep on."""

    # What is known

    async def machines(self, *, gone: bool = False) -> list[MachineRecord]:
        """All machines as they are remembered, the user's own too; no network."""
        await self._own_rows.write()
        return await self._store.run(lambda c: machines.every(c, gone=gone))

    async def machine(self, name: str) -> MachineRecord:
        await self._own_rows.write()
        record = await self._store.run(lambda c: machines.get(c, name))
        if record is None:
            raise await self._store.run(lambda c: _no_machine(c, name))
        return record

    async def deed(self, name: str) -> Deed | None:
        """What is being done to a machine."""
        record = await self.machine(name)
        return await self._store.run(lambda c: machines.deed_of(c, record.seq))

    async def log(self, name: str, *, limit: int = 200) -> list[LogLine]:
        """What happened to the machine that has this name, or was the last to have it."""

        def work(connection: sqlite3.Connection) -> list[LogLine]:
            record = machines.last_named(connection, name)
            if record is None:
                raise _no_machine(connection, name)
            return machines.log_of(connection, record.seq, limit=limit)

        return await self._store.run(work)

    async def accounts(self) -> list[str]:
        """Every account that may have something on it."""
        records = await self.machines()
        names = [*self._accounts(), *(record.cloud for record in records)]
        return list(dict.fromkeys(names))

    async def refresh(self, clouds: Sequence[str] | None = None, *, max_age_s: float = 5.0) -> list[AccountTrouble]:
        """Bring what is known to at most this age: one list call per account, shared by all processes."""
        names = await self.accounts() if clouds is None else list(clouds)
        troubles = await _all(self.poll.read(name, max_age_s=max_age_s) for name in names)
        return [trouble for trouble in troubles if trouble is not None]

    # Wishes

    async def launch(self, name: str, plan: LaunchPlan, *, why: str) -> MachineRecord:
        """Rent a machine; returns when there is an id. Whatever goes wrong, what may cost money stays known."""
        _check_name(name)
        cloud = self._cloud(plan.cloud)
        if plan.at_end == "stop" and Capability.STOP not in cloud.capabilities:
            raise CloudCannot(
                f"{plan.cloud} cannot stop machines, only destroy them with all that is on them.",
                hint='Confirm that it is destroyed at the end: at_end = "destroy".',
            )
        price = plan.bid_usd_per_hour if plan.bid_usd_per_hour is not None else plan.offer.usd_per_hour
        check_ceiling(name, price, plan.ceiling_usd_per_hour)
        if self._may_spend is not None:
            await self._may_spend(name, price)
        public_key = self._public_key()

        def work(connection: sqlite3.Connection) -> tuple[MachineRecord, Deed]:
            if machines.get(connection, name) is not None:
                raise MachineBusy(f"There is a machine {name!r} already.", hint="Choose another name, or destroy it.")
            record = machines.add(connection, self._ordered(name, plan, price))
            deed = self.deeds.wish(connection, record, "create", why, Desired.RUNNING)
            return record, deed

        await self._own_rows.write()
        record, deed = await self._store.run(work, write=True)
        self._checkpoint("create wished")
        self._bus.publish(MachineChanged(name, None, MachineState.REQUESTED, why))
        self._stir.set()
        order = Order(
            offer=plan.offer,
            label=record.label,
            public_key=public_key,
            disk_gb=plan.disk_gb,
            image=plan.image,
            start_script=plan.start_script,
            environment=plan.environment,
            bid_usd_per_hour=plan.bid_usd_per_hour,
        )
        return await self.deeds.order(record, deed, order)

    async def start(self, name: str, *, why: str) -> MachineRecord:
        """Start a machine that is off; of one that runs, or comes up, nothing is asked."""
        record = await self.machine(name)
        trouble = await self.poll.read(record.cloud, max_age_s=FRESH_S)
        if trouble is not None:
            raise CloudSilent(f"{name!r} is not started, for its account cannot be read: {trouble.text}")
        record = await self.machine(name)
        deed = await self.deed(name)
        if deed is not None and deed.what == "destroy":
            raise MachineBusy(f"{name!r} is being destroyed.")
        if deed is not None and deed.what in ("create", "start"):
            return record
        if deed is None and record.reading is not None and record.reading.state in (State.RUNNING, State.STARTING):
            return record
        self.check_action(record, "start")
        if record.cloud_id is None:
            raise MachineBusy(f"{name!r} is not found at its cloud yet.")
        check_start(record)
        if self._may_spend is not None:
            await self._may_spend(name, record.usd_per_hour)

        def work(connection: sqlite3.Connection) -> Deed:
            _check_there(connection, record)
            there = machines.deed_of(connection, record.seq)
            if there is not None and there.what not in ("stop", "start"):
                raise MachineBusy(f"{name!r} is being changed by another Hawser.")
            begun = self.deeds.wish(connection, record, "start", why, Desired.RUNNING)
            if there is not None and there.what == "stop" and there.step != "intended":
                begun = self.deeds.after_the_stop(connection, begun)
            self._say(connection, record, MachineState.REQUESTED, why)
            return begun

        return await self._wished(record, await self._store.run(work, write=True))

    async def stop(self, name: str, *, why: str) -> MachineRecord:
        """Stop a machine. An error says that its cloud has not accepted; the stop stays wished and is sent again."""
        record = await self.machine(name)
        self.check_action(record, "stop")
        deed = await self.deed(name)
        if deed is not None and deed.what == "destroy":
            raise MachineBusy(f"{name!r} is being destroyed.")
        return await self._end(record, "stop", why)

    async def destroy(self, name: str, *, why: str) -> MachineRecord:
        """Destroy a machine and all that is on it; else as `stop`."""
        record = await self.machine(name)
        self.check_action(record, "destroy")
        return await self._end(record, "destroy", why)

    async def _end(self, record: MachineRecord, what: DeedKind, why: str) -> MachineRecord:
        def work(connection: sqlite3.Connection) -> Deed | None:
            _check_there(connection, record)
            there = machines.deed_of(connection, record.seq)
            if there is not None and there.what == "destroy" and what == "stop":
                raise MachineBusy(f"{record.name!r} is being destroyed.")
            if there is not None and there.what == "create" and there.step == "intended":
                self.deeds.withdraw(connection, record, there, why)
                return None
            desired, state = Desired.STOPPED, MachineState.STOPPING
            if what == "destroy":
                desired, state = Desired.GONE, MachineState.DESTROYING
            deed = self.deeds.wish(connection, record, what, why, desired)
            self._say(connection, record, state, why)
            return machines.deed(connection, deed.seq)

        deed = await self._store.run(work, write=True)
        self._checkpoint(f"{what} wished")
        return await self._wished(record, deed)

    async def _wished(self, record: MachineRecord, deed: Deed | None) -> MachineRecord:
        """Send what was wished, if it can be sent now."""
        there = await self._store.run(lambda c: machines.by_seq(c, record.seq))
        if there.state is not record.state:
            self._bus.publish(MachineChanged(record.name, record.state, there.state, there.state_why))
        self._stir.set()
        if deed is None or lifecycle.next_act(there, deed, self._clock.now(), orphan=False) is not Act.SEND:
            return there
        error = await self.deeds.send(there, deed)
        if error is not None:
            after = await self._store.run(lambda c: machines.deed_of(c, record.seq))
            if deed.what == "start" and after is not None and after.what == "stop":
                await self.deeds.send(there, after)
            raise error
        return await self._store.run(lambda c: machines.by_seq(c, record.seq))

    async def settled(self, name: str, *, limit_s: float | None = None) -> MachineRecord:
        """Wait until what is being done to a machine is proved, and what had to follow.

        Raises `GivenUp` if it was given up, after its cleaning up is proved, and `TimeLimit` after `limit_s`.
        """
        record = await self.machine(name)
        first = await self._store.run(lambda c: machines.deed_of(c, record.seq))
        began = self._clock.monotonic()
        while (deed := await self._store.run(lambda c: machines.deed_of(c, record.seq))) is not None:
            await self._round(record.seq, deed)
            if await self._store.run(lambda c: machines.deed_of(c, record.seq)) is None:
                break
            if limit_s is not None and self._clock.monotonic() - began >= limit_s:
                raise TimeLimit(
                    f"The {deed.what} of {name!r} is not proved after {limit_s:.0f} s.",
                    hint="It stays wished; hawser vm ls shows how it stands.",
                )
            await self._clock.sleep(CHANGING_S)
        if first is not None:
            ended = await self._store.run(lambda c: machines.deed(c, first.seq))
            if ended.end == "given-up":
                raise GivenUp(f"The {first.what} of {name!r} was given up. {ended.error or ''}".rstrip())
        return await self._store.run(lambda c: machines.by_seq(c, record.seq))

    async def _round(self, seq: int, deed: Deed) -> None:
        record = await self._store.run(lambda c: machines.by_seq(c, seq))
        await self.poll.read(record.cloud, max_age_s=CHANGING_S / 2, patient=True)
        record, open_deed = await self._store.run(lambda c: (machines.by_seq(c, seq), machines.deed_of(c, seq)))
        if open_deed is not None:
            await self.deeds.alarm(record, open_deed)
            await self.deeds.go_on(record, open_deed)

    async def set_bid(self, name: str, usd_per_hour: Decimal) -> MachineRecord:
        record = await self.machine(name)
        cloud = self._cloud(record.cloud)
        if record.cloud_id is None:
            raise MachineBusy(f"{name!r} has no id at its cloud yet.")
        if Capability.BID not in cloud.capabilities_of(record.cloud_id):
            raise CloudCannot(f"{record.cloud} takes no bids.")
        check_ceiling(name, usd_per_hour, record.ceiling_usd_per_hour)
        await cloud.bid(record.cloud_id, usd_per_hour)

        def work(connection: sqlite3.Connection) -> MachineRecord:
            there = machines.by_seq(connection, record.seq)
            machines.change(connection, there.seq, order={**there.order, "bid_usd_per_hour": str(usd_per_hour)})
            machines.note(connection, there.seq, self._clock.now(), "bid", f"The bid is ${usd_per_hour} an hour.")
            return machines.by_seq(connection, there.seq)

        await self._store.run(work, write=True)
        with suppress(ProviderError, ConsoleError):
            await self.poll.list_now(record.cloud)  # a start that follows is judged by a reading with this bid
        return await self._store.run(lambda c: machines.by_seq(c, record.seq))

    async def reached(self, name: str, state: MachineState, why: str = "") -> None:
        """Somebody got through to a machine: it is reachable, or ready. Nothing if it is not to run, or does not."""
        assert state in (MachineState.BOOTING, MachineState.REACHABLE, MachineState.READY)

        def work(connection: sqlite3.Connection) -> MachineState | None:
            record = machines.get(connection, name)
            if record is None or record.state is state or record.desired is not Desired.RUNNING:
                return None
            if record.reading is None or record.reading.state is not State.RUNNING:
                return None
            self._say(connection, record, state, why)
            return record.state

        before = await self._store.run(work, write=True)
        if before is not None:
            self._bus.publish(MachineChanged(name, before, state, why))

    # What is there without us

    async def found(self, cloud: str) -> list[Reading]:
        """Everything on an account, asked for now, strangers too."""
        return await self.poll.list_now(cloud)

    async def adopt(self, cloud: str, cloud_id: str, name: str, *, at_end: AtEnd = "nothing") -> MachineRecord:
        """Take over a machine that is on an account. Nothing is done to it; nothing ends it unless `at_end` says so."""
        _check_name(name)
        asked_at = self._clock.now()
        reading = next((reading for reading in await self.found(cloud) if reading.id == cloud_id), None)

        def work(connection: sqlite3.Connection) -> Sighting:
            known = machines.by_cloud_id(connection, cloud, cloud_id)
            if known is not None and not known.is_gone:
                raise MachineBusy(f"{cloud_id} on {cloud} is known already, as {known.name!r}.")
            if reading is None:
                raise NotFound(f"There is no machine {cloud_id!r} on {cloud}.", hint="hawser vm audit shows all.")
            if machines.get(connection, name) is not None:
                raise MachineBusy(f"There is a machine {name!r} already.", hint="Choose another name.")
            sighting = Sighting(connection, cloud, asked_at, self._clock.now(), self._hooks, self._owner)
            sighting.adopt(reading, name, at_end=at_end)
            return sighting

        sighting = await self._store.run(work, write=True)
        for event in sighting.events:
            self._bus.publish(event)
        return await self.machine(name)

    async def take_name(self, name: str, winner: str) -> str:
        """Let one machine have the name of another; returns the name that the other has from here on."""
        left = f"{name}-slow"

        def work(connection: sqlite3.Connection) -> None:
            now = self._clock.now()
            old, new = machines.get(connection, name), machines.get(connection, winner)
            if old is None or new is None:
                raise _no_machine(connection, name if old is None else winner)
            machines.change(connection, old.seq, name=left)
            machines.change(connection, new.seq, name=name)
            machines.note(connection, old.seq, now, "renamed", f"It was {name}, which another machine is now.")
            machines.note(connection, new.seq, now, "renamed", f"It was {winner}.")

        await self._store.run(work, write=True)
        return left

    async def forget(self, name: str) -> None:
        """Strike out a machine that is not ours; it lives on. Ours are destroyed, not forgotten."""

        def work(connection: sqlite3.Connection) -> None:
            record = machines.get(connection, name)
            if record is None:
                if machines.last_named(connection, name) is not None:
                    return  # it is gone, and forgotten with that
                raise _no_machine(connection, name)
            now = self._clock.now()
            lost_sight = (now - (record.seen_at or record.created_at)).total_seconds() > FORGOTTEN_S
            if record.origin == "settings":
                raise UsageError(f"{name!r} stands in the settings.", hint=f"Remove [machines.{name}] there.")
            if is_ours(record.label) and not lost_sight:
                raise MachineBusy(
                    f"{name!r} is ours and may cost money; it can be destroyed, not forgotten.",
                    hint=f"hawser vm destroy {name}",
                )
            deed = machines.deed_of(connection, record.seq)
            if deed is not None:
                machines.end_deed(connection, deed.seq, "overtaken", now, "It was forgotten.")
            machines.change(
                connection,
                record.seq,
                # Neither its id nor its label may bring it back, unless it is ours.
                cloud_id=None,
                label=record.label if is_ours(record.label) else f"{record.label}~forgotten-{record.seq}",
                state=MachineState.GONE,
                state_at=now,
                state_why="It was forgotten.",
                gone_at=now,
            )
            machines.note(connection, record.seq, now, "forgotten", f"It was {record.cloud_id} on {record.cloud}.")

        await self._store.run(work, write=True)

    # Going on

    async def reconcile(self) -> None:
        """One round: read the accounts that are due, go on with every open deed, tell what is overdue."""
        records = await self.machines()
        deeds = await self._store.run(machines.open_deeds)
        names = list(dict.fromkeys([*self._accounts(), *(record.cloud for record in records)]))
        await _all(self.poll.read(name, max_age_s=_interval_s(name, records, deeds), patient=True) for name in names)
        await self._go_on()

    async def _go_on(self) -> None:
        by_seq = {record.seq: record for record in await self._store.run(machines.every)}
        deeds = await self._store.run(machines.open_deeds)
        pairs = [(by_seq[seq], deed) for seq, deed in deeds.items() if seq in by_seq]
        for record, deed in pairs:  # first, for what follows may take its time
            if lifecycle.is_overdue(deed, self._clock.now()):
                await self.deeds.alarm(record, deed)
        due = [pair for pair in pairs if self.deeds.next_act(*pair) is not Act.WAIT]
        due.sort(key=lambda pair: pair[1].next_at or pair[1].begun_at)
        for_cloud: dict[str, list[tuple[MachineRecord, Deed]]] = {}
        for pair in due:
            for_cloud.setdefault(pair[0].cloud, []).append(pair)
        first = [pair for waiting in for_cloud.values() for pair in waiting[:AT_ONCE]]
        await _all(self.deeds.go_on(record, deed) for record, deed in first)

    async def run(self) -> None:
        """Rounds until cancelled: quick ones while something changes, slow ones when all is calm."""
        while True:
            self._stir.clear()
            await self.reconcile()
            records = await self.machines()
            deeds = await self._store.run(machines.open_deeds)
            names = dict.fromkeys([*self._accounts(), *(record.cloud for record in records)])
            pause_s = min((_interval_s(name, records, deeds) for name in names), default=60.0)
            await self._pause(pause_s)

    async def _pause(self, seconds: float) -> None:
        """Sleep, or until something is wished here."""
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        stirring = asyncio.ensure_future(self._stir.wait())
        try:
            await asyncio.wait((sleeping, stirring), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sleeping, stirring):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    # Checks

    def check_action(self, record: MachineRecord, what: DeedKind) -> None:
        """Whether that can be done with it at all: `CloudCannot` if not."""
        if record.origin == "settings":
            if what == "destroy":
                raise CloudCannot(f"{record.name!r} is a machine of your own; it is not ours to destroy.")
            own = self._own.get(record.name)
            if own is None or (own.start if what == "start" else own.stop) is None:
                raise CloudCannot(
                    f"There is no command that {what}s {record.name!r}.",
                    hint=f'Set one in [machines.{record.name}]: {what} = "…"',
                )
            return
        needed = Capability.DESTROY if what == "destroy" else Capability.STOP
        cloud = self._cloud(record.cloud)
        can = cloud.capabilities if record.cloud_id is None else cloud.capabilities_of(record.cloud_id)
        if needed not in can:
            hint = f"hawser vm destroy {record.name} ends it, with all that is on it." if what == "stop" else None
            raise CloudCannot(f"{record.cloud} cannot {what} machines.", hint=hint)

    # Rows

    def _say(self, connection: sqlite3.Connection, record: MachineRecord, state: MachineState, why: str) -> None:
        now = self._clock.now()
        machines.change(connection, record.seq, state=state, state_at=now, state_why=why)
        machines.note(connection, record.seq, now, state, why)

    def _ordered(self, name: str, plan: LaunchPlan, price: Decimal) -> MachineRecord:
        offer, now = plan.offer, self._clock.now()
        order = {
            "offer": offer.id,
            "gpu": offer.gpu,
            "count": offer.gpu_count,
            "vram_gb": str(offer.vram_gb),
            "region": offer.region,
            "host": offer.host,
            "spot": offer.spot,
            "disk_gb": str(plan.disk_gb),
            "image": plan.image,
            "recipe": plan.recipe,
            "models": list(plan.models),
            "bid_usd_per_hour": None if plan.bid_usd_per_hour is None else str(plan.bid_usd_per_hour),
        }
        return fresh_record(name, plan.cloud, new_label(name), now)._replace(
            order=order,
            usd_per_hour=price,
            usd_per_hour_stopped=offer.disk_usd_per_hour,
            ceiling_usd_per_hour=plan.ceiling_usd_per_hour,
            at_end=plan.at_end,
        )


async def _all(work: Iterable[Awaitable[T]]) -> list[T]:
    """Do it all at once, and all of it to its end: what fails is raised when nothing goes on behind it."""
    ends = await asyncio.gather(*work, return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException):
            raise end
    return [end for end in ends if not isinstance(end, BaseException)]


def _interval_s(cloud: str, records: Sequence[MachineRecord], deeds: Mapping[int, Deed]) -> float:
    mine = [record for record in records if record.cloud == cloud]
    return interval_s(mine, has_deeds=any(record.seq in deeds for record in mine))


def _check_name(name: str) -> None:
    if not name or len(name) > 64 or not name.isascii() or not name[0].isalnum():
        raise UsageError(f"{name!r} cannot be the name of a machine.", hint="Use letters, digits, '.', '_' and '-'.")
    if not all(c.isalnum() or c in "._-" for c in name):
        raise UsageError(f"{name!r} cannot be the name of a machine.", hint="Use letters, digits, '.', '_' and '-'.")


def _check_there(connection: sqlite3.Connection, record: MachineRecord) -> None:
    """What was read a moment ago may be gone by now."""
    if machines.by_seq(connection, record.seq).is_gone:
        raise _no_machine(connection, record.name)


def _no_machine(connection: sqlite3.Connection, name: str) -> NotFound:
    from difflib import get_close_matches

    names = [record.name for record in machines.every(connection)]
    nearest = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {nearest[0]!r}?" if nearest else "hawser vm ls shows what there is."
    last = machines.last_named(connection, name)
    if last is not None:
        return NotFound(f"The machine {name!r} is gone.", hint=last.state_why or hint)
    return NotFound(f"There is no machine {name!r}.", hint=hint)
