"""The second stopper as the guard keeps it, and the words for how well a machine is protected."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.errors import LinkUnreachable
from console.links.detached import Detached
from console.links.remote import Connect
from console.machines.leases import LeaseView
from console.machines.on_machine import OnMachines
from console.machines.protection import Word
from console.machines.records import MachineRecord
from providers.clouds.ending import Ending, How
from tests.conftest import run
from tests.console.lease_kit import Berth, berth
from tests.console.machines_kit import until
from tests.console.test_stopper import Rented, rented

if TYPE_CHECKING:
    import asyncssh


DEAD = "1 1\n"
"""A heartbeat of long ago."""


class Kept:
    """A leased machine whose own guard is kept, with a clock of ours that has nothing to do with its clock."""

    def __init__(self, here: Berth, there: Rented) -> None:
        self.here = here
        self.there = there
        self.is_reachable = True
        self.key: str | None = there.key
        self._own = OnMachines(
            here.world.store, self._reach, self._ending, lambda _: self.key, here.world.clock, tick_s=1
        )

    def _reach(self, _: str) -> Connect:
        async def connect() -> asyncssh.SSHClientConnection:
            if not self.is_reachable:
                raise LinkUnreachable("The machine does not answer.")
            return await self.there.machine.connect()

        return connect

    def _ending(self, _: MachineRecord, how: How) -> Ending | None:
        return self.there.ending(how)

    async def round(self) -> None:
        """A minute later."""
        self.here.world.clock.advance(61)
        self.there.cloud_clock.forward(61)
        await self.here.guard.once()
        assert await self.here.guard.role.take()
        await self._own.round(await self.here.leases.keep_up())

    async def reboot(self) -> None:
        """The machine comes up again with its disk, and nothing runs that ran before."""
        jobs = Detached(self.there.machine.connect)
        for job in await jobs.jobs():
            await jobs.stop(job.id, grace_s=1.0)
        (self.there.folder / "beat").write_text(DEAD)

    async def view(self) -> LeaseView:
        return await self.here.leases.show("gpu1")

    async def until_beating(self) -> None:
        beat = self.there.folder / "beat"
        await until(lambda: beat.exists() and beat.read_text() != DEAD)
        await self.round()


@asynccontextmanager
async def kept(folder: Path, **more: Any) -> AsyncIterator[Kept]:
    async with rented(folder / "there") as there, berth(folder / "here", **more) as here:
        await here.launch()
        yield Kept(here, there)


def test_machine_with_both_stoppers_proved_is_guarded(tmp_path: Path) -> None:
    async def body() -> None:
        async with kept(tmp_path) as one:
            await one.round()
            before = (await one.view()).protection
            await one.until_beating()
            after = (await one.view()).protection

            if before.word is not Word.GUARDED:  # its first sign of life may be there at once
                assert before.word is Word.HALF
                assert "has not checked in yet" in before.text
            assert after.word is Word.GUARDED
            assert [stopper.is_proved for stopper in after.stoppers] == [True, True]

    run(body())


def test_guard_that_went_away_is_missed_and_put_back(tmp_path: Path) -> None:
    async def body() -> None:
        async with kept(tmp_path) as one:
            await one.round()
            await one.until_beating()

            one.is_reachable = False
            for _ in range(7):
                await one.round()
            lost = (await one.view()).protection
            alerts = await one.here.subjects()
            one.is_reachable = True
            await one.reboot()
            await one.round()
            await one.until_beating()

            await one.here.guard.once()

            assert lost.word is Word.HALF
            assert "last checked in" in lost.text
            assert "stopper:gpu1" in alerts
            assert (await one.view()).protection.word is Word.GUARDED
            assert "stopper:gpu1" not in await one.here.subjects()

    run(body())


def test_key_that_is_refused_leaves_the_machine_half_guarded(tmp_path: Path) -> None:
    async def body() -> None:
        async with kept(tmp_path) as one:
            one.key = "wrong"
            await one.round()
            await one.until_beating()

            protection = (await one.view()).protection
            assert protection.word is Word.HALF
            assert "does not accept the key" in protection.text

    run(body())


def test_machine_without_a_key_of_its_own_says_so(tmp_path: Path) -> None:
    async def body() -> None:
        async with kept(tmp_path) as one:
            one.key = None
            await one.round()

            assert "no key of its own" in (await one.view()).protection.text

    run(body())


def test_nobody_guards_when_no_process_does(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            await here.launch()
            await here.pass_time(1)

            view = await here.leases.show("gpu1")

            assert view.protection.word is Word.NONE
            assert "no Hawser runs that guards" in view.protection.text

    run(body())


def test_guard_that_says_nothing_is_not_counted(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            await here.launch()
            assert await here.guard.role.take()
            await here.pass_time(2)

            view = await here.leases.show("gpu1")

            assert view.protection.word is Word.NONE
            assert "says nothing since" in view.protection.text

    run(body())


def test_its_own_guard_gets_our_time_and_a_little_more(tmp_path: Path) -> None:
    async def body() -> None:
        async with kept(tmp_path) as one:
            await one.round()
            (lease,) = one.there.folder.glob("*.lease")
            lines = dict(line.split(" ", 1) for line in lease.read_text().splitlines())
            view = await one.view()
            offset_s = one.there.clock.now().timestamp() - one.here.world.clock.now().timestamp()

            assert view.hard_until is not None
            assert view.ends_at is not None
            five = timedelta(minutes=5)
            assert abs(float(lines["hard"]) - offset_s - (view.hard_until + five).timestamp()) < 10
            assert abs(float(lines["soft"]) - offset_s - (view.ends_at + five).timestamp()) < 120
            assert lines["idle"] == "1800"
            assert lines["watch"] == "1"

    run(body())
