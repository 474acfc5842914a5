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


def test_a_machine_that_is_off_is_an_error_of_the_link() -> None:
    async def body() -> None:
        async def gone() -> asyncssh.SSHClientConnection:
            raise LinkError("It is off.")

        with pytest.raises(LinkError, match="off"):
            await read_once(gone, "box")

    run(body())
