"""Heat: the readings of machines become alerts, pauses and stops."""

from __future__ import annotations

from typing import Any

from console.errors import MachineBusy
from console.events import Bus
from console.machines.gpu import GpuSample
from console.machines.heat import AGAIN_S, UNREAD_S, HeatWatch, JobsPaused, JobsResumed
from console.settings import AlertSettings
from providers.gpu_smi import Gpu, Snapshot
from tests.clocks import EagerClock
from tests.conftest import run


class Ear:
    """Hears what is raised and cleared."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def raise_(self, subject: str, level: str, text: str) -> bool:
        self.heard.append(f"{level}: {text}")
        return True

    async def clear(self, subject: str, text: str = "") -> bool:
        self.heard.append(f"over: {subject}")
        return True


class Brake:
    """Notes what was to be stopped; refuses as often as it is told to."""

    def __init__(self, refusals: int = 0) -> None:
        self.stopped: list[tuple[str, str]] = []
        self.refusals = refusals

    async def stop(self, machine: str, why: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise MachineBusy("Something else is being done to it.")
        self.stopped.append((machine, why))


def sample(at_s: float, temperature: float, machine: str = "gpu1") -> GpuSample:
    return GpuSample(machine, Snapshot((Gpu(0, "RTX 4090", temperature_c=temperature),)), at_s)


def watch(
    ear: Ear, bus: Bus | None = None, brake: Brake | None = None, clock: EagerClock | None = None, **settings: Any
) -> HeatWatch:
    return HeatWatch(AlertSettings(**settings), ear, clock or EagerClock(), bus or Bus(), (brake or Brake()).stop)


def test_a_second_by_second_reading_is_raised_when_it_changes() -> None:
    async def body() -> None:
        ear = Ear()
        heat = watch(ear)
        for second in range(120):
            await heat.judge(sample(second, 78))
        for second in range(120, 180):
            await heat.judge(sample(second, 60))

        assert ear.heard == ["warning: GPU 0 of gpu1 is at 78 °C.", "over: heat:gpu1:0"]

    run(body())


def test_what_stands_is_raised_again_now_and_then() -> None:
    async def body() -> None:
        ear = Ear()
        heat = watch(ear)
        await heat.judge(sample(0, 78))
        await heat.judge(sample(AGAIN_S - 1, 78))
        await heat.judge(sample(AGAIN_S, 78))

        assert len(ear.heard) == 2

    run(body())


def test_jobs_wait_on_the_hot_machine_alone_until_it_is_cool() -> None:
    async def body() -> None:
        ear, bus, brake = Ear(), Bus(), Brake()
        heat = watch(ear, bus, brake)
        with bus.subscribe() as events:
            for at_s, temperature in ((0, 88), (60, 88), (61, 88), (70, 70)):
                await heat.judge(sample(at_s, temperature))
                await heat.judge(sample(at_s, 40, "gpu2"))
                assert heat.is_paused("gpu1") is (at_s in (60, 61))
                assert not heat.is_paused("gpu2")
            bus.close()
            told = [
                (type(event), event.machine) async for event in events if isinstance(event, JobsPaused | JobsResumed)
            ]

        assert told == [(JobsPaused, "gpu1"), (JobsResumed, "gpu1")]
        assert brake.stopped == []
        assert "alarm: GPU 0 of gpu1 is at 88 °C, for 60 s. Jobs there wait until it is cooler." in ear.heard

    run(body())


def test_the_machine_is_stopped_once_if_so_set_and_tried_again_if_refused() -> None:
    async def body() -> None:
        brake = Brake(refusals=1)
        heat = watch(Ear(), None, brake, at_hot="stop")
        for at_s in (0, 60, 61, 62, 63):
            await heat.judge(sample(at_s, 88))

        assert brake.stopped == [("gpu1", "GPU 0 of gpu1 is at 88 °C, for 61 s. Jobs there wait, and it is stopped.")]

    run(body())


def test_a_round_judges_the_last_reading_of_each_machine() -> None:
    async def body() -> None:
        ear = Ear()
        heat = watch(ear)
        for machine, temperature in (("gpu1", 90), ("gpu2", 78), ("gpu1", 77)):
            heat.note(machine, sample(0, temperature).snapshot, 0)

        await heat.round()
        await heat.round()

        assert ear.heard == ["warning: GPU 0 of gpu1 is at 77 °C.", "warning: GPU 0 of gpu2 is at 78 °C."]

    run(body())


def test_a_machine_that_is_off_is_not_hot() -> None:
    async def body() -> None:
        ear, clock = Ear(), EagerClock()
        heat = watch(ear, clock=clock)
        for _ in range(3):
            heat.note("gpu1", sample(0, 88).snapshot, clock.monotonic())
            await heat.round()
            clock.advance(30)
        assert heat.is_paused("gpu1")

        clock.advance(UNREAD_S)
        await heat.round()
        await heat.round()

        assert not heat.is_paused("gpu1")
        assert ear.heard[-1] == "over: heat:gpu1:0"
        assert ear.heard.count("over: heat:gpu1:0") == 1

    run(body())
