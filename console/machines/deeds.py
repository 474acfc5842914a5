"""Does what is wished of a machine: the requests to its cloud, each written down before it is sent.

A wish is a row first (`intended`). Before a request goes out its step is `sent`, in a committed transaction: after a
kill at any line one knows what may have arrived. An answer makes it `accepted`. Only a reading proves it, and that is
not done here (`lifecycle.py`). So:

* An order whose answer is lost is not sent again before lists have missed its label several times, and then only by the
  call that wants it. If that call is no more, the order is found by its label, or cancelled.
* A start that is refused, or that nobody could wait for, is followed by a stop.
* A stop or a destruction is sent again and again, by whichever process runs, until it is proved.

`checkpoint` is called with the name of each step; tests end the process there.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from console.clock import Clock
from console.errors import ConsoleError, GivenUp, MachineBusy
from console.events import Bus
from console.history import machines
from console.history.owner import is_alive, this_process
from console.machines import lifecycle
from console.machines.events import DeedEnded, DeedOverdue, MachineChanged
from console.machines.lifecycle import Act
from console.machines.poll import Poll, told
from console.machines.records import Deed, DeedKind, Desired, MachineRecord, MachineState
from providers.clouds.base import AnswerLost, CannotDo, Capability, Cloud, CloudError, Created, Order
from providers.errors import KeyTrouble, OutOfCredit, ProviderError, RateLimited, RequestRefused

if TYPE_CHECKING:
    from console.history.store import Store

_log = logging.getLogger(__name__)

REFUSALS = (CloudError, KeyTrouble, OutOfCredit, RequestRefused, RateLimited, ConsoleError)
"""Answers that say no: nothing was made, but for what the error names. After `AnswerLost`, which is a `CloudError`, and
after all others something may have been."""

ORDERS = 2
"""How often an order is sent in all, when nothing came of it."""
LOOK_FOR_S = 60.0
"""How long an order with a lost answer is looked for by whoever waits for it, before it is sent again."""
LOOK_S = 4.0
"""Between two such looks."""
SEARCH_LIMIT_S = 300.0
"""How long it is looked for while the cloud cannot be read at all."""

AFTER_STOP_S = 60.0

LEAVE_S = 20.0
"""How long a deed is left to its owner, while that process runs, beyond the time at which it should have gone on."""
LEAVE_ORDER_S = 300.0
"""The same for orders and starts, which others do not send again but only look after."""


class Deeds:
    def __init__(
        self,
        store: Store,
        cloud: Callable[[str], Cloud],
        clock: Clock,
        bus: Bus,
        poll: Poll,
        *,
        owner: str | None = None,
        keep_key: Callable[[MachineRecord, str], Awaitable[None]] | None = None,
        checkpoint: Callable[[str], None] | None = None,
    ) -> None:
        self._store = store
        self._cloud = cloud
        self._clock = clock
        self._bus = bus
        self._poll = poll
        self._owner = owner or this_process()
        self._keep_key = keep_key
        self._checkpoint = checkpoint or (lambda _: None)
        self._turns: dict[int, asyncio.Lock] = {}
        self._ordering: set[int] = set()
        """Deeds whose order this process is waiting for at this moment."""

    # Wishes

    def wish(
        self, connection: sqlite3.Connection, record: MachineRecord, what: DeedKind, why: str, desired: Desired
    ) -> Deed:
        """Write down what is wished, in the place of what was under way. The caller has seen that it may be."""
        now = self._clock.now()
        there = machines.deed_of(connection, record.seq)
        if there is not None:
            if there.what == what:
                machines.step_deed(connection, there.seq, next_at=None)  # asked again: at once
                return there
            machines.end_deed(connection, there.seq, "overtaken", now)
        deed = machines.open_deed(connection, record.seq, what, why, self._owner, now)
        machines.change(connection, record.seq, desired=desired)
        machines.note(connection, record.seq, now, f"{what} intended", why)
        return deed

    def after_the_stop(self, connection: sqlite3.Connection, deed: Deed) -> Deed:
        """Leave a stop that may be on its way a minute, or until the machine is seen to be off, before the start."""
        machines.step_deed(connection, deed.seq, next_at=self._clock.now() + timedelta(seconds=AFTER_STOP_S))
        return machines.deed(connection, deed.seq)

    def withdraw(self, connection: sqlite3.Connection, record: MachineRecord, deed: Deed, why: str) -> None:
        """Take back an order that was not sent: there is nothing to end."""
        now = self._clock.now()
        machines.end_deed(connection, deed.seq, "overtaken", now, why)
        gone = MachineState.GONE
        machines.change(
            connection, record.seq, desired=Desired.GONE, state=gone, state_at=now, state_why=why, gone_at=now
        )
        machines.note(connection, record.seq, now, "create withdrawn", why)

    # Orders

    async def order(self, record: MachineRecord, deed: Deed, order: Order) -> MachineRecord:
        """Send an order and return the machine as soon as it has an id. Whatever comes, nothing is left unknown."""
        with self._waited_for(deed.seq):
            for _ in range(ORDERS):
                answer = await self._send_order(record, deed, order)
                if answer is not None:
                    return answer
                found = await self._find(record)
                if found is not None:
                    return found
            error = GivenUp(
                f"The order of {record.name!r} was not answered, and nothing came of it.",
                hint="hawser vm audit shows everything that costs money.",
            )
            await self._forget(record, deed, error.text)
            raise error

    async def _send_order(self, record: MachineRecord, deed: Deed, order: Order) -> MachineRecord | None:
        """None when the answer was lost."""
        if not await self._going_out(record, deed, again=True):
            raise MachineBusy(f"The order of {record.name!r} was withdrawn before it was sent.")
        self._checkpoint("create sent")
        try:
            created = await self._cloud(record.cloud).create(order)
        except Exception as unread:
            error = told(unread)
            leftover = error.leftover if isinstance(error, CloudError) else None
            if leftover is not None:
                self._checkpoint("create left over")
                await self._clean_up(record, deed, leftover, error.text)
                raise
            if isinstance(error, REFUSALS) and not isinstance(error, AnswerLost):
                self._checkpoint("create refused")
                await self._forget(record, deed, error.text)
                raise
            self._checkpoint("create lost")
            _log.warning("the answer to an order was lost", extra={"machine": record.name, "error": error.text})
            text = error.text
            await self._store.run(lambda c: machines.step_deed(c, deed.seq, error=text), write=True)
            return None
        self._checkpoint("create answered")
        record = await self._store.run(lambda c: self._store_id(c, record, deed, created.id), write=True)
        self._checkpoint("create stored")
        await self._keep(record, created)
        return record

    def _store_id(
        self, connection: sqlite3.Connection, record: MachineRecord, deed: Deed, cloud_id: str
    ) -> MachineRecord:
        """Whatever became of the order in the meantime, what it made is known from here on."""
        now = self._clock.now()
        record = machines.by_seq(connection, record.seq)
        machines.change(connection, record.seq, cloud_id=cloud_id, missing=0, missing_since=None)
        machines.note(connection, record.seq, now, "create accepted", f"It is {cloud_id}.")
        if not machines.step_deed(connection, deed.seq, step="accepted", tried_at=now, error=None):
            self._come_late(connection, record, "An order that was withdrawn was carried out all the same.")
        return machines.by_seq(connection, record.seq)

    async def _keep(self, record: MachineRecord, created: Created) -> None:
        if created.scoped_key is not None and self._keep_key is not None:
            await self._keep_key(record, created.scoped_key)

    async def _find(self, record: MachineRecord) -> MachineRecord | None:
        """Look for an order by its label until it is found, or several lists have missed it."""
        began = self._clock.monotonic()
        while True:
            await self._poll.read(record.cloud, max_age_s=0.0)
            there = await self._store.run(lambda c: machines.by_seq(c, record.seq))
            if there.cloud_id is not None:
                return there
            if there.is_gone:
                raise MachineBusy(f"The order of {record.name!r} was withdrawn.")
            if lifecycle.was_never_there(there, self._clock.now(), LOOK_FOR_S):
                return None
            if self._clock.monotonic() - began >= SEARCH_LIMIT_S:
                raise GivenUp(
                    f"The order of {record.name!r} was not answered, and its cloud does not answer either.",
                    hint="Hawser goes on looking for it, and takes it over when it is found.",
                )
            await self._clock.sleep(LOOK_S)

    async def _forget(self, record: MachineRecord, deed: Deed, why: str) -> None:
        """Nothing came of an order. Should it turn up after all, its label finds it, and it is destroyed."""

        def work(connection: sqlite3.Connection) -> bool:
            now = self._clock.now()
            there = machines.by_seq(connection, record.seq)
            if machines.deed(connection, deed.seq).ended_at is not None or there.cloud_id is not None:
                return False  # it was overtaken, or it was found a moment ago
            machines.end_deed(connection, deed.seq, "given-up", now, why)
            gone = MachineState.GONE
            machines.change(
                connection, there.seq, desired=Desired.GONE, state=gone, state_at=now, state_why=why, gone_at=now
            )
            machines.note(connection, there.seq, now, "create given-up", why)
            return True

        if await self._store.run(work, write=True):
            self._bus.publish(DeedEnded(record.name, "create", "given-up", why))
            self._bus.publish(MachineChanged(record.name, record.state, MachineState.GONE, why))

    async def _clean_up(self, record: MachineRecord, deed: Deed, leftover: str, why: str) -> None:
        """Something was made all the same: it is ours from here on, and is destroyed."""

        def work(connection: sqlite3.Connection) -> Deed:
            now = self._clock.now()
            machines.change(connection, record.seq, cloud_id=leftover)
            machines.note(connection, record.seq, now, "create refused", f"{why} What was made is {leftover}.")
            machines.end_deed(connection, deed.seq, "given-up", now, why)
            there = machines.by_seq(connection, record.seq)
            return self.wish(connection, there, "destroy", f"Its order failed: {why}", Desired.GONE)

        cleaning = await self._store.run(work, write=True)
        self._checkpoint("leftover stored")
        self._bus.publish(DeedEnded(record.name, "create", "given-up", why))
        await self.send(await self._store.run(lambda c: machines.by_seq(c, record.seq)), cleaning)

    # Starts, stops and destructions

    async def send(self, record: MachineRecord, deed: Deed) -> ProviderError | ConsoleError | None:
        """Send the request of a deed once. Its failure is returned, and written down with the time of the next try."""
        assert record.cloud_id is not None, "what has no id is found first"
        cloud_id = record.cloud_id
        async with self._turns.setdefault(record.seq, asyncio.Lock()):
            if not await self._going_out(record, deed):
                return None
            self._checkpoint(f"{deed.what} sent")
            try:
                await self._request(record.cloud, cloud_id, deed.what)
            except Exception as unread:  # noqa: BLE001 - whatever it was, it is tried again
                error = told(unread)
                self._checkpoint(f"{deed.what} failed")
                await self._failed(record, deed, error)
                return error
            self._checkpoint(f"{deed.what} answered")
            await self._store.run(lambda c: self._accepted(c, record, deed), write=True)
            self._checkpoint(f"{deed.what} accepted")
        return None

    async def _request(self, name: str, cloud_id: str, what: DeedKind) -> None:
        cloud = self._cloud(name)
        match what:
            case "start":
                await cloud.start(cloud_id)
            case "stop":
                await cloud.stop(cloud_id)
            case "destroy":
                await cloud.destroy(cloud_id)
            case "create":
                raise AssertionError("orders are sent by `order`")

    async def _going_out(self, record: MachineRecord, deed: Deed, *, again: bool = False) -> bool:
        """Commit that a request is about to be sent; False if another wish took its place, or somebody was faster."""
        now = self._clock.now()

        def work(connection: sqlite3.Connection) -> bool:
            there = machines.deed(connection, deed.seq)
            if there.tries != deed.tries and not again:
                return False
            if deed.what == "create" and there.ended_at is None:
                machines.change(connection, record.seq, missing=0, missing_since=None)
            pause = timedelta(seconds=self._pause_s(there.tries + 1))
            return machines.step_deed(
                connection,
                deed.seq,
                step="sent",
                owner=self._owner,
                tries=there.tries + 1,
                tried_at=now,
                next_at=now + pause,
            )

        self._checkpoint(f"{deed.what} intended")
        return await self._store.run(work, write=True)

    def _accepted(self, connection: sqlite3.Connection, record: MachineRecord, deed: Deed) -> None:
        now = self._clock.now()
        there = machines.deed(connection, deed.seq)
        pause_s = max(self._pause_s(there.tries), lifecycle.PATIENCE_S)
        is_open = machines.step_deed(
            connection, deed.seq, step="accepted", tried_at=now, next_at=now + timedelta(seconds=pause_s), error=None
        )
        machines.note(connection, record.seq, now, f"{deed.what} accepted", "")
        if not is_open and deed.what == "start":
            self._come_late(connection, record, "A start that was withdrawn was accepted all the same.")

    def _come_late(self, connection: sqlite3.Connection, record: MachineRecord, why: str) -> None:
        """A request was answered after another wish had taken its place: that one is sent, once more if it was."""
        there = machines.deed_of(connection, record.seq)
        now = self._clock.now()
        record = machines.by_seq(connection, record.seq)
        if there is not None:
            machines.step_deed(connection, there.seq, step="intended", next_at=None)
        elif record.desired is not Desired.RUNNING:
            what: DeedKind = "destroy" if record.desired is Desired.GONE else "stop"
            machines.open_deed(connection, record.seq, what, why, self._owner, now)
            if record.is_gone:
                machines.change(
                    connection,
                    record.seq,
                    gone_at=None,
                    state=MachineState.DESTROYING,
                    state_at=now,
                    state_why=why,
                    name=f"{record.name}-late-{record.seq}",
                )
        machines.note(connection, record.seq, now, "late", why)

    async def _failed(self, record: MachineRecord, deed: Deed, error: ProviderError | ConsoleError) -> None:
        """What a failure comes to: a start is given up, refused or not answered; the others are sent again."""
        now = self._clock.now()
        cloud = self._cloud(record.cloud)
        can_stop = record.cloud_id is None or Capability.STOP in cloud.capabilities_of(record.cloud_id)

        def work(connection: sqlite3.Connection) -> None:
            machines.note(connection, record.seq, now, f"{deed.what} failed", error.text)
            there = machines.deed(connection, deed.seq)
            if there.ended_at is not None:
                if deed.what == "start":
                    self._come_late(connection, record, "A start that was withdrawn may have been accepted.")
                return
            if deed.what == "start":
                self.give_up_start(connection, record, there, error.text)
                return
            if deed.what == "stop" and isinstance(error, CannotDo) and not can_stop:
                machines.end_deed(connection, deed.seq, "given-up", now, error.text)
                machines.change(connection, record.seq, desired=Desired.RUNNING)  # what it is, whoever wanted otherwise
                return
            pause_s = self._pause_s(there.tries)
            if isinstance(error, RateLimited):
                pause_s = max(pause_s, error.retry_after_s or 0.0)
            # A request that was turned away for the rate was not carried out; of others one does not know.
            step = "intended" if isinstance(error, RateLimited) else "sent"
            machines.step_deed(
                connection, deed.seq, step=step, error=error.text, next_at=now + timedelta(seconds=pause_s)
            )

        await self._store.run(work, write=True)
        _log.warning(
            "a request failed", extra={"machine": record.name, "what": deed.what, "error": error.text}
        )  # fmt: skip

    def give_up_start(self, connection: sqlite3.Connection, record: MachineRecord, deed: Deed, why: str) -> Deed:
        """A start that is not to be had is always followed by a stop: it may be waiting at the cloud."""
        now = self._clock.now()
        machines.end_deed(connection, deed.seq, "given-up", now, why)
        machines.note(connection, record.seq, now, "start given-up", why)
        return self.wish(connection, record, "stop", f"Its start was given up: {why}", Desired.STOPPED)

    # Going on with what is open

    def next_act(self, record: MachineRecord, deed: Deed) -> Act:
        """What this process has to do for a deed now."""
        if deed.seq in self._ordering or not self._is_for_me(deed):
            return Act.WAIT
        return lifecycle.next_act(record, deed, self._clock.now(), orphan=self._is_orphan(deed))

    def _is_orphan(self, deed: Deed) -> bool:
        if deed.what == "create" and (deed.owner == self._owner or self._is_stale(deed, LEAVE_ORDER_S)):
            return True  # here nobody waits for it any more, and elsewhere hardly
        return not is_alive(deed.owner)

    async def go_on(self, record: MachineRecord, deed: Deed) -> None:
        """Do what a deed needs now, if this process is the one to do it."""
        match self.next_act(record, deed):
            case Act.SEND:
                await self.send(record, deed)
            case Act.CANCEL if deed.what == "create":
                await self._forget(record, deed, "Whoever ordered it was ended before it was there.")
            case Act.CANCEL | Act.GIVE_UP:
                why = "It took too long."
                if self._is_orphan(deed):
                    why = "Whoever wished it was ended before it was done."
                stop = await self._store.run(lambda c: self._instead_of_start(c, record, deed, why), write=True)
                if stop is not None and record.cloud_id is not None:
                    await self.send(record, stop)
            case Act.WAIT:
                pass

    def _instead_of_start(
        self, connection: sqlite3.Connection, record: MachineRecord, deed: Deed, why: str
    ) -> Deed | None:
        if machines.deed_of(connection, record.seq) != deed:
            return None
        return self.give_up_start(connection, record, deed, why)

    def _is_for_me(self, deed: Deed) -> bool:
        if deed.owner == self._owner or not is_alive(deed.owner):
            return True
        return self._is_stale(deed, LEAVE_S if deed.what in ("stop", "destroy") else LEAVE_ORDER_S)

    def _is_stale(self, deed: Deed, limit_s: float) -> bool:
        due = deed.next_at or deed.tried_at or deed.begun_at
        return self._clock.now() - due > timedelta(seconds=limit_s)

    async def alarm(self, record: MachineRecord, deed: Deed) -> None:
        """Tell the user that something is not proved yet, once per pause over all processes."""
        now = self._clock.now()

        def work(connection: sqlite3.Connection) -> bool:
            there = machines.deed(connection, deed.seq)
            if there.ended_at is not None or not lifecycle.is_overdue(there, now):
                return False
            machines.step_deed(connection, deed.seq, alarmed_at=now)
            machines.note(connection, record.seq, now, f"{deed.what} overdue", there.error or record.state_why)
            return True

        if await self._store.run(work, write=True):
            self._bus.publish(DeedOverdue(record.name, deed.what, deed.begun_at, overdue_text(record, deed)))
            _log.error("something is overdue", extra={"machine": record.name, "what": deed.what})

    def _pause_s(self, tries: int) -> float:
        return lifecycle.pause_s(tries, random.random())  # noqa: S311

    @contextmanager
    def _waited_for(self, seq: int) -> Iterator[None]:
        self._ordering.add(seq)
        try:
            yield
        finally:
            self._ordering.discard(seq)


_NOT_YET = {
    "create": "is not running yet",
    "start": "is not running yet",
    "stop": "is not proved to be stopped and may cost the full price",
    "destroy": "is not proved to be gone and may cost money",
}


def overdue_text(record: MachineRecord, deed: Deed) -> str:
    why = deed.error or record.state_why
    return f"{record.name} on {record.cloud} {_NOT_YET[deed.what]}." + (f" {why}" if why else "")
