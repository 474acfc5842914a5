"""A week with four clouds over HTTP, lived in seconds: one clock for the clouds and for our side, moved by hand.

Our side is what a guarding process runs: fleet, meter, leases, budgets, alerts and the daily look into the clouds'
books, over a store in a file. It can be killed in the middle of a step, which leaves what the store had committed and
no more, and it can be asleep while the clouds go on. Nothing stands behind the machines; whether somebody works on one
is told to the guard by the test, as the looks at a machine would tell it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, cast

from console.errors import ConsoleError
from console.history import alerts, machines
from console.history.store import Store
from console.links.remote import Connect
from console.machines.audit import Audit, audit
from console.machines.fleet import Fleet, LaunchPlan
from console.machines.guard import Guard, GuardTrouble, Part, Role
from console.machines.leases import Leases
from console.machines.lifecycle import ALARM_S
from console.machines.records import Deed, Desired, MachineRecord, MachineState
from console.machines.signals import Look, Signals
from console.machines.watch import Watch
from console.money.budget import Budget
from console.money.meter import Meter
from console.money.reconcile_books import Reconciled, Reconciler
from console.money.watch import MoneyWatch
from console.notify import Alerts
from console.settings import load_settings
from providers.clouds.base import Cloud, CloudHost, Search
from providers.errors import ProviderError
from providers.registry import cloud as adapter_of
from providers.simulated.clouds.billing import ChargeKind
from providers.simulated.clouds.lambda_cloud import LambdaTwin
from providers.simulated.clouds.rental import Rental
from providers.simulated.clouds.runpod import RunPodTwin
from providers.simulated.clouds.tensordock import TensorDockTwin
from providers.simulated.clouds.twin import CloudTwin
from providers.simulated.clouds.vast import VastTwin
from tests.clocks import EagerClock
from tests.console.fleet_kit import Heard
from tests.console.store_kit import paths_in

T = TypeVar("T")
MONDAY = datetime(2026, 9, 7, tzinfo=UTC)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun", "next-mon", "next-tue")
OUR_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOurKeyOurKeyOurKeyOurKeyOurKeyOurKeyOur hawser"
TWINS: dict[str, type[CloudTwin]] = {
    "vast": VastTwin,
    "runpod": RunPodTwin,
    "tensordock": TensorDockTwin,
    "lambda": LambdaTwin,
}
KEYS = {"tensordock": "v0-api-key:{key}"}
KINDS_OF_WORK = ("gpu", "ssh", "jobs")
QUICK_S, SLOWER_S, CALM_S, IDLE_S = 10.0, 120.0, 170.0, 1800.0
"""Between two rounds: while something changes, while something has been changing for long, while something runs, and
else. Each is the longest with which nothing in the program calls a reading stale."""
_OURS = str(Path(__file__).parents[2] / "console")


def on(text: str) -> datetime:
    """`tue 06:30` of this week."""
    day, _, clock = text.partition(" ")
    hours, _, minutes = clock.partition(":")
    return MONDAY + timedelta(days=DAYS.index(day), hours=int(hours), minutes=int(minutes))


class KilledError(BaseException):
    """Our process was killed here."""


class Mortal:
    """The store as one life of our side has it: once that is over, nothing more is read or written for it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.is_dead = False

    @property
    def read_only(self) -> bool:
        return self.store.read_only

    async def run(self, work: Callable[[sqlite3.Connection], T], *, write: bool = False) -> T:
        if self.is_dead:
            raise KilledError
        result = await self.store.run(work, write=write)
        if self.is_dead:
            raise KilledError
        return result


