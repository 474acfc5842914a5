"""What every cloud adapter promises (`providers/clouds/base.py`), tried on the twins of all clouds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from providers.clouds.base import (
    Bills,
    CannotDo,
    Capability,
    CloudHost,
    NoCapacity,
    Offer,
    Order,
    Search,
    State,
)
from providers.errors import KeyRefused, ProviderError
from providers.registry import cloud
from providers.simulated.clouds.faults import Call, CloudFaultKind
from tests.contracts.clouds_bench import (
    CLOUDS,
    OUR_KEY,
    OWN,
    RENTED,
    THEIR_KEY,
    Body,
    CloudBench,
    on,
)

C = Capability
RENTS = frozenset({C.OFFERS, C.CREATE, C.DESTROY})
STOPS = frozenset({C.STOP, C.STOP_FREES_GPU})
CLAIMS: dict[str, frozenset[Capability]] = {
    "vast": frozenset(Capability),
    "runpod": RENTS | STOPS | {C.IMAGE, C.BALANCE, C.CHARGES, C.LOGS, C.REBOOT},
    "tensordock": RENTS | STOPS | {C.START_SCRIPT},
    "tensordock with both keys": RENTS | STOPS | {C.START_SCRIPT, C.BALANCE},
    "lambda": RENTS | {C.START_SCRIPT, C.REBOOT},
    OWN: frozenset({C.STOP}),
}
CLAIMED = [(name, one) for name in CLOUDS for one in sorted(CLAIMS[name])]
UNCLAIMED = [(name, one) for name in CLOUDS for one in sorted(frozenset(Capability) - CLAIMS[name])]
NOWHERE = Offer("7001", "RTX 4090", 1, Decimal(24), Decimal("0.4"))


# ---- claims


@pytest.mark.parametrize("name", CLOUDS)
def test_a_cloud_claims_what_the_table_says(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        assert bench.cloud.capabilities_of(OWN) == CLAIMS[name]
        assert bench.cloud.capabilities <= bench.cloud.capabilities_of(OWN)

    on(name, tmp_path, body)


async def stops_and_starts(bench: CloudBench) -> None:
    machine = await bench.machine()

    await bench.cloud.stop(machine)
    stopped = await bench.until(machine, State.STOPPED)
    await bench.cloud.start(machine)
    started = await bench.until(machine, State.RUNNING)

    assert stopped.bills in (Bills.DISK, Bills.NOTHING)
    assert started.bills is Bills.EVERYTHING


async def frees_the_gpu(bench: CloudBench) -> None:
    machine = await bench.machine()
    host = bench.rental(machine).host
    free = bench.twin.market.free_gpus(host)

    await bench.cloud.stop(machine)
    await bench.until(machine, State.STOPPED)

    assert bench.twin.market.free_gpus(host) == free + 1


async def queues_a_refused_start(bench: CloudBench) -> None:
    machine = await bench.machine()
    await bench.cloud.stop(machine)
    await bench.until(machine, State.STOPPED)
    bench.twin.faults.once(CloudFaultKind.NO_GPU, on=Call.START)

    with pytest.raises(NoCapacity) as refused:
        await bench.cloud.start(machine)

    assert refused.value.queued
    assert (await bench.reading(machine)).state is State.QUEUED
    await bench.cloud.stop(machine)
    assert (await bench.reading(machine)).state is State.STOPPED


async def makes_offers(bench: CloudBench) -> None:
    found = await bench.cloud.offers(Search())

    assert found
    assert [one.usd_per_hour for one in found] == sorted(one.usd_per_hour for one in found)
    assert all(one.gpu and one.vram_gb > 0 and one.gpu_count == 1 for one in found)


async def creates(bench: CloudBench) -> None:
    order = await bench.order("hawser-lab-7f3a")

    made = await bench.cloud.create(order)

    seen = await bench.reading(made.id)
    assert (seen.label, seen.gpu, seen.gpu_count) == ("hawser-lab-7f3a", order.offer.gpu, 1)
    assert seen.vram_gb == order.offer.vram_gb


async def destroys(bench: CloudBench) -> None:
    machine = await bench.machine()

    await bench.cloud.destroy(machine)

    await bench.until_gone(machine)
    await bench.cloud.destroy(machine)


async def rents_at_a_bid(bench: CloudBench) -> None:
    offer = await bench.offer(spot=True)
    bid = offer.usd_per_hour
    made = await bench.rent(offer=offer, bid_usd_per_hour=bid)
    running = await bench.until(made.id, State.RUNNING)

    bench.twin.market.set_min_bid(bench.rental(made.id).host, bid + 1)

    assert running.spot
    assert running.bid_usd_per_hour == bid
    outbid = await bench.until(made.id, State.OUTBID)
    assert outbid.bills is Bills.DISK


async def changes_a_bid(bench: CloudBench) -> None:
    offer = await bench.offer(spot=True)
    made = await bench.rent(offer=offer)
    await bench.until(made.id, State.RUNNING)

    await bench.cloud.bid(made.id, Decimal("0.75"))

    assert (await bench.reading(made.id)).bid_usd_per_hour == Decimal("0.75")


async def takes_an_image(bench: CloudBench) -> None:
    made = await bench.rent(image="runpod/ollama:1.2")

    assert bench.rental(made.id).image == "runpod/ollama:1.2"


async def takes_a_start_script(bench: CloudBench) -> None:
    made = await bench.rent(start_script="echo once upon a time")

    assert "echo once upon a time" in bench.rental(made.id).order.script


async def gives_a_scoped_key(bench: CloudBench) -> None:
    first, second = await bench.rent(), await bench.rent()
    await bench.until(first.id, State.RUNNING)
    assert first.scoped_key is not None
    scoped = cloud(bench.name, CloudHost("lab", bench.twin.base_url, first.scoped_key), bench.clock)

    await scoped.stop(first.id)

    await bench.until(first.id, State.STOPPED)
    with pytest.raises(ProviderError):
        await scoped.stop(second.id)
    assert first.scoped_key not in repr(first)
    await scoped.close()


async def tells_the_balance(bench: CloudBench) -> None:
    account = await bench.cloud.account()

    assert account.balance_usd == bench.twin.balance_usd


async def tells_charges(bench: CloudBench) -> None:
    machine = await bench.machine()
    bench.clock.advance(7200)
    day = timedelta(days=1)

    charges = await bench.cloud.charges(bench.clock.now() - day, bench.clock.now() + day)

    charged = sum(one.usd for one in charges if one.machine_id == machine)
    assert abs(charged - bench.twin.billed(machine)) < Decimal("0.0001")
    assert {one.kind for one in charges} >= {"gpu", "disk"}


async def shows_logs(bench: CloudBench) -> None:
    machine = await bench.machine()

    async for line in bench.cloud.logs(machine):
        assert line
        return
    raise AssertionError("there was no line")


async def reboots(bench: CloudBench) -> None:
    machine = await bench.machine()

    await bench.cloud.reboot(machine)

    await bench.until(machine, State.RUNNING)


async def attaches_a_key(bench: CloudBench) -> None:
    machine = await bench.machine()

    await bench.cloud.attach_key(machine, THEIR_KEY)

    assert {OUR_KEY, THEIR_KEY} <= set(bench.rental(machine).keys)


PROOFS: dict[Capability, Body] = {
    C.STOP: stops_and_starts,
    C.STOP_FREES_GPU: frees_the_gpu,
    C.QUEUED_START: queues_a_refused_start,
    C.OFFERS: makes_offers,
    C.CREATE: creates,
    C.DESTROY: destroys,
    C.SPOT: rents_at_a_bid,
    C.BID: changes_a_bid,
    C.IMAGE: takes_an_image,
    C.START_SCRIPT: takes_a_start_script,
    C.SCOPED_KEY: gives_a_scoped_key,
    C.BALANCE: tells_the_balance,
    C.CHARGES: tells_charges,
    C.LOGS: shows_logs,
    C.REBOOT: reboots,
    C.ATTACH_KEY: attaches_a_key,
}


@pytest.mark.parametrize(("name", "capability"), CLAIMED)
def test_what_is_claimed_is_true(name: str, capability: Capability, tmp_path: Path) -> None:
    on(name, tmp_path, PROOFS[capability])


async def _refuses(work: Awaitable[object]) -> None:
    with pytest.raises(CannotDo) as refused:
        await work
    assert refused.value.text.endswith(".")


async def stop_is_refused(bench: CloudBench) -> None:
    machine = await bench.machine()
    await _refuses(bench.cloud.stop(machine))
    await _refuses(bench.cloud.start(machine))


async def nothing_frees_a_gpu(bench: CloudBench) -> None:
    """A machine that cannot be stopped never loses its GPU that way, and one of the user's own keeps it."""
    machine = await bench.machine()
    if not bench.claims(C.STOP):
        await _refuses(bench.cloud.stop(machine))
        return
    await bench.cloud.stop(machine)
    await bench.cloud.start(machine)
    assert (await bench.reading(machine)).state is State.RUNNING


