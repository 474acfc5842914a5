"""The guard as the runtime wires it: a machine of a simulated cloud, looked at and guarded over SSH."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

from console.history import leases as rows
from console.links.detached import Detached
from console.machines.fleet import LaunchPlan
from console.machines.protection import Word
from console.machines.records import MachineState
from console.paths import find_paths
from console.runtime import Runtime, open_runtime
from providers.clouds.base import Search
from providers.simulated.clouds.rental import Timings
from providers.simulated.clouds.vast import VastTwin
from tests.conftest import run


@asynccontextmanager
async def rented(home: Path) -> AsyncIterator[tuple[Runtime, VastTwin]]:
    """A runtime with one machine that runs."""
    timings = Timings.booting_in(0.2)
    async with VastTwin(limits=False, with_machines=True, real_shell=True, timings=timings) as twin:
        environment = {"HAWSER_HOME": str(home), "HAWSER_ISOLATED": "1", "HAWSER_KEY_TWIN": twin.key}
        paths = find_paths(environment)
        paths.config.mkdir(parents=True)
        paths.config_file.write_text(f'[clouds.vast]\nbase_url = "{twin.base_url}"\nkey = "twin"\n')
        async with open_runtime(paths, environment, lambda _: None) as runtime:
            (offer, *_) = await runtime.offers_of("vast", Search(gpu="RTX 4090", disk_gb=Decimal(20)))
            fleet = await runtime.fleet()
            await fleet.launch("gpu1", LaunchPlan("vast", offer, disk_gb=Decimal(20)), why="a test")
            await fleet.settled("gpu1", limit_s=30)
            try:
                yield runtime, twin
            finally:
                await _end_jobs(runtime)


async def _end_jobs(runtime: Runtime) -> None:
    links = runtime._links_of_guard()
    jobs = Detached(links.reach("gpu1"))
    for job in await jobs.jobs():
        await jobs.stop(job.id, grace_s=1.0)
    await links.close()


def test_guard_looks_at_a_rented_machine_and_puts_a_guard_there(tmp_path: Path) -> None:
    async def body() -> None:
        async with rented(tmp_path) as (runtime, twin):
            guard, leases = await runtime.guard(), await runtime.leases()
            assert await guard.role.take()

            report = await guard.once()

            record = await (await runtime.fleet()).machine("gpu1")
            signals = await (await runtime.store()).run(lambda c: rows.signals(c, record.seq))
            lease = await (await runtime.store()).run(lambda c: rows.get(c, record.seq))
            assert report.troubles == ()
            assert set(signals) == {"gpu", "ssh", "jobs"}
            assert record.state is MachineState.REACHABLE
            assert lease is not None
            assert lease.on_machine["trouble"] is None
            view = await leases.show("gpu1")
            if view.protection.word is not Word.GUARDED:  # its first sign of life may come a moment later
                assert view.protection.word is Word.HALF
                assert "has not checked in yet" in view.protection.text
            secret = twin.rentals[record.cloud_id or ""].own_key
            assert secret not in runtime.paths.log_file.read_text()

    run(body())
