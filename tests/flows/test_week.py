"""A simulated week: everything that clouds do to people who rent, and at its end every machine and dollar is known."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from console.machines.records import Desired, MachineState
from providers.simulated.clouds.faults import Call, CloudFault, CloudFaultKind
from providers.simulated.clouds.lambda_cloud import LambdaTwin
from providers.simulated.clouds.rental import Order, Phase
from providers.simulated.clouds.tensordock import Quirks, TensorDockTwin
from tests.conftest import run
from tests.flows.week_kit import Week, on, week

CONFIG = """
[budget]
day_usd = 500
month_usd = 5000

[machines.painter]
cloud = "vast"
day_usd = 1

[machines.marathon]
cloud = "runpod"
hard_h = 4
"""
CENT = Decimal("0.005")
"""Half of one: so near are two amounts that are the same to the cent."""


@pytest.mark.timeout(300)
def test_week(tmp_path: Path) -> None:
    async def body() -> None:
        async with week(tmp_path, config=CONFIG) as w:
            await monday(w)
            await tuesday(w)
            await wednesday(w)
            await thursday(w)
            await friday(w)
            await weekend(w)
            await last_day(w)
            await the_books(w)

    run(body())


async def monday(w: Week) -> None:
    """Machines of all four clouds; one is outbid, one start is refused at each of two clouds, one account goes away."""
    vast, runpod = w.twins["vast"], w.twins["runpod"]
    await w.until("mon 08:05")
    await w.launch("trainer", "vast")
    w.works("trainer", until="mon 12:00")
    await w.until("mon 08:30")
    await w.launch("talker", "runpod")
    await w.launch("cheap", "vast", gpu="RTX 3090", spot=True, bid_usd_per_hour=Decimal("0.13"))
    await w.launch("box", "tensordock")
    await w.launch("lamp", "lambda", gpu="A10", at_end="destroy")
    for name in ("talker", "cheap", "box", "lamp"):
        w.works(name, until="mon 11:00")
    assert w.refused == []

    await w.until("mon 09:30")
    spot = await w.rental("cheap")
    vast.market.set_min_bid(spot.host, Decimal("0.20"))
    w.stir()
    await w.until("mon 09:35")
    assert (await w.record("cheap")).state is MachineState.LOST
    assert "outbid:cheap" in await w.alerts()
    await w.start("cheap")
    assert "PriceTooHigh" in w.refused.pop()
    await w.bid("cheap", Decimal("0.22"))
    await w.start("cheap")
    await w.until("mon 09:45")
    assert (await w.record("cheap")).state is MachineState.READY
    assert w.refused == []

    await w.until("mon 11:20")
    await w.stop("trainer")
    await w.stop("talker")
    await w.until("mon 11:30")
    trainer, talker = await w.rental("trainer"), await w.rental("talker")
    assert (trainer.phase, talker.phase) == (Phase.STOPPED, Phase.STOPPED)
    # Others take both GPUs. The start at the first cloud stays queued there, and the stop that has to follow is lost
    # with the whole account for hours: meanwhile the start comes through.
    vast.market.take(trainer.host, 8)
    runpod.market.take(talker.host, 8)
    vast.faults.once(CloudFaultKind.RATE_LIMIT, 25, on=Call.START)
    await w.start("talker")
    assert "NoCapacity" in w.refused.pop()
    runpod.market.at(on("mon 18:00"), lambda: runpod.market.give_back(talker.host, 8))
    vast.market.at(on("mon 14:00"), lambda: vast.market.give_back(trainer.host, 8))
    vast.faults.add(_down("mon 16:00", Call.STOP))
    await w.start("trainer")
    assert "NoCapacity" in w.refused.pop()
    await w.until("mon 11:35")
    vast.faults.add(_down("mon 16:00"))
    await w.until("mon 15:30")
    assert trainer.phase is Phase.RUNNING
    assert (await w.record("trainer")).state is MachineState.STOPPING
    assert {"stop:trainer", "account:vast"} <= await w.alerts()
    await w.until("mon 16:20")
    assert (trainer.phase, (await w.record("trainer")).state) == (Phase.STOPPED, MachineState.STOPPED)
    assert not {"stop:trainer", "account:vast"} & await w.alerts()
    # What nobody worked with any more was ended by its lease, each in the manner of its cloud.
    assert (await w.record("box")).state is MachineState.STOPPED
    assert [r.phase for r in w.twins["lambda"].rentals.values()] == [Phase.GONE]

    # A machine is forgotten, the computer sleeps for eight hours beyond midnight, and its owner stops one at the cloud.
    await w.until("mon 20:00")
    await w.start("trainer")
    await w.start("box")
    await w.launch("writer", "runpod")
    assert w.refused == []
    w.works("trainer", until="mon 21:50")
    w.works("writer", until="mon 22:00")
    await w.until("mon 22:00")


async def tuesday(w: Week) -> None:
    """After a night without us; a host that goes and comes back; kills in the middle of requests."""
    vast, runpod = w.twins["vast"], w.twins["runpod"]
    trainer, writer = await w.rental("trainer"), await w.rental("writer")
    w.works("trainer", until="mon 22:20")
    runpod.market.at(on("mon 23:30"), lambda: runpod.market.stop(writer))
    w.sleep("tue 06:00")
    await w.ours.money.round()  # the books of the day that is over come first, then the first reading
    assert trainer.phase is Phase.RUNNING
    await w.until("tue 06:20")
    assert (trainer.phase, (await w.record("trainer")).state) == (Phase.STOPPED, MachineState.STOPPED)
    stopped = await w.record("writer")
    assert (stopped.state, stopped.desired) == (MachineState.STOPPED, Desired.STOPPED)

    await w.until("tue 07:00")
    await w.start("trainer")
    w.works("trainer", until="tue 19:00")
    await w.until("tue 07:30")
    vast.market.lose_host(trainer.host)
    w.stir()
    await w.until("tue 07:40")
    assert (await w.record("trainer")).state is MachineState.LOST
    assert "lost:trainer" in await w.alerts()
    await w.until("tue 09:00")
    vast.market.find_host(trainer.host)
    w.stir()
    await w.until("tue 09:10")
    assert (await w.record("trainer")).state is MachineState.READY
    vast.market.raise_price(trainer, trainer.usd_per_hour + Decimal("0.07"))

    vast.market.transfer(trainer, down_gb=Decimal(30), up_gb=Decimal(2))

    for number, step in enumerate(("create wished", "create sent", "create answered", "create stored")):
        await w.killed_at(step, partial(w.launch, f"killed-{number}", "runpod"))
        await w.until(f"tue 10:{10 * number + 9:02}")
    names = {record.name for record in await w.ours.fleet.machines()}
    assert {name for name in names if name.startswith("killed")} == {
        "killed-2",
        "killed-3",
    }  # the others came to nothing
    await w.until("tue 11:00")
    for number, step in ((2, "destroy sent"), (3, "destroy answered")):
        await w.killed_at(step, partial(w.destroy, f"killed-{number}"))
        await w.until(f"tue 11:{10 * number:02}")
    await w.killed_at("stop sent", partial(w.stop, "trainer"))
    await w.until("tue 11:40")
    await w.killed_at("start answered", partial(w.start, "trainer"))
    await w.until("tue 12:00")
    assert w.refused == []
    assert (await w.record("trainer")).desired is Desired.RUNNING

    # It is destroyed in the cloud's console, where somebody has also begun something of his own.
    vast.market.destroy(trainer)
    host = next(host for host in vast.market.hosts.values() if host.gpu.name == "A100 SXM4")
    order = Order(host, 1, "somebody/else:1", host.usd_per_gpu_hour, Decimal(20), label="my own")
    w.strangers.add(vast.market.rent(order).id)
    await w.until("tue 13:00")
    report = await w.audit()
    assert {line.cloud_id for line in report.lines if line.owner == "stranger"} == w.strangers
    assert not report.is_clean
    assert trainer.id not in {record.cloud_id for record in await w.ours.fleet.machines()}
    await w.until("tue 14:00")


async def wednesday(w: Week) -> None:
    """A stop that takes ten minutes, one that lets nothing go, answers that are lost, and a cloud that is silent."""
    w.sleep("wed 07:00")
    tensordock = cast("TensorDockTwin", w.twins["tensordock"])
    await w.until("wed 07:10")
    await w.start("box")
    w.works("box", until="wed 12:00")
    await w.launch("lamp", "lambda", gpu="A10", at_end="destroy")
    w.works("lamp", until="wed 12:00")
    await w.until("wed 08:00")
    box, lamp = await w.rental("box"), await w.rental("lamp")
    tensordock.quirks = Quirks(release_by=frozenset())
    await w.stop("box")
    await w.until("wed 08:20")
    assert (box.phase, box.keeps_gpu) == (Phase.STOPPED, True)
    assert (await w.record("box")).state is MachineState.STOPPING  # it is called stopped there, and paid in full
    assert "stop:box" in await w.alerts()
    tensordock.quirks = Quirks()
    await w.until("wed 08:30")
    assert (box.keeps_gpu, (await w.record("box")).state) == (False, MachineState.STOPPED)
    assert "stop:box" not in await w.alerts()

    tensordock.faults.once(CloudFaultKind.LOSE_ANSWER, on=Call.START)
    await w.start("box")
    await w.until("wed 09:00")
    tensordock.faults.once(CloudFaultKind.SLOW_STOP, 600)
    await w.stop("box")
    await w.until("wed 09:20")
    assert (await w.record("box")).state is MachineState.STOPPED
    w.twins["lambda"].faults.next(2, CloudFaultKind.NOT_DONE, on=Call.DESTROY)
    await w.destroy("lamp")
    await w.until("wed 09:22")
    assert lamp.phase is Phase.GONE

    # The user stops it at the cloud, in the way that lets nothing go.
    await w.start("box")
    w.works("box", until="wed 09:25")
    await w.until("wed 09:25")
    tensordock.market.stop(box, keeps_gpu=True)
    w.stir()
    await w.until("wed 09:30")
    assert "paid:box" in await w.alerts()
    await w.until("wed 10:10")  # its lease ends it
    assert ((await w.record("box")).state, box.keeps_gpu) == (MachineState.STOPPED, False)
    assert "paid:box" not in await w.alerts()

    # Orders whose answers are lost are looked for by their label, and made once.
    for name, twin in w.twins.items():
        twin.faults.once(CloudFaultKind.LOSE_ANSWER, on=Call.CREATE)
        gpu = "A10" if name == "lambda" else "RTX 4090"
        before = len(twin.rentals)
        await w.launch(f"lost-{name}", name, gpu=gpu, at_end="destroy")
        assert len(twin.rentals) == before + 1
    await w.until("wed 10:20")
    assert w.refused == []
    for name in w.twins:
        assert (await w.rental(f"lost-{name}")).phase is Phase.RUNNING
        await w.destroy(f"lost-{name}")
    await w.until("wed 10:50")

    # An outage of all calls, in which a machine is to be ended.
    await w.start("box")
    await w.until("wed 10:58")
    tensordock.faults.add(_down("wed 14:00"))
    await w.stop("box")
    await w.until("wed 13:50")
    assert {"stop:box", "account:tensordock"} <= await w.alerts()
    assert box.phase is Phase.RUNNING
    await w.until("wed 14:20")
    assert (box.phase, (await w.record("box")).state) == (Phase.STOPPED, MachineState.STOPPED)
    w.refused.clear()


async def thursday(w: Week) -> None:
    """A stop that was accepted and not done, with a night over it; clouds that say what is not so, again and again."""
    await w.start("box")
    await w.until("wed 14:30")
    w.twins["tensordock"].faults.once(CloudFaultKind.NOT_DONE, on=Call.STOP)
    await w.stop("box")
    w.sleep("thu 07:00")
    assert (await w.rental("box")).phase is Phase.RUNNING
    await w.until("thu 07:10")
    assert (await w.record("box")).state is MachineState.STOPPED
    for name in w.twins:
        gpu = "A10" if name == "lambda" else "RTX 4090"
        await w.launch(f"steady-{name}", name, gpu=gpu, at_end="destroy")
        w.works(f"steady-{name}", until="thu 10:05")
    await w.until("thu 07:30")
    lies = (
        CloudFaultKind.MISSING,
        CloudFaultKind.ODD_STATUS,
        CloudFaultKind.LYING_STATUS,
        CloudFaultKind.HEARTBEAT_LOST,
        CloudFaultKind.STALE,
        CloudFaultKind.STATUS,
        CloudFaultKind.RATE_LIMIT,
        CloudFaultKind.RATE_LIMIT_BARE,
        CloudFaultKind.RATE_LIMIT_TEXT,
        CloudFaultKind.HTML,
        CloudFaultKind.ERROR_INSIDE,
        CloudFaultKind.RESET,
        CloudFaultKind.LOSE_ANSWER,
    )
    for number, lie in enumerate(lies):
        for twin in w.twins.values():
            twin.faults.next(2, lie, on=Call.LIST)
        await w.until(f"thu {7 + (40 + 10 * number) // 60:02}:{(40 + 10 * number) % 60:02}")
    await w.until("thu 10:00")
    for name in w.twins:
        assert (await w.rental(f"steady-{name}")).phase is Phase.RUNNING, name
        assert (await w.record(f"steady-{name}")).desired is Desired.RUNNING, name
    cast("LambdaTwin", w.twins["lambda"]).preempt((await w.rental("steady-lambda")).id)
    await w.until("thu 11:00")
    assert not [record for record in await w.ours.fleet.machines() if record.name.startswith("steady")]


async def friday(w: Week) -> None:
    """A refused start fires at night; one machine reaches its budget, another the end of its lease."""
    vast = w.twins["vast"]
    await w.launch("night", "vast", gpu="RTX 5090")
    await w.until("thu 11:05")
    await w.stop("night")
    await w.until("thu 11:10")
    night = await w.rental("night")
    vast.market.take(night.host, night.host.gpus)
    vast.market.at(on("fri 01:00"), lambda: vast.market.give_back(night.host, night.host.gpus))
    vast.faults.add(_down("thu 12:00", Call.STOP))  # the stop that follows the refusal does not get through
    await w.start("night")
    assert "NoCapacity" in w.refused.pop()
    before = night.phase
    w.sleep("fri 06:00")
    assert (before, night.phase) == (Phase.QUEUED, Phase.RUNNING)
    await w.until("fri 06:10")
    assert (night.phase, (await w.record("night")).state) == (Phase.STOPPED, MachineState.STOPPED)
    await w.launch("painter", "vast")
    await w.launch("marathon", "runpod", at_end="destroy")
    for name in ("painter", "marathon"):
        w.works(name, until="fri 22:00")
    w.twins["vast"].faults.once(CloudFaultKind.REMNANT)
    await w.launch("remnant", "vast")
    assert "NoCapacity" in w.refused.pop()
    await w.until("fri 07:00")
    assert sum(r.label is not None and "remnant" in r.label for r in w.twins["vast"].market.alive()) == 0
    await w.until("fri 10:00")
    marathon = await w.rental("marathon")
    assert ((await w.record("painter")).state, str(marathon.phase)) == (MachineState.STOPPED, "running")
    await w.until("fri 10:30")
    assert marathon.phase is Phase.GONE


async def weekend(w: Week) -> None:
    """Nobody is there, and one machine runs on; our process is begun anew on Sunday."""
    await w.start("box")
    await w.until("fri 10:40")
    await w.end()
    w.sleep("sun 15:00")
    await w.begin()
    await w.until("sun 16:00")
    assert (await w.record("box")).state is MachineState.STOPPED


async def last_day(w: Week) -> None:
    """All is destroyed; nothing bills any more that is ours."""
    w.sleep("next-mon 07:00")
    await w.until("next-mon 07:10")
    for record in await w.ours.fleet.machines():
        await w.destroy(record.name)
    await w.until("next-mon 08:00")
    assert await w.ours.fleet.machines() == []
    assert [line.owner for line in (await w.audit()).lines] == ["stranger"]
    for name, twin in w.twins.items():
        ours = [rental for rental in twin.rentals.values() if rental.id not in w.strangers]
        assert ours, name
        assert not any(rental.bill.is_open for rental in ours), name
    w.sleep("next-tue 03:00")
    await w.until("next-tue 03:10")


async def the_books(w: Week) -> None:
    """What the ledger has is what the clouds have charged."""
    for name in ("vast", "runpod", "tensordock"):
        assert abs(await w.booked(name) - w.billed(name)) < CENT, name
    manners = {one.cloud: one.by for one in w.reconciled}
    assert manners == {"vast": "charges", "runpod": "charges", "tensordock": "balance", "lambda": "count"}
    # The cloud that tells nothing rounds each machine's time up to the minute, and we book what was seen.
    lamps = w.twins["lambda"].rentals.values()
    most = sum((lamp.usd_per_hour for lamp in lamps), Decimal(0)) / 15  # four minutes of each
    assert -most < await w.booked("lambda") - w.billed("lambda") <= CENT
    # What a stranger on the account costs is told apart, up to the last day that was compared.
    (theirs,) = (w.twins["vast"].rentals[one].bill for one in w.strangers)
    compared = theirs.between(on("mon 00:00"), on("next-tue 00:00"), w.clock.now())
    assert abs(sum((one.foreign_usd for one in w.reconciled), Decimal(0)) - sum(compared.values(), Decimal(0))) < CENT
    assert w.checks > 500
    assert w.lives == 10


def _down(until: str, *calls: Call) -> CloudFault:
    """An outage of these calls, or of all."""
    return CloudFault(CloudFaultKind.DOWN, on=frozenset(calls), until=on(until))
