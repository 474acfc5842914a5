"""The guard's rounds: leases, budgets and alerts over a fleet on a cloud in memory, and a clock moved by hand."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from console.errors import MachineError
from console.history import leases as rows
from console.history import roles
from console.machines.guard import GuardLost, GuardTook, GuardTrouble, LeaseEnded, LeaseWarned, Part, Role
from console.machines.protection import ROLE
from console.machines.records import MachineState
from console.machines.signals import Look
from providers.clouds.base import Capability, State
from tests.clocks import EagerClock
from tests.conftest import run
from tests.console.fake_cloud import EVERYTHING, FakeCloud, fates
from tests.console.lease_kit import IDLE, berth, busy


def test_idle_machine_is_warned_of_and_stopped(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            await here.launch()

            await here.pass_time(27)
            warned = here.world.bus.of(LeaseWarned)
            await here.pass_time(5)

            assert len(warned) == 1
            (ended,) = here.world.bus.of(LeaseEnded)
            assert "idle since" in ended.text
            record = await here.world.fleet.settled("gpu1")
            assert record.state is MachineState.STOPPED
            assert here.world.cloud.billing() == []
            assert (await here.leases.show("gpu1")).is_leased is False

    run(body())


def test_what_was_stopped_elsewhere_and_is_paid_in_full_is_told_and_ended(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            await here.launch()
            here.looks["gpu1"] = None
            here.world.cloud.truth["1"].state = State.STOPPED
            here.world.cloud.truth["1"].plain_stop = True

            await here.pass_time(4)
            assert "paid:gpu1" in await here.subjects()
            await here.pass_time(32)

            record = await here.world.fleet.settled("gpu1")
            assert (record.state, here.world.cloud.billing()) == (MachineState.STOPPED, [])
            await here.pass_time(1)
            assert "paid:gpu1" not in await here.subjects()

    run(body())


def test_busy_machine_goes_on_and_ends_with_its_lease(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path, config="[lease]\nhard_h = 2\n") as here:
            await here.launch()
            here.looks["gpu1"] = busy("gpu", "GPU in use by 97 %")

            await here.pass_time(110)
            assert here.world.bus.of(LeaseEnded) == []
            assert "lease:gpu1" not in await here.subjects()
            await here.pass_time(8)
            assert "lease:gpu1" in await here.subjects()
            await here.pass_time(4)

            (ended,) = here.world.bus.of(LeaseEnded)
            assert "its lease ended" in ended.text
            assert "lease:gpu1" not in await here.subjects()

    run(body())


def test_extended_lease_lets_a_busy_machine_go_on(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path, config="[lease]\nhard_h = 1\n") as here:
            await here.launch()
            here.looks["gpu1"] = busy("jobs", "training")
            await here.pass_time(1)
            before = await here.leases.show("gpu1")

            view = await here.leases.extend("gpu1", timedelta(hours=1))
            await here.pass_time(90)

            assert before.hard_until is not None
            assert view.hard_until == before.hard_until + timedelta(hours=1)
            assert here.world.bus.of(LeaseEnded) == []
            await here.pass_time(45)
            assert len(here.world.bus.of(LeaseEnded)) == 1

    run(body())


def test_pin_keeps_an_idle_machine_with_its_reason(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            await here.launch()
            await here.leases.pin("gpu1", timedelta(hours=2), "waiting for a colleague")

            await here.pass_time(100)
            view = await here.leases.show("gpu1")

            assert here.world.bus.of(LeaseEnded) == []
            assert view.pin_why == "waiting for a colleague"
            assert view.ends_at == view.pinned_until
            await here.leases.unpin("gpu1")
            await here.pass_time(1)
            assert len(here.world.bus.of(LeaseEnded)) == 1

    run(body())


@pytest.mark.parametrize("kind", ["gpu", "ssh", "jobs"])
def test_every_kind_of_work_renews_the_lease(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            await here.launch()
            await here.pass_time(25)

            here.looks["gpu1"] = busy(kind)
            await here.pass_time(10)
            here.looks["gpu1"] = IDLE
            await here.pass_time(25)

            assert here.world.bus.of(LeaseEnded) == []
            await here.pass_time(7)
            assert len(here.world.bus.of(LeaseEnded)) == 1

    run(body())


def test_request_renews_the_lease(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            await here.launch()
            await here.pass_time(25)

            await here.signals.note("gpu1", "requests", "qwen3:8b answered")
            await here.pass_time(20)

            view = await here.leases.show("gpu1")
            assert here.world.bus.of(LeaseEnded) == []
            assert view.idle_since is not None
            assert "qwen3:8b answered" in view.why

    run(body())


def test_machine_that_nobody_can_look_at_is_kept_and_told(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path, config="[lease]\nhard_h = 3\n") as here:
            await here.launch()
            await here.pass_time(5)
            here.looks["gpu1"] = None

            await here.pass_time(60)
            assert here.world.bus.of(LeaseEnded) == []
            assert "blind:gpu1" in await here.subjects()
            assert (await here.leases.show("gpu1")).unread == ("gpu", "ssh", "jobs")
            await here.pass_time(125)

            assert len(here.world.bus.of(LeaseEnded)) == 1
            assert "blind:gpu1" not in await here.subjects()

    run(body())


def test_after_a_sleep_the_machine_is_looked_at_and_then_ended(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            await here.launch()
            await here.pass_time(10)

            here.world.clock.advance(8 * 3600)
            await here.guard.once()
            assert here.world.bus.of(LeaseEnded) == []
            await here.pass_time(3)

            (ended,) = here.world.bus.of(LeaseEnded)
            assert "for 8 h" in ended.text

    run(body())


def test_machine_found_busy_after_a_sleep_goes_on(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            await here.launch()
            await here.pass_time(10)

            here.world.clock.advance(8 * 3600)
            here.looks["gpu1"] = busy("gpu")
            await here.pass_time(20)

            assert here.world.bus.of(LeaseEnded) == []

    run(body())


def test_lease_that_ended_in_a_sleep_is_checked_at_the_cloud_first(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            await here.launch()
            await here.pass_time(2)
            (machine,) = here.world.cloud.truth.values()
            machine.state = State.STOPPED  # the guard on the machine was faster
            here.world.clock.advance(13 * 3600)

            await here.guard.once()

            assert here.world.bus.of(LeaseEnded) == []
            assert f"stop {machine.id}" not in here.world.cloud.calls

    run(body())


def test_restart_begins_a_new_lease(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            await here.launch()
            await here.pass_time(35)
            await here.world.fleet.settled("gpu1")
            await here.pass_time(20)

            await here.world.fleet.start("gpu1", why="needed")
            await here.world.fleet.settled("gpu1")
            started = here.world.clock.now()
            view = await here.leases.begin("gpu1")

            assert view.hard_until is not None
            assert abs(view.hard_until - started - timedelta(hours=12)) < timedelta(minutes=5)
            await here.pass_time(20)
            assert len(here.world.bus.of(LeaseEnded)) == 1

    run(body())


def test_idleness_off_leaves_it_to_the_lease(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path, config='[idle]\nstop_after_min = "off"\n[lease]\nhard_h = 4\n') as here:
            await here.launch()

            await here.pass_time(230, step_s=60)
            assert here.world.bus.of(LeaseEnded) == []
            await here.pass_time(12, step_s=60)

            assert len(here.world.bus.of(LeaseEnded)) == 1

    run(body())


def test_machine_is_destroyed_where_that_was_said(tmp_path: Path) -> None:
    async def body() -> None:
        cloud = FakeCloud(EagerClock(), capabilities=EVERYTHING - {Capability.STOP})
        async with berth(tmp_path, cloud) as here:
            await here.launch(at_end="destroy")

            await here.pass_time(35)
            record = await here.world.fleet.settled("gpu1") if await here.world.fleet.machines() else None

            assert record is None or record.is_gone
            assert cloud.billing() == []

    run(body())


def test_machine_that_cannot_be_ended_is_an_alarm(tmp_path: Path) -> None:
    async def body() -> None:
        cloud = FakeCloud(EagerClock(), capabilities=EVERYTHING - {Capability.STOP})
        async with berth(tmp_path, cloud) as here:
            cloud.put("hawser-found-7f3k2m9q")  # an earlier Hawser's, and nobody said that it may be destroyed
            await here.pass_time(40)

            assert "unended:found" in await here.subjects()
            assert (await here.guard.once()).unconfirmed
            assert len(cloud.billing()) == 1

    run(body())


def test_unproved_stop_is_an_alarm_until_it_is_proved(tmp_path: Path) -> None:
    async def body() -> None:
        cloud = FakeCloud(EagerClock(), fate=fates([("stop", "refused")] * 40))
        async with berth(tmp_path, cloud) as here:
            await here.launch()
            await here.pass_time(35)

            assert "stop:gpu1" in await here.subjects()
            assert any(trouble.subject == "stop:gpu1" for trouble in (await here.guard.once()).unconfirmed)
            cloud.fate = lambda _: "well"
            await here.pass_time(8)
            assert await here.subjects() == []
            assert cloud.billing() == []

    run(body())


def test_spent_budget_stops_a_busy_and_pinned_machine(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path, config="[budget]\nday_usd = 0\n") as here:
            await here.launch()
            await here.leases.pin("gpu1", timedelta(hours=2), "work")
            here.looks["gpu1"] = busy("gpu")

            await here.pass_time(1)

            (ended,) = here.world.bus.of(LeaseEnded)
            assert "budget" in ended.text
            assert any(subject.startswith("budget:day:") for subject in await here.subjects())

    run(body())


def test_own_machine_is_left_alone_unless_its_end_is_set(tmp_path: Path) -> None:
    async def body() -> None:
        own = '[machines.{0}]\ncloud = "ssh"\nhost = "me@{0}.example"\nstart = "true"\nstop = "true"\n'
        config = own.format("left") + own.format("ended") + 'at_end = "stop"\n'
        cloud = FakeCloud(EagerClock())
        async with berth(tmp_path, cloud, config=config, accounts=()) as here:
            for name in ("left", "ended"):
                cloud.put("", id=name)

            await here.pass_time(40)

            assert "stop ended" in cloud.calls
            assert "stop left" not in cloud.calls
            with pytest.raises(MachineError, match="no lease"):
                await here.leases.extend("left", timedelta(hours=1))

    run(body())


def test_outbid_machine_is_told_and_cleared(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            await here.launch()
            (machine,) = here.world.cloud.truth.values()
            machine.state = State.OUTBID

            await here.pass_time(1)
            assert "outbid:gpu1" in await here.subjects()
            machine.state = State.RUNNING
            await here.pass_time(1)

            assert "outbid:gpu1" not in await here.subjects()

    run(body())


def test_part_that_fails_leaves_the_others_alone_and_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:

            async def broken() -> None:
                raise RuntimeError("a fault")

            here.guard.add(Part("broken", broken, 1.0))
            await here.launch()
            await here.pass_time(35)

            assert here.world.bus.of(GuardTrouble)[0].part == "broken"
            assert "guard:broken" in await here.subjects()
            assert len(here.world.bus.of(LeaseEnded)) == 1

    run(body())


def test_guard_takes_the_role_and_gives_it_up_when_it_is_anothers(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path, owner="1:here") as here:
            store, clock = here.world.store, here.world.clock
            guarding = asyncio.create_task(here.guard.run())
            while not here.world.bus.of(GuardTook):
                await asyncio.sleep(0)

            # Another process finds the role stale, as it is while this one is frozen, and takes it.
            await store.run(lambda c: roles.give_back(c, ROLE, "1:here"), write=True)
            other = Role(store, clock)
            assert await other.take()
            while not here.world.bus.of(GuardLost):
                await other.take()

            guarding.cancel()
            await asyncio.gather(guarding, return_exceptions=True)
            assert await other.is_ours()

    run(body())


def test_frozen_guard_does_not_act_when_it_wakes(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path, owner="1:here") as here:
            await here.launch()
            await here.pass_time(20)
            assert await here.guard.role.take()
            await here.world.store.run(lambda c: roles.give_back(c, ROLE, "1:here"), write=True)
            assert await Role(here.world.store, here.world.clock).take()

            here.guard.only_in_role = True
            await here.pass_time(30)

            assert here.world.bus.of(LeaseEnded) == []

    run(body())


def test_link_is_let_go_when_the_lease_is_over(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            await here.launch()
            await here.pass_time(36)

            assert here.left == ["gpu1"]

    run(body())


def test_notes_are_written_seldom_and_only_of_known_machines(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            await here.launch()
            record = await here.world.fleet.machine("gpu1")

            await here.signals.note("gpu1", "requests", "first")
            await here.signals.note("gpu1", "requests", "second")
            await here.signals.note("nobody", "requests", "third")
            noted = await here.world.store.run(lambda c: rows.signals(c, record.seq))
            here.world.clock.advance(20)
            await here.signals.note("gpu1", "requests", "fourth")
            later = await here.world.store.run(lambda c: rows.signals(c, record.seq))

            assert noted["requests"].detail == "first"
            assert later["requests"].detail == "fourth"

    run(body())


def test_looks_in_a_row_are_one_stretch_and_a_gap_begins_another(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            await here.launch()
            record = await here.world.fleet.machine("gpu1")
            idle = [Look("gpu", active=False, detail="")]
            first = here.world.clock.now()

            await here.signals.looked("gpu1", idle)
            here.world.clock.advance(60)
            await here.signals.looked("gpu1", idle)
            together = (await here.world.store.run(lambda c: rows.signals(c, record.seq)))["gpu"]
            here.world.clock.advance(3600)
            await here.signals.looked("gpu1", idle)
            apart = (await here.world.store.run(lambda c: rows.signals(c, record.seq)))["gpu"]

            assert together.seen_from == first
            assert apart.seen_from == apart.seen_at

    run(body())


def test_role_of_a_process_from_before_the_clock_was_set_back_is_free(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            other = Role(here.world.store, here.world.clock)
            assert await other.take()

            here.world.clock.advance(-3600)

            assert await here.guard.role.take()

    run(body())


def test_guard_goes_on_when_a_lost_role_is_its_own_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path, owner="1:here") as here:
            store = here.world.store
            guarding = asyncio.create_task(here.guard.run())
            while not here.world.bus.of(GuardTook):
                await asyncio.sleep(0)

            await store.run(lambda c: roles.give_back(c, ROLE, "1:here"), write=True)
            while len(here.world.bus.of(GuardTook)) < 2:
                await asyncio.sleep(0)

            assert len(here.world.bus.of(GuardLost)) == 1
            guarding.cancel()
            await asyncio.gather(guarding, return_exceptions=True)

    run(body())


def test_work_that_lasts_is_noted_again_and_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            await here.launch()
            record = await here.world.fleet.machine("gpu1")
            began = here.world.clock.now()

            async with here.signals.busy("gpu1", "jobs", "a training"):
                while here.world.clock.now() - began < timedelta(minutes=5):
                    await asyncio.sleep(0)

            noted = (await here.world.store.run(lambda c: rows.signals(c, record.seq)))["jobs"]
            assert noted.active_at is not None
            assert noted.active_at - began >= timedelta(minutes=4)

    run(body())


def test_renewing_by_hand_begins_the_idle_time_anew(tmp_path: Path) -> None:
    async def body() -> None:
        async with berth(tmp_path) as here:
            await here.launch()
            await here.pass_time(25)

            view = await here.leases.renew("gpu1", "still needed")
            await here.pass_time(20)

            assert view.ends_at is not None
            assert here.world.bus.of(LeaseEnded) == []

    run(body())
