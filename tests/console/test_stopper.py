"""The script that ends leases from elsewhere, on a simulated machine with a real shell, against a simulated cloud."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from console.clock import SystemClock
from console.errors import RemoteRefused
from console.links.detached import Detached
from console.machines.stopper import FOLDER, VERSION, Stopper, Times
from console.machines.work import GUARD_JOB
from providers.clouds.ending import Ending, How, ending
from providers.simulated.clouds.faults import CloudFaultKind
from providers.simulated.clouds.rental import Phase
from providers.simulated.clouds.vast import VastTwin
from tests.conftest import run
from tests.console.machines_kit import Box, box, until
from tests.providers.twin_kit import HandClock, client_of

NAME = "m0123456789ab"


class Rented:
    """A machine with its own guard, and the cloud that it is rented from."""

    def __init__(self, machine: Box, twin: VastTwin, cloud_clock: HandClock, number: int) -> None:
        self.machine = machine
        self.twin = twin
        self.cloud_clock = cloud_clock
        self.id = str(number)
        self.clock = SystemClock()
        self.stopper = Stopper(machine.connect, "berth", self.clock, tick_s=1)
        self.folder = machine.home / FOLDER

    @property
    def key(self) -> str:
        return self.twin.rentals[self.id].own_key

    @property
    def phase(self) -> Phase:
        return self.twin.rentals[self.id].phase

    def ending(self, how: How = "stop") -> Ending:
        found = ending("vast", self.twin.base_url, self.id, how)
        assert found is not None
        return found

    async def renew(self, soft_s: float, hard_s: float, *, idle_s: float = 0.0, watches: bool = False) -> Any:
        now = self.clock.now()
        times = Times(
            now + timedelta(seconds=soft_s), now + timedelta(seconds=hard_s), timedelta(seconds=idle_s), watches
        )
        return await self.stopper.renew(NAME, self.ending(), times, 0.0)

    async def set_up(self) -> None:
        await self.renew(3600, 7200)
        await self.stopper.set_up(NAME, self.ending(), self.key)


@asynccontextmanager
async def rented(folder: Path) -> AsyncIterator[Rented]:
    clock = HandClock()
    async with VastTwin(clock=clock) as twin, box("simulated", folder) as machine:
        async with client_of(twin) as http:
            order = {"client_id": "me", "image": "a", "disk": 20, "label": "demo", "runtype": "ssh_direc ssh_proxy"}
            answer = await http.put("/api/v0/asks/7001/", json=order)
            clock.forward(65)
        there = Rented(machine, twin, clock, int(answer.json()["new_contract"]))
        try:
            yield there
        finally:
            jobs = Detached(machine.connect)
            for job in await jobs.jobs():
                await jobs.stop(job.id, grace_s=1.0)


def test_machine_is_ended_when_nobody_renews_its_lease(tmp_path: Path) -> None:
    async def body() -> None:
        async with rented(tmp_path) as there:
            await there.set_up()
            assert await there.stopper.test(NAME) is None
            assert there.phase is Phase.RUNNING

            await there.renew(-1, -1)
            await until(lambda: there.phase is not Phase.RUNNING)
            await until((there.folder / f"{NAME}.state").exists)

            seen = await there.renew(3600, 7200)
            assert seen.version == VERSION
            assert seen.beat_at is not None
            assert seen.ended.split()[1:] == ["hard", "200"]

    run(body())


def test_renewed_lease_keeps_the_machine(tmp_path: Path) -> None:
    async def body() -> None:
        async with rented(tmp_path) as there:
            await there.set_up()
            beat = there.folder / "beat"
            await until(beat.exists)
            first = beat.read_text()

            await there.renew(3600, 7200)
            await until(lambda: beat.read_text() != first)

            assert there.phase is Phase.RUNNING
            assert not (there.folder / f"{NAME}.state").exists()

    run(body())


def test_key_is_private_and_in_no_list_of_processes(tmp_path: Path) -> None:
    async def body() -> None:
        async with rented(tmp_path) as there:
            await there.set_up()

            assert stat.S_IMODE((there.folder / f"{NAME}.curl").stat().st_mode) == 0o600
            assert stat.S_IMODE(there.folder.stat().st_mode) == 0o700
            assert stat.S_IMODE((there.folder / "stopper.sh").stat().st_mode) == 0o700
            commands = [file.read_bytes() for file in (there.machine.home / ".hawser" / "jobs").glob("*/command")]
            assert commands
            assert all(there.key.encode() not in command for command in commands)

    run(body())


@pytest.mark.parametrize(
    ("fault", "words"),
    [(CloudFaultKind.SCOPED_KEY_REFUSED, "does not accept the key"), (CloudFaultKind.DOWN, "answers 503")],
)
def test_self_test_says_why_it_could_not_end_the_machine(tmp_path: Path, fault: CloudFaultKind, words: str) -> None:
    async def body() -> None:
        async with rented(tmp_path) as there:
            await there.set_up()
            there.twin.faults.always(fault)

            assert words in str(await there.stopper.test(NAME))

    run(body())


def test_refused_end_is_tried_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with rented(tmp_path) as there:
            await there.set_up()
            there.twin.faults.always(CloudFaultKind.DOWN)
            await there.renew(-1, -1)
            state = there.folder / f"{NAME}.state"
            await until(state.exists)
            assert state.read_text().split()[1:] == ["hard", "503"]

            there.twin.faults.clear()
            (there.folder / f"{NAME}.tried").write_text("0 1\n")  # its pause of half a minute is over
            await until(lambda: there.phase is not Phase.RUNNING)

    run(body())


def test_busy_machine_is_ended_at_the_hard_end_only(tmp_path: Path) -> None:
    async def body() -> None:
        async with rented(tmp_path) as there:
            await there.set_up()
            jobs = Detached(there.machine.connect)
            await jobs.start("training", "sleep 600")
            beat = there.folder / "beat"
            await until(beat.exists)

            await there.renew(-1, 3600, idle_s=1, watches=True)
            for _ in range(3):
                before = beat.read_text()
                await until(lambda seen=before: beat.read_text() != seen)  # type: ignore[misc]
            assert there.phase is Phase.RUNNING
            await there.renew(-1, -1, idle_s=1, watches=True)
            await until(lambda: there.phase is not Phase.RUNNING)

    run(body())


def test_idle_machine_is_ended_at_its_soft_end(tmp_path: Path) -> None:
    async def body() -> None:
        async with rented(tmp_path) as there:
            _without_gpu(there)
            await there.set_up()

            await there.renew(-1, 3600, idle_s=1, watches=True)
            await until(lambda: there.phase is not Phase.RUNNING)
            await until((there.folder / f"{NAME}.state").exists)

            assert (there.folder / f"{NAME}.state").read_text().split()[1:] == ["idle", "200"]

    run(body())


def test_gpu_that_does_not_answer_counts_as_work(tmp_path: Path) -> None:
    async def body() -> None:
        async with rented(tmp_path) as there:
            _without_gpu(there, "exit 9")
            await there.set_up()
            beat = there.folder / "beat"
            await until(beat.exists)

            await there.renew(-1, 3600, idle_s=1, watches=True)
            for _ in range(3):
                before = beat.read_text()
                await until(lambda seen=before: beat.read_text() != seen)  # type: ignore[misc]

            assert there.phase is Phase.RUNNING

    run(body())


def _without_gpu(there: Rented, says: str = "echo 0") -> None:
    """What stands for nvidia-smi on the machine."""
    (tool,) = there.machine.home.parent.rglob("nvidia-smi")
    tool.unlink()
    tool.write_text(f"#!/bin/sh\n{says}\n")
    tool.chmod(0o755)


def test_second_script_takes_the_place_of_the_first(tmp_path: Path) -> None:
    async def body() -> None:
        async with rented(tmp_path) as there:
            await there.set_up()
            await there.stopper.set_up(NAME, there.ending(), there.key)

            jobs = [job for job in await Detached(there.machine.connect).jobs() if job.id.startswith(GUARD_JOB)]
            assert [job.state for job in jobs] == ["running"]

    run(body())


def test_without_any_key_nothing_is_written_in_its_place(tmp_path: Path) -> None:
    async def body() -> None:
        async with rented(tmp_path) as there:
            await there.renew(3600, 7200)
            keyless = there.ending()._replace(key_variable=None)

            with pytest.raises(RemoteRefused, match="no key"):
                await there.stopper.set_up(NAME, keyless, None)

            assert not (there.folder / f"{NAME}.curl").exists()

    run(body())


def test_key_that_the_cloud_gave_to_the_machine_is_found_there(tmp_path: Path) -> None:
    async def body() -> None:
        async with rented(tmp_path) as there:
            await there.renew(3600, 7200)

            await there.stopper.set_up(NAME, there.ending()._replace(key_variable="LOGNAME"), None)

            assert (there.folder / f"{NAME}.curl").read_text() == 'header = "Authorization: Bearer root"\n'

    run(body())


def test_forgotten_machine_leaves_no_key_behind(tmp_path: Path) -> None:
    async def body() -> None:
        async with rented(tmp_path) as there:
            await there.set_up()
            await there.stopper.forget(NAME)

            assert not list(there.folder.glob(f"{NAME}.*"))

    run(body())


@pytest.mark.parametrize("kind", ["vast", "runpod", "tensordock"])
@pytest.mark.parametrize("how", ["stop", "destroy"])
def test_every_cloud_that_can_has_its_requests(kind: str, how: How) -> None:
    found = ending(kind, "http://127.0.0.1:9", "a/b", how)

    assert found is not None
    assert "a%2Fb" in found.url
    assert found.url.startswith("http://127.0.0.1:9/")


def test_cloud_that_cannot_stop_has_no_request_for_it() -> None:
    assert ending("lambda", None, "1", "stop") is None
    assert ending("lambda", None, "1", "destroy") is not None