async def no_start_is_queued(bench: CloudBench) -> None:
    machine = await bench.machine()
    if not bench.claims(C.STOP_FREES_GPU):
        await nothing_frees_a_gpu(bench)
        return
    await bench.cloud.stop(machine)
    await bench.until(machine, State.STOPPED)
    bench.twin.faults.once(CloudFaultKind.NO_GPU, on=Call.START)

    with pytest.raises(NoCapacity) as refused:
        await bench.cloud.start(machine)

    assert not refused.value.queued
    assert (await bench.reading(machine)).state is State.STOPPED


async def nothing_is_offered(bench: CloudBench) -> None:
    await _refuses(bench.cloud.offers(Search()))


async def nothing_is_created(bench: CloudBench) -> None:
    await _refuses(bench.cloud.create(Order(NOWHERE, "hawser-1", OUR_KEY)))


async def nothing_is_destroyed(bench: CloudBench) -> None:
    await _refuses(bench.cloud.destroy(await bench.machine()))


async def no_bid_is_taken(bench: CloudBench) -> None:
    if bench.claims(C.OFFERS):
        assert await bench.cloud.offers(Search(spot=True)) == []
    await _refuses(bench.cloud.create(Order(NOWHERE, "hawser-1", OUR_KEY, bid_usd_per_hour=Decimal(1))))
    await _refuses(bench.cloud.create(Order(NOWHERE._replace(spot=True), "hawser-1", OUR_KEY)))


