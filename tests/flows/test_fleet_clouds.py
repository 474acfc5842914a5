"""Machines at the simulated clouds, over HTTP: rented, stopped, started, destroyed, each with its cloud's habits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from console.errors import CloudCannot, GivenUp, PriceTooHigh
from console.history.store import Store
from console.machines.events import DeedOverdue, MachineOutbid
from console.machines.fleet import Fleet, LaunchPlan
from console.machines.records import Desired, MachineState
from console.paths import find_paths
from console.settings import load_settings
from providers.clouds.base import Bills, Capability, Cloud, CloudHost, NoCapacity, Search
from providers.registry import cloud
from providers.simulated.clouds.faults import Call, CloudFaultKind
from providers.simulated.clouds.lambda_cloud import LambdaTwin
from providers.simulated.clouds.rental import Phase
from providers.simulated.clouds.runpod import RunPodTwin
from providers.simulated.clouds.tensordock import TensorDockTwin
from providers.simulated.clouds.twin import CloudTwin
from providers.simulated.clouds.vast import VastTwin
from tests.clocks import EagerClock
from tests.conftest import run
from tests.console.fleet_kit import Heard
from tests.flows.fleet_child import OUR_KEY

TWINS: dict[str, type[CloudTwin]] = {
    "vast": VastTwin,
    "runpod": RunPodTwin,
    "tensordock": TensorDockTwin,
    "lambda": LambdaTwin,
}
GPU = {"lambda": "A10"}
every_cloud = pytest.mark.parametrize("kind", TWINS)
who_can_stop = pytest.mark.parametrize("kind", ["vast", "runpod", "tensordock"])


class House:
    def __init__(self, kind: str, twin: CloudTwin, adapter: Cloud, clock: EagerClock, fleet: Fleet, bus: Heard) -> None:
        self.kind, self.twin, self.adapter, self.clock, self.fleet, self.bus = kind, twin, adapter, clock, fleet, bus

    async def plan(self, **wishes: Any) -> LaunchPlan:
        search = Search(
            gpu=GPU.get(self.kind, "RTX 4090"), disk_gb=Decimal(100), spot=bool(wishes.get("bid_usd_per_hour"))
        )
        offer = (await self.adapter.offers(search))[0]
        can_stop = Capability.STOP in self.adapter.capabilities
        plan = LaunchPlan("lab", offer, disk_gb=Decimal(100), at_end="stop" if can_stop else "destroy")
        return plan._replace(**wishes)

    async def rounds(self, seconds: float) -> None:
        until = self.clock.monotonic() + seconds
        while self.clock.monotonic() < until:
            self.clock.advance(5)
            await self.fleet.reconcile()

    def phases(self) -> list[Phase]:
        """What there is when all that is under way has come to its end: a cloud may say `gone` seconds too early."""
        self.clock.advance(10)
        self.twin.market.advance()
        return [rental.phase for rental in self.twin.market.alive()]


@asynccontextmanager
async def house(kind: str, home: Path, **traits: Any) -> AsyncIterator[House]:
    clock, bus = EagerClock(), Heard()
    environment = {"HAWSER_HOME": str(home)}
    paths = find_paths(environment)
    async with TWINS[kind](clock=clock, **traits) as twin:
        adapter = cloud(kind, CloudHost("lab", twin.base_url, twin.key, total_s=5.0), clock)
        store = await Store.open(paths, clock)
        fleet = Fleet(
            load_settings(paths, environment, discover=False),
            store,
            lambda _: adapter,
            clock,
            bus,
            public_key=lambda: OUR_KEY,
            accounts=lambda: ["lab"],
        )
        try:
            yield House(kind, twin, adapter, clock, fleet, bus)
        finally:
            await adapter.close()
            await store.close()


@every_cloud
def test_a_machine_lives_its_life(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with house(kind, tmp_path) as h:
            await h.fleet.launch("box", await h.plan(), why="asked for")
            record = await h.fleet.settled("box")
            assert (record.state, record.bills, h.phases()) == (MachineState.BOOTING, Bills.EVERYTHING, [Phase.RUNNING])
            assert record.usd_per_hour is not None
            assert record.reading is not None
            assert record.reading.label == record.label

            if Capability.STOP in h.adapter.capabilities:
                await h.fleet.stop("box", why="enough")
                record = await h.fleet.settled("box")
                assert (record.state, record.bills, h.phases()) == (MachineState.STOPPED, Bills.DISK, [Phase.STOPPED])
                await h.fleet.start("box", why="again")
                assert (await h.fleet.settled("box")).state is MachineState.BOOTING
            else:
                with pytest.raises(CloudCannot):
                    await h.fleet.stop("box", why="enough")

            await h.fleet.destroy("box", why="no more")
            assert (await h.fleet.settled("box")).state is MachineState.GONE
            assert h.phases() == []
            assert h.bus.of(DeedOverdue) == []

    run(body())


@every_cloud
def test_an_order_whose_answer_is_lost_is_one_machine(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with house(kind, tmp_path) as h:
            plan = await h.plan()
            h.twin.faults.once(CloudFaultKind.LOSE_ANSWER, on=Call.CREATE)

            record = await h.fleet.launch("box", plan, why="asked for")

            assert [rental.id for rental in h.twin.market.alive()] == [record.cloud_id]

    run(body())


@every_cloud
def test_an_order_that_did_nothing_is_sent_again(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with house(kind, tmp_path) as h:
            plan = await h.plan()
            h.twin.faults.once(CloudFaultKind.RESET, on=Call.CREATE)

            record = await h.fleet.launch("box", plan, why="asked for")

            assert [rental.id for rental in h.twin.market.alive()] == [record.cloud_id]

    run(body())


@every_cloud
def test_a_destruction_through_an_outage_is_done_in_the_end(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with house(kind, tmp_path) as h:
            await h.fleet.launch("box", await h.plan(), why="asked for")
            await h.fleet.settled("box")
            h.twin.faults.always(CloudFaultKind.DOWN)
            with pytest.raises(Exception, match=r"."):
                await h.fleet.destroy("box", why="no more")
            await h.rounds(900)
            assert (await h.fleet.machine("box")).state is MachineState.DESTROYING
            assert {event.what for event in h.bus.of(DeedOverdue)} == {"destroy"}

            h.twin.faults.clear()

            assert (await h.fleet.settled("box")).state is MachineState.GONE
            assert h.phases() == []

    run(body())


@who_can_stop
def test_a_start_without_a_gpu_is_given_up_and_nothing_comes_up_later(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with house(kind, tmp_path) as h:
            await h.fleet.launch("box", await h.plan(), why="asked for")
            await h.fleet.settled("box")
            await h.fleet.stop("box", why="enough")
            await h.fleet.settled("box")
            h.twin.faults.once(CloudFaultKind.NO_GPU, on=Call.START)

            with pytest.raises((NoCapacity, GivenUp)):
                await h.fleet.start("box", why="again")
                await h.fleet.settled("box")

            assert (await h.fleet.settled("box")).state is MachineState.STOPPED
            await h.rounds(1800)
            assert h.phases() == [Phase.STOPPED]

    run(body())


@who_can_stop
def test_a_stop_that_is_accepted_and_never_done_is_told_and_sent_again(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with house(kind, tmp_path) as h:
            await h.fleet.launch("box", await h.plan(), why="asked for")
            await h.fleet.settled("box")
            h.twin.faults.next(3, CloudFaultKind.NOT_DONE, on=Call.STOP)

            await h.fleet.stop("box", why="enough")
            record = await h.fleet.settled("box")

            assert (record.state, h.phases()) == (MachineState.STOPPED, [Phase.STOPPED])

    run(body())


def test_a_dearer_machine_is_not_started_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with house("vast", tmp_path) as h:
            plan = await h.plan()
            await h.fleet.launch("box", plan._replace(ceiling_usd_per_hour=Decimal("0.5")), why="asked for")
            await h.fleet.settled("box")
            await h.fleet.stop("box", why="enough")
            await h.fleet.settled("box")
            (rental,) = h.twin.market.alive()
            h.twin.market.raise_price(rental, Decimal("0.9"))
            h.clock.advance(60)

            with pytest.raises(PriceTooHigh):
                await h.fleet.start("box", why="again")

            assert h.phases() == [Phase.STOPPED]

    run(body())


def test_a_machine_that_is_outbid_is_told_and_not_called_stopped(tmp_path: Path) -> None:
    async def body() -> None:
        async with house("vast", tmp_path) as h:
            plan = await h.plan(bid_usd_per_hour=Decimal("0.30"))
            await h.fleet.launch("box", plan, why="asked for")
            await h.fleet.settled("box")
            (rental,) = h.twin.market.alive()
            h.twin.market.set_min_bid(rental.host, Decimal("0.35"))

            await h.rounds(120)

            record = await h.fleet.machine("box")
            assert (record.state, record.desired) == (MachineState.LOST, Desired.RUNNING)
            assert [event.name for event in h.bus.of(MachineOutbid)] == ["box"]
            with pytest.raises(PriceTooHigh, match="outbid"):
                await h.fleet.start("box", why="again")
            await h.fleet.stop("box", why="enough")
            assert (await h.fleet.settled("box")).state is MachineState.STOPPED

    run(body())