class Life:
    """One process of ours, from its start to its end."""

    def __init__(self, week: Week, store: Store, clouds: dict[str, Cloud], process: subprocess.Popen[bytes]) -> None:
        self.week = week
        self.clock = week.clock
        self.mortal = Mortal(store)
        self.process = process
        self.kill_at: str | None = None
        """The step at which it is killed."""
        self.clouds = clouds
        self.bus = week.bus
        owner = f"{process.pid}:?"
        as_store = cast("Store", self.mortal)
        settings = load_settings(week.paths, {}, discover=False)
        meter = Meter(zone=UTC)
        self.budget = Budget(
            settings.budget,
            as_store,
            week.clock,
            zone=UTC,
            machine_limits={name: m.day_usd for name, m in settings.machines.items() if m.day_usd is not None},
        )
        self.fleet = Fleet(
            settings,
            as_store,
            clouds.__getitem__,
            week.clock,
            week.bus,
            hooks=(meter,),
            public_key=lambda: OUR_KEY,
            accounts=lambda: list(clouds),
            may_spend=self._may_spend,
            owner=owner,
            checkpoint=self._checkpoint,
        )
        self.leases = Leases(settings, as_store, week.clock)
        self.alerts = Alerts(as_store, [], week.clock, week.bus)
        signals = Signals(self._store, week.clock)
        watch = Watch(
            _connect,
            self._leave,
            self._read,
            signals,
            week.clock,
            reached=lambda name: self.fleet.reached(name, MachineState.READY),
        )
        role = Role(as_store, week.clock, owner=owner)
        self.guard = Guard(
            as_store, self.fleet, self.leases, self.budget, self.alerts, watch, week.clock, week.bus, role=role
        )
        self.reconciler = Reconciler(as_store, clouds.__getitem__, week.clock, meter)
        self.money = MoneyWatch(
            self.budget, _Kept(self.reconciler, week.reconciled), self.fleet.accounts, self.alerts, week.clock, zone=UTC
        )
        self.guard.add(Part("books", self.money.round, 600.0))

    async def _store(self) -> Store:
        return cast("Store", self.mortal)

    async def _may_spend(self, name: str, usd_per_hour: Decimal | None) -> None:
        await self.budget.allow_machine(usd_per_hour, machine=name)

    async def _leave(self, name: str) -> None:
        return

    async def _read(self, connect: Connect, name: str) -> list[Look]:
        works = self.clock.now() < self.week.works_until.get(name, MONDAY)
        return [Look(kind, active=works and kind == "gpu", detail="at work" if works else "") for kind in KINDS_OF_WORK]

    def _checkpoint(self, step: str) -> None:
        if step == self.kill_at:
            self.mortal.is_dead = True
            raise KilledError


class _Kept(Reconciler):
    """Keeps what came of it."""

    def __init__(self, reconciler: Reconciler, kept: list[Reconciled]) -> None:
        self._reconciler = reconciler
        self._kept = kept

    async def run_due(self, accounts: Any) -> list[Reconciled]:
        done = await self._reconciler.run_due(accounts)
        self._kept += done
        return done


def _connect(_: str) -> Connect:
    async def never() -> Any:
        raise AssertionError("the looks of this week connect to nothing")

    return never