async def no_bid_is_changed(bench: CloudBench) -> None:
    await _refuses(bench.cloud.bid("1", Decimal(1)))


async def no_image_is_taken(bench: CloudBench) -> None:
    await _refuses(bench.cloud.create(Order(NOWHERE, "hawser-1", OUR_KEY, image="ollama/ollama")))


async def no_start_script_is_taken(bench: CloudBench) -> None:
    await _refuses(bench.cloud.create(Order(NOWHERE, "hawser-1", OUR_KEY, start_script="true")))


async def no_scoped_key_is_given(bench: CloudBench) -> None:
    if bench.claims(C.CREATE):
        assert (await bench.rent()).scoped_key is None
    else:
        await nothing_is_created(bench)


async def no_balance_is_told(bench: CloudBench) -> None:
    await _refuses(bench.cloud.account())


async def no_charges_are_told(bench: CloudBench) -> None:
    await _refuses(bench.cloud.charges(bench.clock.now(), bench.clock.now()))


async def no_logs_are_shown(bench: CloudBench) -> None:
    async def read() -> None:
        async for _ in bench.cloud.logs("1"):
            return

    await _refuses(read())


async def no_reboot(bench: CloudBench) -> None:
    await _refuses(bench.cloud.reboot("1"))


async def no_key_is_attached(bench: CloudBench) -> None:
    await _refuses(bench.cloud.attach_key("1", OUR_KEY))


REFUSALS: dict[Capability, Body] = {
    C.STOP: stop_is_refused,
    C.STOP_FREES_GPU: nothing_frees_a_gpu,
    C.QUEUED_START: no_start_is_queued,
    C.OFFERS: nothing_is_offered,
    C.CREATE: nothing_is_created,
    C.DESTROY: nothing_is_destroyed,
    C.SPOT: no_bid_is_taken,
    C.BID: no_bid_is_changed,
    C.IMAGE: no_image_is_taken,
    C.START_SCRIPT: no_start_script_is_taken,
    C.SCOPED_KEY: no_scoped_key_is_given,
    C.BALANCE: no_balance_is_told,
    C.CHARGES: no_charges_are_told,
    C.LOGS: no_logs_are_shown,
    C.REBOOT: no_reboot,
    C.ATTACH_KEY: no_key_is_attached,
}


