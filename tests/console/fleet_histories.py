"""Random histories of clouds, users and kills, and what must be true at every moment of them.

One history is one seed: machines are rented, stopped, started and destroyed while answers are lost, lists fail, lack
machines, lie or are late, GPUs are not free, other people click in the cloud's console, hours pass, and the process is
killed at some checkpoint. Then the faults end, and everything has to come right by itself.

A kill is an exception that no code may catch, and a store that takes nothing more from that life; the next life is
another process to the rows. The store is in memory, with the real tables: a history takes milliseconds.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar, cast

from console.errors import ConsoleError
from console.history import machines, schema
from console.history.store import Store
from console.machines.events import DeedOverdue, MachineFound
from console.machines.fleet import Fleet
from console.machines.lifecycle import ALARM_S
from console.machines.records import Desired, MachineRecord, MachineState
from console.settings import Settings, load_settings
from providers.clouds.base import Bills, State
from providers.errors import ProviderError
from tests.clocks import EagerClock
from tests.console.fake_cloud import FakeCloud, Fate
from tests.console.fleet_kit import PLAN, Heard
from tests.console.store_kit import paths_in

T = TypeVar("T")
NAMES = ("ada", "bob")
ROUND_S = 300.0
"""Longer than a round takes here, with an order in it whose answer was lost."""

WISHES: dict[str, tuple[Fate, ...]] = {
    "create": ("well", "well", "unsent", "lost", "refused", "leftover"),
    "start": ("well", "well", "unsent", "lost", "refused", "queued"),
    "stop": ("well", "well", "unsent", "lost", "refused"),
    "destroy": ("well", "well", "unsent", "lost", "refused"),
}
HONEST: tuple[Fate, ...] = ("well",) * 6 + ("unsent",)
LYING: tuple[Fate, ...] = ("well",) * 6 + ("unsent", "missing", "empty", "stale", "odd")


class Killed(BaseException):
    """The process was killed here."""


class Rows:
    """The store of one life, over tables that outlive it."""

    read_only = False

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.is_dead = False

    async def run(self, work: Callable[[sqlite3.Connection], T], *, write: bool = False) -> T:
        if self.is_dead:
            raise Killed
        self._connection.execute("BEGIN")
        try:
            result = work(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        return result


class Broken(AssertionError):
    """What must always be true was not."""


class History:
    def __init__(self, seed: int, settings: Settings, tables: bytes, *, lying: bool) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.clock = EagerClock()
        self.cloud = FakeCloud(
            self.clock,
            fate=self._fate,
            boot_s=self.chance.choice((5.0, 40.0, 300.0)),
            stop_s=self.chance.choice((1.0, 10.0, 90.0)),
            keeps_gone=self.chance.random() < 0.3,
        )
        self.cloud.way_s = lambda: 0.0 if self.is_calm else self.chance.choice((0.0, 0.5, 4.0, 40.0))
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.deserialize(tables)
        self.lists = LYING if lying else HONEST
        self.is_calm = False
        self.last_list: Fate = "well"
        self.settings = settings
        self.bus = Heard()
        self.lives = 0
        self.story: list[str] = []
        self.to_destroy: set[str] = set()
        """Ids of machines that the user wished to be gone."""
        self.has_run: set[str] = set()
        """Ids of machines that were seen to run."""
        self.hidden: set[str] = set()
        """Ids of machines that no answer had for a while, though they were there."""
        self.begin_life()

    # The world

    def _fate(self, call: str) -> Fate:
        if self.is_calm:
            fate: Fate = "well"
        elif call in ("list", "show"):
            fate = self.chance.choice(self.lists)
        else:
            fate = self.chance.choice(WISHES[call])
        if call == "list":
            self.last_list = fate
        if fate != "well":
            self.story.append(f"{self.clock.monotonic():.0f} {call} {fate}")
        return fate

    def begin_life(self) -> None:
        self.lives += 1
        self.rows = Rows(self.connection)
        self.steps_left = self.chance.choice((3, 8, 20, 60, 10**9))
        self.fleet = Fleet(
            self.settings,
            cast("Store", self.rows),
            lambda _: self.cloud,
            self.clock,
            self.bus,
            public_key=lambda: "ssh-ed25519 AAAA test",
            accounts=lambda: ["cloud"],
            owner=f"99999999{self.lives % 10}:{self.lives}",
            checkpoint=self._checkpoint,
        )

    def _checkpoint(self, step: str) -> None:
        self.steps_left -= 1
        if self.steps_left <= 0 and not self.is_calm:
            self.story.append(f"{self.clock.monotonic():.0f} killed at {step}")
            self.rows.is_dead = True
            raise Killed

    def drift(self) -> None:
        """Something happens at the cloud that nobody here asked for."""
        there = [machine for machine in self.cloud.truth.values() if machine.state is not State.GONE]
        if not there:
            return
        machine = self.chance.choice(there)
        what = self.chance.choice(
            ("stop", "start", "outbid", "lost", "hide", "show", "destroy", "die", "late", "plain")
        )
        self.story.append(f"{self.clock.monotonic():.0f} {what} {machine.id} at the cloud")
        match what:
            case "stop":
                machine.state, machine.until = State.STOPPED, None
            case "start" if machine.state is State.STOPPED:
                machine.state, machine.until = State.RUNNING, None
                machine.unasked = True
            case "outbid" if machine.state is State.RUNNING:
                machine.state, machine.until = State.OUTBID, None
            case "lost" if machine.state is State.RUNNING:
                machine.state, machine.then = State.LOST, State.RUNNING
                machine.until = self.clock.monotonic() + 600
            case "hide" if self.lists is LYING:
                machine.missing = True
                self.hidden.add(machine.id)
            case "show":
                machine.missing = False
            case "destroy":
                machine.state, machine.until = State.GONE, None
            case "die" if machine.state is State.RUNNING:
                machine.state = State.DIED
            case "late" if machine.state is State.STARTING:
                machine.until = self.clock.monotonic() + 900
            case "plain":
                self.cloud.plain_stops = not self.cloud.plain_stops
            case _:
                pass

    # The user

    async def wish(self) -> None:
        name = self.chance.choice(NAMES)
        record = await self.rows.run(lambda c: machines.get(c, name))
        if record is None:
            what = self.chance.choice(("launch",) * 9 + ("stop",))
        elif record.desired is Desired.STOPPED:
            what = self.chance.choice(("start",) * 6 + ("stop", "launch", "destroy", "forget"))
        else:
            what = self.chance.choice(("stop",) * 6 + ("start", "launch", "destroy", "forget"))
        self.story.append(f"{self.clock.monotonic():.0f} {what} {name}")
        if what == "destroy" and record is not None:
            self.to_destroy.add(record.label)
        try:
            match what:
                case "launch":
                    await self.fleet.launch(name, PLAN, why="asked for")
                case "stop":
                    await self.fleet.stop(name, why="asked for")
                case "start":
                    await self.fleet.start(name, why="asked for")
                case "destroy":
                    await self.fleet.destroy(name, why="asked for")
                case _:
                    await self.fleet.forget(name)
        except (ConsoleError, ProviderError) as error:
            self.story.append(f"    {type(error).__name__}: {error.text}")

    async def step(self) -> None:
        """Some time, something from outside, and up to two wishes while a round goes on."""
        self.clock.advance(self.chance.choice((0.5, 2.0, 5.0, 10.0, 20.0, 60.0, 600.0)))
        if self.chance.random() < 0.2:
            self.drift()
        wishes = [self.wish() for _ in range(self.chance.choice((0, 0, 1, 1, 2)))]
        for end in await asyncio.gather(self.fleet.reconcile(), *wishes, return_exceptions=True):
            if isinstance(end, BaseException):
                raise end

    async def live(self, steps: int) -> None:
        for _ in range(steps):
            try:
                await self.step()
            except Killed:
                self.begin_life()
                self.check()
            else:
                self.check()
                self.check_alarms()
        self.cloud.plain_stops = False
        self.is_calm = True
        for machine in self.cloud.truth.values():
            machine.missing = False
        for pause_s in (5.0,) * 6 + (30.0,) * 8 + (300.0,) * 30:
            self.clock.advance(pause_s)
            await self.fleet.reconcile()
            self.check()
        self.check_end()
        self.connection.close()

    # What must be true

    def records(self, *, gone: bool = False) -> list[MachineRecord]:
        return machines.every(self.connection, gone=gone)

    def broken(self, text: str) -> NoReturn:
        rows = "\n".join(
            f"  {r.name} {r.cloud_id} {r.desired} {r.state} {r.state_why}" for r in self.records(gone=True)
        )
        there = "\n".join(f"  {m}" for m in self.cloud.truth.values())
        story = "\n".join(self.story)
        raise Broken(f"seed {self.seed} at {self.clock.monotonic():.0f}: {text}\n{story}\nrows\n{rows}\ncloud\n{there}")

    def check(self) -> None:
        self.cloud.pass_time()
        now = self.clock.now()
        records = self.records()
        owned = {record.cloud_id for record in records} | {record.label for record in records if not record.cloud_id}
        told = {event.cloud_id for event in self.bus.of(MachineFound)}
        fresh = [record for record in records if record.seen_at == now]
        truthful = self.last_list == "well"
        there = list(self.cloud.truth.values())
        for machine in self.cloud.truth.values():
            costs = machine.bills is not Bills.NOTHING
            known = machine.id in owned or machine.label in owned or machine.id in told
            if costs and not known and truthful and fresh and not machine.missing:
                self.broken(f"{machine.id} costs money and nobody owns it")
        self.has_run |= {str(record.cloud_id) for record in records if record.started_at is not None}
        if self.lists is HONEST and len({machine.label for machine in there}) < len(there):
            self.broken("an order was carried out twice")
        for record in self.records(gone=True):
            truth = self.cloud.truth.get(str(record.cloud_id))
            is_there = truth is not None and truth.id not in self.hidden and truth.state is not State.GONE
            if is_there and record.is_gone and record.seen_at and record.state_why != "It was forgotten.":
                self.broken(f"{record.name} is called gone, and is there")
        for record in fresh:
            truth = self.cloud.truth[str(record.cloud_id)]
            if record.state is MachineState.STOPPED and truthful and truth.bills is Bills.EVERYTHING:
                self.broken(f"{record.name} is called stopped and costs the full price")
        self.check_destructions(self.records(gone=True))

    def check_alarms(self) -> None:
        """After a round that came to its end, the user knows of all that is late."""
        for seq, deed in machines.open_deeds(self.connection).items():
            waited_s = (self.clock.now() - deed.begun_at).total_seconds()
            if deed.what in ("stop", "destroy") and waited_s > ALARM_S + ROUND_S and deed.alarmed_at is None:
                self.broken(f"the {deed.what} of {seq} is late and nobody was told")

    def check_destructions(self, records: list[MachineRecord]) -> None:
        """Nothing that has run is destroyed unless the user wished it, or its order had failed before it ran."""
        self.to_destroy |= {
            record.label for record in records if record.desired is Desired.GONE and record.cloud_id not in self.has_run
        }
        by_id = {record.cloud_id: record for record in records}
        for call in self.cloud.calls:
            what, _, id_ = call.partition(" ")
            record = by_id.get(id_)
            if what == "destroy" and record is not None and id_ in self.has_run and record.label not in self.to_destroy:
                self.broken(f"{id_} has run and was destroyed, which nobody wished")
        self.cloud.calls.clear()

    def last_deed(self, record: MachineRecord) -> str | None:
        deeds = machines.deeds(self.connection, record.seq, limit=1)
        return deeds[0].what if deeds else None

    def check_end(self) -> None:
        deeds = machines.open_deeds(self.connection)
        if deeds:
            self.broken(f"still open: {[(deed.what, deed.step, deed.error) for deed in deeds.values()]}")
        by_id = {record.cloud_id: record for record in self.records()}
        for machine in self.cloud.truth.values():
            record = by_id.get(machine.id)
            if machine.state is State.GONE:
                if record is not None:
                    self.broken(f"{machine.id} is gone and is called {record.state}")
            elif record is None:
                self.broken(f"{machine.id} is {machine.state} and nobody knows")
            elif machine.plain_stop and machine.state is State.STOPPED and self.last_deed(record) != "stop":
                pass  # somebody holds the GPU on purpose, in the cloud's own console: that is told, and not fought
            elif machine.bills is Bills.EVERYTHING and record.desired is not Desired.RUNNING:
                self.broken(f"{machine.id} costs the full price and is to be {record.desired}")
            elif machine.bills is Bills.EVERYTHING and record.state in (MachineState.STOPPED, MachineState.STOPPING):
                self.broken(f"{machine.id} costs the full price and is called {record.state}")
            told = {event.cloud_id for event in self.bus.of(MachineFound)}
            by_us = machine.bills is Bills.EVERYTHING and not machine.unasked and machine.id not in told
            if record is not None and by_us:
                last = machines.deeds(self.connection, record.seq, limit=1)
                if last and (last[0].what not in ("create", "start") or last[0].end != "done"):
                    self.broken(f"{machine.id} runs by our request, and the last wish was to {last[0].what}")
        overdue = [event for event in self.bus.of(DeedOverdue) if not event.text]
        assert not overdue


def empty_tables() -> bytes:
    connection = sqlite3.connect(":memory:")
    schema.create(connection, 0)
    connection.commit()
    return connection.serialize()


def run_histories(folder: Path, seeds: range, *, steps: int = 25, lying: bool) -> dict[str, int]:
    """Live through them; returns how often what happened, so that a test sees that something did."""
    paths = paths_in(folder)
    settings = load_settings(paths, {}, discover=False)
    tables = empty_tables()
    told: dict[str, int] = {}

    async def body() -> None:
        for seed in seeds:
            history = History(seed, settings, tables, lying=lying)
            await history.live(steps)
            told["kills"] = told.get("kills", 0) + history.lives - 1
            told["machines"] = told.get("machines", 0) + len(history.cloud.truth)
            told["alarms"] = told.get("alarms", 0) + len(history.bus.of(DeedOverdue))

    asyncio.run(body())
    return told


if __name__ == "__main__":
    import logging
    import sys
    import tempfile

    logging.disable(logging.CRITICAL)
    first, last, manner = sys.argv[1:]
    print(run_histories(Path(tempfile.mkdtemp()), range(int(first), int(last)), lying=manner == "lying"))