class Week:
    def __init__(self, folder: Path, twins: dict[str, CloudTwin], clock: EagerClock) -> None:
        self.paths = paths_in(folder)
        self.twins = twins
        self.clock = clock
        self.bus = Heard()
        self.life: Life | None = None
        self.lives = 0
        self.checks = 0
        self.works_until: dict[str, datetime] = {}
        self.strangers: set[str] = set()
        self.reconciled: list[Reconciled] = []
        self.refused: list[str] = []
        """What the user was told when something was not to be had."""
        self._stirred_at = clock.now()
        self._woke_at = clock.now()

    # Our process

    @property
    def ours(self) -> Life:
        assert self.life is not None, "our process does not run"
        return self.life

    async def begin(self) -> None:
        """A process of ours starts, on the files that are there."""
        assert self.life is None
        self.lives += 1
        store = await Store.open(self.paths, self.clock)
        clouds = {
            name: adapter_of(
                name,
                CloudHost(name, twin.base_url, KEYS.get(name, "{key}").format(key=twin.key), total_s=4.0),
                self.clock,
            )
            for name, twin in self.twins.items()
        }
        self.life = Life(self, store, clouds, _process())
        self.stir()

    async def end(self) -> None:
        """It is over, in whatever it was doing."""
        life = self.ours
        life.mortal.is_dead = True
        under_way = [task for task in asyncio.all_tasks() if _is_ours(task) and task is not asyncio.current_task()]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        for one in life.clouds.values():
            await one.close()
        await life.mortal.store.close()
        life.process.kill()
        assert life.process.stdin is not None
        life.process.stdin.close()
        life.process.wait()
        self.life = None

    async def killed_at(self, step: str, work: Callable[[], Any]) -> None:
        """Our process is killed at a step of this work, and started again."""
        self.ours.kill_at = step
        try:
            await work()
        except KilledError:
            pass
        else:
            raise AssertionError(f"it never came to {step!r}")
        await self.end()
        await self.begin()

    def sleep(self, until: str) -> None:
        """The computer sleeps, and the clouds go on."""
        self.clock.advance((on(until) - self.clock.now()).total_seconds())
        for twin in self.twins.values():
            twin.market.advance()
        self._woke_at = self.clock.now()
        self.stir()

    # Time

    def stir(self) -> None:
        """Something was done: look often for a while."""
        self._stirred_at = self.clock.now()

    async def until(self, text: str) -> None:
        """Time passes, and our process does its rounds."""
        end = on(text)
        assert self.clock.now() <= end, f"it is {self.clock.now():%a %H:%M} already, later than {text}"
        while (left_s := (end - self.clock.now()).total_seconds()) > 0:
            self.clock.advance(min(await self._pause_s(), left_s))
            await self.round()

    async def round(self) -> None:
        await self.ours.guard.once()
        await self.check()

    async def _pause_s(self) -> float:
        calm_s = (self.clock.now() - self._stirred_at).total_seconds()
        deeds = await self.ours.mortal.run(machines.open_deeds)
        begun = [(self.clock.now() - deed.begun_at).total_seconds() for deed in deeds.values()]
        if calm_s < 90 or any(since_s < 90 for since_s in begun):
            return QUICK_S
        if begun:
            return SLOWER_S
        is_on = any(ChargeKind.GPU in rental.bill.rates() for _, rental in self._billed())
        return CALM_S if is_on else IDLE_S

    # The user

    async def launch(self, name: str, cloud: str, *, gpu: str = "RTX 4090", spot: bool = False, **more: Any) -> None:
        async def work() -> None:
            offers = await self.ours.clouds[cloud].offers(Search(gpu=gpu, spot=spot))
            plan = LaunchPlan(cloud, offers[0], **more)
            await self.ours.fleet.launch(name, plan, why="asked for")

        await self.tried(work)

    async def start(self, name: str) -> None:
        await self.tried(lambda: self.ours.fleet.start(name, why="asked for"))

    async def stop(self, name: str) -> None:
        await self.tried(lambda: self.ours.fleet.stop(name, why="asked for"))

    async def destroy(self, name: str) -> None:
        await self.tried(lambda: self.ours.fleet.destroy(name, why="asked for"))

    async def tried(self, work: Callable[[], Any]) -> None:
        """What the user asks for; a refusal is told and written down."""
        self.stir()
        try:
            await work()
        except (ConsoleError, ProviderError) as error:
            self.refused.append(f"{self.clock.now():%a %H:%M} {type(error).__name__}: {error.text}")

    async def bid(self, name: str, usd_per_hour: Decimal) -> None:
        await self.tried(lambda: self.ours.fleet.set_bid(name, usd_per_hour))

    def works(self, name: str, *, until: str) -> None:
        self.works_until[name] = on(until)

    async def record(self, name: str) -> MachineRecord:
        return await self.ours.fleet.machine(name)

    async def rental(self, name: str) -> Rental:
        """The machine as its cloud has it."""
        record = await self.record(name)
        assert record.cloud_id is not None
        return self.twins[record.cloud].rentals[record.cloud_id]

    async def audit(self) -> Audit:
        return await audit(self.ours.fleet, self.ours.clouds.__getitem__)

    async def alerts(self) -> set[str]:
        return {alert.subject for alert in await self.ours.alerts.open()}

    # What must be true at every moment

    async def check(self) -> None:
        """Nothing costs money that has no row; nothing costs the full price that nobody wants, without an alarm."""
        self.checks += 1
        unexpected = [event.text for event in self.bus.of(GuardTrouble) if event.text.startswith("It fails")]
        assert not unexpected, unexpected
        look: Callable[[sqlite3.Connection], Any] = lambda c: (  # noqa: E731
            machines.every(c),
            machines.open_deeds(c),
            machines.accounts(c),
            {alert.subject for alert in alerts.every(c)},
        )
        records, deeds, accounts, standing = await self.ours.mortal.run(look)
        for name, rental in self._billed():
            record = _row_of(records, name, rental)
            assert record is not None, f"{self._when()}: {rental.id} on {name} costs money, and nobody here knows it"
            if ChargeKind.GPU in rental.bill.rates():
                account = accounts.get(name)
                is_seen = account is not None and account.error is None and account.read_at is not None
                seen_at = account.read_at if is_seen else MONDAY
                self._check_paid(record, deeds.get(record.seq), rental, seen_at, standing)

    def _check_paid(
        self, record: MachineRecord, deed: Deed | None, rental: Rental, seen_at: datetime, standing: set[str]
    ) -> None:
        now = self.clock.now()
        if record.desired is Desired.RUNNING:
            return
        text = f"{self._when()}: {record.name} ({rental.id}) costs the full price and is to be {record.desired}"
        if deed is None:
            is_known = seen_at > rental.phase_since and record.state_at > rental.phase_since
            late_s = (now - max(record.state_at, self._woke_at)).total_seconds() - ALARM_S
            assert not is_known or late_s < 0 or f"paid:{record.name}" in standing, f"{text}, and nobody was told"
            return
        assert deed.what in ("stop", "destroy"), f"{text}, and what is done is a {deed.what}"
        late_s = (now - max(deed.begun_at, self._woke_at)).total_seconds() - ALARM_S
        if late_s > SLOWER_S + QUICK_S:
            assert f"{deed.what}:{record.name}" in standing, f"{text} for {late_s:.0f} s, and nobody was told"

    def _billed(self) -> Iterator[tuple[str, Rental]]:
        for name, twin in self.twins.items():
            for rental in twin.rentals.values():
                if rental.bill.is_open and rental.id not in self.strangers:
                    yield name, rental

    def _when(self) -> str:
        return f"{self.clock.now():%a %H:%M:%S}"

    # Money

    async def booked(self, cloud: str) -> Decimal:
        """All that the ledger has of an account."""

        def work(connection: sqlite3.Connection) -> Decimal:
            rows = connection.execute("SELECT cost_usd FROM ledger WHERE wire = ? AND client = 'meter'", (cloud,))
            return sum((Decimal(usd) for (usd,) in rows), Decimal(0))

        return await self.ours.mortal.run(work)

    def billed(self, cloud: str, until: datetime | None = None) -> Decimal:
        """All that the cloud has charged for what is ours."""
        twin = self.twins[cloud]
        until = until or self.clock.now()
        sums: list[Decimal] = [
            sum(rental.bill.between(MONDAY, until, self.clock.now()).values(), Decimal(0))
            for rental in twin.rentals.values()
            if rental.id not in self.strangers
        ]
        return sum(sums, Decimal(0))


def _process() -> subprocess.Popen[bytes]:
    """One that does nothing: its pid stands for our process, which cannot be killed for real in here."""
    return subprocess.Popen([sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)


def _is_ours(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and str(code.co_filename).startswith(_OURS)


def _row_of(records: list[MachineRecord], cloud: str, rental: Rental) -> MachineRecord | None:
    for record in records:
        if record.cloud == cloud and (
            record.cloud_id == rental.id or (not record.cloud_id and record.label == rental.label)
        ):
            return record
    return None


@asynccontextmanager
async def week(folder: Path, *, config: str = "", begin: str = "mon 08:00") -> AsyncIterator[Week]:
    clock = EagerClock(on(begin))
    paths = paths_in(folder)
    paths.config.mkdir(parents=True, exist_ok=True)
    paths.config_file.write_text(config)
    async with AsyncExitStack() as stack:
        twins = {
            name: await stack.enter_async_context(kind(clock=clock, balance_usd=Decimal(5_000)))
            for name, kind in TWINS.items()
        }
        there = Week(folder, twins, clock)
        await there.begin()
        try:
            yield there
        finally:
            if there.life is not None:
                await there.end()