@pytest.mark.parametrize(("name", "capability"), UNCLAIMED)
def test_what_is_not_claimed_is_refused(name: str, capability: Capability, tmp_path: Path) -> None:
    on(name, tmp_path, REFUSALS[capability])


COLUMNS = {"vast": 1, "runpod": 2, "tensordock": 3, "tensordock with both keys": 3, "lambda": 4, OWN: 5}
ROWS = {
    C.CREATE: "rent and destroy",
    C.DESTROY: "rent and destroy",
    C.STOP: "stop and start again",
    C.STOP_FREES_GPU: "the GPU of a stopped machine may be gone",
    C.QUEUED_START: "a refused start stays queued and may fire later",
    C.SPOT: "rent at a bid",
    C.IMAGE: "container image of your choice",
    C.START_SCRIPT: "start script",
    C.SCOPED_KEY: "a key that can end this machine alone",
    C.BALANCE: "balance",
    C.CHARGES: "charges, machine by machine",
    C.LOGS: "logs of the boot",
    C.REBOOT: "reboot",
}


@pytest.mark.parametrize("name", CLOUDS)
def test_the_documented_table_is_true(name: str) -> None:
    lines = (Path(__file__).parents[2] / "docs" / "clouds.md").read_text().splitlines()
    table = {row[0]: row for line in lines if (row := [cell.strip() for cell in line.strip("|").split("|")])}

    for capability, title in ROWS.items():
        told = table[title][COLUMNS[name]]
        needs_both_keys = told == "with both keys" and name == "tensordock"
        assert bool(told and not needs_both_keys) == (capability in CLAIMS[name]), title


# ---- the life of a machine


