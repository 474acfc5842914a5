"""Machines are created, started, stopped and destroyed, and nothing is believed without a proof."""

from __future__ import annotations

import asyncio
import os
from decimal import Decimal
from pathlib import Path

import pytest

from console.errors import (
    BudgetReached,
    CloudCannot,
    GivenUp,
    MachineBusy,
    NotFound,
    PriceTooHigh,
    TimeLimit,
    UsageError,
)
from console.machines.events import DeedOverdue, DeedProved, MachineChanged
from console.machines.records import Desired, MachineState
from providers.clouds.base import Bills, Capability, Created, NoCapacity, Order, State
from providers.errors import ServiceFailed
from tests.clocks import EagerClock
from tests.conftest import run
from tests.console.fake_cloud import EVERYTHING, FakeCloud, fates
from tests.console.fleet_kit import PLAN, World, world


async def with_stopped_box(w: World) -> None:
    await w.fleet.launch("box", PLAN, why="asked for")
    await w.fleet.settled("box")
    await w.fleet.stop("box", why="enough")
    await w.fleet.settled("box")


def test_a_machine_is_rented_stopped_started_and_destroyed(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            record = await w.fleet.launch("box", PLAN, why="asked for")
            assert (record.state, record.cloud_id) == (MachineState.REQUESTED, "1")
            assert (await w.fleet.settled("box")).state is MachineState.BOOTING

            await w.fleet.reached("box", MachineState.READY)
            assert (await w.fleet.stop("box", why="done for today")).state is MachineState.STOPPING
            assert (await w.fleet.settled("box")).state is MachineState.STOPPED
            assert w.cloud.billing() == []

            await w.fleet.start("box", why="again")
            assert (await w.fleet.settled("box")).state is MachineState.BOOTING

            await w.fleet.destroy("box", why="no more")
            gone = await w.fleet.settled("box")
            assert (gone.state, gone.desired, w.cloud.truth["1"].state) == (MachineState.GONE, Desired.GONE, State.GONE)
            assert await w.fleet.machines() == []
            assert [event.what for event in w.bus.of(DeedProved)] == ["create", "stop", "start", "destroy"]
            changes = [event.after for event in w.bus.of(MachineChanged)]
            assert changes == [
                "requested", "booting", "ready", "stopping", "stopped", "requested", "booting", "destroying", "gone"
            ]  # fmt: skip

    run(body())


def test_an_answer_to_a_stop_is_no_proof(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path, FakeCloud(EagerClock(), stop_s=600)) as w:
            await w.fleet.launch("box", PLAN, why="asked for")
            await w.fleet.settled("box")

            await w.fleet.stop("box", why="enough")
            await w.rounds(500)

            assert (await w.fleet.machine("box")).state is MachineState.STOPPING
            alarms = w.bus.of(DeedOverdue)
            assert [event.what for event in alarms] == ["stop", "stop", "stop"]  # after 2, 4 and 8 minutes
            assert "may cost the full price" in alarms[0].text

            await w.rounds(300)
            assert (await w.fleet.machine("box")).state is MachineState.STOPPED

    run(body())


def test_a_stop_that_keeps_the_gpu_is_not_called_stopped(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            w.cloud.plain_stops = True
            await w.fleet.launch("box", PLAN, why="asked for")
            await w.fleet.settled("box")

            await w.fleet.stop("box", why="enough")
            await w.rounds(150)

            record = await w.fleet.machine("box")
            assert record.state is MachineState.STOPPING
            assert record.state_why == "Its cloud calls it stopped, and it is still paid at the full price."
            assert len(w.bus.of(DeedOverdue)) == 1

            w.cloud.plain_stops = False
            await w.rounds(400)
            assert (await w.fleet.machine("box")).state is MachineState.STOPPED

    run(body())


def test_a_stop_is_sent_again_for_hours(tmp_path: Path) -> None:
    async def body() -> None:
        cloud = FakeCloud(EagerClock())
        async with world(tmp_path, cloud) as w:
            await w.fleet.launch("box", PLAN, why="asked for")
            await w.fleet.settled("box")
            cloud.fate = lambda call: "refused" if call == "stop" else "well"

            with pytest.raises(ServiceFailed):
                await w.fleet.stop("box", why="enough")
            await w.rounds(4 * 3600, 60)

            assert (await w.fleet.machine("box")).state is MachineState.STOPPING
            tries = sum(call.startswith("stop") for call in cloud.calls)
            assert 40 < tries < 90
            alarms = len(w.bus.of(DeedOverdue))
            assert 6 <= alarms <= 9  # 2, 4, 8 … 60 minutes apart

            cloud.fate = lambda _: "well"
            await w.rounds(900, 60)
            assert (await w.fleet.machine("box")).state is MachineState.STOPPED

    run(body())


def test_an_order_with_a_lost_answer_is_found_by_its_label(tmp_path: Path) -> None:
    async def body() -> None:
        cloud = FakeCloud(EagerClock(), fate=fates([("create", "lost")]))
        async with world(tmp_path, cloud) as w:
            record = await w.fleet.launch("box", PLAN, why="asked for")

            assert record.cloud_id == "1"
            assert cloud.calls.count("create") == 1
            assert (await w.fleet.settled("box")).state is MachineState.BOOTING

    run(body())


def test_an_order_that_never_arrived_is_sent_once_more_after_several_lists(tmp_path: Path) -> None:
    async def body() -> None:
        cloud = FakeCloud(EagerClock(), fate=fates([("create", "unsent")]))
        async with world(tmp_path, cloud) as w:
            record = await w.fleet.launch("box", PLAN, why="asked for")

            assert record.cloud_id == "1"
            first, second = (number for number, call in enumerate(cloud.calls) if call == "create")
            assert cloud.calls[first + 1 : second].count("list") >= 3

    run(body())


def test_a_refused_order_leaves_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        cloud = FakeCloud(EagerClock(), fate=fates([("create", "refused")]))
        async with world(tmp_path, cloud) as w:
            with pytest.raises(NoCapacity):
                await w.fleet.launch("box", PLAN, why="asked for")

            assert await w.fleet.machines() == []
            assert [deed.end for deed in await w.deeds("box")] == ["given-up"]
            await w.fleet.launch("box", PLAN, why="again")  # the name is free
            assert (await w.fleet.machine("box")).cloud_id == "1"

    run(body())


def test_what_a_refused_order_made_all_the_same_is_destroyed(tmp_path: Path) -> None:
    async def body() -> None:
        cloud = FakeCloud(EagerClock(), fate=fates([("create", "leftover"), ("destroy", "refused")]))
        async with world(tmp_path, cloud) as w:
            with pytest.raises(NoCapacity):
                await w.fleet.launch("box", PLAN, why="asked for")
            assert cloud.calls[-1] == "destroy 1"
            await w.rounds(120)

            assert cloud.truth["1"].state is State.GONE
            assert [(deed.what, deed.end) for deed in await w.deeds("box")] == [
                ("create", "given-up"),
                ("destroy", "done"),
            ]

    run(body())


def test_a_refused_start_is_followed_by_a_stop(tmp_path: Path) -> None:
    async def body() -> None:
        cloud = FakeCloud(EagerClock())
        async with world(tmp_path, cloud) as w:
            await w.fleet.launch("box", PLAN, why="asked for")
            await w.fleet.settled("box")
            await w.fleet.stop("box", why="enough")
            await w.fleet.settled("box")
            cloud.fate = fates([("start", "queued")])

            with pytest.raises(NoCapacity):
                await w.fleet.start("box", why="again")

            assert cloud.calls[-1] == "stop 1"
            assert (await w.fleet.settled("box")).state is MachineState.STOPPED
            await w.rounds(3 * 3600, 60)
            assert cloud.truth["1"].state is State.STOPPED

    run(body())


def test_a_start_that_waits_for_a_gpu_is_given_up_and_stopped(tmp_path: Path) -> None:
    async def body() -> None:
        cloud = FakeCloud(EagerClock())
        async with world(tmp_path, cloud) as w:
            await w.fleet.launch("box", PLAN, why="asked for")
            await w.fleet.settled("box")
            await w.fleet.stop("box", why="enough")
            await w.fleet.settled("box")
            await w.fleet.start("box", why="again")
            cloud.truth["1"].state, cloud.truth["1"].until = State.QUEUED, None

            with pytest.raises(GivenUp, match="GPU is not free"):
                await w.fleet.settled("box")

            assert (await w.fleet.machine("box")).state is MachineState.STOPPED

    run(body())


def test_a_price_above_the_ceiling_is_neither_launched_nor_started(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            with pytest.raises(PriceTooHigh):
                await w.fleet.launch("dear", PLAN._replace(ceiling_usd_per_hour=Decimal("0.39")), why="asked for")
            await w.fleet.launch("box", PLAN, why="asked for")
            await w.fleet.settled("box")
            await w.fleet.stop("box", why="enough")
            await w.fleet.settled("box")
            w.cloud.truth["1"].price = Decimal("0.60")
            w.clock.advance(30)

            with pytest.raises(PriceTooHigh, match=r"\$0.60"):
                await w.fleet.start("box", why="again")

            assert not any(call.startswith("start") for call in w.cloud.calls)
            assert w.cloud.calls.count("create") == 1

    run(body())


def test_a_machine_that_comes_up_dearer_than_allowed_is_destroyed(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await w.fleet.launch("box", PLAN, why="asked for")
            w.cloud.truth["1"].price = Decimal("0.90")

            with pytest.raises(GivenUp, match="more than the"):
                await w.fleet.settled("box")

            assert w.cloud.truth["1"].state is State.GONE

    run(body())


def test_a_stop_during_boot_takes_the_place_of_the_order(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await w.fleet.launch("box", PLAN, why="asked for")
            await w.fleet.stop("box", why="changed my mind")

            assert (await w.fleet.settled("box")).state is MachineState.STOPPED
            assert [(deed.what, deed.end) for deed in await w.deeds("box")] == [
                ("create", "overtaken"),
                ("stop", "done"),
            ]

    run(body())


def test_a_start_during_a_stop_waits_for_the_stop(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await w.fleet.launch("box", PLAN, why="asked for")
            await w.fleet.settled("box")
            await w.fleet.stop("box", why="enough")
            w.clock.advance(1)

            await w.fleet.start("box", why="no, go on")
            assert "start 1" not in w.cloud.calls
            record = await w.fleet.settled("box")

            assert (record.state, record.desired) == (MachineState.BOOTING, Desired.RUNNING)
            assert w.cloud.truth["1"].state is State.RUNNING

    run(body())


def test_a_destruction_takes_the_place_of_a_stop_and_nothing_takes_its_place(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await w.fleet.launch("box", PLAN, why="asked for")
            await w.fleet.settled("box")
            await w.fleet.stop("box", why="enough")
            await w.fleet.destroy("box", why="no more")

            for wish in (w.fleet.stop, w.fleet.start):
                with pytest.raises(MachineBusy, match="is being destroyed"):
                    await wish("box", why="too late")
            assert (await w.fleet.settled("box")).state is MachineState.GONE

    run(body())


def test_what_a_cloud_cannot_do_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    async def body() -> None:
        cloud = FakeCloud(EagerClock(), capabilities=EVERYTHING - {Capability.STOP})
        async with world(tmp_path, cloud) as w:
            with pytest.raises(CloudCannot, match="only destroy"):
                await w.fleet.launch("box", PLAN, why="asked for")
            await w.fleet.launch("box", PLAN._replace(at_end="destroy"), why="asked for")
            with pytest.raises(CloudCannot, match="cannot stop"):
                await w.fleet.stop("box", why="enough")

            assert [deed.what for deed in await w.deeds("box")] == ["create"]

    run(body())


def test_a_machine_that_is_not_there_is_named_with_its_nearest(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await w.fleet.launch("inference", PLAN, why="asked for")

            with pytest.raises(NotFound) as caught:
                await w.fleet.machine("inferense")

            assert caught.value.hint == "Did you mean 'inference'?"

    run(body())


def test_a_stop_proved_by_an_old_list_is_taken_up_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path, FakeCloud(EagerClock(), stop_s=100)) as w:
            await with_stopped_box(w)
            await w.fleet.start("box", why="again")
            await w.fleet.settled("box")
            old = (await w.fleet.machine("box")).reading
            assert old is not None
            w.clock.advance(5)
            await w.fleet.stop("box", why="enough")
            w.clock.advance(1)
            w.cloud.lists.appendleft([old._replace(state=State.STOPPED, bills=Bills.DISK)])
            w.cloud.fate = fates([("list", "stale")])
            await w.fleet.refresh(max_age_s=0)
            assert (await w.fleet.machine("box")).state is MachineState.STOPPED  # so the cloud said
            w.cloud.truth["1"].state, w.cloud.truth["1"].until = State.RUNNING, None  # and has not done it

            w.clock.advance(5)
            await w.fleet.refresh(max_age_s=0)
            assert (await w.fleet.machine("box")).state is MachineState.STOPPING
            assert (await w.fleet.settled("box")).state is MachineState.STOPPED
            assert w.cloud.truth["1"].state is State.STOPPED

    run(body())


def test_a_start_that_is_answered_after_the_stop_of_another_process_is_stopped_again(tmp_path: Path) -> None:
    async def body() -> None:
        cloud = FakeCloud(EagerClock())
        async with world(tmp_path, cloud) as w, world(tmp_path, cloud, owner=f"{os.getppid()}:?") as other:
            await with_stopped_box(w)
            on_its_way, arrived = asyncio.Event(), asyncio.Event()
            really_start = cloud.start

            async def slow_start(id: str) -> None:  # noqa: A002
                on_its_way.set()
                await arrived.wait()
                await really_start(id)

            cloud.start = slow_start  # type: ignore[method-assign]
            starting = asyncio.ensure_future(w.fleet.start("box", why="again"))
            await on_its_way.wait()
            await other.fleet.stop("box", why="no, do not")
            assert (await other.fleet.settled("box")).state is MachineState.STOPPED
            arrived.set()
            await starting

            deed = await w.fleet.deed("box")
            assert deed is not None
            assert (deed.what, deed.why) == ("stop", "A start that was withdrawn was accepted all the same.")
            assert (await w.fleet.settled("box")).state is MachineState.STOPPED
            assert cloud.truth["1"].state is State.STOPPED

    run(body())


def test_an_order_that_is_answered_after_its_destruction_is_destroyed(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            on_its_way, arrived = asyncio.Event(), asyncio.Event()
            really_create = w.cloud.create

            async def slow_create(order: Order) -> Created:
                on_its_way.set()
                await arrived.wait()
                return await really_create(order)

            w.cloud.create = slow_create  # type: ignore[method-assign]
            ordering = asyncio.ensure_future(w.fleet.launch("box", PLAN, why="asked for"))
            await on_its_way.wait()
            await w.fleet.destroy("box", why="no, do not")
            await w.rounds(300)
            assert await w.fleet.machines() == []  # no list ever had it
            arrived.set()
            await ordering
            await w.rounds(120)

            assert w.cloud.truth["1"].state is State.GONE
            assert await w.fleet.machines() == []

    run(body())


def test_waiting_for_a_proof_has_an_end_and_the_wish_has_none(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path, FakeCloud(EagerClock(), stop_s=300)) as w:
            await w.fleet.launch("box", PLAN, why="asked for")
            await w.fleet.settled("box")
            await w.fleet.stop("box", why="enough")

            with pytest.raises(TimeLimit, match="The stop of 'box' is not proved after 60 s"):
                await w.fleet.settled("box", limit_s=60)

            assert (await w.fleet.settled("box")).state is MachineState.STOPPED

    run(body())


def test_a_bid_stays_under_the_ceiling(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await w.fleet.launch("box", PLAN, why="asked for")

            record = await w.fleet.set_bid("box", Decimal("0.44"))
            with pytest.raises(PriceTooHigh):
                await w.fleet.set_bid("box", Decimal("0.46"))

            assert record.order["bid_usd_per_hour"] == "0.44"
            assert [call for call in w.cloud.calls if call.startswith("bid")] == ["bid 1 0.44"]
            assert w.cloud.calls[w.cloud.calls.index("bid 1 0.44") + 1] == "list"  # a start is judged by it

    run(body())


@pytest.mark.parametrize("name", ["", "-box", "a b", "ä", "x" * 65])
def test_names_that_no_machine_can_have_are_refused(tmp_path: Path, name: str) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            with pytest.raises(UsageError):
                await w.fleet.launch(name, PLAN, why="asked for")
            assert w.cloud.calls == []

    run(body())


def test_a_budget_that_says_no_is_asked_before_anything_is_ordered(tmp_path: Path) -> None:
    async def body() -> None:
        async def no(name: str, usd_per_hour: Decimal | None) -> None:
            raise BudgetReached(f"{name} at {usd_per_hour}")

        async with world(tmp_path, may_spend=no) as w:
            with pytest.raises(BudgetReached, match=r"box at 0\.40"):
                await w.fleet.launch("box", PLAN, why="asked for")

            assert (w.cloud.calls, await w.fleet.machines()) == ([], [])

    run(body())
