"""Every cloud adapter when its cloud, or the way there, fails: orders without an answer, trouble, readings that lie."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from providers.clouds.base import (
    AnswerLost,
    Bills,
    Capability,
    CloudError,
    NoCapacity,
    State,
)
from providers.errors import BadReply, ProviderError, RateLimited, ServiceFailed, TimedOut, Unreachable
from providers.simulated.clouds.faults import Call, CloudFaultKind
from providers.simulated.clouds.rental import Phase
from tests.conftest import run
from tests.contracts.clouds_bench import (
    RENTED,
    CloudBench,
    bench_for,
    large,
    on,
)

C = Capability


# ---- creations that go wrong


LOST = [
    (CloudFaultKind.LOSE_ANSWER, None, True),
    (CloudFaultKind.RESET, None, False),
    (CloudFaultKind.STATUS, 500, False),
    (CloudFaultKind.STATUS, 502, False),
    (CloudFaultKind.HTML, 200, False),
    (CloudFaultKind.HTML, 504, False),
    (CloudFaultKind.DOWN, None, False),
]


@pytest.mark.parametrize("name", RENTED)
@pytest.mark.parametrize(("kind", "number", "is_done"), LOST)
def test_a_creation_without_an_answer_is_unknown_and_not_repeated(
    name: str, kind: CloudFaultKind, number: float | None, is_done: bool, tmp_path: Path
) -> None:
    async def body(bench: CloudBench) -> None:
        await bench.rent(label="hawser-before")
        order = await bench.order("hawser-lost")
        asked = len(bench.twin.requests)
        bench.twin.faults.once(kind, number, on=Call.CREATE)

        with pytest.raises(AnswerLost, match="unknown whether"):
            await bench.cloud.create(order)

        assert len(bench.twin.requests) - asked <= 2  # TensorDock looks for a free port first
        labels = [one.label for one in await bench.cloud.machines()]
        assert labels.count("hawser-lost") == (1 if is_done else 0)

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", RENTED)
def test_a_creation_that_is_never_answered_is_unknown(name: str, tmp_path: Path) -> None:
    async def benched() -> None:
        async with bench_for(name, tmp_path, total_s=0.5) as bench:
            order = await bench.order("hawser-lost")
            bench.twin.faults.once(CloudFaultKind.SILENT_DONE, on=Call.CREATE)

            with pytest.raises(AnswerLost):
                await bench.cloud.create(order)

            assert [one.label for one in await bench.cloud.machines()] == ["hawser-lost"]

    run(benched())


@pytest.mark.parametrize("name", RENTED)
def test_a_creation_that_never_left_is_not_unknown(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        order = await bench.order()
        await bench.twin.close_door()

        with pytest.raises(ProviderError) as failed:
            await bench.cloud.create(order)

        assert not isinstance(failed.value, CloudError)
        await bench.twin.open_door()

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", RENTED)
def test_a_refused_creation_names_or_labels_what_it_left(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        order = await bench.order("hawser-remnant")
        bench.twin.faults.once(CloudFaultKind.REMNANT, on=Call.CREATE)

        with pytest.raises(CloudError) as failed:
            await bench.cloud.create(order)

        (left,) = await bench.cloud.machines()
        assert left.label == "hawser-remnant"
        if name == "vast":
            assert failed.value.leftover == left.id

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", RENTED)
def test_a_creation_without_a_gpu_is_no_capacity(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        order = await bench.order()
        bench.twin.faults.once(CloudFaultKind.NO_GPU, on=Call.CREATE)

        with pytest.raises(NoCapacity) as refused:
            await bench.cloud.create(order)

        assert refused.value.leftover is None
        assert await bench.cloud.machines() == []

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", RENTED)
def test_a_creation_after_too_many_requests_is_made_once(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        order = await bench.order()
        bench.twin.faults.once(CloudFaultKind.RATE_LIMIT, 7, on=Call.CREATE)

        await bench.cloud.create(order)

        assert len(await bench.cloud.machines()) == 1
        assert sum(bench.clock.slept) >= 7

    on(name, tmp_path, body)


# ---- the network and the service fail


@pytest.mark.parametrize("name", RENTED)
@pytest.mark.parametrize("kind", [CloudFaultKind.RESET, CloudFaultKind.LOSE_ANSWER, CloudFaultKind.DOWN])
def test_readings_and_deeds_are_asked_again(name: str, kind: CloudFaultKind, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()

        bench.twin.faults.next(2, kind, on=Call.LIST)
        assert [one.id for one in await bench.cloud.machines()] == [machine]
        bench.twin.faults.next(2, kind, on=Call.STOP)
        if bench.claims(C.STOP):
            await bench.cloud.stop(machine)
            await bench.until(machine, State.STOPPED)
        bench.twin.faults.next(2, kind, on=Call.DESTROY)
        await bench.cloud.destroy(machine)

        await bench.until_gone(machine)

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", RENTED)
@pytest.mark.parametrize(
    ("kind", "number", "error"),
    [
        (CloudFaultKind.DOWN, None, ServiceFailed),
        (CloudFaultKind.STATUS, 500, ServiceFailed),
        (CloudFaultKind.RESET, None, Unreachable),
        (CloudFaultKind.HTML, 200, BadReply),
        (CloudFaultKind.HTML, 404, BadReply),
        (CloudFaultKind.RATE_LIMIT, 3600, RateLimited),
        (CloudFaultKind.RATE_LIMIT_BARE, None, RateLimited),
        (CloudFaultKind.RATE_LIMIT_TEXT, None, RateLimited),
    ],
)
def test_trouble_without_end_is_told_by_its_kind(
    name: str, kind: CloudFaultKind, number: float | None, error: type[ProviderError], tmp_path: Path
) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        calls: list[Callable[[], Awaitable[object]]] = [bench.cloud.machines, partial(bench.cloud.destroy, machine)]
        if bench.claims(C.STOP):
            calls.append(partial(bench.cloud.stop, machine))
        bench.twin.faults.always(kind, number)

        for call in calls:
            with pytest.raises(error) as failed:
                await call()
            assert failed.value.text.endswith((".", "…"))

        bench.twin.faults.clear()
        assert bench.rental(machine).phase is Phase.RUNNING

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", RENTED)
def test_a_service_that_never_answers_is_too_slow(name: str, tmp_path: Path) -> None:
    async def benched() -> None:
        async with bench_for(name, tmp_path, total_s=0.1) as bench:
            bench.twin.faults.always(CloudFaultKind.SILENT)

            with pytest.raises(TimedOut):
                await bench.cloud.machines()

    run(benched())


@pytest.mark.parametrize("name", RENTED)
def test_an_error_inside_an_answer_is_an_error(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        order = await bench.order("hawser-inside", offer=await bench.offer())
        bench.twin.faults.always(CloudFaultKind.ERROR_INSIDE, on=[Call.LIST, Call.DESTROY, Call.CREATE])

        for call in (bench.cloud.machines(), bench.cloud.destroy(machine), bench.cloud.create(order)):
            with pytest.raises(ProviderError, match="something went wrong"):
                await call

        bench.twin.faults.clear()
        assert [one.id for one in await bench.cloud.machines()] == [machine]

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", RENTED)
@pytest.mark.parametrize("kind", [CloudFaultKind.RATE_LIMIT, CloudFaultKind.RATE_LIMIT_BARE])
def test_a_short_pause_is_waited_for(name: str, kind: CloudFaultKind, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        bench.twin.faults.next(2, kind, 5 if kind is CloudFaultKind.RATE_LIMIT else None, on=Call.LIST)
        before = bench.clock.monotonic()

        assert [one.id for one in await bench.cloud.machines()] == [machine]
        assert bench.clock.monotonic() - before >= 5

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", RENTED)
def test_a_long_pause_is_told_at_once_and_kept(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        bench.twin.faults.once(CloudFaultKind.RATE_LIMIT, 600, on=Call.LIST)

        with pytest.raises(RateLimited) as first:
            await bench.cloud.machines()
        asked = len(bench.twin.requests)
        with pytest.raises(RateLimited) as second:
            await bench.cloud.machines()

        assert first.value.retry_after_s == 600
        assert second.value.retry_after_s is not None
        assert 590 < second.value.retry_after_s <= 600
        assert len(bench.twin.requests) == asked
        bench.clock.advance(600)
        assert await bench.cloud.machines() == []

    on(name, tmp_path, body)


# ---- readings that lie


@pytest.mark.parametrize("name", RENTED)
def test_words_that_nobody_knows_are_unknown(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        bench.twin.faults.always(CloudFaultKind.ODD_STATUS, text="hibernating", machine_id=machine)

        seen = await bench.reading(machine)

        assert seen.state is State.UNKNOWN
        assert seen.bills in (Bills.UNKNOWN, Bills.EVERYTHING)
        assert "hibernating" in seen.words

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", RENTED)
def test_one_that_vanishes_for_a_reading_is_missing_and_no_error(name: str, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        bench.twin.faults.always(CloudFaultKind.MISSING, machine_id=machine)

        assert await bench.cloud.machines() == []
        assert await bench.cloud.machine(machine) is None
        bench.twin.faults.clear()
        assert (await bench.reading(machine)).state is State.RUNNING

    on(name, tmp_path, body)


@pytest.mark.parametrize(
    ("name", "state", "bills"),
    [
        ("vast", State.DIED, Bills.EVERYTHING),
        ("runpod", State.STOPPED, Bills.EVERYTHING),
        ("tensordock", State.STOPPED, Bills.EVERYTHING),
        ("lambda", State.GONE, Bills.NOTHING),
    ],
)
def test_a_running_machine_that_is_called_ended(name: str, state: State, bills: Bills, tmp_path: Path) -> None:
    async def body(bench: CloudBench) -> None:
        machine = await bench.machine()
        bench.twin.faults.always(CloudFaultKind.LYING_STATUS, machine_id=machine)

        seen = await bench.reading(machine)

        assert (seen.state, seen.bills) == (state, bills)

    on(name, tmp_path, body)


@pytest.mark.parametrize(
    ("kind", "name", "state", "bills"),
    [
        (CloudFaultKind.STUCK, "vast", State.STARTING, Bills.DISK),
        (CloudFaultKind.STUCK, "runpod", State.STARTING, Bills.EVERYTHING),
        (CloudFaultKind.STUCK, "tensordock", State.STARTING, Bills.EVERYTHING),
        (CloudFaultKind.STUCK, "lambda", State.STARTING, Bills.NOTHING),
        (CloudFaultKind.CANNOT_START, "vast", State.BROKEN, Bills.DISK),
        (CloudFaultKind.CANNOT_START, "runpod", State.DIED, Bills.DISK),
        (CloudFaultKind.CANNOT_START, "tensordock", State.BROKEN, Bills.UNKNOWN),
        (CloudFaultKind.CANNOT_START, "lambda", State.LOST, Bills.EVERYTHING),
        (CloudFaultKind.DIES, "vast", State.DIED, Bills.EVERYTHING),
        (CloudFaultKind.DIES, "runpod", State.DIED, Bills.EVERYTHING),
        (CloudFaultKind.DIES, "tensordock", State.STOPPED, Bills.EVERYTHING),
        (CloudFaultKind.DIES, "lambda", State.LOST, Bills.EVERYTHING),
    ],
)
def test_a_machine_that_does_not_come_up(
    kind: CloudFaultKind, name: str, state: State, bills: Bills, tmp_path: Path
) -> None:
    async def body(bench: CloudBench) -> None:
        order = await bench.order()
        bench.twin.faults.once(kind, on=Call.CREATE)
        made = await bench.cloud.create(order)
        bench.clock.advance(3600)

        seen = await bench.reading(made.id)

        assert (seen.state, seen.bills) == (state, bills)

    on(name, tmp_path, body)


@pytest.mark.parametrize("name", RENTED)
def test_a_long_list_is_read_whole(name: str, tmp_path: Path) -> None:
    """More than a page of it, where there are pages."""

    async def benched() -> None:
        async with bench_for(name, tmp_path, **large(name)) as bench:
            for _ in range(60):
                await bench.rent()

            assert len(await bench.cloud.machines()) == 60

    run(benched())
