"""GPU readings of a machine over SSH: streamed, through drops, and with words where there are none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from console.clock import SystemClock
from console.errors import LinkError
from console.events import Bus
from console.machines import gpu
from console.machines.gpu import GpuSample, GpuTrouble, GpuWatch, read_once
from console.machines.gpu_watches import GpuWatches
from providers.simulated.machine import SimulatedMachine
from tests.conftest import run
from tests.console.machines_kit import Box

if TYPE_CHECKING:
    import asyncssh

TWO_GPUS = ("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3")


@asynccontextmanager
async def box_with(gpus: tuple[str, ...]) -> AsyncIterator[Box]:
    async with SimulatedMachine("berth", gpus=gpus) as simulated:

        async def open_one() -> asyncssh.SSHClientConnection:
            import asyncssh

            return await asyncssh.connect(
                simulated.host,
                simulated.port,
                username=simulated.user,
                client_keys=[str(simulated.key_file)],
                known_hosts=([asyncssh.import_public_key(simulated.host_key)], [], []),
                config=None,
                agent_path=None,
            )

        machine = Box(simulated.home, open_one)
        try:
            yield machine
        finally:
            await machine.close()


def test_rounds_come_as_long_as_it_is_watched_and_over_a_drop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "AGAIN_S", 0.0)

    async def body() -> None:
        bus = Bus()
        told: list[int] = []
        async with box_with(TWO_GPUS) as box:
            with bus.subscribe() as events:
                async with GpuWatch(
                    "box", box.connect, SystemClock(), bus, told=lambda snapshot: told.append(len(snapshot.gpus))
                ) as watch:
                    samples = 0
                    async for event in events:
                        if isinstance(event, GpuSample):
                            samples += 1
                            assert [found.number for found in event.snapshot.gpus] == [0, 1]
                            if samples == 1:
                                await box.cut()
                            else:
                                break
                    age = watch.age_s()
                    assert age is not None
                    assert age < 30
        assert (box.connections, told) == (2, [2, 2])

    run(body())


def test_a_machine_without_a_gpu_says_why() -> None:
    async def body() -> None:
        bus = Bus()
        async with box_with(()) as box:
            with bus.subscribe() as events:
                async with GpuWatch("box", box.connect, SystemClock(), bus) as watch:
                    event = await anext(aiter(events))
            assert isinstance(event, GpuTrouble)
            assert "NVIDIA driver" in event.text
            assert (watch.latest, watch.age_s()) == (None, None)

            snapshot, reason = await read_once(box.connect, "box")
            assert (snapshot, "NVIDIA driver" in reason) == (None, True)

    run(body())


def test_one_reading_is_one_round() -> None:
    async def body() -> None:
        async with box_with(TWO_GPUS) as box:
            snapshot, reason = await read_once(box.connect, "box")
        assert snapshot is not None
        assert (len(snapshot.gpus), snapshot.gpus[0].name, reason) == (2, "NVIDIA H100 80GB HBM3", "")

    run(body())


def test_each_machine_that_runs_has_one_stream_until_it_is_off() -> None:
    async def body() -> None:
        seen: list[str] = []
        async with box_with(TWO_GPUS) as first, box_with(TWO_GPUS[:1]) as second:
            boxes = {"first": first, "second": second}
            bus = Bus()
            watches = GpuWatches(
                lambda name: boxes[name].connect,
                SystemClock(),
                bus,
                lambda name, snapshot: seen.append(f"{name} {len(snapshot.gpus)}"),
                every_ms=50,
            )
            with bus.subscribe() as events:
                await watches.follow(["first", "second"])
                await watches.follow(["first", "second"])
                async for _ in events:
                    if {"first 2", "second 1"} <= set(seen):
                        break
                await watches.follow(["second"])
                seen.clear()
                async for _ in events:
                    if len(seen) >= 3:
                        break
            await watches.close()
            assert set(seen) == {"second 1"}
            assert (first.connections, second.connections) == (1, 1)

    run(body())


def test_a_machine_that_is_off_is_an_error_of_the_link() -> None:
    async def body() -> None:
        async def gone() -> asyncssh.SSHClientConnection:
            raise LinkError("It is off.")

        with pytest.raises(LinkError, match="off"):
            await read_once(gone, "box")

    run(body())