@pytest.mark.parametrize("name", RENTED)
def test_a_machine_costs_what_its_offer_said(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        order = await bench.order()
        made = await bench.cloud.create(order)
        seen = await bench.until(made.id, State.RUNNING)
        begun, usd = bench.clock.now(), bench.twin.billed(made.id)
        bench.clock.advance(36_000)

        hours = Decimal((bench.clock.now() - begun) / timedelta(hours=1))
        told = (bench.twin.billed(made.id) - usd) / hours
        assert seen.bills is Bills.EVERYTHING
        assert seen.usd_per_hour is not None
        assert abs(seen.usd_per_hour - order.offer.usd_per_hour) < Decimal("0.001")
        assert abs(seen.usd_per_hour - told) < Decimal("0.003")

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", [one for one in RENTED if C.STOP in CLAIMS[one]])
def test_a_stopped_machine_costs_what_was_said(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        order = await bench.order()
        made = await bench.cloud.create(order)
        await bench.until(made.id, State.RUNNING)
        await bench.cloud.stop(made.id)
        seen = await bench.until(made.id, State.STOPPED)
        usd = bench.twin.billed(made.id)
        bench.clock.advance(36_000)

        told = (bench.twin.billed(made.id) - usd) / 10
        assert abs(order.offer.disk_usd_per_hour - told) < Decimal("0.0001")
        assert seen.usd_per_hour_stopped is None or abs(seen.usd_per_hour_stopped - told) < Decimal("0.0001")

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", CLOUDS)
def test_deeds_may_be_repeated(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        if bench.claims(C.STOP):
            await bench.cloud.start(machine)
            await bench.cloud.stop(machine)
            await bench.cloud.stop(machine)
            await bench.until(machine, State.STOPPED)
            await bench.cloud.stop(machine)
        if bench.claims(C.DESTROY):
            await bench.cloud.destroy(machine)
            await bench.cloud.destroy(machine)
            await bench.until_gone(machine)
            await bench.cloud.destroy(machine)
            assert await bench.cloud.machine("no-such-machine") is None
        else:
            assert (await bench.reading(machine)).state is State.STOPPED

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", RENTED)
def test_an_acceptance_is_no_proof(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        bench.twin.faults.once(CloudFaultKind.NOT_DONE)

        await (bench.cloud.stop if bench.claims(C.STOP) else bench.cloud.destroy)(machine)
        bench.clock.advance(600)

        assert (await bench.reading(machine)).bills is Bills.EVERYTHING

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", RENTED)
def test_a_running_machine_has_a_way_in(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        made = await bench.rent()
        before = await bench.reading(made.id)
        bench.clock.advance(3600)
        seen = await bench.until(made.id, State.RUNNING)

        assert all(not one.forwards or one.host.startswith("ssh") for one in before.addresses)
        assert seen.addresses[0].forwards
        assert seen.addresses[0].user == bench.twin.ssh_user
        assert OUR_KEY in bench.rental(made.id).keys

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", RENTED)
def test_everything_on_the_account_is_listed_with_its_label(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        offer = await bench.offer()
        made = {}
        for number in range(3):
            offer = await bench.offer()
            made[(await bench.rent(offer=offer, label=f"hawser-{number}")).id] = f"hawser-{number}"

        assert {one.id: one.label for one in await bench.cloud.machines()} == made
        seen = await bench.cloud.machine(next(iter(made)))
        assert seen is not None
        assert seen.label == "hawser-0"

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", RENTED)
def test_offers_keep_to_the_search(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        everything = await bench.cloud.offers(Search())
        middle = sorted(one.usd_per_hour for one in everything)[len(everything) // 2]

        assert all(one.usd_per_hour <= middle for one in await bench.cloud.offers(Search(max_usd_per_hour=middle)))
        assert await bench.cloud.offers(Search(max_usd_per_hour=Decimal("0.001"))) == []
        assert all(one.vram_gb >= 40 for one in await bench.cloud.offers(Search(min_vram_gb=Decimal(40))))
        assert len(await bench.cloud.offers(Search(limit=1))) == 1
        assert await bench.cloud.offers(Search(gpu="Voodoo 2")) == []
        assert {one.gpu_count for one in await bench.cloud.offers(Search(gpu_count=2))} <= {2}
        american = await bench.cloud.offers(Search(region="us"))
        assert american
        assert all(one.region.endswith("US") for one in american)
        assert await bench.cloud.offers(Search(region="Atlantis")) == []

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", RENTED)
def test_the_keys_of_the_account_are_kept(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        bench.twin.account.add_key(THEIR_KEY, bench.clock.now())

        await bench.rent()
        await bench.rent()

        keys = list(bench.twin.account.public_keys())
        assert keys.count(THEIR_KEY) == 1
        assert keys.count(OUR_KEY) <= 1

    on(name, tmp_path, body)


# ---- keys and secrets


@pytest.mark.parametrize("name", RENTED)
def test_a_refused_key_names_its_account(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        bench.twin.faults.always(CloudFaultKind.REVOKED)

        for call in (bench.cloud.machines(), bench.cloud.destroy("20001"), bench.cloud.machine("20001")):
            with pytest.raises(KeyRefused) as refused:
                await call
            assert refused.value.host == "lab"

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", RENTED)
def test_the_key_is_in_the_header_alone(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        key = bench.twin.key
        bench.twin.faults.once(CloudFaultKind.STATUS, 418, on=Call.LIST, text=f"the key {key} is a teapot")

        with pytest.raises(ProviderError) as refused:
            await bench.cloud.machines()
        made = await bench.rent()

        assert key not in f"{refused.value} {refused.value.hint} {bench.cloud!r} {made!r}"
        assert all(key not in one.path for one in bench.twin.requests)
        assert key not in str((await bench.reading(made.id)).raw)

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", RENTED)
def test_many_calls_keep_to_the_limits(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        await bench.cloud.machines()
        asked = len(bench.twin.requests)

        lists = [await bench.cloud.machines() for _ in range(20)]
        assert len(bench.twin.requests) - asked == 20  # a call that was refused would have been made again
        lists += await asyncio.gather(*(bench.cloud.machines() for _ in range(20)))

        assert [[one.id for one in each] for each in lists] == [[machine]] * 40

    on(name, tmp_path, body)
